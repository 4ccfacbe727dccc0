"""Photographs of five kinds of flowers, fetched once and kept in the cache."""

import gzip
import re
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast

from headstart.data.samples import Progress
from headstart.errors import DownloadError, StoreError
from headstart.files import (
    digest_file,
    folder_whole,
    make_cache_folder,
    reason,
    remove_stale,
    sibling,
    write_whole,
)

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
SILENCE_S = 30.0  # without a single byte from the other side
_BLOCK = 1 << 18
_MEMBERS, _UNPACKED = 10_000, 1 << 30  # most entries and bytes that are unpacked, whatever an archive says
_WANTED = re.compile(r"flower_photos/([a-z]+/[A-Za-z0-9_-]+\.jpg|LICENSE\.txt)")
_OUTSIDE = re.compile(r"^/|\\|:|(^|/)\.\.(/|$)")
_AGAIN = "Remove it, and try again."


def write(folder: Path, *, progress: Progress | None = None, archive: Archive = OFFICIAL) -> int:
    """Write the photographs to `folder`, one folder per kind. How many there are.

    The archive stays in the cache, so that a second time needs no network.
    """
    packed = fetch(archive, progress=progress)
    with folder_whole(folder) as part:
        pictures = _unpack(packed, part, archive, progress)
        write_whole(part / "README.md", SOURCE.encode())
    return pictures


def fetch(archive: Archive, *, progress: Progress | None = None) -> Path:
    """The archive's place in the cache, where it is put now unless it lies there. Its digest is checked.

    Raises:
        DownloadError: it cannot be fetched, or what came or lies there is not the file expected.
        StoreError: the cache cannot be read or written.
    """
    place = make_cache_folder("downloads") / archive.file
    part = sibling(place, "part")
    try:
        if not place.exists():
            remove_stale(place)
            _download(archive, part, place, progress)
            part.replace(place)
        elif place.stat().st_size != archive.bytes or digest_file(place) != archive.sha256:
            raise DownloadError(
                f"{place} is not the file expected ({archive.bytes:,} bytes, SHA-256 {archive.sha256}). "
                f"Remove it, and get {archive.address} again."
            )
    except DownloadError:  # an OSError too, and it says already what happened
        raise
    except OSError as error:
        raise StoreError(
            f"cannot keep {place}: {reason(error)}. Free space, or set HEADSTART_CACHE to another folder."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return place


def _download(archive: Archive, part: Path, place: Path, progress: Progress | None) -> None:
    digest, done = sha256(), 0
    by_hand = f"Or get {archive.address} by other means, put it at {place}, and run the same command again."
    with part.open("xb") as file:
        for block in _blocks(archive.address, by_hand):
            done += len(block)
            if done > archive.bytes:
                break
            digest.update(block)
            file.write(block)
            if progress:
                progress("bytes", done, archive.bytes)
    if done != archive.bytes:
        came = "more" if done > archive.bytes else f"{done:,}"
        raise DownloadError(
            f"{archive.address} should have {archive.bytes:,} bytes, and {came} came. Try again. {by_hand}"
        )
    if digest.hexdigest() != archive.sha256:
        raise DownloadError(
            f"{archive.address} gave a file with SHA-256 {digest.hexdigest()}, wanted {archive.sha256}."
        )


def _blocks(address: str, by_hand: str) -> Iterator[bytes]:
    """The body at an address, piece by piece. Errors of whoever takes the pieces are not caught here."""
    agent = {"User-Agent": "headstart"}
    try:
        request = urllib.request.Request(address, headers=agent)  # noqa: S310
        with urllib.request.urlopen(request, timeout=SILENCE_S) as response:  # noqa: S310
            while block := response.read(_BLOCK):
                yield block
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"cannot fetch {address}: {error.code} {error.reason}. {by_hand}") from error
    except (OSError, HTTPException) as error:
        deeper = getattr(error, "reason", error)  # URLError wraps what happened
        why = reason(deeper) if isinstance(deeper, OSError) else str(deeper) or type(deeper).__name__
        raise DownloadError(f"cannot fetch {address}: {why}. {by_hand}") from error


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
