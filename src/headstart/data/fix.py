"""What a user decided about suspicious labels: an edited `suspects.csv`, applied to what was scanned.

Files on disk are not touched: a label is read as another one, or a picture is left out, in this run.
"""

import csv
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.errors import Misuse
from headstart.files import digest_bytes, reason
from headstart.values import Examples

COLUMNS = ("path", "label", "suggested", "given", "other", "action")
MOVE, DROP, KEEP = "move", "drop", "keep"


@dataclass(frozen=True)
class Fixes:
    """Decisions by path and present label: the new label, None to leave the picture out."""

    labels: dict[tuple[str, str], str | None]
    confirmed: frozenset[str]  # paths whose label is right as it is
    table: str  # the file, for messages

    def digest(self) -> str:
        """Of the decisions, in whatever order they were written."""
        told = (sorted((*key, new is None, new or "") for key, new in self.labels.items()),)
        return digest_bytes(repr((*told, sorted(self.confirmed))).encode("utf-8", "surrogateescape"))

    def to_json(self) -> dict[str, int]:
        """How many of each kind, for the report."""
        counts = Counter("dropped" if new is None else "moved" for new in self.labels.values())
        return {"moved": counts["moved"], "dropped": counts["dropped"], "kept": len(self.confirmed)}


def read_fixes(table: Path) -> Fixes:
    """The decisions in a table with the columns path, label, suggested and action; others are not read.

    `action`: empty, nothing is decided; `keep`, the label is right; `move`, the suggested class is; `drop`,
    the picture is left out; anything else is the name of the right class.

    Raises:
        Misuse: it cannot be read, lacks a column, or decides twice about one picture.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise Misuse(f"{table} cannot be read: {reason(error)}.") from error
    lines = csv.reader(text.splitlines(keepends=True))
    header = next(lines, [])
    wanted = ("path", "label", "suggested", "action")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise Misuse(f"{table} has no column {' and no column '.join(missing)}. Wanted: {', '.join(wanted)}.")
    places = [header.index(name) for name in wanted]
    labels: dict[tuple[str, str], str | None] = {}
    confirmed: set[tuple[str, str]] = set()
    for row, cells in enumerate(lines, start=2):
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise Misuse(f"{table}: row {row} has {len(cells)} fields, the header {len(header)}.")
        path, label, suggested, action = (cells[place] for place in places)
        action = action.strip()
        if not action:
            continue
        if (path, label) in labels or (path, label) in confirmed:
            raise Misuse(f"{table}: row {row} decides about {path} a second time.")
        if action == KEEP:
            confirmed.add((path, label))
        else:
            labels[path, label] = None if action == DROP else suggested if action == MOVE else action
    return Fixes(labels, frozenset(path for path, _ in confirmed), str(table))


def apply(fixes: Fixes, examples: Examples) -> Examples:
    """The examples as the user wants them labelled; those to be dropped are gone, the classes stay.

    Raises:
        Misuse: a path is not among them, has another label there, or its new class is not one of theirs.
    """
    at = {name: position for position, name in enumerate(examples.classes)}
    there = {
        (path, examples.classes[label]): row
        for row, (path, label) in enumerate(zip(examples.paths, examples.labels, strict=True))
    }
    known = set(examples.paths)
    labels = examples.labels.copy()
    gone = set()
    for (path, label), new in fixes.labels.items():
        row = there.get((path, label))
        if row is None:
            why = f"is not labelled {label!r} there" if path in known else "is not among the pictures"
            raise Misuse(f"{fixes.table}: {path} {why}. Paths and labels are those of the data as they are.")
        if new is None:
            gone.add(row)
        elif new in at:
            labels[row] = at[new]
        else:
            raise Misuse(
                f"{fixes.table}: the action {new!r} for {path} is neither move, drop or keep nor one of the "
                f"classes {', '.join(examples.classes[:10])}."
            )
    unknown = sorted(fixes.confirmed - known)
    if unknown:
        raise Misuse(f"{fixes.table}: {unknown[0]} is not among the pictures.")
    rows = np.array([row for row in range(len(examples)) if row not in gone], dtype=np.int64)
    return replace(examples, labels=labels).take(rows)
