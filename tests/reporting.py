"""Material for reports, made by hand: no network, no training, every part filled."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import make
import numpy as np

from headstart import backbones
from headstart.evaluate import confusion, judge, wilson
from headstart.report import Judged, Material
from headstart.values import ClassInfo

CLASSES = ("ants", "bees", "cats")
PER_CLASS = 16


def jpeg(number: int, label: int) -> bytes:
    out = io.BytesIO()
    make.picture(list(make.TINTS.values())[label % 3], number, side=112).save(out, "JPEG", quality=72)
    return out.getvalue()


def material(
    classes: Sequence[str] = CLASSES,
    *,
    per_class: int = PER_CLASS,
    name: str = "photos/{label}-{number:03d}.jpg",
    trust: bool = True,
    url: str = "https://example.org/ants",
    race: bool = True,
    embed: bool = True,
) -> Material:
    """Of each class every fifth, sixth … picture is answered wrongly; every picture is embedded."""
    judged, places = [], []
    rng = np.random.default_rng(0)
    for label in range(len(classes)):
        for number in range(per_class):
            said = (label + 1) % len(classes) if number % (5 + label) == 4 else label
            sure = 0.5 + 0.4 * rng.random()
            other = (said + 1) % len(classes)
            path = name.format(label=label, number=number)
            near = (name.format(label=said, number=100),) if said != label else ()
            judged.append(
                Judged(
                    path, label, ((said, sure), (other, 1 - sure)), (("bee", 0.7), ("fly", 0.1)), near,
                    float(rng.random()),
                )
            )  # fmt: skip
            places.append((len(places), float(rng.random()), float(rng.random())))
    known = {one.path: (one.truth, "test") for one in judged}
    known |= {name.format(label=label, number=100): (label, "train") for label in range(len(classes))}
    probabilities = np.full((len(judged), len(classes)), 1e-6)
    for row, one in enumerate(judged):
        for label, p in one.answers:
            probabilities[row, label] = p
    truth = np.array([one.truth for one in judged])
    score = judge(truth, probabilities, classes).to_json()
    return Material(
        report=document(classes, score, [one.path for one in judged], trust=trust, race=race),
        classes=tuple(classes),
        infos={classes[0]: ClassInfo("", url)},
        backbone=backbones.spec(backbones.DEFAULT),
        known=known,
        counts=Counter(known.values()),
        judged=tuple(judged),
        confusion=confusion(truth, probabilities.argmax(1), len(classes)),
        silence="",
        map=tuple(places),
        ladder=ladder() if race else None,
        thumbs={path: jpeg(at, label) for at, (path, (label, _)) in enumerate(known.items()) if embed},
        heats={judged[4].path: png()},
        facts={"headstart": "0", "weights": "SHA-256 00"},
    )


def ladder() -> dict[str, Any]:
    """As `compare --json` gives it, as far as it is shown."""
    return {
        "chosen": "efficientnet_lite0",
        "data": {"test": 48},
        "rungs": [
            {"title": title, "n": 48, "accuracy": p, "accuracy_ci95": [p - 0.1, p + 0.1], "nll": 1 - p,
             "seconds": 0.1, "verdict": verdict}
            for title, p, verdict in (
                ("the commonest class", 0.3, "the least to beat"), ("a linear head", 0.8, "better")
            )
        ],
        "left_out": [],
    }  # fmt: skip


def png() -> bytes:
    out = io.BytesIO()
    make.picture((200, 80, 20), 1, side=112).save(out, "PNG")
    return out.getvalue()


def document(
    classes: Sequence[str], score: dict[str, Any], paths: Sequence[str], *, trust: bool, race: bool
) -> dict[str, Any]:
    """As `train --json` gives it."""
    findings = [
        {"kind": "corrupt", "path": "broken.jpg", "message": "cut short", "severity": "error"},
        {
            "kind": "leak", "path": paths[0], "message": f"in test, and in train as {paths[1]}",
            "severity": "warning", "others": [paths[1]],
        },
    ]  # fmt: skip
    epoch = {"loss": 1.0, "val_nll": 0.9, "val_accuracy": 0.7, "seconds": 1.0}
    return {
        "model": "photos-model",
        "classes": list(classes),
        "data": {"files": 60, "used": 59, "train": 11, "val": 0, "test": score["n"], "findings": findings},
        "split": "dealt",
        "backbone": "efficientnet_lite0",
        "race": [
            {
                "name": one, "accuracy": 0.9, "accuracy_ci95": [0.8, 0.95], "nll": 0.3, "ms_per_picture": 4.0,
                "verdict": "chosen",
            }
            for one in ("efficientnet_lite0", "efficientnet_lite1")
        ] if race else None,
        "head": "ridge",
        "tune": "last 2",
        "tuning": [
            {
                "stages_frozen": 5, "augment": "light", "n": 40, "frozen": {"nll": 0.4, "accuracy": 0.8},
                "tuned": {"nll": 0.3, "accuracy": 0.85}, "nll_gain": 0.1, "nll_gain_ci95": [0.02, 0.18],
                "share": 0.5, "better": True, "worse": False, "taken": True, "seconds": 12.0,
                "epochs": [{"number": n} | {k: v / n for k, v in epoch.items()} for n in (1, 2, 3)],
            }
        ] if race else None,
        "choice": {"head": "ridge", "depths": "all", "penalty": 0.3, "trials": [
            {"head": "ridge", "depths": "all", "penalty": 0.3, "nll": 0.3, "accuracy": 0.9}]},
        "test": score,
        "test_without_leaks": score | {"accuracy": 0.75, "accuracy_ci95": [0.6, 0.85]},
        "leaked": 1,
        "cv": None,
        "options": {"backbone": "efficientnet_lite0", "head": "auto", "seed": 0, "device": "cpu",
                    "tune": ["last", None, None, None, None]},
        "command": ["headstart", "train", "my photos", "--budget", "600.0"],
        "encoded": 59,
        "seconds": {"scan": 0.1, "extract": 0.5, "head": 0.2, "total": 0.8},
        "images_per_second": 118.0,
        "version": "0",
        "trust": trusted(classes, paths) if trust else None,
    }  # fmt: skip


def rate(right: int, n: int) -> dict[str, Any]:
    return {"n": n, "accuracy": right / n, "accuracy_ci95": list(wilson(right, n))}


def trusted(classes: Sequence[str], paths: Sequence[str]) -> dict[str, Any]:
    """What `train` finds out about how far to trust the model, invented."""
    bins = ((0.4, 9), (0.5, 12), (0.6, 11), (0.7, 15), (0.8, 31), (0.9, 160))
    kept = ((0.0, 1.0, 230), (0.5, 0.97, 226), (0.7, 0.93, 219), (0.9, 0.8, 190))
    steps = (60, 120, 240, 480)

    def reached(n: int) -> float:
        return 1 - 0.6 / math.sqrt(n)

    empty = {"low": 0.0, "high": 0.1, "n": 0, "confidence": None, "accuracy": None, "accuracy_ci95": None}
    return {
        "reliability": [
            empty,
            *(
                {"low": low, "high": low + 0.1, "confidence": low + 0.05} | rate(round(n * (low + 0.03)), n)
                for low, n in bins
            ),
        ],
        "abstain": [
            {"min_confidence": least, "kept": share} | rate(right, round(238 * share))
            for least, share, right in kept
        ],
        "sets": {
            "asked": 0.95, "coverage": 0.954, "coverage_ci95": [0.92, 0.975], "mean_size": 1.18, "n": 238,
            "per_class": {name: {"coverage": 0.95, "n": 20} for name in classes},
        },
        "unknown": {
            "method": "nearest", "threshold": 0.31, "false_rejection": 0.02, "rejected": 0.025,
            "rejected_ci95": [0.011, 0.054], "n": 238,
            "tried": [{"method": "nearest", "auroc": 0.981, "fpr95": 0.08}],
        },
        "suspects": {
            "examined": 59,
            "estimated": 2,
            "found": 3,
            "rows": [
                {
                    "path": path, "label": classes[0], "suggested": classes[1], "given": 0.02, "other": 0.93,
                    "part": "test",
                }
                for path in paths[:3]
            ],
        },
        "shortcuts": [
            {"fact": fact, "accuracy": p, "accuracy_ci95": [p - 0.05, p + 0.02], "chance": 0.5, "n": 238,
             "found": p > 0.9, "foreign": fact != "mean colour"}
            for fact, p in (("dimensions", 0.97), ("mean colour", 0.52))
        ],
        "curve": {
            "points": [
                {"n": n, "accuracy": reached(n), "accuracy_ci95": [reached(n) - 0.03, reached(n) + 0.02]}
                for n in steps
            ],
            "ahead": [{"n": 960, "accuracy": reached(960), "interval": [0.96, 0.99]}],
            "per_class": {name: [{"n": n, "recall": 0.9} for n in steps] for name in classes},
            "verdict": "More pictures would help.",
        },
        "weak": [
            {"what": "dark pictures", "n": 40, "accuracy": 0.7, "accuracy_ci95": [0.55, 0.82], "rest": 0.97,
             "p": 0.003, "paths": list(paths[:6])}
        ],
        "seconds": {},
    }  # fmt: skip
