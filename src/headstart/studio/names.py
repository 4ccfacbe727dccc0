"""Names of projects, classes and pictures that every file system can hold and no path can be made of."""

import re
import unicodedata
from collections.abc import Callable

from headstart.data.walk import PICTURE_SUFFIXES
from headstart.studio.refused import Refused

LONGEST = 120  # bytes in UTF-8: room for " (123)", a suffix and the names of parts below 255
_SIGNS = set('/\\:*?"<>|')
# some scripts and emoji cannot be written without these: joiners, marks of direction, the letters of flags
_KEPT = {"\u200c", "\u200d", "\u200e", "\u200f", "\u061c", *map(chr, range(0xE0020, 0xE0080))}
_BAD = {"Zl", "Zp", "Cc", "Cf", "Cs", "Co"}
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_SYSTEM = {"__macosx", "thumbs.db", "desktop.ini"}  # passed over by every scan
_SUFFIX = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif",
    "AVIF": ".avif", "HEIF": ".heic",
}  # fmt: skip


def checked(name: str) -> str:
    """A name that a user typed, as it will stand on the disk (NFC, without spaces around it).

    Raises:
        Refused: it is empty, too long, starts or ends with a dot, has signs that no path may have, or means
            something to Windows.
    """
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise Refused("name-empty")
    if bad := sorted({c for c in name if _is_bad(c)}):
        raise Refused("name-signs", values={"signs": " ".join(c if c.isprintable() else "␣" for c in bad)})
    if name[0] == "." or name[-1] == ".":
        raise Refused("name-dot")
    if _is_reserved(name):
        raise Refused("name-reserved", values={"name": name})
    if len(name.encode()) > LONGEST:
        raise Refused("name-long")
    return name


def cleaned(name: str, otherwise: str) -> str:
    """The nearest name that `checked` takes: for names that came with files and that nobody typed."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    name = "".join("_" if _is_bad(c) else c for c in name).strip(" .")
    name = name.encode()[:LONGEST].decode(errors="ignore").strip(" .")
    if not name:
        return otherwise
    return f"_{name}"[:LONGEST] if _is_reserved(name) else name


def of_picture(name: str, format: str) -> str:
    """The name of a picture's file: the last part of what it was called, with a suffix that says picture."""
    stem, dot, suffix = re.split(r"[/\\]", name)[-1].rpartition(".")
    if not dot or f".{suffix.lower()}" not in PICTURE_SUFFIXES:
        stem, suffix = (f"{stem}{dot}{suffix}", _SUFFIX[format][1:])
    return f"{cleaned(stem, 'picture')}.{suffix.lower()}"


def free(name: str, is_taken: Callable[[str], bool]) -> str:
    """`name`, or with (2), (3) … before its suffix where that is taken."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    found, number = name, 1
    while is_taken(found):
        number += 1
        found = f"{stem} ({number}){dot}{suffix}"
    return found


def parts_of(path: str) -> list[str]:
    """The parts of a picture's path inside its class.

    Raises:
        Refused: one of them would lead out of it, or is hidden.
    """
    parts = path.split("/")
    if any(not part or part[0] == "." or "\\" in part or "\0" in part or ":" in part for part in parts):
        raise Refused("path", status=404)
    return parts


def _is_bad(c: str) -> bool:
    if unicodedata.category(c) == "Cn":  # letters of later Unicodes; what will never be one is bad
        return ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) <= 0xFDEF
    return c in _SIGNS or (unicodedata.category(c) in _BAD and c not in _KEPT)


def _is_reserved(name: str) -> bool:
    return bool(_DEVICES.fullmatch(name.partition(".")[0].strip())) or name.casefold() in _SYSTEM
