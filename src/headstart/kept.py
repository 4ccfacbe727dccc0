"""What is kept between runs, and how to be rid of it: features, networks, twins, views and the like."""

from dataclasses import dataclass
from pathlib import Path

from headstart.features import store
from headstart.files import cache_folder, discard

FOLDERS = ("networks", "downloads", "twins", "views", "tuning", "compared")


@dataclass(frozen=True)
class Usage:
    """One thing that is kept."""

    kind: str  # features, or one of FOLDERS
    name: str
    pictures: int  # of features
    bytes: int


def folder() -> Path:
    """Where everything is kept."""
    return cache_folder()


def usage() -> list[Usage]:
    """Everything that is kept, by kind and name."""
    found = [Usage("features", one.name, one.pictures, one.bytes) for one in store.usage()]
    for kind in FOLDERS:
        found += [Usage(kind, entry.name, 0, _size(entry)) for entry in _entries(kind)]
    return found


def clear() -> int:
    """Remove all of it; bytes freed."""
    freed = store.clear()
    for kind in FOLDERS:
        for entry in _entries(kind):
            freed += _size(entry)
            discard(entry)
    return freed


def _entries(kind: str) -> list[Path]:
    place = cache_folder() / kind
    return sorted(place.iterdir()) if place.is_dir() else []


def _size(entry: Path) -> int:
    if entry.is_file():
        return entry.stat().st_size
    return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
