"""Walking folders: which files may be pictures, and what is left out and why. No picture is decoded here.

Symbolic links are followed. Each folder is read once: a link to one that was read, and so every loop, is left
out and said. Where a folder can be reached directly and through a link, the direct way counts.
"""

import os
import unicodedata
from collections import deque
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

from headstart.modalities.image import HEAD_BYTES, sniff
from headstart.values import Finding, Kind, Severity

PICTURE_SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif",
}  # fmt: skip
SHOWN = 20  # findings of one sort in one folder; more become one that names them
NAMED = 1000  # files that such a finding names; of a million, the number is told
_SEVERITY: dict[Kind, Severity] = {
    "corrupt": "error", "tiny-class": "warning", "label-conflict": "warning",
    "duplicate": "note", "ignored": "note",
}  # fmt: skip
_SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}

Identity = tuple[int, int]


class Notes:
    """Collects findings of few sorts about many files: past `SHOWN` of one sort in one place, one.

    The place is the folder of each file, or the `table` that names them all.
    """

    def __init__(self, table: str = "") -> None:
        self._table = table
        self._found: dict[tuple[str, str], list[Finding]] = {}
        self._number: dict[tuple[str, str], int] = {}

    def add(self, kind: Kind, path: str, message: str, *, sort: str) -> None:
        """One more finding. `sort` says in the plural what such findings are."""
        key = (self._table or path.rpartition("/")[0] or ".", sort)
        number = self._number[key] = self._number.get(key, 0) + 1
        if number <= NAMED:
            found = Finding(kind, shown(path), message, _SEVERITY[kind])
            self._found.setdefault(key, []).append(found)

    def findings(self) -> tuple[Finding, ...]:
        """All of them, or their numbers, by path."""
        told: list[Finding] = []
        for (place, sort), found in self._found.items():
            number = self._number[place, sort]
            if number <= SHOWN:
                told += found
            else:
                message = f"{number:,} {sort}, the first: {', '.join(one.path for one in found[:3])}"
                others = tuple(one.path for one in found)
                told.append(Finding(found[0].kind, shown(place), message, found[0].severity, others))
        return tuple(sorted(told, key=lambda one: (one.path, one.kind, one.message)))


def shown(path: str) -> str:
    """The path as text that can be written anywhere: what is not Unicode in a file's name becomes escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def class_name(folder: str) -> str:
    """The name of a class: composed Unicode (NFC), so that the same name from any machine is one class."""
    return unicodedata.normalize("NFC", shown(folder))


def order(path: str) -> tuple[str, str]:
    """Sort key of a path: code points of the composed form, the same on every machine."""
    return unicodedata.normalize("NFC", path), path


def identity(path: Path) -> Identity | None:
    """What makes a folder the same however it is reached; None where it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 (the same call; here it must match the walk's)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def listing(
    root: Path, folder: str, notes: Notes, *, known: Collection[str] = ()
) -> tuple[list[tuple[str, bool]], list[str]]:
    """Subfolders of `root/folder`, each with whether it is a link, and the files in it that may be pictures.

    All relative to `root`, by name. Hidden and system entries, special files (never opened), broken links and
    files whose suffix and content are no picture's are noted and left out; those in `known` without a word.
    """
    try:
        with os.scandir(root / folder) as entries:
            found = sorted(entries, key=lambda entry: order(entry.name))
    except OSError as error:
        notes.add("corrupt", folder or ".", f"cannot read this folder: {error.strerror}", sort="unreadable")
        return [], []
    folders, pictures = [], []
    for entry in found:
        if entry.name in known:
            continue
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            notes.add("ignored", path, "hidden", sort="hidden files or folders")
            continue
        if entry.name.casefold() in _SYSTEM_NAMES:
            notes.add("ignored", path, "left behind by an operating system", sort="system files")
            continue
        match _kind(entry):
            case "folder":
                folders.append((path, entry.is_symlink()))
            case "broken":
                notes.add("corrupt", path, "broken link", sort="broken links")
            case "special":
                notes.add("ignored", path, "neither a file nor a folder", sort="special files")
            case "file" if may_be_picture(entry.path):
                pictures.append(path)
            case "file":
                notes.add("ignored", path, "not a picture", sort="files that are not pictures")
    return folders, pictures


def walk(root: Path, tops: Iterable[str], notes: Notes, seen: set[Identity]) -> dict[str, list[str]]:
    """Files that may be pictures in and below each of the folders `tops`, relative to `root`, sorted.

    Folders in `seen` are not entered; those that were are added to it.
    """
    found: dict[str, list[str]] = {top: [] for top in tops}
    direct = deque((top, top) for top in found if not (root / top).is_symlink())
    linked = deque((top, top) for top in found if (root / top).is_symlink())
    while direct or linked:
        top, folder = (direct or linked).popleft()
        here = identity(root / folder)
        if here is not None and here in seen:
            notes.add("ignored", folder, "leads to a folder that was read already", sort="repeated folders")
            continue
        if here is not None:
            seen.add(here)
        folders, pictures = listing(root, folder, notes)
        found[top] += pictures
        for below, is_link in folders:
            (linked if is_link else direct).append((top, below))
    return {top: sorted(paths, key=order) for top, paths in found.items()}


def pictures_in(folder: Path) -> list[str]:
    """Files in and below `folder` that may be pictures, with `folder` before their names, sorted."""
    return [os.path.join(folder, path) for path in walk(folder, [""], Notes(), set())[""]]  # noqa: PTH118


def may_be_picture(path: str) -> bool:
    """Whether suffix or content say so. An unreadable file may be: reading it will tell."""
    if os.path.splitext(path)[1].lower() in PICTURE_SUFFIXES:  # noqa: PTH122 (a million times)
        return True
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return True


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "special", "broken"]:
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
    except OSError:
        return "broken"
    return "special"
