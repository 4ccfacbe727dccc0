"""Can the label be told without looking at the picture? From its size, format, compression or camera alone?

A network that is shown such pictures may learn the trick and not the thing. Some facts, though, belong to
what is shown: flowers differ in colour, a busy scene takes more bytes. These are told only where they say
nearly everything.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.facts import Facts
from headstart.evaluate.shortcuts import Told, told_by
from headstart.values import Features, Finding, Ints

ROWS = 2000  # pictures that are looked at
ENOUGH = 40  # fewer prove nothing
FOREIGN = 0.2  # of the way from chance to always right, surely gone: facts that are not the subject
OWN = 0.9  # of that way, gone on these pictures: facts that may well be the subject ...
SURELY = 0.5  # ... and surely gone


@dataclass(frozen=True)
class _Group:
    columns: tuple[str, ...]
    words: str  # "pictures of different classes have different …"
    alone: str  # "… from the … alone"
    bar: float


_BORDER = tuple(f"border_{kind}{colour}" for kind in ("", "rough_") for colour in ("red", "green", "blue"))
GROUPS = {
    "dimensions": _Group(("width", "height", "aspect"), "different sizes", "size in pixels", FOREIGN),
    "format": _Group(("format",), "different file formats", "file format", FOREIGN),
    "compression": _Group(
        ("luma_steps", "chroma_steps"), "different JPEG qualities", "JPEG quality", FOREIGN
    ),
    "camera": _Group(("camera",), "different cameras", "camera", FOREIGN),
    "file size": _Group(("log_bytes",), "different file sizes", "file size", OWN),
    "border": _Group(_BORDER, "different borders", "border", OWN),
    "mean colour": _Group(("red", "green", "blue"), "different colours", "mean colour", OWN),
}
TOGETHER = "dimensions, format, compression and camera"
_FOREIGN = tuple(name for group in GROUPS.values() if group.bar == FOREIGN for name in group.columns)


@dataclass(frozen=True)
class Shortcut:
    """How well the label is told by one kind of facts, and whether that is worth a warning."""

    fact: str
    told: Told
    found: bool

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        return {
            "fact": self.fact,
            "accuracy": round(self.told.accuracy, 4),
            "accuracy_ci95": [round(end, 4) for end in self.told.accuracy_ci95],
            "chance": round(self.told.chance, 4),
            "n": self.told.n,
            "found": self.found,
            "foreign": _is_foreign(self),
        }


def find(features: Features, facts: Facts) -> tuple[Shortcut, ...]:
    """Every kind of facts that varies, and all foreign ones together; nothing where pictures are few."""
    rows = _sample(features)
    if len(rows) < ENOUGH or len(np.unique(features.y[rows])) < 2:
        return ()
    asked = {name: group.columns for name, group in GROUPS.items()} | {TOGETHER: _FOREIGN}
    varying = {name: _varying(facts.columns(columns)[rows]) for name, columns in asked.items()}
    several = sum(own.shape[1] > 0 for own in varying.values())
    y, groups = features.y[rows], features.groups[rows]
    found = []
    for name, columns in varying.items():
        if not columns.shape[1] or (name == TOGETHER and _kinds(varying) < 2):
            continue
        told = told_by(columns, y, groups, looks=several)
        is_own = name in GROUPS and GROUPS[name].bar == OWN
        caught = told.skill >= SURELY and told.reach >= OWN if is_own else told.skill >= FOREIGN
        found.append(Shortcut(name, told, bool(caught)))
    return tuple(found)


def findings(shortcuts: tuple[Shortcut, ...], classes: tuple[str, ...]) -> list[Finding]:
    """One for each kind of facts that gives the label away; for all together where none does alone.

    A warning, or a note where the facts may be the subject itself.
    """
    found = [one for one in shortcuts if one.found and one.fact in GROUPS]
    found = found or [one for one in shortcuts if one.found]
    return [
        Finding("shortcut", one.fact, sentence(one, classes), "warning" if _is_foreign(one) else "note")
        for one in found
    ]


def _is_foreign(one: Shortcut) -> bool:
    return one.fact == TOGETHER or GROUPS[one.fact].bar == FOREIGN


def sentence(one: Shortcut, classes: tuple[str, ...]) -> str:
    """What is wrong, with the numbers."""
    who = " and ".join(classes) if len(classes) == 2 else "classes"
    group = GROUPS.get(one.fact)
    have, alone = (group.words, group.alone) if group else ("different files", TOGETHER)
    right, chance = round(100 * one.told.accuracy), round(100 * one.told.chance)
    said = f"{right} % right from the {alone} alone, {chance} % by always saying the commonest class"
    fine = "" if _is_foreign(one) else "; no harm if that is what tells them apart"
    return f"{who} have {have}: {said}{fine}"


def _kinds(varying: dict[str, Any]) -> int:
    return sum(varying[name].shape[1] > 0 for name, group in GROUPS.items() if group.bar == FOREIGN)


def _varying(columns: Any) -> Any:
    """Columns that are not the same everywhere."""
    return columns[:, np.ptp(columns, axis=0) > 0] if len(columns) else columns[:, :0]


def _sample(features: Features) -> Ints:
    """At most ROWS rows, by content."""
    order = np.argsort(np.array(features.digests), kind="stable")
    return np.sort(order[:ROWS]).astype(np.int64)
