"""Files from elsewhere, fetched once and kept: checked, whole or absent, and never unasked."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from headstart.errors import DownloadError, StoreError
from headstart.files import digest_file, make_cache_folder, reason, remove_stale, sibling

FOLDER = "downloads"
SILENCE_S = 30.0  # without a single byte from the other side
_BLOCK = 1 << 18

OnBytes = Callable[[int, int], None]  # how many came, of how many (0: not known)


@dataclass(frozen=True)
class Remote:
    """A file to be fetched, and what it must be."""

    address: str
    file: str  # its name in the cache
    sha256: str  # its first digits; "" where nobody says
    bytes: int | None  # None where nobody says


@contextmanager
def bar(what: str) -> Iterator[OnBytes]:
    """A bar on stderr, where that is a terminal; it appears with the first bytes."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from tqdm import tqdm

    bars: list[Any] = []

    def step(done: int, total: int) -> None:
        if not bars:
            bars.append(
                tqdm(desc=what, total=total or None, unit="B", unit_scale=True, ncols=80, leave=False)
            )
        bars[0].update(done - bars[0].n)

    try:
        yield step
    finally:
        for own in bars:
            own.close()


def place_of(remote: Remote) -> Path:
    """Where the file is kept, or may be put by hand.

    Raises:
        StoreError: there is no cache folder and none can be made.
    """
    return make_cache_folder(FOLDER) / remote.file


def by_hand(remote: Remote) -> str:
    """How to do without fetching it, in a sentence."""
    place = place_of(remote)
    return f"Or get {remote.address} by other means, put it at {place}, and run the same command again."


def fetch(
    remote: Remote, *, progress: OnBytes | None = None, check: Callable[[Path], None] | None = None
) -> Path:
    """The file's place in the cache, where it is put now unless it lies there. Its digest is checked.

    What comes is given to `check`, which may refuse it with a DownloadError, before it has its place.

    Raises:
        DownloadError: it cannot be fetched, or what came or lies there is not the file expected.
        StoreError: the cache cannot be read or written.
    """
    place = place_of(remote)
    part = sibling(place, "part")
    try:
        if not place.exists():
            remove_stale(place)
            _download(remote, part, progress)
            if check:
                check(part)
            part.replace(place)
        elif remote.bytes not in (None, place.stat().st_size) or not _is(remote, digest_file(place)):
            size = f"{remote.bytes:,} bytes, " if remote.bytes is not None else ""
            raise DownloadError(
                f"{place} is not the file expected ({size}SHA-256 {remote.sha256}). "
                f"Remove it, and get {remote.address} again."
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


def _is(remote: Remote, digest: str) -> bool:
    return digest.startswith(remote.sha256)


def _download(remote: Remote, part: Path, progress: OnBytes | None) -> None:
    digest, done, instead = sha256(), 0, by_hand(remote)
    wanted = remote.bytes
    with part.open("xb") as file:
        for block, announced in _blocks(remote.address, instead):
            wanted = announced if wanted is None else wanted
            done += len(block)
            if wanted is not None and done > wanted:
                break
            digest.update(block)
            file.write(block)
            if progress:
                progress(done, wanted or 0)
    if wanted is not None and done != wanted:
        came = "more" if done > wanted else f"{done:,}"
        raise DownloadError(
            f"{remote.address} should have {wanted:,} bytes, and {came} came. Try again. {instead}"
        )
    if not _is(remote, digest.hexdigest()):
        raise DownloadError(
            f"{remote.address} gave a file with SHA-256 {digest.hexdigest()}, wanted {remote.sha256}."
        )


def _blocks(address: str, instead: str) -> Iterator[tuple[bytes, int | None]]:
    """The body at an address, piece by piece, and how long it is said to be.

    Errors of whoever takes the pieces are not caught here.
    """
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    agent = {"User-Agent": "headstart"}
    try:
        request = urllib.request.Request(address, headers=agent)  # noqa: S310
        with urllib.request.urlopen(request, timeout=SILENCE_S) as response:  # noqa: S310
            length = response.headers.get("Content-Length", "")
            announced = int(length) if length.isdigit() else None
            while block := response.read(_BLOCK):
                yield block, announced
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"cannot fetch {address}: {error.code} {error.reason}. {instead}") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: no address at all
        deeper = getattr(error, "reason", error)  # URLError wraps what happened
        why = reason(deeper) if isinstance(deeper, OSError) else str(deeper) or type(deeper).__name__
        raise DownloadError(f"cannot fetch {address}: {why}. {instead}") from error
