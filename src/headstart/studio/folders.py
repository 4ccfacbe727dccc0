"""Where things lie in a root folder of projects, and what lies there. Nothing here changes anything."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headstart.data.walk import may_be_picture, shown
from headstart.studio.names import parts_of
from headstart.studio.refused import Refused

PICTURES, UNLABELLED, RUNS, EXPORTS = "pictures", "unlabelled", "runs", "exports"
BIN, INCOMING = ".bin", ".incoming"


@dataclass(frozen=True)
class Picture:
    """One file that may be a picture."""

    name: str  # its path inside the class
    version: str  # changes when the file does


def names(folder: Path) -> list[str]:
    """Folders inside `folder` that are neither hidden nor links; none where it is absent."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name[0] != "." and entry.is_dir(follow_symlinks=False) and _is_text(entry.name)
            )
    except FileNotFoundError:
        return []


def pictures(folder: Path, *, open_only: bool = False) -> list[Picture]:
    """Files in and below `folder` that may be pictures, by name; links and hidden ones are left out.

    With `open_only` folders that may not be read are left out, too: for showing what there is. Whoever moves
    or copies pictures gets the error, or some would silently be missing.
    """
    passed = (FileNotFoundError, PermissionError) if open_only else (FileNotFoundError,)
    return sorted(_walk(folder, "", passed), key=lambda one: (one.name.casefold(), one.name))


def all_shown(folder: Path) -> None:
    """Refuse where something lies in or below `folder` that a scan would read and the page does not show.

    Raises:
        Refused: a link, or a name that cannot travel to a page.
    """
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if name[0] != "."]
        for name in (*below, *files):
            path = os.path.join(place, name)  # noqa: PTH118  many
            if name[0] == "." or (_is_text(name) and not os.path.islink(path)):  # noqa: PTH114
                continue
            if os.path.isdir(path) or may_be_picture(path):  # noqa: PTH112
                raise Refused("not-shown", 409, {"path": shown(Path(path).relative_to(folder).as_posix())})


def _walk(folder: Path, before: str, passed: tuple[type[OSError], ...]) -> Iterator[Picture]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] == "." or not _is_text(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(folder / entry.name, f"{before}{entry.name}/", passed)
                elif entry.is_file(follow_symlinks=False) and may_be_picture(entry.path):
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # it has gone meanwhile; the others are there
                        continue
                    yield Picture(f"{before}{entry.name}", f"{facts.st_mtime_ns:x}-{facts.st_size:x}")
    except passed:
        return


def _is_text(name: str) -> bool:
    """Whether a name can travel to a page and back: its bytes are UTF-8, and it is one part of a path."""
    return not any("\ud800" <= c <= "\udfff" for c in name) and "\\" not in name


def inside(base: Path, *parts: str) -> Path:
    """What lies at `parts` below `base`: each a name, and no link on the way leads elsewhere.

    Raises:
        Refused: it would lie outside, or a name is hidden.
    """
    for part in parts:
        if len(parts_of(part)) != 1:
            raise Refused("path", status=404)
    found = base.joinpath(*parts)
    real = Path(os.path.realpath(base)).joinpath(*parts)
    if Path(os.path.realpath(found)) != real:
        raise Refused("path", status=404)
    return found


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  many
            except OSError:
                continue
    return total
