"""What a server is told: limits with safe defaults. Standard library only: it is read before a fork."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import Misuse
from headstart.files import reason
from headstart.serve.hosts import is_local

HEADER_BYTES = 32_768  # of one request
PARENT = "HEADSTART_SERVE_PARENT"  # in the environment: the process that watches over several
KEY_VARIABLE = "HEADSTART_API_KEY"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Settings:
    """Which models are served, where, to whom and within which limits.

    Raises:
        Misuse: limits that contradict each other.
    """

    models: tuple[tuple[str, Path], ...]  # name and folder; the first answers where no name is given
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    workers: int = 1  # processes
    device: str = "cpu"
    key: bytes | None = None  # SHA-256 of the API key; None: anybody may ask
    origins: tuple[str, ...] = ()  # that pages may ask from
    proxy: str | None = None  # addresses whose X-Forwarded-For is believed
    max_bytes: int = 32_000_000  # of one request's body
    max_px: int = 50_000_000  # of one picture, and of all that are decoded at a time
    max_files: int = 32  # pictures of one request
    queue: int = 128  # pictures that wait or are under way in one lane
    timeout_s: float = 30.0  # from a request's first byte to its answer
    rate: float | None = None  # requests per second and client, on average, in each process

    def __post_init__(self) -> None:
        if self.max_files > self.queue:
            raise Misuse(
                f"--max-files {self.max_files} is more than --queue {self.queue} holds: such a request "
                "could never be answered."
            )

    @property
    def is_own(self) -> bool:
        """Whether it is for this machine alone: then nobody may ask for it by another's name."""
        return self.key is None and is_local(self.host)

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies that may be in memory at a time."""
        return max(256_000_000, 4 * self.max_bytes)

    def to_json(self) -> dict[str, Any]:
        """The limits, for `GET /model`."""
        return {
            "max_bytes": self.max_bytes,
            "max_px": self.max_px,
            "max_files": self.max_files,
            "queue": self.queue,
            "timeout_s": self.timeout_s,
            "rate": self.rate,
        }


def named(words: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """Each FOLDER or NAME=FOLDER with the name that it is served under.

    Raises:
        Misuse: a name that cannot stand in an address, or two of the same.
    """
    found: dict[str, Path] = {}
    for word in words:
        before, sign, after = word.partition("=")
        name, folder = (before, Path(after)) if sign and not os.path.isdir(word) else ("", Path(word))  # noqa: PTH112
        name = name or folder.absolute().name
        if not _NAME.fullmatch(name):
            raise Misuse(
                f"{name!r} cannot stand in an address. Name it with letters, digits, dots, dashes and "
                f"underscores: NAME={folder}"
            )
        if name in found:
            raise Misuse(f"two models are named {name!r}. Name one of them otherwise: NAME={folder}")
        found[name] = folder
    return tuple(found.items())


def key_of(file: Path | None) -> bytes | None:
    """The digest of the API key in `file`, else in HEADSTART_API_KEY; None where neither is there.

    Raises:
        Misuse: the file cannot be read, or the key is empty.
    """
    if file is not None:
        try:
            key = file.read_bytes().strip()
        except OSError as error:
            raise Misuse(f"{file} cannot be read: {reason(error)}. It was to hold the API key.") from error
        where = str(file)
    else:
        told = os.environ.get(KEY_VARIABLE)
        if told is None:
            return None
        key, where = told.strip().encode("utf-8", "surrogateescape"), KEY_VARIABLE
    if not key:
        raise Misuse(f"the API key in {where} is empty. Put one there, or leave it out altogether.")
    return digest_of(key)


def digest_of(key: bytes) -> bytes:
    """What is kept and compared in place of a key: equally long for all, so that time tells nothing."""
    return hashlib.sha256(key).digest()
