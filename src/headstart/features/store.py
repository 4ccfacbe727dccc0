"""Features kept per picture, on disk, by content: what was encoded once is never encoded again.

One SQLite file per backbone (weights, preprocessing and precision together) and version of this layout,
`NAME-DIGEST-VERSION.sqlite` in the cache folder; a file of an older version stays until the cache is cleared.
A row's key is the SHA-256 of the picture file's bytes. Paths, times and data sets play no part, so a renamed
or moved folder finds all of its features. The write-ahead log lets several processes read and write at once,
and a killed one lose at most the batch that it was adding. SQLite does not notice changed bytes inside a row,
so each row carries a checksum.
"""

import logging
import re
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np

from headstart.errors import DamagedStore, NotFinite, StoreError, UnknownName
from headstart.files import cache_folder, make_cache_folder, reason
from headstart.values import Halves, Kept, Pictures

VERSION = 2
THUMB_PX = 56
COLOURS = (3, 3)
WAIT_S = 60.0  # for another process that is writing

_HALF = np.dtype("<f2")  # the same bytes on every machine
_LONGEST = 100  # letters of a backbone's name, which may hold a path, that the file's name takes
_CHUNK = 500  # rows asked for in one statement; older SQLite takes 999 at most
# 8 KiB pages: a row of 2,848 features is one overflow page and a remainder of which eight share a leaf.
_SCHEMA = f"""
CREATE TABLE meta (backbone TEXT NOT NULL, dim INTEGER NOT NULL);
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    format TEXT NOT NULL,
    thumb BLOB NOT NULL,
    colours BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
PRAGMA user_version = {VERSION};
"""
_INSERT = """
INSERT INTO pictures (digest, vector, width, height, format, thumb, colours, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING
"""
_COLUMNS = "id, vector, width, height, format, thumb, colours, checksum"
_TYPES = (int, bytes, int, int, str, bytes, bytes, int)
_AWAY = "Remove the file; it costs only the time to encode the pictures again."
_FILES = ("", "-wal", "-shm", "-journal")  # what SQLite keeps beside a database while it is open


@dataclass(frozen=True)
class Usage:
    """What one store takes."""

    name: str
    pictures: int  # 0 where it is damaged or cannot be read
    bytes: int
    path: Path


