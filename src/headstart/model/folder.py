"""The model folder: JSON, safetensors and CSV, written whole or not at all, read strictly. No pickle."""

import csv
import hashlib
import io
import json
import math
import platform
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from headstart import heads
from headstart.backbones import spec_from_json, weights_file
from headstart.backbones.weights import is_trained, with_bytes
from headstart.data.split import COLUMNS
from headstart.errors import DamagedModel, Misuse
from headstart.files import digest_bytes, folder_whole, reason
from headstart.heads._inputs import Inputs
from headstart.model import unknown
from headstart.model.card import card
from headstart.model.model import Model, Part
from headstart.values import ClassInfo, Spec
from headstart.version import VERSION

FORMAT = 2  # 2: several methods tell the unknown
NOTHING: Mapping[str, bytes] = MappingProxyType({})
_BACKBONE = "backbone."  # before the names of a trained network's tensors
JSON, WEIGHTS, SPLIT, CARD = "model.json", "weights.safetensors", "split.csv", "README.md"
REPORT, SUSPECTS = "report.html", "suspects.csv"
FILES = {JSON, WEIGHTS, SPLIT, CARD, REPORT, SUSPECTS}
_KEYS = {
    "format", "headstart", "classes", "infos", "backbone", "features", "head", "calibration", "thresholds",
    "report", "libraries", "files", "digest",
}  # fmt: skip
_REPORT = {
    "model",
    "classes",
    "data",
    "backbone",
    "head",
    "tune",
    "test",
    "cv",
    "options",
    "seconds",
    "version",
}
_LIBRARIES = ("numpy", "openvino", "pillow", "timm", "torch")


def save(model: Model, target: Path, *, replace: bool, beside: Mapping[str, bytes] = NOTHING) -> None:
    """Write the folder, whole or not at all. `replace` removes what stood there.

    `beside` are files for people, by name, that loading does not read: the report, the suspects.

    Raises:
        OutputExists, OutputError: it cannot be put there.
    """
    from safetensors.numpy import save as to_bytes

    arrays = {
        "inputs.mean": model.inputs.mean,
        "inputs.scale": model.inputs.scale,
        "sets.scores": model.set_scores,
    } | {f"head.{name}": array for name, array in model.head.arrays().items()}
    arrays |= unknown.to_arrays(model.familiar)
    if is_trained(model.backbone):
        arrays |= {f"{_BACKBONE}{name}": array for name, array in _trained(model.backbone).items()}
    files = {
        WEIGHTS: to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
        SPLIT: _split_csv(model.manifest),
    }
    document: dict[str, Any] = {
        "format": FORMAT,
        "headstart": VERSION,
        "classes": list(model.classes),
        "infos": {name: asdict(info) for name, info in model.infos.items()},
        "backbone": asdict(model.backbone),
        "features": model.features,
        "head": {"name": model.head.name, "start": model.inputs.start, "stop": model.inputs.stop},
        "calibration": {"temperature": model.temperature},
        "thresholds": {"unknown": unknown.to_json(model.familiar)},
        "report": model.report,
        "libraries": {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES},
        "files": {name: digest_bytes(data) for name, data in files.items()},
    }
    document["digest"] = _digest(document)
    with folder_whole(target, replace=replace) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / JSON).write_bytes(json.dumps(document, indent=1).encode())
        for name, data in beside.items():
            (folder / name).write_bytes(data)
        (folder / CARD).write_text(card(model), encoding="utf-8", errors="backslashreplace", newline="\n")


def _trained(backbone: Spec) -> dict[str, Any]:
    return _tensors(weights_file(backbone).read_bytes())


def load(folder: str | Path) -> Model:
    """Read a model folder.

    Raises:
        Misuse: there is no model at that place.
        DamagedModel: a file is missing, changed or cut short, or was written by a later version.
    """
    folder = Path(folder)
    if not _is_file(folder / JSON):
        raise Misuse(
            f"{folder} is not a model folder: it has no {JSON}. Models are written by: headstart train"
        )
    document = _document(folder / JSON)
    files = {name: _read(folder / name) for name in (WEIGHTS, SPLIT)}
    if not isinstance(document["files"], dict) or document["files"].keys() != files.keys():
        raise DamagedModel(f"{folder / JSON} lists the files {document['files']}, wanted {sorted(files)}")
    for name, data in files.items():
        found, wanted = digest_bytes(data), document["files"][name]
        if found != wanted:
            raise DamagedModel(
                f"{folder / name} was changed: SHA-256 {found}, {JSON} wants {wanted}. Train again."
            )
    try:
        return _model(document, _tensors(files[WEIGHTS]), files[SPLIT])
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DamagedModel(f"{folder / JSON} does not describe a model of this version: {error}") from error


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise DamagedModel(f"{path} is not JSON: {error}. Train again, or restore the file.") from error
    if not isinstance(document, dict) or "format" not in document:
        raise DamagedModel(f"{path} is not a headstart model")
    if document["format"] != FORMAT:
        raise DamagedModel(
            f"{path} has format {document['format']!r}, this headstart ({VERSION}) reads format {FORMAT}. "
            "Install the headstart that wrote it, or train again."
        )
    if document.keys() != _KEYS:
        raise DamagedModel(
            f"{path}: missing {sorted(_KEYS - document.keys())}, unknown {sorted(document.keys() - _KEYS)}"
        )
    found = _digest({key: value for key, value in document.items() if key != "digest"})
    if found != document["digest"]:
        raise DamagedModel(f"{path} was changed: digest {found}, it says {document['digest']}. Train again.")
    return document


