"""The catalogue: one file of facts per recommended backbone; others by what their library says of them.

A name is one of the catalogue (a new file of facts is a new name), one of the tiers `fast` and `best`, or
`LIBRARY:ARCHITECTURE[.TAG][?KEY=VALUE&…]` with torchvision or timm as the library. The keys size, resize,
interpolation, mean and std replace what the library says of preprocessing; others go to its builder.
`scratch:ARCHITECTURE[?SWITCH=VALUE&…]` is a network that starts from nothing, see `scratch`.
"""

import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from headstart.backbones import scratch
from headstart.backbones.weights import is_here, pinned, weights_file, with_file
from headstart.errors import UnknownName
from headstart.values import Preprocess, Spec, Stage, Weights

__all__ = [
    "DEFAULT",
    "LIBRARIES",
    "TIERS",
    "is_here",
    "names",
    "pinned",
    "spec",
    "spec_from_json",
    "weights_file",
    "with_file",
]

DEFAULT = "efficientnet_lite0"
TIERS = {"fast": DEFAULT, "best": "dinov2_vits14"}
LIBRARIES = ("timm", "torchvision")


def names() -> list[str]:
    """Names of the catalogue, sorted."""
    return sorted(
        Path(entry.name).stem for entry in files("headstart.backbones").joinpath("catalogue").iterdir()
    )


def spec(name: str) -> Spec:
    """The facts of the backbone called `name`. Another library's names import it.

    Raises:
        UnknownName: neither the catalogue nor the library has such a backbone.
        Misuse: what stands behind the question mark cannot be used.
    """
    name = TIERS.get(name, name)
    if name.partition(":")[0] in LIBRARIES:
        from headstart.backbones.libraries import described

        return described(name)
    if name.partition(":")[0] == scratch.PREFIX:
        return scratch.described(name)
    if name not in names():
        others = [f"{library}:NAME" for library in (*LIBRARIES, scratch.PREFIX)]
        raise UnknownName("backbone", name, [*names(), *TIERS, *others])
    text = files("headstart.backbones").joinpath("catalogue", f"{name}.toml").read_text(encoding="utf-8")
    return spec_from_json({"name": name} | tomllib.loads(text))


def spec_from_json(found: dict[str, Any]) -> Spec:
    """A Spec from plain data, as the catalogue and `model.json` hold it. Nothing is filled in.

    Raises:
        TypeError: a fact is missing or unknown.
    """
    _exactly(Spec, found)
    _exactly(Preprocess, found["preprocess"])
    _exactly(Weights, found["weights"])
    shape = found["preprocess"]
    preprocess = Preprocess(
        **{
            **shape,
            "mean": tuple(shape["mean"]),
            "std": tuple(shape["std"]),
            "background": tuple(shape["background"]),
        }
    )
    stages = tuple(Stage(**stage) for stage in found["stages"])
    arguments = tuple((str(key), str(value)) for key, value in found["arguments"])
    weights = Weights(**found["weights"])
    return Spec(
        **{**found, "stages": stages, "preprocess": preprocess, "weights": weights, "arguments": arguments}
    )


def _exactly(kind: type[Any], found: dict[str, Any]) -> None:
    wanted = {field.name for field in fields(kind)}
    if found.keys() != wanted:
        raise TypeError(f"{kind.__name__}: missing {wanted - found.keys()}, unknown {found.keys() - wanted}")