@final
class Store:
    """The kept features of one backbone. Close it, or use it in `with`; from the thread that opened it only.

    Each method raises StoreError when the disk is full, the folder read-only, the store closed or another
    process keeps it locked for a minute, and DamagedStore when it finds damage: the store is gone then.
    """

    def __init__(self, path: Path, dim: int, database: sqlite3.Connection) -> None:
        self.path, self.dim = path, dim
        self._database = database

    @classmethod
    def open(cls, name: str, backbone: str, dim: int) -> "Store":
        """The store of the backbone whose digest is `backbone`, made if need be; `name` is for people.

        A damaged one is removed with a warning, and starts anew.

        Raises:
            StoreError: the cache cannot be used, or this file is of another version, backbone or length.
        """
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST]
        path = make_cache_folder("features") / f"{readable}-{backbone[:16]}-{VERSION}.sqlite"
        try:
            database = _open(path, backbone, dim)
        except DamagedStore as error:
            logging.getLogger("headstart").warning("%s", error)
            database = _open(path, backbone, dim)
        return cls(path, dim, database)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back. A second time does nothing."""
        with _named(self.path, self._database):
            self._database.close()

    def known(self) -> set[str]:
        """Digests of all pictures kept."""
        with _named(self.path, self._database):  # answered from the index alone, without reading a row
            return {digest.hex() for (digest,) in self._database.execute("SELECT digest FROM pictures")}

    def add(self, batch: Sequence[Kept]) -> None:
        """Keep these, all or none. A picture that is kept already stays as it is.

        Raises:
            NotFinite: a feature is NaN or infinite.
            StoreError: an array is not of the shape and type that `Kept` says.
        """
        rows = [self._row(kept) for kept in batch]
        with _named(self.path, self._database), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(_INSERT, rows)

    def load(self, digests: Sequence[str]) -> tuple[Halves, Pictures]:
        """Features [n, d] and facts of these pictures, in this order; one may be asked for repeatedly.

        Raises:
            StoreError: one of them is not kept, or has another length.
        """
        n = len(digests)
        x = np.empty((n, self.dim), dtype=np.float16)
        widths, heights = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        formats = [""] * n
        thumbs = np.empty((n, THUMB_PX, THUMB_PX), dtype=np.uint8)
        colours = np.empty((n, *COLOURS), dtype=np.uint8)
        first: dict[bytes, int] = {}
        source = [first.setdefault(_key(digest), at) for at, digest in enumerate(digests)]
        with _named(self.path, self._database):
            for key, row in self._rows(list(first)):
                at = first[key]
                _, vector, widths[at], heights[at], formats[at], thumb, told, _ = row
                x[at] = np.frombuffer(vector, dtype=_HALF)
                thumbs[at] = np.frombuffer(thumb, dtype=np.uint8).reshape(THUMB_PX, THUMB_PX)
                colours[at] = np.frombuffer(told, dtype=np.uint8).reshape(COLOURS)
        for at, origin in enumerate(source):
            if at != origin:
                x[at], thumbs[at], formats[at] = x[origin], thumbs[origin], formats[origin]
                widths[at], heights[at], colours[at] = widths[origin], heights[origin], colours[origin]
        return x, Pictures(widths, heights, tuple(formats), thumbs, colours)

    def _row(self, kept: Kept) -> tuple[Any, ...]:
        if kept.x.shape != (self.dim,) or kept.x.dtype != np.float16:
            raise StoreError(
                f"got {kept.x.dtype}{kept.x.shape} to keep in {self.path}, wanted float16({self.dim},)"
            )
        if kept.thumb.shape != (THUMB_PX, THUMB_PX) or kept.thumb.dtype != np.uint8:
            raise StoreError(f"got a thumb of {kept.thumb.dtype}{kept.thumb.shape}, wanted uint8(56, 56)")
        if kept.colours.shape != COLOURS or kept.colours.dtype != np.uint8:
            raise StoreError(
                f"got colours of {kept.colours.dtype}{kept.colours.shape}, wanted uint8{COLOURS}"
            )
        if not np.isfinite(kept.x).all():
            raise NotFinite(f"features of the picture {kept.digest} are NaN or infinite, and are not kept")
        key = _key(kept.digest)
        facts = (
            kept.x.astype(_HALF, copy=False).tobytes(),
            int(kept.width),
            int(kept.height),
            kept.format,
            kept.thumb.tobytes(),
            kept.colours.tobytes(),
        )
        return (key, *facts, _checksum(key, facts))

    def _rows(self, keys: list[bytes]) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
        """Rows of these different pictures, checked, in the order in which they lie on the disk."""
        key_of: dict[int, bytes] = {}
        for some in _chunks(keys):
            asked = f"SELECT id, digest FROM pictures WHERE digest IN ({_marks(some)})"  # noqa: S608
            key_of.update(self._database.execute(asked, some))
        if len(key_of) < len(keys):
            held = set(key_of.values())
            missing = next(key for key in keys if key not in held).hex()
            raise StoreError(
                f"{self.path} holds nothing of the picture {missing}. Extract its features first."
            )
        for ids in _chunks(sorted(key_of)):
            asked = f"SELECT {_COLUMNS} FROM pictures WHERE id IN ({_marks(ids)})"  # noqa: S608
            found = 0
            for row in self._database.execute(asked, ids):
                key = key_of[row[0]]
                if tuple(map(type, row)) != _TYPES or _checksum(key, row[1:-1]) != row[-1]:
                    raise _damaged(self.path, self._database, "a row has changed since it was written")
                if len(row[1]) != self.dim * _HALF.itemsize:
                    length = len(row[1]) // _HALF.itemsize
                    raise StoreError(f"{self.path} holds a vector of {length}, wanted {self.dim}. {_AWAY}")
                found += 1
                yield key, row
            if found < len(ids):
                raise _damaged(self.path, self._database, "its index names rows that are not there")


def usage() -> list[Usage]:
    """What is kept, by name."""
    return [Usage(path.stem, _count(path), _size(path), path) for path in _stores()]


def clear(name: str | None = None) -> int:
    """Remove the store called `name`, or every one. Bytes freed.

    A process that is using one goes on with what it has; what it adds afterwards is lost.

    Raises:
        UnknownName: there is none of this name.
        StoreError: a file cannot be removed.
    """
    stores = {path.stem: path for path in _stores()}
    if name is not None and name not in stores:
        raise UnknownName("feature store", name, sorted(stores))
    chosen = list(stores.values()) if name is None else [stores[name]]
    freed = sum(_size(path) for path in chosen)
    for path in chosen:
        _remove(path)
    return freed


def _open(path: Path, backbone: str, dim: int) -> sqlite3.Connection:
    with _named(path):
        database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    # damaged text is for the checksum to find, not for the decoder
    database.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        with _named(path, database):
            _prepare(database, backbone, dim)
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise StoreError(f"{path} is of version {version}, this headstart reads {VERSION}. {_AWAY}")
            (kept,) = database.execute("SELECT backbone, dim FROM meta").fetchall()
            if kept != (backbone, dim):
                raise StoreError(
                    f"{path} holds {kept[1]} features of the backbone {kept[0]}, "
                    f"wanted {dim} of {backbone}. {_AWAY}"
                )
    except StoreError:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, backbone: str, dim: int) -> None:
    """Make the tables, if nobody did; when two processes come at once, one does and the other finds them."""
    database.execute("PRAGMA page_size = 8192")
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:  # in this statement alone, SQLite does not wait by itself
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches, never the file
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:
        with database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
                database.execute("INSERT INTO meta VALUES (?, ?)", (backbone, dim))


@contextmanager
def _named(path: Path, database: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ours; where they mean damage, close and remove the store."""
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path, database, str(error)) from error
        advice = {
            sqlite3.SQLITE_FULL: "Free some space, or set HEADSTART_CACHE to a folder on another disk.",
            sqlite3.SQLITE_BUSY: f"Another process has held it for {WAIT_S:.0f} s: end that, or try later.",
        }.get(code, "Set HEADSTART_CACHE to a folder where you may write.")
        raise StoreError(f"the feature store {path} cannot be used: {error}. {advice}") from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the number is detail