def _model(document: dict[str, Any], arrays: dict[str, Any], split: bytes) -> Model:
    head = document["head"]
    inputs = Inputs(head["start"], head["stop"], arrays.pop("inputs.mean"), arrays.pop("inputs.scale"))
    set_scores = arrays.pop("sets.scores")
    familiar = unknown.from_parts(document["thresholds"]["unknown"], arrays)
    spec = spec_from_json(document["backbone"])
    if is_trained(spec):
        names = [name for name in arrays if name.startswith(_BACKBONE)]
        _put(spec, {name.removeprefix(_BACKBONE): arrays.pop(name) for name in names})
    own = {name.removeprefix("head."): array for name, array in arrays.items()}
    model = Model(
        classes=tuple(_list(document["classes"])),
        infos={name: ClassInfo(**info) for name, info in document["infos"].items()},
        backbone=spec,
        features=document["features"],
        inputs=inputs,
        head=heads.get(head["name"]).from_arrays(own),
        temperature=document["calibration"]["temperature"],
        set_scores=set_scores,
        familiar=familiar,
        report=document["report"],
        manifest=_manifest(split),
    )
    _check(model, own)
    return model


def _put(spec: Spec, tensors: dict[str, Any]) -> None:
    """Put a network that the model carries to where engines look for it."""
    from safetensors.numpy import save as to_bytes

    if with_bytes(spec, to_bytes(tensors)).weights != spec.weights:
        raise ValueError("the weights of its network are not those that were trained")


def _check(model: Model, own: dict[str, Any]) -> None:
    """Everything that a wrong answer could come from, told as a ValueError."""
    names, width, k = model.classes, model.inputs.stop - model.inputs.start, len(model.classes)
    if not all(isinstance(name, str) for name in names) or len(set(names)) != k or k < 2:
        raise ValueError(f"classes {names!r} are not two or more different names")
    if not 0 <= model.inputs.start < model.inputs.stop <= model.backbone.depths[-1].stop:
        raise ValueError(
            f"inputs {model.inputs.start} to {model.inputs.stop} of {model.backbone.depths[-1].stop}"
        )
    warmth = model.temperature
    if not isinstance(warmth, float) or not 0 < warmth < math.inf:
        raise ValueError(f"temperature {warmth!r} is not a number that can be")
    if not isinstance(model.report, dict) or not model.report.keys() >= _REPORT:
        raise ValueError("the report is not that of a training run")
    if own.keys() != model.head.arrays().keys():
        raise ValueError(f"arrays {sorted(own)}, wanted {sorted(model.head.arrays())}")
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        name: (array, (width, k) if array.ndim == 2 else (k,)) for name, array in own.items()
    }
    wanted |= {"mean": (model.inputs.mean, (width,)), "scale": (model.inputs.scale, (width,))}
    wanted["scores"] = model.set_scores, (model.set_scores.size,)
    for name, (array, shape) in wanted.items():
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"array {name!r} is {array.dtype}{array.shape}, wanted finite float32{shape}")
    trained = [at for at, part in enumerate(model.manifest) if part.part == "train"]
    unknown.check(model.familiar, model.backbone.dim, np.array(trained, dtype=np.int64))


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"{found!r} is not a list")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL in it
        return False


def _tensors(data: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        arrays: dict[str, Any] = from_bytes(data)
    except (SafetensorError, struct.error) as error:
        raise ValueError(f"{WEIGHTS}: {error}") from error
    return arrays


def _split_csv(manifest: tuple[Part, ...]) -> bytes:
    text = io.StringIO(newline="")
    # Python before 3.13 does not quote a lone carriage return by itself
    odd = any("\r" in part.path + part.label for part in manifest)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    writer.writerows((part.path, part.digest, part.label, part.group, part.part) for part in manifest)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _manifest(data: bytes) -> tuple[Part, ...]:
    rows = csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""), strict=True)
    header = next(rows, [])
    if tuple(header) != COLUMNS:
        raise ValueError(f"{SPLIT} has the columns {header}, wanted {list(COLUMNS)}")
    return tuple(Part(*row) for row in rows)


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedModel(f"{path} cannot be read: {reason(error)}. Restore it, or train again.") from error


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
