"""What the source network itself calls pictures: its own classification layer on kept features.

The layer is kept in the cache as plain arrays, made once with PyTorch, so that asking later needs NumPy only.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from headstart.files import cache_folder, digest_bytes, make_cache_folder, write_whole
from headstart.values import Floats, Halves, Spec

NAMES = "imagenet.txt"
_STRAY = 1e-3  # of the largest logit: how far from a plain affine map rounding may take a layer
_PROBES = 16  # vectors on which a layer is tried


@dataclass(frozen=True, eq=False)
class Classifier:
    """The last layer of a source network. Where it cannot be used, `why` says so and the arrays are empty."""

    weight: Floats  # [c, dim]
    bias: Floats  # [c]
    names: tuple[str, ...]  # of its classes, () where nobody knows them
    why: str

    def logits(self, last: Halves | Floats) -> Floats:
        """Logits [n, c] of last-layer features [n, dim]."""
        found: Floats = last.astype(np.float32) @ self.weight.T + self.bias
        return found


@dataclass(frozen=True, eq=False)
class Guesses:
    """What the source network takes pictures for."""

    probabilities: Floats  # [n, c]; rows sum to one
    names: tuple[str, ...]  # [c]


def guesses(backbone: Spec, last: Halves) -> Guesses | None:
    """The source network's own answers for last-layer features [n, dim]; None where `silence` says why."""
    if silence(backbone):
        return None
    found = classifier(backbone)
    logits = found.logits(last)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Guesses(odds / odds.sum(axis=1, keepdims=True), found.names)


def silence(backbone: Spec) -> str:
    """Why the source network makes no guesses that people could read, in a sentence; "" where it does."""
    found = classifier(backbone)
    if found.why or found.names:
        return found.why
    return f"The names of the {len(found.bias):,} classes of {backbone.name} are not known."


def classifier(backbone: Spec) -> Classifier:
    """The network's own classification layer, from the cache or, the first time, from the network.

    Raises:
        WeightsError, MissingExtra: it was not kept, and the weights are absent or wrong.
        StoreError, OutputError: it cannot be kept.
    """
    if why := _strange(backbone):
        return _none(backbone, why)
    return _kept(backbone) or _made(backbone)


@cache
def imagenet() -> tuple[str, ...]:
    """Names of the 1,000 classes of ImageNet, in the order of a network's outputs."""
    text = files("headstart.backbones").joinpath(NAMES).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))


def _strange(backbone: Spec) -> str:
    """Why this network has no source task of its own, without looking at it."""
    if backbone.weights.source == "random":
        return f"{backbone.name} starts from random weights: it knew no classes before."
    if backbone.weights.source == "trained":
        return "The network was trained on your pictures, so its own classification layer no longer fits it."
    return ""


def _file(backbone: Spec) -> str:
    facts = (backbone.library, backbone.architecture, backbone.arguments, backbone.weights.sha256)
    return f"classifier-{digest_bytes(repr(facts).encode())[:16]}.safetensors"


def _kept(backbone: Spec) -> Classifier | None:
    from safetensors import SafetensorError, safe_open

    path = cache_folder() / "networks" / _file(backbone)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            why = (file.metadata() or {}).get("why", "")
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except SafetensorError:  # damaged: as good as absent
        return None
    return Classifier(weight, bias, _names(bias), why)


def _made(backbone: Spec) -> Classifier:
    """From the network, and kept."""
    from safetensors.numpy import save as to_bytes

    found = _read(backbone)
    place = make_cache_folder("networks") / _file(backbone)
    arrays = {"weight": found.weight, "bias": found.bias}
    write_whole(place, to_bytes(arrays, {"why": found.why}))
    return found


def _read(backbone: Spec) -> Classifier:
    """The layer as one affine map, found by asking it: networks write it in several ways."""
    import torch

    from headstart.backbones.network import load

    network = load(backbone)
    if not network.top_sees_features:
        return _none(backbone, f"The classifier of {backbone.name} does not see the features that are kept.")
    if not list(network.top.parameters()):
        return _none(backbone, f"{backbone.name} was trained without classes: it has no names for pictures.")
    probes = torch.randn(_PROBES, backbone.dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bias = network.top(torch.zeros(1, backbone.dim))[0].numpy()
        weight = network.top(torch.eye(backbone.dim)).numpy().T - bias[:, None]
        wanted = network.top(probes).numpy()
    found = Classifier(np.ascontiguousarray(weight), bias.copy(), _names(bias), "")
    if np.abs(found.logits(probes.numpy()) - wanted).max() > _STRAY * np.abs(wanted).max():
        return _none(backbone, f"The classifier of {backbone.name} is more than one layer on its features.")
    return found


def _names(bias: Floats) -> tuple[str, ...]:
    """A thousand classes are ImageNet's: no other set of as many is in use."""
    return imagenet() if len(bias) == len(imagenet()) else ()


def _none(backbone: Spec, why: str) -> Classifier:
    return Classifier(np.zeros((0, backbone.dim), np.float32), np.zeros(0, np.float32), (), why)