def _damaged(path: Path, database: sqlite3.Connection | None, why: str) -> DamagedStore:
    if database is not None:
        with suppress(sqlite3.Error):
            database.close()
    _remove(path)
    return DamagedStore(
        f"the features kept in {path} were damaged ({why}) and have been removed; "
        "the pictures have to be encoded again."
    )


def _key(digest: str) -> bytes:
    key = bytes.fromhex(digest)
    if key.hex() != digest or len(key) != 32:
        raise ValueError(f"{digest!r} is not a SHA-256 in lower-case hexadecimal digits")
    return key


def _checksum(key: bytes, facts: tuple[Any, ...]) -> int:
    vector, width, height, kind, thumb, colours = facts
    small = key + f"{width} {height} {kind}".encode() + colours
    return zlib.crc32(thumb, zlib.crc32(vector, zlib.crc32(small)))


def _chunks(values: list[Any]) -> Iterator[list[Any]]:
    return (values[at : at + _CHUNK] for at in range(0, len(values), _CHUNK))


def _marks(values: list[Any]) -> str:
    return ",".join("?" * len(values))


def _stores() -> list[Path]:
    return sorted(cache_folder().joinpath("features").glob("*.sqlite"))


def _size(path: Path) -> int:
    total = 0
    for suffix in _FILES:
        with suppress(FileNotFoundError):
            total += path.with_name(path.name + suffix).stat().st_size
    return total


def _count(path: Path) -> int:
    """Pictures in a store, read from its index."""
    try:  # rw: closing a read-only connection would leave its log behind
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", timeout=WAIT_S, uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM pictures").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0


def _remove(path: Path) -> None:
    for suffix in _FILES:  # the database first: without it, SQLite throws a log away
        try:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the feature store {path} cannot be removed: {reason(error)}.") from error
