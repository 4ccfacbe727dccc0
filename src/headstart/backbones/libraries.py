"""Backbones that the catalogue does not list: their facts, read from the library that builds them."""

import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch.utils.flop_counter import FlopCounterMode

from headstart.backbones import scratch
from headstart.backbones.chain import chain
from headstart.backbones.network import architecture, example, let_torchvision_load, words
from headstart.errors import HeadstartError, Misuse, UnknownName
from headstart.files import cache_folder, digest_bytes, make_cache_folder, write_whole
from headstart.values import Preprocess, Spec, Stage, Weights

HUB = "https://huggingface.co"  # unless HF_ENDPOINT names a mirror, as for the hub's own library
BACKGROUND = (255, 255, 255)
_DIGEST = re.compile(
    r"-([0-9a-f]{8,64})\.\w+$"
)  # torchvision's file names end with the digest's first digits
_KEYS = ("size", "resize", "interpolation", "mean", "std")
_NOT_STATED = "not stated"


def described(name: str) -> Spec:
    """The facts of `LIBRARY:ARCHITECTURE[.TAG][?KEY=VALUE&…]`.

    Raises:
        UnknownName: the library has no such network or weights.
        Misuse: a key's value cannot be used, or the preprocessing is of a kind that headstart does not do.
        UnknownFamily: the network cannot be taken to pieces.
    """
    let_torchvision_load()
    library, _, rest = name.partition(":")
    tagged, _, query = rest.partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    arguments = tuple(sorted((key, value) for key, value in asked.items() if key not in _KEYS))
    wanted = {key: value for key, value in asked.items() if key in _KEYS}
    facts = _torchvision if library == "torchvision" else _timm
    return facts(name, tagged, arguments, wanted)


def _torchvision(
    name: str, tagged: str, arguments: tuple[tuple[str, str], ...], wanted: dict[str, str]
) -> Spec:
    from torchvision import models  # type: ignore[import-untyped]

    base, _, tag = tagged.partition(".")
    if base not in models.list_models(module=models):
        raise UnknownName("torchvision network", base, models.list_models(module=models))
    known = models.get_model_weights(base)
    if tag and tag not in known.__members__:
        raise UnknownName(f"set of weights for {base}", tag, list(known.__members__))
    weights: Any = known[tag] if tag else known.DEFAULT
    how = weights.transforms()
    return _spec(
        name,
        f"{base} (torchvision, {weights.name})",
        ("torchvision", base, arguments),
        _at(weights.url),
        {
            "size": how.crop_size[0],
            "resize": how.resize_size[0],
            "interpolation": how.interpolation.value,
            "mean": tuple(how.mean),
            "std": tuple(how.std),
        },
        wanted,
        licence=_NOT_STATED,
        citation=str(weights.meta.get("recipe") or weights.meta.get("_docs") or _NOT_STATED),
    )


def _timm(name: str, tagged: str, arguments: tuple[tuple[str, str], ...], wanted: dict[str, str]) -> Spec:
    import timm

    base = tagged.partition(".")[0]
    if not timm.is_model(base):
        raise UnknownName("timm network", base, timm.list_models())
    try:
        found = timm.get_pretrained_cfg(tagged)
    except RuntimeError:  # how it says that there is no such tag
        found = None
    if found is None:
        tags = [own for own in timm.list_pretrained() if own.partition(".")[0] == base]
        raise UnknownName(f"set of weights for {base}", tagged, tags)
    if found.crop_mode != "center":
        raise Misuse(f"{tagged} wants pictures prepared by {found.crop_mode!r}; headstart cuts the centre.")
    size = dict(arguments).get("img_size", str(found.input_size[1]))
    if not (size.isascii() and size.isdecimal()):
        raise Misuse(f"img_size={size} cannot be used: wanted the side of the pictures in whole pixels.")
    papers = found.paper_ids or ""
    return _spec(
        name,
        f"{tagged} (timm)",
        ("timm", base, arguments),
        _timms_weights(found),
        {
            "size": int(size),
            "resize": math.floor(int(size) / found.crop_pct),
            "interpolation": found.interpolation,
            "mean": tuple(found.mean),
            "std": tuple(found.std),
        },
        wanted,
        licence=found.license or _NOT_STATED,
        citation=(papers if isinstance(papers, str) else ", ".join(papers)) or _NOT_STATED,
    )


def _at(address: str) -> Weights:
    """A file behind an address that ends with its name, and that with the digest's first digits."""
    digest = _DIGEST.search(address)
    return Weights("address", address, address.rpartition("/")[2], digest[1] if digest else "", "")


def _timms_weights(found: Any) -> Weights:
    """Of timm's record of a network."""
    if found.hf_hub_id:
        hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
        file = f"{found.hf_hub_id.rpartition('/')[2]}.safetensors"
        return Weights("address", f"{hub}/{found.hf_hub_id}/resolve/main/model.safetensors", file, "", "")
    if isinstance(found.url, str) and found.url:
        return _at(found.url)
    return Weights("file", "", "", "", "")  # random, until --weights brings some


