"""The whole road on one page: a folder of pictures becomes an honest, saved classifier.

    scan -> extract -> twins and groups -> split -> choose and fit a head -> judge -> save

Features are frozen: the backbone learns nothing from the pictures, so encoding them may precede the
split. Everything that is chosen (head, depths, penalty, temperature, thresholds) is chosen on the
training part; the test part is looked at once, in `_judge`.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from headstart import backbones, heads
from headstart.data.check import leaked_rows
from headstart.data.split import deal, read_split
from headstart.engines import open_engine
from headstart.errors import Misuse, OutputExists
from headstart.evaluate import judge, softmax
from headstart.features.extract import OnStep, quiet
from headstart.files import check_free, digest_bytes, digest_file
from headstart.heads._choose import Fitted, choose
from headstart.heads._cross_validate import cross_validate
from headstart.look import chosen, look_with, scan_all
from headstart.modalities.image import LIMIT_PX
from headstart.model import folder as model_folder
from headstart.model.again import same
from headstart.model.build import FALSE_REJECTION, build
from headstart.model.model import Model
from headstart.values import Evaluation, Examples, Features, Ints, Part, Split
from headstart.version import VERSION

ENOUGH = 500  # usable pictures from which a test part is held out; fewer are cross-validated


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    test: str | Path | None = None,
    split: str | Path | None = None,
    backbone: str = backbones.DEFAULT,
    weights: str | Path | None = None,
    head: str = "auto",
    seed: int = 0,
    device: str = "cpu",
    force: bool = False,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Model:
    """Learn a classifier from `data`, judge it honestly and save it to `out` (default: NAME-model).

    `backbone` is a name as `headstart backbones` explains it; its weights are fetched if they are not here,
    unless `weights` names a file of them. `test` brings a test part of its own, `split` a table of parts.
    `force` replaces a model that is there; the very model that would be made again is returned as it is. The
    same data, options and machine give the same bits.

    Raises:
        NoData, Misuse: asked wrongly, see the message.
        OutputExists: there is something at `out` already.
        TooFewExamples: fewer than two classes, or nothing can be held out.
        StoreError, OutputError, DownloadError, WeightsError, UnknownName: see the messages.
    """
    begin = time.perf_counter()
    data, test = Path(data), Path(test) if test else None
    out = Path(out) if out else default_out(data)
    if split is not None and not os.path.isfile(split):  # noqa: PTH113
        raise Misuse(f"there is no table of parts at {split}.")
    spec = chosen(backbone, weights)
    options = {
        "backbone": spec.name,
        "weights": spec.weights.sha256,
        "head": head if head == "auto" else heads.get(head).name,
        "seed": seed,
        "device": device,
        "limit_px": limit_px,
        "split": digest_file(Path(split)) if split is not None else None,
    }
    found = scan_all(data, test)
    options["data"] = _fingerprint(found.examples)
    if not force and (there := same(out, found, options)):
        return there
    target = _target(out, force=force)
    heads.load_beside()
    clock = {"scan": time.perf_counter() - begin}
    engine = open_engine(spec, device)
    seen = look_with(spec, engine, found, limit_px=limit_px, on_step=on_step)
    features, examples, encoded = seen.features, seen.examples, seen.encoded
    clock |= {"network": engine.opening_s} | seen.seconds
    found_out = {"files": seen.files, "findings": [finding.to_json() for finding in seen.findings]}
    del seen  # its thumbs are large, and nothing below looks at pictures

    started = time.perf_counter()
    parts = _parts(examples, features, Path(split) if split else None, seed)
    rows = {name: parts.rows(name) for name in ("train", "val", "test")}
    fitted = choose(features.take(rows["train"]), head=head, seed=seed)
    clock["head"] = time.perf_counter() - started

    started = time.perf_counter()
    leaked = leaked_rows(parts, features.groups)
    tested = _judge(fitted, features, rows["test"])
    honest = _judge(fitted, features, np.setdiff1d(rows["test"], leaked)) if len(leaked) else None
    valid = _judge(fitted, features, rows["val"])
    crossed = None if tested else cross_validate(features.take(rows["train"]), head, seed)
    clock["evaluate"] = time.perf_counter() - started
    clock["tune"] = 0.0
    clock["total"] = time.perf_counter() - begin

    report = {
        "model": target.name,
        "classes": list(examples.classes),
        "data": {
            "files": found_out["files"],
            "used": len(examples),
            **{name: len(own) for name, own in rows.items()},
            "findings": found_out["findings"],
        },
        "split": "cross-validation" if crossed else "dealt" if parts.dealt else "given",
        "backbone": spec.name,
        "head": fitted.best.head,
        "tune": "never",
        "choice": _choice(fitted),
        "test": tested.to_json() if tested else None,
        "test_without_leaks": honest.to_json() if honest else None,
        "leaked": len(leaked),
        "val": valid.to_json() if valid else None,
        "cv": crossed.to_json() if crossed else None,
        "unknown_false_rejection": FALSE_REJECTION,
        "options": options,
        "device": device,
        "precision": engine.precision,
        "seed": seed,
        "encoded": encoded,
        "seconds": {name: round(value, 4) for name, value in clock.items()},
        "images_per_second": round(encoded / clock["extract"], 1) if encoded else 0.0,
        "version": VERSION,
    }
    model = build(fitted, features, examples, parts, spec, report)
    model_folder.save(model, target, replace=force)
    return model


def default_out(data: Path) -> Path:
    """Where the model goes unless told otherwise: beside you, named after the data."""
    is_table = os.path.isfile(data)  # noqa: PTH113  Path.is_file fails on names that are too long
    return Path(f"{data.resolve().stem if is_table else data.resolve().name}-model")


def _target(out: Path, *, force: bool) -> Path:
    """The place for the model, before any work is done. Only a model is ever replaced."""
    real = check_free(out, replace=force)
    inside = {entry.name for entry in real.iterdir()} if force and real.is_dir() else set()
    if inside and model_folder.JSON not in inside:
        raise OutputExists(
            f"{out} is not a model folder, so --force will not replace it. Choose another --out."
        )
    if inside - model_folder.FILES:
        raise OutputExists(
            f"{out} holds more than a model: {', '.join(sorted(inside - model_folder.FILES)[:5])}. "
            "--force would remove that too. Move it away, or choose another --out."
        )
    return real


def _fingerprint(examples: Examples) -> str:
    """What the user said of the pictures beside their content: names, labels, groups, parts, titles."""
    said = (examples.paths, examples.labels.tolist(), examples.classes, examples.groups, examples.parts)
    return digest_bytes(repr((*said, examples.infos)).encode("utf-8", "surrogateescape"))


def _parts(examples: Examples, features: Features, split: Path | None, seed: int) -> Split:
    """The user's parts where he brought any, else dealt out, else everything is for training."""
    if split is not None:
        return read_split(split, examples)
    if any(examples.parts):
        return Split(tuple("train" if part == "" else part for part in examples.parts), dealt=False)
    if len(examples) >= ENOUGH:
        return deal(features.y, features.groups, features.digests, seed=seed)
    whole: Part = "train"
    return Split((whole,) * len(examples), dealt=True)


def _judge(fitted: Fitted, features: Features, rows: Ints) -> Evaluation | None:
    """The numbers on these rows, or None where there are none."""
    if not len(rows):
        return None
    probabilities = softmax(fitted.logits(features.x[rows]), fitted.best.temperature)
    return judge(features.y[rows], probabilities, features.classes, features.groups[rows])


def _choice(fitted: Fitted) -> dict[str, Any]:
    """What was tried for the head, best first, rounded for reading."""
    trials = [
        {"head": one.head, "depths": one.depths, "penalty": one.penalty}
        | {"nll": round(one.nll, 4), "accuracy": round(one.accuracy, 4)}
        for one in fitted.trials
    ]
    best = fitted.best
    return {"head": best.head, "depths": best.depths, "penalty": best.penalty, "trials": trials}
