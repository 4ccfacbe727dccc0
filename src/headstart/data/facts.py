"""Facts about picture files that are not what the picture shows: size, shape, format, compression, camera.

And some that lie between: colours, border, brightness, contrast, sharpness. All come from what the one decode
left behind, but for three that stand in a file's first bytes: how coarsely a JPEG was quantised, which camera
took it, and how many bytes it has. No picture is decoded a second time.
"""

import os
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.values import Bytes, Floats, Ints, Pictures

NAMES = (
    "log_bytes", "width", "height", "aspect", "format", "luma_steps", "chroma_steps", "camera",
    "red", "green", "blue", "border_red", "border_green", "border_blue",
    "border_rough_red", "border_rough_green", "border_rough_blue", "brightness", "contrast", "sharpness",
)  # fmt: skip
HEAD = 8192  # bytes read at first: enough for most headers
SEGMENTS = 64  # of a JPEG that are looked at before its pixels
BLOCK = 1024  # thumbs at a time: 13 MB as float32
MAKE, MODEL = 0x010F, 0x0110  # EXIF tags

_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True, eq=False)
class Facts:
    """One row of numbers per picture; columns are `NAMES`. Codes of formats and cameras go by frequency."""

    values: Floats  # [n, 20]

    def column(self, name: str) -> Floats:
        """One fact of all pictures, [n]."""
        found: Floats = self.values[:, NAMES.index(name)]
        return found

    def columns(self, names: Sequence[str]) -> Floats:
        """Several facts of all pictures, [n, len(names)]."""
        return self.values[:, [NAMES.index(name) for name in names]]

    def take(self, rows: Ints) -> "Facts":
        """These rows only."""
        return Facts(self.values[rows])


def facts(pictures: Pictures, files: Sequence[Path]) -> Facts:
    """What is known of each picture [n]; of its file only the head is read.

    A file that cannot be opened any more, or says nothing, has 0 where its head would be told.
    """
    heads = [head(file) for file in files]
    widths, heights = pictures.widths.astype(np.float32), pictures.heights.astype(np.float32)
    found = [
        np.log2([max(own.bytes, 1) for own in heads]),
        widths,
        heights,
        widths / np.maximum(heights, 1),
        _codes(pictures.formats),
        [own.luma for own in heads],
        [own.chroma for own in heads],
        _codes([own.camera for own in heads]),
        *pictures.colours.reshape(-1, 9).T,
        *_looks(pictures.thumbs).T,
    ]
    return Facts(np.array(found, dtype=np.float32).T.reshape(-1, len(NAMES)))


@dataclass(frozen=True)
class Head:
    """What the first bytes of a file say."""

    bytes: int  # of the whole file
    luma: int  # sum of the steps in a JPEG's first quantisation table: 64 is the finest, 0 no JPEG
    chroma: int  # of its second
    camera: str  # maker and model in the EXIF block; "" where there is none


def head(file: Path) -> Head:
    """What the first bytes of this file say. Never raises: what is not there is 0 or empty."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return Head(0, 0, 0, "")
    try:
        size, start = os.fstat(descriptor).st_size, os.read(descriptor, HEAD)
        luma, chroma, camera = _jpeg(descriptor, start) if start.startswith(b"\xff\xd8") else (0, 0, "")
        return Head(size, luma, chroma, camera)
    except OSError:
        return Head(0, 0, 0, "")
    finally:
        os.close(descriptor)


def _jpeg(descriptor: int, data: bytes) -> tuple[int, int, str]:
    """Sums of the first two quantisation tables and the camera, from the segments before the pixels."""
    tables: dict[int, int] = {}
    camera, base, at = "", 0, 2  # `data` begins at byte `base` of the file
    for _ in range(SEGMENTS):
        if at + 4 > base + len(data):
            base = at
            data = _from(descriptor, base)
        where = at - base
        if len(data) < where + 4 or data[where] != 0xFF:
            break
        kind = data[where + 1]
        if kind in _WITHOUT_LENGTH or kind == 0xFF:
            at += 1 if kind == 0xFF else 2
            continue
        length = int.from_bytes(data[where + 2 : where + 4], "big")
        if kind == 0xDA or length < 2:
            break
        if kind in (0xDB, 0xE1) and where + 2 + length > len(data):
            base, where = at, 0
            data = _from(descriptor, base)
        body = data[where + 4 : where + 2 + length]
        if kind == 0xDB:
            _tables(body, tables)
        elif kind == 0xE1 and body.startswith(b"Exif\0\0"):
            camera = _camera(body[6:])
        at += 2 + length
    return tables.get(0, 0), tables.get(1, 0), camera


def _from(descriptor: int, at: int) -> bytes:
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, 1 << 16)


def _tables(body: bytes, found: dict[int, int]) -> None:
    """Add the sums of the quantisation tables in one segment, by number."""
    at = 0
    while at < len(body):
        wide, number = body[at] >> 4, body[at] & 15
        steps = body[at + 1 : at + 1 + 64 * (1 + (wide > 0))]
        found.setdefault(number, sum(steps) if not wide else sum(steps[0::2]) * 256 + sum(steps[1::2]))
        at += 1 + 64 * (1 + (wide > 0))


def _camera(block: bytes) -> str:
    """Maker and model in an EXIF block; "" where it does not say or is damaged."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return ""
    found: dict[int, str] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(min(count, 256)):
            tag, kind, length, at = struct.unpack_from(f"{order}HHII", block, start + 2 + 12 * entry)
            if tag in (MAKE, MODEL) and kind == 2:
                begin = at if length > 4 else start + 2 + 12 * entry + 8
                found[tag] = block[begin : begin + length].split(b"\0")[0].decode("latin-1").strip()
    except struct.error:
        return ""
    return " ".join(found[tag] for tag in (MAKE, MODEL) if found.get(tag))


def _codes(words: Sequence[str]) -> Ints:
    """A number for each different word, the commonest first; "" is 0."""
    counts = Counter(word for word in words if word)
    order = {word: at for at, word in enumerate(sorted(counts, key=lambda w: (-counts[w], w)), start=1)}
    return np.array([order.get(word, 0) for word in words], dtype=np.int64)


def _looks(thumbs: Bytes) -> Floats:
    """Brightness (0..255), contrast (standard deviation) and sharpness of grey thumbs [n, s, s], [n, 3].

    Sharpness is the logarithm, to base 2, of the variance of the Laplacian (Pech-Pacheco et al. 2000): how
    much neighbouring pixels differ. Smooth skies have little of it without being out of focus.
    """
    found = np.zeros((len(thumbs), 3), np.float32)
    for at in range(0, len(thumbs), BLOCK):
        grey = thumbs[at : at + BLOCK].astype(np.float32)
        edges = -4 * grey[:, 1:-1, 1:-1]
        edges += grey[:, :-2, 1:-1]
        edges += grey[:, 2:, 1:-1]
        edges += grey[:, 1:-1, :-2]
        edges += grey[:, 1:-1, 2:]
        rows = slice(at, at + len(grey))
        found[rows, 0], found[rows, 1] = grey.mean((1, 2)), grey.std((1, 2))
        found[rows, 2] = np.log2(1 + edges.var((1, 2)))
    return found