def _spec(  # noqa: PLR0913  one for each fact
    name: str,
    title: str,
    network: tuple[str, str, tuple[tuple[str, str], ...]],
    weights: Weights,
    said: dict[str, Any],
    wanted: dict[str, str],
    *,
    licence: str,
    citation: str,
) -> Spec:
    """The facts as a Spec; what has to be measured on the network itself is measured."""
    preprocess = _preprocess(said, wanted)
    found = measured(network, preprocess.size_px)
    return Spec(
        name=name,
        title=title,
        library="torchvision" if network[0] == "torchvision" else "timm",
        architecture=network[1],
        arguments=network[2],
        weights=weights,
        stages=tuple(Stage(*own) for own in found["stages"]),
        dim=found["dim"],
        parameters=found["parameters"],
        gmac=found["gmac"],
        licence=licence,
        citation=citation,
        preprocess=preprocess,
    )


def _preprocess(said: dict[str, Any], wanted: dict[str, str]) -> Preprocess:
    def three(key: str) -> tuple[float, float, float]:
        if key not in wanted:
            a, b, c = said[key]
            return float(a), float(b), float(c)
        numbers = [float(part) for part in wanted[key].split(",")]
        a, b, c = numbers * 3 if len(numbers) == 1 else numbers
        return a, b, c

    interpolation = wanted.get("interpolation", said["interpolation"])
    if interpolation not in ("bicubic", "bilinear"):
        raise Misuse(f"interpolation {interpolation!r} is not done here; known: bicubic, bilinear.")
    try:
        size = int(wanted.get("size", said["size"]))
        resize = int(wanted.get("resize", said["resize"] if "size" not in wanted else size))
        found = Preprocess(size, resize, interpolation, three("mean"), three("std"), BACKGROUND)
    except ValueError as error:
        raise Misuse(f"preprocessing {wanted} cannot be used: {error}.") from error
    if not 1 <= found.size_px <= found.resize_px or min(found.std) <= 0:
        raise Misuse(f"preprocessing {wanted}: the size must be at least 1 and at most resize, std above 0.")
    return found


def measured(network: tuple[str, str, tuple[tuple[str, str], ...]], side: int) -> dict[str, Any]:
    """Stages, width, parameters and multiply-adds: building and running a network takes seconds, so kept.

    Raises:
        Misuse: it cannot be built so, or not be run on colour pictures of this side.
        UnknownFamily: it cannot be taken to pieces.
    """
    facts = [*network, side, torch.__version__, *_versions(network[0])]
    file = f"{digest_bytes(json.dumps(facts).encode())[:32]}.json"
    try:
        kept: dict[str, Any] = json.loads((cache_folder() / "facts" / file).read_bytes())
        if kept.keys() == {"stages", "dim", "parameters", "gmac"}:
            return kept
    except (OSError, ValueError):
        pass
    try:
        model = architecture(*network).eval()
        picture = example(side)
        pieces = chain(model, picture)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            depths = pieces.depths(picture)
    except HeadstartError:
        raise
    except Exception as error:  # a network of others, built as the user asked, raises whatever it meets
        library, name, arguments = network
        built = f" with {dict(arguments)}" if arguments else ""
        can = " Many networks of timm take ?img_size=N in place of ?size=N." if library == "timm" else ""
        raise Misuse(
            f"{library}'s {name}{built} cannot be used on colour pictures of {side} x {side}: "
            f"{words(error).rstrip('.!')}.{can}"
        ) from error
    found = {
        "stages": [[stage, depth.shape[1] // 2] for stage, depth in zip(pieces.names, depths, strict=False)],
        "dim": depths[-1].shape[1],
        "parameters": sum(own.numel() for own in model.parameters()),
        "gmac": round(counter.get_total_flops() / 2e9, 3),
    }
    write_whole(make_cache_folder("facts") / file, json.dumps(found).encode())
    return found


def _versions(library: str) -> list[str | int]:
    """Of whatever builds the networks; timm builds with torchvision."""
    if library == scratch.LIBRARY:
        return [scratch.EDITION]
    import timm
    import torchvision

    return [torchvision.__version__, timm.__version__]


@dataclass(frozen=True)
class Piece:
    """One piece of a network: how large it is, what it costs and what it gives for one picture."""

    name: str
    parameters: int
    gmac: float
    shape: tuple[int, ...]  # of its output, without the batch


def anatomy(spec: Spec) -> list[Piece]:
    """Stem, stages, tail and source classifier of a backbone, in order. Weights are not needed.

    Raises:
        UnknownFamily: the network cannot be taken to pieces.
    """
    side = spec.preprocess.size_px
    x = example(side)
    found = chain(architecture(spec.library, spec.architecture, spec.arguments).eval(), x)
    pieces = [("stem", found.stem), *zip(found.names, found.stages, strict=True), ("last", found.tail)]
    told, counted = [], set[int]()
    for name, piece in pieces:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            x = piece(x)
        own = [one for one in piece.parameters() if id(one) not in counted]
        counted |= {id(one) for one in own}
        told.append(
            Piece(name, sum(one.numel() for one in own), counter.get_total_flops() / 2e9, tuple(x.shape[1:]))
        )
    return told


def search(text: str) -> dict[str, Weights]:
    """Names of both libraries' pretrained networks that contain `text`, and where their weights come from."""
    let_torchvision_load()
    import timm
    from torchvision import models

    found = {
        f"torchvision:{name}": _at(models.get_model_weights(name).DEFAULT.url)
        for name in models.list_models(module=models)
        if text in name
    }
    return found | {
        f"timm:{name}": _timms_weights(timm.get_pretrained_cfg(name))
        for name in timm.list_pretrained(f"*{text}*")
    }
