"""Toy pictures and folders of them: learnable in seconds, no two alike unless asked."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

TINTS = {"blue": (90, 110, 170), "green": (100, 160, 110), "red": (165, 105, 95)}


def picture(tint: tuple[int, int, int], number: int, *, jitter: float = 18.0, side: int = 72) -> Image.Image:
    """Soft noise around a colour that strays by `jitter`. Other numbers give strangers."""
    rng = np.random.default_rng([number, *tint])
    base = np.array(tint) + rng.normal(0, jitter, 3)
    rough = base + rng.normal(0, 45, (9, 9, 1)) + rng.normal(0, 12, (9, 9, 3))
    small = Image.fromarray(rough.clip(0, 255).astype(np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def folder(place: Path, classes: Mapping[str, int], *, first: int = 0, jitter: float = 18.0) -> Path:
    """A folder with so many pictures of each class; other names than those above get colours of their own."""
    for name, count in classes.items():
        own = place / name
        own.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode("utf-8", "surrogateescape")) % 200
        tint = TINTS.get(name, (seed, 255 - seed, 128))
        for number in range(first, first + count):
            suffix = ("png", "jpg")[number % 2]
            picture(tint, number, jitter=jitter).save(own / f"{number:04d}.{suffix}")
    return place


def once(place: Path, build: Callable[[Path], object]) -> Path:
    """`place`, built when it is asked for the first time. Not to be changed by whoever asks."""
    if not place.exists():
        part = place.with_name(f"{place.name}.part")
        build(part)
        part.rename(place)
    return place


def photos(base: Path) -> Path:
    """72 pictures of three classes that are not quite told apart: too few for a test part."""
    return once(base / "photos", lambda at: folder(at, dict.fromkeys(TINTS, 24), jitter=30))


def album(base: Path) -> Path:
    """510 pictures, the first 72 those of `photos`: enough for a test part."""
    return once(base / "album", lambda at: folder(at, dict.fromkeys(TINTS, 170), jitter=30))


def parted(base: Path) -> Path:
    """36 pictures to learn from and 18 to be tested with: quick, for there is nothing to cross-validate."""

    def build(at: Path) -> None:
        folder(at / "train", dict.fromkeys(TINTS, 12), jitter=30)
        folder(at / "test", dict.fromkeys(TINTS, 6), first=12, jitter=30)

    return once(base / "parted", build)


def table(file: Path, rows: Iterable[Sequence[object]], header: str = "path,label") -> Path:
    """A CSV file with these rows."""
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        csv.writer(out).writerows([header.split(","), *rows])
    return file


class Server(ThreadingHTTPServer):
    """Answers every request with `body`."""

    body = b""
    cut = 0  # bytes of the body that are promised and not sent
    status = 200
    asked = 0


class Handler(BaseHTTPRequestHandler):
    """What `Server` does with a request."""

    def do_GET(self) -> None:
        """Send the body, or the first part of it."""
        server = self.server
        assert isinstance(server, Server)
        server.asked += 1
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body[: len(server.body) - server.cut])

    def log_message(self, *_: object) -> None:
        """Say nothing."""
