"""Sample data sets that anybody may have: `headstart sample NAME DIR`.

Each module here is one sample, its file name is the sample's name. It binds `SUMMARY` (one line), `SOURCE`
(whence, whose, under which licence) and `write(folder, *, progress)`, which returns the number of pictures.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import UnknownName
from headstart.files import check_free

Progress = Callable[[str, int, int], None]  # "bytes" or "pictures", how many are done, of how many


@dataclass(frozen=True)
class Sample:
    """What a user wants to know before asking for a sample."""

    name: str
    summary: str
    source: str


def names() -> list[str]:
    """Names of the samples, sorted. Imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def about(name: str) -> Sample:
    """What the sample called `name` is.

    Raises:
        UnknownName: there is none.
    """
    if name not in names():
        raise UnknownName("sample", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    return Sample(name, module.SUMMARY, module.SOURCE)


def write(name: str, folder: Path, *, progress: Progress | None = None) -> int:
    """Write the sample called `name` to `folder`, whole or not at all. How many pictures it has.

    Raises:
        UnknownName: there is none.
        OutputExists: `folder` is there and not empty.
        OutputError: it cannot be written.
        DownloadError: it has to be fetched, and cannot be; the message says how to do that by hand.
        StoreError: what was fetched cannot be kept in the cache.
    """
    about(name)
    check_free(folder)  # before anything is fetched
    module = importlib.import_module(f"{__name__}.{name}")
    pictures: int = module.write(folder, progress=progress)
    return pictures
