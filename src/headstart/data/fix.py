"""What a user decided about suspicious labels: an edited `suspects.csv`, applied to what was scanned.

Files on disk are not touched: a label is read as another one, or a picture is left out, in this run. What was
decided is written into the next `suspects.csv` again, so that the newest table holds all decisions.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.data.scan import Scan
from headstart.errors import Misuse
from headstart.files import digest_bytes, reason
from headstart.values import Examples, Finding

COLUMNS = ("path", "label", "suggested", "given", "other", "action")
MOVE, DROP, KEEP = "move", "drop", "keep"
SEPARATORS = ",;\t"  # of which spreadsheets write one, by country
_NEEDED = ("path", "label", "suggested", "action")


@dataclass(frozen=True)
class Decision:
    """What is to become of one picture."""

    cells: tuple[str, ...]  # in the order of COLUMNS, as they stand in the table
    label: str | None  # the right one, also where that is the present one; None to leave the picture out
    part: str  # of the data that the picture is in, "" where they have none

    @property
    def path(self) -> str:
        """Of the picture, as in the data."""
        return self.cells[0]

    @property
    def present(self) -> str:
        """Its label in the data."""
        return self.cells[1]

    @property
    def word(self) -> str:
        """What is done: moved, dropped or kept."""
        return "dropped" if self.label is None else "kept" if self.label == self.present else "moved"


@dataclass(frozen=True)
class Fixes:
    """All decisions of a table, in its order."""

    decisions: tuple[Decision, ...]

    def paths(self) -> frozenset[str]:
        """Pictures that were decided about: they are not suspected again."""
        return frozenset(one.path for one in self.decisions)

    def rows(self) -> list[tuple[str, ...]]:
        """For the next `suspects.csv`."""
        return [one.cells for one in self.decisions]

    def digest(self) -> str:
        """Of the decisions, in whatever order they were written."""
        told = sorted((one.path, one.present, one.label is None, one.label or "") for one in self.decisions)
        return digest_bytes(repr(told).encode("utf-8", "surrogateescape"))

    def to_json(self, judging: Collection[str]) -> dict[str, int]:
        """How many of each kind, for the report.

        `judging`: paths of the pictures that judge the model. `judges` counts the moved ones among them, and
        the dropped ones that were, or for all that is known would have been, among them.
        """
        counts = Counter(one.word for one in self.decisions)
        judges = sum(
            one.path in judging or (one.word == "dropped" and one.part not in ("train", "val"))
            for one in self.decisions
            if one.word != "kept"
        )
        return {name: counts[name] for name in ("moved", "dropped", "kept")} | {"judges": judges}


def read_fixes(table: Path, examples: Examples) -> Fixes:
    """The decisions about `examples` in a table with the columns path, label, suggested and action.

    `action`: empty, nothing is decided; `keep`, the label is right; `move`, the suggested class is; `drop`,
    the picture is left out; anything else is the name of the right class. The three words may be written in
    capitals. A class that is called exactly so comes before the word.

    Raises:
        Misuse: it cannot be read, lacks a column, decides twice about one picture, names a picture that is
            not there or has another label there, or a class that is none.
    """
    there = {
        (path, examples.classes[label]): part
        for path, label, part in zip(examples.paths, examples.labels, examples.parts, strict=True)
    }
    known = set(examples.paths)
    found: dict[tuple[str, str], Decision] = {}
    for row, cells in decided(table):
        path, present, suggested, _, _, action = cells
        if (path, present) not in there:
            why = f"is not labelled {present!r} there" if path in known else "is not among the pictures"
            raise Misuse(
                f"{table}, row {row}: {path} {why}. Paths and labels are those of the data as they are."
            )
        if (path, present) in found:
            raise Misuse(f"{table}: row {row} decides about {path} a second time.")
        word = action.casefold()
        label: str | None = unicodedata.normalize("NFC", action)
        if action not in examples.classes and word in (MOVE, DROP, KEEP):
            label = {MOVE: suggested, DROP: None, KEEP: present}[word]
        if label is not None and label not in examples.classes:
            what = f"the suggested class {label!r}" if word == MOVE else f"the action {action!r}"
            raise Misuse(
                f"{table}, row {row}: {what} for {path} is neither move, drop or keep nor one of the classes "
                f"{', '.join(examples.classes[:10])}."
            )
        found[path, present] = Decision(cells, label, there[path, present])
    return Fixes(tuple(found.values()))


def decided(table: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Number and cells, in the order of COLUMNS, of each row of a table that has an action.

    As spreadsheets save it: with commas, semicolons or tabs, names of columns in capitals, empty cells left
    off at the end of a row.

    Raises:
        Misuse: it cannot be read, or lacks a column.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise Misuse(f"{table} cannot be read: {reason(error)}.") from error
    try:
        yield from _decided(table, text)
    except csv.Error as error:
        raise Misuse(f"{table} cannot be read as a table: {error}.") from error


def _decided(table: Path, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    first = {one: next(_lines(text, one, strict=False), []) for one in SEPARATORS}
    separator = max(SEPARATORS, key=lambda one: len(first[one]))
    header = [name.strip().casefold() for name in first[separator]]
    if missing := [name for name in _NEEDED if name not in header]:
        raise Misuse(
            f"{table} has no column {' and no column '.join(missing)}. Wanted: {', '.join(_NEEDED)}."
        )
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise Misuse(f"{table} has the column {twice[0]} {header.count(twice[0])} times. Keep one.")
    places = [header.index(name) if name in header else len(header) for name in COLUMNS]
    lines = _lines(text, separator, strict=True)
    next(lines)
    for row, cells in enumerate(lines, start=2):
        if any(cells[len(header) :]):
            raise Misuse(
                f"{table}: row {row} has {len(cells)} fields, the header {len(header)}: a separator needs "
                "quotes."
            )
        cells = cells[: len(header)] + [""] * (len(header) + 1 - len(cells))
        picked = [cells[place] for place in places]
        picked[-1] = picked[-1].strip()
        if picked[-1]:
            yield row, tuple(picked)


def _lines(text: str, separator: str, *, strict: bool) -> Iterator[list[str]]:
    """Rows of cells. Names may hold what ends a line in Unicode and not in files, such as U+2028."""
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)


def written(rows: Iterable[Sequence[str]]) -> bytes:
    """`suspects.csv` with these rows, each in the order of COLUMNS."""
    rows = [COLUMNS, *rows]
    text = io.StringIO(newline="")
    # Python before 3.13 does not quote a lone carriage return by itself
    odd = any("\r" in cell for row in rows for cell in row)
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def apply(fixes: Fixes, found: Scan) -> Scan:
    """The data as the user wants them labelled, without the pictures that are to be left out.

    A file that a table names under two labels counts once where both become one. A class of which nothing is
    left to learn from is left out too, and said.
    """
    examples = found.examples
    at = {name: position for position, name in enumerate(examples.classes)}
    wanted = {(one.path, at[one.present]): one.label for one in fixes.decisions}
    rows: dict[tuple[str, str, str], int] = {}
    for row, (path, label, part) in enumerate(
        zip(examples.paths, examples.labels.tolist(), examples.parts, strict=True)
    ):
        right = wanted.get((path, label), examples.classes[label])
        if right is not None:
            rows.setdefault((path, right, part), row)
    labels = [at[right] for _, right, _ in rows]
    kept = replace(examples.take([*rows.values()]), labels=np.array(labels, dtype=np.int64))
    learnt = {label for label, part in zip(labels, kept.parts, strict=True) if part in ("", "train")}
    gone = [name for name in examples.classes if at[name] not in learnt]
    if not gone:
        return replace(found, examples=kept)
    kept = kept.take([row for row, label in enumerate(labels) if label in learnt])
    left = tuple(name for name in examples.classes if name not in gone)
    new = np.cumsum([name in left for name in examples.classes]) - 1
    infos = tuple((name, info) for name, info in examples.infos if name in left)
    said = "left out: the decisions on labels leave nothing of it to learn from"
    findings = [Finding("tiny-class", name, said, "warning") for name in gone]
    kept = replace(kept, labels=new[kept.labels], classes=left, infos=infos)
    return replace(found, examples=kept, findings=(*found.findings, *findings))
