"""Tables of examples: CSV, TSV and Parquet with the columns `path,label[,group,split]`, in any order.

Paths are relative to the table's folder, or absolute. Labels are text: 1 and 01 differ. Rows are counted as a
spreadsheet counts them, the header of a CSV being row 1; the first row of a Parquet file is row 1.
"""

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from headstart.data.walk import Notes
from headstart.errors import MissingExtra, Misuse
from headstart.values import ClassInfo

SUFFIXES = (".csv", ".tsv", ".parquet")
PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_COLUMNS = ("path", "label", "group", "split")
_INFO_COLUMNS = ["name", "title", "url"]


@dataclass(frozen=True)
class Rows:
    """The rows of a table that can be used, in its order. `parts` are values of PARTS, or all empty."""

    paths: list[str]
    labels: list[str]
    groups: list[str]
    parts: list[str]
    number: int  # of all rows, those left out included


def read_rows(table: Path, notes: Notes) -> Rows:
    """The rows of `table` that name a class and a file that is there; all others are noted and left out.

    The same path with the same label and part counts once. Under two labels both rows stay, and are noted.

    Raises:
        Misuse: not a table, a required column is missing, or `split` has other values or is partly empty.
        MissingExtra: a Parquet file, and pyarrow is not installed.
    """
    rows = Rows([], [], [], [], 0)
    first: dict[tuple[str, str, str], int] = {}
    labels: dict[str, str] = {}
    folder = str(table.parent)  # text: joining a Path for each of a million rows takes ten seconds
    number = 0
    for number, one in enumerate(_complete(table, notes), start=1):  # noqa: B007 (the last one is used)
        if one is None:
            continue
        row, path, label, group, part = one
        if path not in labels and not os.path.isfile(os.path.join(folder, path)):  # noqa: PTH113, PTH118
            notes.add("corrupt", path, f"file not found (row {row})", sort="rows whose file was not found")
            continue
        earlier = first.setdefault((path, label, part), row)
        if earlier != row:
            notes.add("duplicate", path, f"row {row} repeats row {earlier}", sort="rows that repeat another")
            continue
        if labels.setdefault(path, label) != label:
            message = f"labelled {labels[path]!r} and, in row {row}, {label!r}"
            notes.add("label-conflict", path, message, sort="rows that give a file another label")
        rows.paths.append(path)
        rows.labels.append(label)
        rows.groups.append(group)
        rows.parts.append(part)
    return replace(rows, number=number)


def _complete(table: Path, notes: Notes) -> Iterator[tuple[int, str, str, str, str] | None]:
    """Row number, path, label, group and part of each row that is not blank; None for one that lacks some."""
    lines = _parquet_lines(table) if table.suffix.lower() == ".parquet" else _csv_lines(table)
    _, header = next(lines, (1, []))
    names = [name.strip().lower() for name in header]
    _check_columns(table, names, notes)
    width = len(names)
    pick = itemgetter(*(names.index(name) if name in names else width for name in _COLUMNS))
    splits: dict[bool, int] = {}  # whether the split is given -> the first row where it is so
    for row, cells in lines:
        if not any(cells):
            continue
        if len(cells) > width:
            message = f"row {row} has {len(cells)} fields, the header {width}: a separator needs quotes"
            notes.add("corrupt", table.name, message, sort="rows with too many fields")
            yield None
            continue
        cells += [""] * (width + 1 - len(cells))  # the last one stands for every absent column
        path, label, group, split = pick(cells)
        label, part = label.strip(), _part(table, row, split)
        splits.setdefault(bool(part), row)
        if path.strip() and label:
            label = label if label.isascii() else unicodedata.normalize("NFC", label)
            yield row, path.replace(os.sep, "/").removeprefix("./"), label, group.strip(), part
        else:
            column = "label" if path.strip() else "path"
            message = f"row {row} has no {column}"
            notes.add("corrupt", path.strip() or table.name, message, sort=f"rows without {column}")
            yield None
    if len(splits) == 2:
        raise Misuse(
            f"{table}: the column split is given in row {splits[True]} and empty in row {splits[False]}. "
            "Fill it in every row, or leave it empty in all and let headstart split."
        )


def read_infos(file: Path) -> dict[str, ClassInfo]:
    """What `classes.csv` says of each class, by its name.

    Raises:
        Misuse: the columns are not name, title and url, a row has more or fewer, or a name stands twice.
    """
    lines = _csv_lines(file)
    _, header = next(lines, (1, []))
    names = [name.strip().lower() for name in header]
    if sorted(names) != _INFO_COLUMNS:
        raise Misuse(f"{file} must have the columns name,title,url; it has {_told(header)}.")
    pick = itemgetter(*(names.index(name) for name in _INFO_COLUMNS))
    infos: dict[str, ClassInfo] = {}
    for row, cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise Misuse(f"{file}: row {row} has {len(cells)} fields, the header {len(names)}.")
        name, title, url = (cell.strip() for cell in pick(cells))
        name = unicodedata.normalize("NFC", name)
        if name in infos:
            raise Misuse(f"{file}: row {row} describes the class {name!r} a second time.")
        infos[name] = ClassInfo(title, url)
    return infos


def _check_columns(table: Path, names: list[str], notes: Notes) -> None:
    missing = [name for name in _COLUMNS[:2] if name not in names]
    if missing:
        raise Misuse(
            f"{table} has no column {' and no column '.join(missing)}. Wanted: path,label and, if you "
            f"have them, group,split. Found: {_told(names)}."
        )
    for name in dict.fromkeys(names):
        if name in _COLUMNS and names.count(name) > 1:
            raise Misuse(f"{table} has the column {name} {names.count(name)} times. Keep one.")
        if name not in _COLUMNS:
            notes.add(
                "ignored", table.name, f"the column {name!r} is not used", sort="columns that are not used"
            )


def _part(table: Path, row: int, split: str) -> str:
    if split in PARTS or not split:  # the common spellings, without more work
        return PARTS.get(split, "")
    cleaned = split.strip().lower()
    if cleaned and cleaned not in PARTS:
        raise Misuse(
            f"{table}: row {row} has the split {split!r}. Wanted: train, val (or valid, validation), test."
        )
    return PARTS.get(cleaned, "")


def _csv_lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, each with its number."""
    delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            yield from enumerate(csv.reader(file, delimiter=delimiter), start=1)
    except UnicodeDecodeError as error:
        raise Misuse(
            f"{table} is not UTF-8 (byte {error.start}: {error.reason}). Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise Misuse(f"{table} cannot be read as a table: {error}.") from error
    except OSError as error:
        raise Misuse(f"{table} cannot be read: {error.strerror}.") from error


def _parquet_lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The same of a Parquet file, every value as text. The header has number 0."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra("reading Parquet", "tables") from error
    try:
        with parquet.ParquetFile(table) as file:
            names = list(file.schema_arrow.names)
            yield 0, names
            # Columns that are not used are not read: they may be of any kind and size.
            used = [name for name in names if name.strip().lower() in _COLUMNS]
            row = 0
            for batch in file.iter_batches(columns=used):
                texts = {name: batch.column(name).cast(pa.string()).to_pylist() for name in used}
                blank = [""] * batch.num_rows
                for cells in zip(*(texts.get(name, blank) for name in names), strict=True):
                    row += 1
                    yield row, [cell or "" for cell in cells]
    except pa.ArrowException as error:
        raise Misuse(f"{table} cannot be read as Parquet: {error}.") from error
    except OSError as error:
        raise Misuse(f"{table} cannot be read: {error}.") from error


def _told(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no header"
