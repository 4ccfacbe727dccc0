"""What is kept between runs, and how to be rid of it: features, networks, twins, views and the like."""

from dataclasses import dataclass
from pathlib import Path

from headstart.backbones.weights import own_files
from headstart.features import store
from headstart.files import cache_folder, discard

FOLDERS = ("networks", "downloads", "twins", "views", "tuning", "compared", "weights", "facts")


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
        found += [Usage(kind, _name(entry), 0, _size(entry)) for entry in _entries(kind)]
    return found


def left() -> list[Path]:
    """What `clear` leaves: weights that users brought, of which the original may be gone."""
    return own_files()


def clear() -> int:
    """Remove all that can be made or fetched again; bytes freed."""
    freed, stay = store.clear(), {file.parent for file in left()}
    for kind in FOLDERS:
        for entry in _entries(kind):
            if entry in stay:
                continue
            freed += _size(entry)
            discard(entry)
    return freed


def _entries(kind: str) -> list[Path]:
    place = cache_folder() / kind
    return sorted(place.iterdir()) if place.is_dir() else []


def _name(entry: Path) -> str:
    """Weights lie in folders of their own, named after their digest."""
    inside = sorted(entry.glob("[!.]*")) if entry.parent.name == "weights" else []
    return f"{entry.name}/{inside[0].name}" if inside else entry.name


def _size(entry: Path) -> int:
    if entry.is_file():
        return entry.stat().st_size
    return sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
