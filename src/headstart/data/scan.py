"""From what the user points at to `Examples`: class folders, a folder with `train/`, or a table.

No picture is decoded: which of the files can be read is told later. Labels go by name. The first folder below
DATA (or below a part) is the class; pictures in folders further down belong to it.
"""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from headstart.data.tables import PARTS, SUFFIXES, read_infos, read_rows
from headstart.data.walk import Notes, class_name, identity, listing, order, shown, walk
from headstart.errors import Misuse, NoData
from headstart.values import ClassInfo, Examples, Finding, Part

LAYOUTS = (
    "headstart understands: a folder with one folder of pictures per class; a folder with train/ and val/ or "
    "test/ holding such class folders; a CSV, TSV or Parquet file with the columns path,label[,group,split]."
)
INFOS = "classes.csv"

PartOrNone = Part | Literal[""]


@dataclass(frozen=True, eq=False)
class Scan:
    """What lies at the place that the user named."""

    examples: Examples
    findings: tuple[Finding, ...]
    files: int  # that look like pictures, or rows of a table; those left out included


class _One(NamedTuple):
    """One example on its way: sorts by path."""

    order: tuple[str, str]
    label: str
    group: str
    part: str


def scan(data: Path) -> Scan:
    """The labelled files at `data`, sorted by path, and what was left out and why.

    `parts` are given where the user brought them: a `train` beside exactly one other part makes that one the
    test; `train` alone is no division. A class without pictures in the training part is left out. A file
    `classes.csv` beside the class folders, or beside the table, describes the classes.

    Raises:
        NoData: nothing there, or not laid out in a way understood; the message says what was found.
        Misuse: a table or folder that could mean two things.
        MissingExtra: a Parquet file, and pyarrow is not installed.
    """
    if os.path.isdir(data):  # noqa: PTH112  never raises, whatever the name
        return _scan_folder(data)
    if not os.path.exists(data):  # noqa: PTH110
        raise NoData(f"there is nothing at {data}. {LAYOUTS}")
    if data.suffix.lower() not in SUFFIXES or not data.is_file():
        raise NoData(f"{data} is neither a folder nor a table. {LAYOUTS}")
    notes = Notes(table=data.name)
    rows = read_rows(data, notes)
    given = _roles(set(rows.parts))
    found = [
        _One(order(path), label, group, given[part])
        for path, label, group, part in zip(rows.paths, rows.labels, rows.groups, rows.parts, strict=True)
    ]
    if not found:
        raise NoData(f"none of the {rows.number} rows of {data} can be used.{_left_out(notes)}")
    return _settle(data.parent, found, rows.number, notes)


def _scan_folder(data: Path) -> Scan:
    notes = Notes()
    folders, beside = listing(data, "", notes, known=(INFOS,))
    names = [folder for folder, _ in folders]
    if not names:
        holds = f"{len(beside)} pictures and no class folders" if beside else "neither folders nor pictures"
        raise NoData(f"{data} holds {holds}.{_left_out(notes)} {LAYOUTS}")
    parts = _part_folders(data, names, notes)
    seen = {here for part in ("", *parts) if (here := identity(data / part)) is not None}
    places = {} if parts else dict.fromkeys(names, "")
    for part in parts:
        below, pictures = listing(data, part, notes)
        places |= {folder: parts[part] for folder, _ in below}
        beside += pictures
    for path in beside:
        notes.add("ignored", path, "beside the class folders: no label", sort="pictures without a label")
    inside = walk(data, places, notes, seen)
    for folder, paths in inside.items():
        if not paths:
            notes.add("tiny-class", folder, "this class folder holds no pictures", sort="empty class folders")
    held = {places[folder] for folder, paths in inside.items() if paths}
    if not held or (parts and "train" not in held):
        empty = [folder for folder, part in places.items() if part in ("", "train")][:5]
        where = f"the class folders of {data} ({', '.join(map(shown, empty))})"
        raise NoData(f"there are no pictures in {where}.{_left_out(notes)} {LAYOUTS}")
    roles = _roles(held)
    found = [
        _One(order(path), class_name(folder.rpartition("/")[2]), "", roles[places[folder]])
        for folder, paths in inside.items()
        for path in paths
    ]
    return _settle(data, found, len(found) + len(beside), notes)


