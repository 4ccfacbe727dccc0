"""How far an answer can be trusted: what `train` looks into once the score is known.

Everything works on kept features and on what the one decode left behind; no picture is read a second time,
but for the first bytes of its file. Each analysis says in its own file what it tells and what not.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from headstart import backbones
from headstart.data.check import ordered
from headstart.data.facts import facts as facts_of
from headstart.errors import TooFewExamples
from headstart.evaluate.abstain import WANTED, Row, coverage, reaching
from headstart.evaluate.reliability import reliability
from headstart.features.extract import OnStep, quiet
from headstart.files import cores
from headstart.heads import one_thread_each
from headstart.heads._choose import choose
from headstart.look import Look, look
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.trust import curve, sets, shortcuts, suspects, unknown, weak
from headstart.trust.evidence import Evidence, Judged
from headstart.values import Features, Finding, Part, Spec, Split

T = TypeVar("T")
NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Trust:
    """What was found: for the report, for the findings, and for the user to edit."""

    document: dict[str, Any]  # `trust` in `train --json`
    findings: tuple[Finding, ...]
    suspects: list[tuple[str, ...]]  # rows of suspects.csv


def examine(
    evidence: Evidence,
    model: Model,
    features: Features,
    known: Judged,
    *,
    frozen: Spec,
    decided: frozenset[str] = NOBODY,
) -> Trust:
    """Look into everything that needs no further picture.

    `features` are all pictures as the model's own network sees them, `known` those that it is judged by.
    Labels and the learning curve are looked into with the network of the evidence, `frozen`: not at all where
    the model was trained from random weights, which say nothing about it. Paths that were `decided` about
    are never suspects.
    """
    clock: dict[str, float] = {}
    classes = evidence.examples.classes
    tested = np.intersect1d(known.rows, evidence.parts.rows("test"))
    is_frozen = model.backbone == frozen
    can_tell = is_frozen or frozen.weights.source != "random"

    def timed(name: str, work: Callable[[], T]) -> T:
        begin = time.perf_counter()
        found = work()
        clock[name] = round(time.perf_counter() - begin, 4)
        return found

    with one_thread_each(), ThreadPoolExecutor(cores()) as pool:
        growing = pool.submit(timed, "curve", lambda: curve.learn(evidence) if can_tell else None)
        doubting = pool.submit(
            timed, "suspects", lambda: suspects.find(evidence, decided) if can_tell else suspects.NONE
        )
        short = timed("shortcuts", lambda: shortcuts.find(evidence.features, evidence.facts))
        spots = timed("weak", lambda: weak.find(evidence, known))
        doubted, grown = doubting.result(), growing.result()
    growth = grown.to_json() if grown else None
    if growth and not is_frozen:
        growth["verdict"] = f"Were the network frozen: {growth['verdict']}"
    scores = model.set_scores.astype(np.float64) if len(tested) else None
    document = {
        "reliability": _bins(known),
        "abstain": _abstain(known),
        "sets": sets.told(known.probabilities, known.y, known.groups, classes, scores),
        "unknown": unknown.told(model, features.x[tested], features.groups[tested]),
        "suspects": doubted.to_json(),
        "shortcuts": [one.to_json() for one in short],
        "curve": growth,
        "weak": None if spots is None else [one.to_json() for one in spots],
        "seconds": clock,
    }
    findings = [one.finding() for one in doubted.rows] + shortcuts.findings(short, classes)
    return Trust(document, tuple(findings), doubted.table())


def check(  # noqa: PLR0913  each is an option of the command
    data: str | Path,
    *,
    test: str | Path | None = None,
    backbone: str = backbones.DEFAULT,
    weights: str | Path | None = None,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Look:
    """Read the data, encode every picture once, and find what is wrong with it, labels and shortcuts too.

    Labels are judged out of fold over all parts by the head that `train` would choose. Nothing is said about
    them where too few pictures, or one class only, are there.

    Raises:
        NoData: nothing usable there.
    """
    seen = look(
        data, test=test, backbone=backbone, weights=weights, device=device, limit_px=limit_px, on_step=on_step
    )
    begin = time.perf_counter()
    try:
        fitted = choose(seen.features)
    except TooFewExamples:
        return seen
    learnt: list[Part] = ["train" for _ in seen.examples.paths]
    all_of_them = Split(tuple(learnt), dealt=True)
    told = facts_of(seen.pictures, seen.examples.files())
    evidence = Evidence(seen.features, seen.examples, all_of_them, told, fitted, 0)
    with one_thread_each():
        doubted = suspects.find(evidence, NOBODY)
        short = shortcuts.find(seen.features, told)
    found = [one.finding() for one in doubted.rows] + shortcuts.findings(short, seen.examples.classes)
    seconds = seen.seconds | {"trust": time.perf_counter() - begin}
    suggested = {one.path: one.suggested for one in doubted.rows}
    findings = tuple(ordered([*seen.findings, *found]))
    return replace(seen, findings=findings, seconds=seconds, suggested=suggested)


def _bins(known: Judged) -> list[dict[str, Any]]:
    return [
        {
            "low": round(one.low, 4),
            "high": round(one.high, 4),
            "n": one.n,
            "confidence": round(one.confidence, 4),
            "accuracy": round(one.accuracy, 4),
            "accuracy_ci95": [round(end, 4) for end in one.accuracy_ci95],
        }
        for one in reliability(known.confidence, known.right, known.groups)
    ]


def _abstain(known: Judged) -> list[dict[str, Any]]:
    """Rows at useful shares, and those that reach 95 and 99 % (marked `reaches`), most answered first."""
    rows: list[tuple[Row, float | None]] = [
        (row, None) for row in coverage(known.confidence, known.right, known.groups)
    ]
    for wanted in WANTED:
        row = reaching(wanted, known.confidence, known.right, known.groups)
        if row is not None:
            rows.append((row, wanted))
    rows.sort(key=lambda item: -item[0].n)
    return [
        {
            "min_confidence": row.min_confidence,
            "kept": round(row.kept, 4),
            "n": row.n,
            "accuracy": round(row.accuracy, 4),
            "accuracy_ci95": [round(end, 4) for end in row.accuracy_ci95],
            "reaches": wanted,
        }
        for row, wanted in rows
    ]
