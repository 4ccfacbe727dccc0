"""Measuring a finished model on other data: the same steps and the same bits as at the end of `train`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.weights import learnt_from
from headstart.data import duplicates
from headstart.data.check import corrupt
from headstart.data.scan import scan
from headstart.engines import Engine
from headstart.errors import NoData
from headstart.evaluate import judge
from headstart.features.extract import OnStep, extract, quiet
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.values import Bytes, Finding, Halves, Ints
from headstart.version import VERSION


def measure(
    model: Model,
    data: Path,
    engine: Engine,
    *,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> dict[str, Any]:
    """The document of `evaluate --json`.

    Where the data have a test part, that part alone is judged. Pictures that the model was trained on are
    left out, unless they are in its own test part too: then they count, and the score without them, and
    without other twins of training pictures, stands beside it, as in `train`.

    Raises:
        NoData: nothing is left to judge, or no class is known to the model.
    """
    begin = time.perf_counter()
    found = scan(data)
    examples = found.examples
    findings = list(found.findings)
    if "test" in examples.parts:
        examples = examples.take([row for row, part in enumerate(examples.parts) if part == "test"])
    at = {name: position for position, name in enumerate(model.classes)}
    for name in sorted({examples.classes[label] for label in examples.labels} - at.keys()):
        findings.append(
            Finding(
                "ignored", name, f"the model has no class {name!r}; its pictures were left out", "warning"
            )
        )
    examples = examples.take(
        [row for row, label in enumerate(examples.labels) if examples.classes[label] in at]
    )
    if not len(examples):
        raise NoData(f"{data} has none of the model's classes: {', '.join(model.classes[:10])}.")
    read = extract(examples.files(), model.backbone, engine, limit_px=limit_px, on_step=on_step)
    findings += corrupt(examples, read.unreadable)

    trained = {part.digest for part in model.manifest if part.part != "test"} | learnt_from(model.backbone)
    tested = {part.digest for part in model.manifest if part.part == "test"}
    learnt = np.array([digest in trained and digest not in tested for digest in read.digests], dtype=bool)
    rows = np.flatnonzero(~learnt)
    if learnt.any():
        findings.append(
            Finding(
                "leak",
                str(data),
                f"{learnt.sum()} pictures that the model was trained or validated on were left out",
                "note",
            )
        )
    if not len(rows):
        raise NoData(
            f"the model was trained on every picture of {data} that can be read: nothing is left to judge."
        )
    x, digests = read.x[rows], [read.digests[int(row)] for row in rows]
    paths = [examples.paths[int(row)] for row in read.rows[rows]]
    y = np.array([at[examples.classes[examples.labels[int(row)]]] for row in read.rows[rows]], dtype=np.int64)
    given = [examples.groups[int(i)] for i in read.rows[rows]]
    groups = belonging([model], x, read.pictures.thumbs[rows], digests, given)
    answers = model.answer(x)
    score = judge(y, answers.probabilities, model.classes, groups)
    leaked = _leaked(model, digests)
    honest = None
    if leaked.any() and not leaked.all():
        clean = np.flatnonzero(~leaked)
        honest = judge(y[clean], answers.probabilities[clean], model.classes, groups[clean])
    total = time.perf_counter() - begin
    return {
        "model": model.report["model"],
        "classes": list(model.classes),
        "data": {
            "files": found.files,
            "used": len(rows),
            "train": 0,
            "val": 0,
            "test": len(rows),
            "findings": [finding.to_json() for finding in findings],
        },
        "backbone": model.backbone.name,
        "head": model.report["head"],
        "tune": model.report["tune"],
        "test": score.to_json(),
        "test_without_leaks": honest.to_json() if honest else None,
        "leaked": int(leaked.sum()),
        "unknown": round(float(np.mean(answers.unknown)), 4),
        "same_engine": engine.digest == model.features,
        "precision": engine.precision,
        "worst": _worst(model, paths, y, answers.probabilities),
        "seconds": {"extract": round(read.seconds, 4), "total": round(total, 4)},
        "images_per_second": round(read.encoded / read.seconds, 1) if read.encoded else 0.0,
        "version": VERSION,
    }


def belonging(
    models: Sequence[Model], x: Halves, thumbs: Bytes, digests: Sequence[str], given: Sequence[str]
) -> Ints:
    """What belongs together: as at training time for known pictures, else by twins and `given` names.

    `x` [n, all depths] are features by the first model's network; of several models that know a picture the
    first says where it belongs.
    """
    known = {
        part.digest: f"known {at} {part.group}"
        for at, model in reversed(list(enumerate(models)))
        for part in model.manifest
    }
    last = models[0].backbone.depths[-1]
    twins = duplicates.find(x[:, last.start : last.stop], thumbs, digests)
    names = [known.get(digest, name) for digest, name in zip(digests, given, strict=True)]
    if all(digest in known for digest in digests):
        twins = []
    return duplicates.groups(len(digests), twins, names)


def _leaked(model: Model, digests: list[str]) -> Any:
    """Which pictures have a twin that the model was trained on, as far as `train` found out."""
    before = learnt_from(model.backbone)
    trained = {part.group for part in model.manifest if part.part != "test" or part.digest in before}
    groups = {part.digest: part.group for part in model.manifest}
    return np.array([groups.get(digest) in trained for digest in digests], dtype=bool)


def _worst(model: Model, paths: list[str], y: Ints, probabilities: Any) -> list[dict[str, Any]]:
    """The most surprising mistakes, at most ten."""
    wrong = np.flatnonzero(probabilities.argmax(1) != y)
    order = wrong[np.argsort(probabilities[wrong, y[wrong]], kind="stable")][:10]
    return [
        {
            "path": paths[int(i)],
            "truth": model.classes[int(y[i])],
            "label": model.classes[int(probabilities[i].argmax())],
            "probability": float(probabilities[i].max()),
        }
        for i in order
    ]