def _part_folders(data: Path, names: list[str], notes: Notes) -> dict[str, str]:
    """The folders among `names` that are parts, and which; none where they are classes.

    A part is named as one and holds folders. With `train` there must be another part, or nothing else that
    holds pictures.
    """
    inside = {
        name: listing(data, name, Notes()) for name in names if name.lower() in PARTS or len(names) == 1
    }
    parts = {
        name: PARTS[name.lower()] for name, (below, _) in inside.items() if below and name.lower() in PARTS
    }
    if "train" not in parts.values():
        if parts and len(parts) == len(names):
            wanted = f"{' and '.join(parts)}, and no train. To judge a model on one of them"
            raise NoData(
                f"{data} holds the part{'s' * (len(parts) > 1)} {wanted}, name it: {data / names[0]}"
            )
        if len(names) == 1 and inside[names[0]][0] and not inside[names[0]][1]:
            raise NoData(
                f"{data} holds one folder, with folders inside. Point one level deeper: {data / names[0]}"
            )
        return {}
    others = [name for name in names if name.lower() not in PARTS]
    if len(parts) == 1 and any(walk(data, others, Notes(), set()).values()):
        (train,) = parts
        if inside[train][1]:
            return {}  # it holds pictures itself, as a class does
        raise Misuse(
            f"{data} holds {train!r} with folders inside, and {others[0]!r}: is {train!r} a part or a class? "
            f"If a part, point at {data / train}, or name the others val or test; if a class, rename it."
        )
    for part in set(parts.values()):
        twins = [name for name in parts if parts[name] == part]
        if len(twins) > 1:
            raise Misuse(
                f"{data} has more than one folder for the part {part}: {', '.join(twins)}. Keep one."
            )
    for name in names:
        if name not in parts:
            said = "holds no class folders: no labels" if name in inside else "lies beside the parts"
            notes.add("ignored", name, said, sort="folders beside the parts")
    return parts


def _roles(parts: set[str]) -> dict[str, str]:
    """What each part that the user brought is used as."""
    if parts == {"train"}:
        return {"train": ""}
    if "train" in parts and len(parts) == 2:
        return {part: "train" if part == "train" else "test" for part in parts}
    return {part: part for part in parts}


def _settle(root: Path, found: list[_One], files: int, notes: Notes) -> Scan:
    """Sort, number the classes, and leave out classes that cannot be learnt."""
    trained = {one.label for one in found if one.part == "train"} or {one.label for one in found}
    strange = Counter(one.label for one in found if one.label not in trained)
    for label, number in strange.items():
        told = f"{number} picture{'s' * (number > 1)} left out: the training part has none of this class"
        notes.add("tiny-class", label, told, sort="classes left out")
    kept = sorted(one for one in found if one.label in trained)
    classes = tuple(sorted(trained))
    position = {name: i for i, name in enumerate(classes)}
    examples = Examples(
        root=root,
        paths=tuple(one.order[1] for one in kept),
        labels=np.array([position[one.label] for one in kept], dtype=np.int64),
        classes=classes,
        groups=tuple(one.group for one in kept),
        parts=tuple(cast(PartOrNone, one.part) for one in kept),
        digests=("",) * len(kept),
        infos=_infos(root / INFOS, classes, notes),
    )
    return Scan(examples, notes.findings(), files)


def _infos(file: Path, classes: tuple[str, ...], notes: Notes) -> tuple[tuple[str, ClassInfo], ...]:
    if not file.is_file():
        return ()
    infos = read_infos(file)
    for name in infos.keys() - set(classes):
        said = f"describes the class {name!r}, which has no pictures"
        notes.add("ignored", INFOS, said, sort="classes that are described and have no pictures")
    return tuple((name, infos[name]) for name in classes if name in infos)


def _left_out(notes: Notes) -> str:
    return "".join(f" {one.path}: {one.message}." for one in notes.findings()[:3])
