"""Photographs of five kinds of flowers, fetched once and kept in the cache."""

import gzip
import re
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

from headstart.data.samples import Progress
from headstart.download import Remote, fetch
from headstart.errors import DownloadError
from headstart.files import folder_whole, write_whole

SUMMARY = "3,670 photographs of daisies, dandelions, roses, sunflowers and tulips (fetched: 229 MB)"
SOURCE = """The flower photographs of TensorFlow's tutorials.

From https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz
Photographs from Flickr under CC BY 2.0 (https://creativecommons.org/licenses/by/2.0/).
LICENSE.txt beside this file names the photographer of each: credit them wherever you show a picture.
"""


@dataclass(frozen=True)
class Archive:
    """A file to be fetched, and what it must be."""

    address: str
    file: str
    bytes: int
    sha256: str
    pictures: int


# Size and SHA-256 stand in github.com/tensorflow/datasets, url_checksums/tf_flowers.txt.
OFFICIAL = Archive(
    address="https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    file="flower_photos.tgz",
    bytes=228_813_984,
    sha256="4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
    pictures=3670,
)
_MEMBERS, _UNPACKED = 10_000, 1 << 30  # most entries and bytes that are unpacked, whatever an archive says
_WANTED = re.compile(r"flower_photos/([a-z]+/[A-Za-z0-9_-]+\.jpg|LICENSE\.txt)")
_OUTSIDE = re.compile(r"^/|\\|:|(^|/)\.\.(/|$)")
_AGAIN = "Remove it, and try again."


def write(folder: Path, *, progress: Progress | None = None, archive: Archive = OFFICIAL) -> int:
    """Write the photographs to `folder`, one folder per kind. How many there are.

    The archive stays in the cache, so that a second time needs no network.
    """
    said = partial(progress, "bytes") if progress else None
    packed = fetch(Remote(archive.address, archive.file, archive.sha256, archive.bytes), progress=said)
    with folder_whole(folder) as part:
        pictures = _unpack(packed, part, archive, progress)
        write_whole(part / "README.md", SOURCE.encode())
    return pictures


def _unpack(packed: Path, folder: Path, archive: Archive, progress: Progress | None) -> int:
    """Write the pictures and the licence into `folder`. How many pictures there are.

    Nothing else is ever written: a file's name has to match the one pattern that is wanted. An archive that
    tries what no set of photographs needs (links, devices, names that lead outside) is refused as a whole.
    """
    pictures = unpacked = 0
    try:
        with tarfile.open(packed, "r:gz") as tar:
            for number, member in enumerate(tar, start=1):
                unpacked += member.size
                if number > _MEMBERS or unpacked > _UNPACKED:
                    raise DownloadError(f"{packed} holds too much for {archive.pictures} pictures. {_AGAIN}")
                outside = _OUTSIDE.search(member.name)
                if outside or not (member.isreg() or member.isdir()):
                    raise DownloadError(f"{packed} holds {member.name!r}, which is not safe. {_AGAIN}")
                wanted = _WANTED.fullmatch(member.name) if member.isreg() else None
                if wanted:
                    target = folder / wanted[1]
                    target.parent.mkdir(exist_ok=True)
                    body = cast("IO[bytes]", tar.extractfile(member))  # a regular file has one
                    with body, target.open("xb") as file:
                        shutil.copyfileobj(body, file)
                    pictures += target.suffix == ".jpg"
                    if progress:
                        progress("pictures", pictures, archive.pictures)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DownloadError(f"{packed} cannot be unpacked: {error}. {_AGAIN}") from error
    if pictures != archive.pictures:
        raise DownloadError(f"{packed} holds {pictures} pictures, wanted {archive.pictures}. {_AGAIN}")
    return pictures
