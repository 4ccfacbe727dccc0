"""Archives from anywhere, unpacked without believing them.

Nothing in an archive becomes a path: its files get numbers, and their names are only passed on. What is
counted is what comes out, not what the archive says would. Links, encrypted files and archives in archives
are not opened. An archive that is over a limit is refused whole.
"""

import io
import lzma
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from headstart.data.walk import PICTURE_SUFFIXES
from headstart.studio.refused import Refused

LIMIT_OUT = 8 << 30  # bytes that one archive may become
RATIO = 100  # times larger than the archive, from FREE bytes on: pictures hardly shrink
FREE = 64 << 20
ENTRIES = 100_000  # that are looked at
LISTING = 32 << 20  # bytes of an archive's own list of its files: each would become an object first
PIECE = 1 << 20
_ROOTED = re.compile(r"/|[A-Za-z]:/")
DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError)

_Asked = TypeVar("_Asked")
_Got = TypeVar("_Got")


@dataclass(frozen=True)
class Taken:
    """One file that was unpacked, and the path that it had in the archive, with forward slashes."""

    file: Path
    path: str


def unzip(archive: Path, place: Path, *, most: int, limit_bytes: int) -> tuple[list[Taken], dict[str, int]]:
    """The files with a picture's suffix, as `place`/0, 1, …; and how many others were passed over, by reason.

    Raises:
        Refused: it is no archive, is damaged, or is over a limit; the message says which.
    """
    try:
        with _Archive(archive.open("rb", buffering=0)) as file, zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
            if len(entries) > ENTRIES:
                raise Refused("zip-entries", 413, {"most": f"{ENTRIES:,}"})
            return _all(opened, entries, place, _Budget(archive.stat().st_size), (most, limit_bytes))
    except DAMAGED as error:
        raise Refused("zip-damaged", 415) from error
    except (NotImplementedError, RuntimeError) as error:  # an odd compression, or a password
        raise Refused("zip-odd", 415) from error


class _Archive(io.BufferedReader):
    """An open archive whose list of files, the one thing that is read at once, may not be endless."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LISTING:
            raise Refused("zip-entries", 413, {"most": f"{ENTRIES:,}"})
        return super().read(size)


class _Budget:
    """How much may still come out."""

    def __init__(self, size: int) -> None:
        self.left = min(LIMIT_OUT, max(FREE, RATIO * size))

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Refused("zip-bomb", 413)


def _all(
    opened: zipfile.ZipFile,
    entries: list[zipfile.ZipInfo],
    place: Path,
    budget: _Budget,
    limits: tuple[int, int],
) -> tuple[list[Taken], dict[str, int]]:
    most, limit_bytes = limits
    found: list[Taken] = []
    skipped: dict[str, int] = {}
    for entry in entries:
        path = entry.filename.replace("\\", "/")
        if why := _passed_over(entry, path):
            if why != "folder":
                skipped[why] = skipped.get(why, 0) + 1
            continue
        if len(found) >= most:
            raise Refused("too-many", 413, {"most": f"{most:,}"})
        goal = place / str(len(found))
        if _copy(opened, entry, goal, limit_bytes, budget):
            found.append(Taken(goal, "/".join(part for part in path.split("/") if part not in ("", "."))))
        else:
            skipped["large"] = skipped.get("large", 0) + 1
    return found, skipped


def _passed_over(entry: zipfile.ZipInfo, path: str) -> str:
    """Why an entry is not unpacked; "" where it is."""
    parts = PurePosixPath(path).parts
    if entry.is_dir():
        return "folder"
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "link"
    if ".." in parts or _ROOTED.match(path) or any(map(_is_no_text, path)):
        return "path"
    if any(part[0] == "." or part.casefold() == "__macosx" for part in parts):
        return "hidden"
    if PurePosixPath(path).suffix.lower() == ".zip":
        return "zip in zip"
    if PurePosixPath(path).suffix.lower() not in PICTURE_SUFFIXES:
        return "no picture"
    return ""


def _is_no_text(c: str) -> bool:
    """Control signs and ends of lines. Good names have spaces of all kinds; what is odd, `names` cleans."""
    return unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")


def _copy(
    opened: zipfile.ZipFile, entry: zipfile.ZipInfo, goal: Path, limit_bytes: int, budget: _Budget
) -> bool:
    """Unpack one file piece by piece; False, and nothing left, where it is too large."""
    size = 0
    with _sound(opened.open, entry) as source, goal.open("xb") as target:
        while piece := _sound(source.read, PIECE):
            size += len(piece)
            budget.take(len(piece))
            if size > limit_bytes:
                break
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    if size > limit_bytes:
        goal.unlink()
    return size <= limit_bytes


def _sound(read: Callable[[_Asked], _Got], what: _Asked) -> _Got:
    """What reading brings; bz2 calls damage an OSError, as if the disk had failed."""
    try:
        return read(what)
    except OSError as error:
        raise zipfile.BadZipFile(str(error)) from error
