"""Files on their way in: from a page or from a folder of this machine. What is no picture gets no place."""

import errno
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from headstart.data.walk import PICTURE_SUFFIXES
from headstart.modalities.image import HEAD_BYTES, sniff
from headstart.studio import folders
from headstart.studio.names import cleaned, of_picture
from headstart.studio.projects import MOST, UNNAMED, Projects, Sent
from headstart.studio.refused import Refused
from headstart.studio.unzip import Taken, unzip

LIMIT_BYTES = 64 << 20  # of one picture
LIMIT_ZIP = 4 << 30

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
    if format == "HEIF" and find_spec("pi_heif") is None:
        raise Refused("no-heif", 415, {"name": name})
    return of_picture(name, format)


def label_of(projects: Projects, project: str, label: str | None, folder: str | None) -> str:
    """The class for a picture that came alone: one that is there, or the one that its folder names.

    Raises:
        Refused: neither is given, or the class is not there.
    """
    if folder is not None:
        return cleaned(folder, "class")
    if label is None:
        raise Refused("invalid", 422)
    projects.class_folder(project, label)
    return label


def flush(file: Path) -> None:
    """Bring a file's bytes to the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def from_zip(
    projects: Projects, project: str, archive: Path, into: str | None, sent: Sent = UNNAMED
) -> tuple[int, Skipped]:
    """The pictures of an archive into one class, or each into the class that its folder names (None).

    All of them or, where the archive is refused, none. How many, and what was passed over.
    """
    if there := projects.received(sent):
        return len(there), {}
    place = projects.incoming(project)
    try:
        found, skipped = unzip(archive, place, most=MOST, limit_bytes=LIMIT_BYTES)
        return _settle(projects, project, found, into, skipped, sent)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def from_folder(
    projects: Projects,
    project: str,
    source: Path,
    into: str | None,
) -> tuple[int, Skipped]:
    """The pictures in and below a folder of this machine, copied; the rest as in `from_zip`."""
    pictures = folders.pictures(source)
    if len(pictures) > MOST:
        raise Refused("too-many", 413, {"most": f"{MOST:,}"})
    place = projects.incoming(project)
    skipped: Skipped = {}
    found: list[Taken] = []
    try:
        for at, picture in enumerate(pictures):
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
        return _settle(projects, project, found, into, skipped, UNNAMED)
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
    sent: Sent,
) -> tuple[int, Skipped]:
    """Give what came in its place."""
    depth = depth_of([one.path for one in found])
    staged = []
    for one in found:
        try:
            name = checked_picture(one.file, one.path)
        except Refused as error:
            why = "no heif" if error.code == "no-heif" else "no picture"
            skipped[why] = skipped.get(why, 0) + 1
            continue
        label = into
        if label is None:
            folder = class_of(one.path, depth)
            label = cleaned(folder, "class") if folder is not None else ""
        staged.append((one.file, label, name))
    with projects.journal.lock:  # from looking to adding, the class stays
        if into:
            projects.class_folder(project, into)
        if staged:
            projects.add(project, staged, sent)
    return len(staged), skipped


def has_picture_suffix(path: str) -> bool:
    """Whether a name says that it is a picture."""
    return os.path.splitext(path)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122
