"""Files on their way in: from a page or from a folder of this machine. What is no picture gets no place."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from headstart.data.walk import PICTURE_SUFFIXES
from headstart.modalities.image import HEAD_BYTES, sniff
from headstart.studio import folders
from headstart.studio.names import cleaned, of_picture
from headstart.studio.projects import Projects
from headstart.studio.refused import Refused
from headstart.studio.unzip import Taken, unzip

LIMIT_BYTES = 64 << 20  # of one picture
LIMIT_ZIP = 4 << 30
MOST = 20_000  # pictures at once
MOST_CLASSES = 500

Skipped = dict[str, int]  # how many of each reason


def checked_picture(file: Path, name: str) -> str:
    """The name for a file whose content is a picture's.

    Raises:
        Refused: it is none.
    """
    with file.open("rb") as opened:
        format = sniff(opened.read(HEAD_BYTES))
    if format is None:
        raise Refused("not-a-picture", 415, {"name": name})
    return of_picture(name, format)


def flush(file: Path) -> None:
    """Bring a file's bytes to the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def from_zip(
    projects: Projects, project: str, archive: Path, into: str | None, batch: str | None
) -> tuple[int, Skipped]:
    """The pictures of an archive into one class, or each into the class that its folder names (None).

    All of them or, where the archive is refused, none. How many, and what was passed over.
    """
    place = projects.incoming(project)
    try:
        found, skipped = unzip(archive, place, most=MOST, limit_bytes=LIMIT_BYTES)
        return _settle(projects, project, found, into, skipped, batch)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def from_folder(
    projects: Projects,
    project: str,
    source: Path,
    into: str | None,
    batch: str | None,
    on_step: Callable[[int], None] = lambda _done: None,
) -> tuple[int, Skipped]:
    """The pictures in and below a folder of this machine, copied; the rest as in `from_zip`."""
    place = projects.incoming(project)
    skipped: Skipped = {}
    found: list[Taken] = []
    try:
        for at, picture in enumerate(folders.pictures(source)):
            if at >= MOST:
                raise Refused("too-many", 413, {"most": f"{MOST:,}"})
            file = source / picture.name
            try:
                if file.stat().st_size > LIMIT_BYTES:
                    skipped["large"] = skipped.get("large", 0) + 1
                    continue
                goal = place / str(at)
                shutil.copyfile(file, goal, follow_symlinks=False)
                flush(goal)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise  # nothing is wrong with the picture
                skipped["unreadable"] = skipped.get("unreadable", 0) + 1
                continue
            found.append(Taken(goal, picture.name))
            on_step(at + 1)
        return _settle(projects, project, found, into, skipped, batch)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def class_of(path: str, depth: int) -> str | None:
    """The folder at `depth` in a path inside an archive or a dropped folder; None where there is none."""
    parts = path.split("/")[:-1]
    return parts[depth] if len(parts) > depth else None


def depth_of(paths: list[str]) -> int:
    """Where the class stands in these paths: below one folder that holds all the others, if there is one."""
    tops = {path.split("/")[0] for path in paths if "/" in path}
    if len(tops) == 1 and any(path.count("/") >= 2 for path in paths):
        return 1
    return 0


def _settle(
    projects: Projects,
    project: str,
    found: list[Taken],
    into: str | None,
    skipped: Skipped,
    batch: str | None,
) -> tuple[int, Skipped]:
    """Give what came in its place."""
    depth = depth_of([one.path for one in found])
    staged = []
    for one in found:
        try:
            name = checked_picture(one.file, one.path)
        except Refused:
            skipped["no picture"] = skipped.get("no picture", 0) + 1
            continue
        label = into
        if label is None:
            folder = class_of(one.path, depth)
            label = cleaned(folder, "class") if folder is not None else ""
        staged.append((one.file, label, name))
    labels = {label.casefold() for _, label, _ in staged if label}
    if len(labels) > MOST_CLASSES:
        raise Refused("too-many-classes", 413, {"most": MOST_CLASSES})
    with projects.journal.lock:  # from looking to adding, the classes stay as they are
        if into:
            projects.class_folder(project, into)
        elif into is None:
            known = {name.casefold(): name for name in projects.classes(project)} | {"": ""}
            staged = [(file, known.setdefault(label.casefold(), label), name) for file, label, name in staged]
        if staged:
            projects.add(project, staged, batch)
    return len(staged), skipped


def has_picture_suffix(path: str) -> bool:
    """Whether a name says that it is a picture."""
    return os.path.splitext(path)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122
