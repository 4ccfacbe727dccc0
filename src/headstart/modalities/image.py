"""Pictures: the one function by which the bytes of a file become what the network gets.

Every path (train, evaluate, predict, server, export) calls `decode`, so that they cannot differ. The content
decides what a file is, never its name; only the formats below are ever parsed. A picture is turned upright by
its EXIF orientation, becomes RGB over the stated background, and its central square is resized with
antialiasing. Colour profiles are not applied. A file that cannot be read whole is an error with its reason.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from headstart.errors import UnreadablePicture
from headstart.values import Bytes, Preprocess

# Where Pillow's reader of each format stands. Readers are called directly and not through Image.open: nothing
# else is tried, the limit on pixels is the caller's and not a setting of the whole process, and a camera's
# MPO is simply the JPEG that it starts with. GIF, WebP, AVIF, TIFF and APNG give their first picture.
FORMATS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pi_heif", "HeifImageFile"),
}
HEAD_BYTES = 64  # enough for `sniff`: the brands of an AVIF or HEIC stand further back than other marks
LIMIT_PX = 100_000_000
THUMB_PX = 56
SMALL_PX = 28  # side of the picture whose colours are told; its outermost cells are the border

# What Pillow's readers raise on broken files, found with collections of such files rather than in its manual.
_FAILURES = (
    OSError, ValueError, SyntaxError, NotImplementedError, EOFError, TypeError, LookupError, ArithmeticError,
    AttributeError, AssertionError, RuntimeError, MemoryError, BufferError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # bytes in the second header; BM alone also starts many a text
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_ORIENTATION_SOURCES = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_ALPHA_MODES = {"LA", "PA", "RGBA", "La", "RGBa"}
_COLOUR_MODES = {"P", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_DRAFT_MARGIN = 2  # measured: at 1 the mean difference from full decoding is 1.3 levels, at 2 it is 0.4
_REDUCING_GAP = (
    3.0  # measured: a mean difference of 0.3 levels where a picture is 6 times too large, else none
)
_STRIP_PX = 1_000_000  # of a 16-bit picture that are reduced to 8 bits at a time
_TRUNCATED = re.compile(
    "truncat|buffer overrun|broken data stream|unexpected end|decoder error -2", re.IGNORECASE
)
_HUSHED = ("ignore", None, Warning, re.compile(r"(PIL|pi_heif)\."), 0)


@dataclass(frozen=True, eq=False)
class Decoded:
    """One picture as the network gets it, and what the audit wants to know of the file."""

    pixels: Bytes  # [s, s, 3] RGB
    thumb: Bytes  # [56, 56] grey, of the same square
    colours: Bytes  # [3, 3] RGB of the same square: its mean; mean and standard deviation of its border
    width: int  # of the upright picture in the file, in pixels
    height: int
    format: str  # a key of FORMATS


@dataclass(frozen=True)
class Cut:
    """A rectangle to be shown to a network in place of the central square, for training on.

    In units of that square: its own place and size is (0, 0, 1, 1). What would reach beyond the picture is
    moved inside, and made smaller where it does not fit.
    """

    right: float  # of the centre, in half sides of the central square
    down: float
    width: float  # in sides of the central square
    height: float
    mirrored: bool


WHOLE = Cut(0, 0, 1, 1, mirrored=False)  # what `decode` shows


def sniff(head: bytes) -> str | None:
    """The format that a file's first `HEAD_BYTES` bytes announce, a key of `FORMATS`; None for all else.

    >>> sniff(b"GIF89a"), sniff(b"%PDF-1.7")
    ('GIF', None)
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head.startswith(_TIFF_MARKS):
        return "TIFF"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    return None


def anyway(_pixels: int) -> None:
    """Wait for nothing before a picture is decoded."""


def decode(
    data: bytes,
    preprocess: Preprocess,
    *,
    limit_px: int = LIMIT_PX,
    before: Callable[[int], None] = anyway,
) -> Decoded:
    """The picture in `data`, upright, as the square of `preprocess.size_px` that the network gets.

    The same as resizing the whole picture until its short side is `resize_px` and cutting the central square,
    but in one step. `mean` and `std` are not applied: that belongs to the network. Safe to call from threads.
    `before` is told how many pixels are about to be held in memory, from the header alone, and may wait:
    each takes up to 20 bytes (measured; WebP with transparency takes most).

    Raises:
        UnreadablePicture: the bytes are no picture, are damaged or cut short, or hold over `limit_px` pixels.
    """
    opened = _open(data, preprocess, limit_px, before)
    with _named(opened.format):
        square = opened.square(WHOLE)
    thumb = _smaller(square.convert("L"), THUMB_PX)
    colour = square if square.mode == "RGB" else square.convert("RGB")  # convert would copy
    told = _colours(np.asarray(_smaller(colour, SMALL_PX)))
    return Decoded(np.asarray(colour), np.asarray(thumb), told, opened.width, opened.height, opened.format)


def _smaller(square: Image.Image, side: int) -> Image.Image:
    """A square picture reduced to this side, each pixel the mean of what it covers."""
    step = square.width // side
    exact = step * side == square.width
    return square.reduce(step) if exact else square.resize((side, side), Image.Resampling.BOX)


def _colours(small: Bytes) -> Bytes:
    """What `Decoded.colours` says, of a small square [s, s, 3]."""
    border = np.concatenate([small[0], small[-1], small[1:-1, 0], small[1:-1, -1]]).astype(np.float32)
    told = np.stack([small.mean((0, 1), dtype=np.float32), border.mean(0), border.std(0)])
    found: Bytes = np.rint(told).astype(np.uint8)
    return found


def cuts(data: bytes, preprocess: Preprocess, wanted: Sequence[Cut], *, limit_px: int = LIMIT_PX) -> Bytes:
    """Several rectangles of one picture, each as the network gets it: [v, s, s, 3]. Decoded once.

    Raises:
        UnreadablePicture: as in `decode`.
    """
    opened = _open(data, preprocess, limit_px, anyway)
    with _named(opened.format):
        return np.stack([np.asarray(opened.square(cut).convert("RGB")) for cut in wanted])


@dataclass(frozen=True, eq=False)
class _Opened:
    """A picture that was read whole, before anything is cut from it."""

    flat: Image.Image  # as it lies in the file, L or RGB; a large JPEG at a fraction of its size
    across: float  # pixels of `flat` that the picture takes
    down: float
    orientation: int
    preprocess: Preprocess
    width: int  # of the upright picture in the file
    height: int
    format: str

    def square(self, cut: Cut) -> Image.Image:
        """This rectangle at the size that the network gets, upright."""
        half = min(self.across, self.down) * self.preprocess.size_px / self.preprocess.resize_px / 2
        left, right = _inside(self.across, cut.right * half, cut.width * half)
        top, bottom = _inside(self.down, cut.down * half, cut.height * half)
        square = self.flat.resize(
            (self.preprocess.size_px, self.preprocess.size_px),
            _RESAMPLING[self.preprocess.interpolation],
            box=(left, top, right, bottom),
            reducing_gap=_REDUCING_GAP,
        )
        # A square may be turned after the resize, when it is small.
        if self.orientation in _ROTATIONS:
            square = square.transpose(_ROTATIONS[self.orientation])
        return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if cut.mirrored else square


def _inside(length: float, shift: float, half: float) -> tuple[float, float]:
    """Where a stretch of 2 x `half`, `shift` from the middle, begins and ends, moved to lie in 0..length."""
    half = min(half, length / 2)
    middle = min(max(length / 2 + shift, half), length - half)
    return middle - half, middle + half


def _open(data: bytes, preprocess: Preprocess, limit_px: int, before: Callable[[int], None]) -> _Opened:
    if not data:
        raise UnreadablePicture("the file is empty")
    format = sniff(data[:HEAD_BYTES])
    if format is None:
        raise UnreadablePicture(f"not a picture: the content is none of {', '.join(FORMATS)}")
    _hush()
    with _named(format):
        file = io.BytesIO(data)
        image = _reader(format)(file)
        width, height = image.size
        if width * height > limit_px:
            raise UnreadablePicture(f"{width} x {height} pixels are over the limit of {limit_px:,}")
        # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 of its size.
        enough = preprocess.resize_px * _DRAFT_MARGIN
        is_one_scan = _is_one_scan(image, data[: file.tell()])
        drafted = image.draft(None, (enough, enough))
        before(image.width * image.height if is_one_scan else width * height)
        image.load()
        across, down = drafted[1][2:] if drafted else image.size
        orientation = _orientation(image)
        if orientation >= 5:
            width, height = height, width
        flat = _flat(image, preprocess.background)
        return _Opened(flat, across, down, orientation, preprocess, width, height, format)


@contextmanager
def _named(format: str) -> Iterator[None]:
    """Turn whatever Pillow's readers raise on broken files into the one error with its reason."""
    try:
        yield
    except UnreadablePicture:
        raise
    except ModuleNotFoundError as error:
        raise UnreadablePicture("HEIC pictures need pi-heif: pip install 'headstart[heif]'") from error
    except _FAILURES as error:
        raise UnreadablePicture(_reason(format, error)) from error


@cache
def _reader(format: str) -> Callable[[io.BytesIO], ImageFile]:
    """Pillow's class for this format, imported now and not before."""
    module, name = FORMATS[format]
    return cast(Callable[[io.BytesIO], ImageFile], getattr(import_module(module), name))


def _is_one_scan(image: ImageFile, head: bytes) -> bool:
    """Whether this is a JPEG whose first scan, with whose header `head` ends, brings all of its colours.

    Such a one is decoded row by row. Of all others (progressive ones) libjpeg holds every coefficient first,
    however small the picture that is wanted.
    """
    colours = len(image.getbands())
    begin = b"\xff\xda\x00" + bytes([6 + 2 * colours, colours])
    return head[-8 - 2 * colours : -3 - 2 * colours] == begin and "progressive" not in image.info


def _flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The picture in mode L or RGB, transparent parts showing the background.

    16-bit greys are divided by 257 and rounded; 32-bit whole numbers pass as such where they fit.

    Raises:
        UnreadablePicture: the kind of pixels has no stated range.
    """
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image
    if image.mode == "1" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        if image.mode == "La":
            image = image.convert("LA")
        alpha = image.convert("RGBA")
        ground = Image.new("RGB", alpha.size, background)
        ground.paste(alpha, mask=alpha)
        return ground
    if image.mode in _COLOUR_MODES:
        return image.convert("RGB")
    if image.mode in ("RGB", "L"):
        return image
    raise UnreadablePicture(f"pixels of mode {image.mode} have no stated range")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture of mode 1, I or I;16 in mode L, or LA where one grey is declared transparent.

    Strip by strip: the sums need more than twice the memory of the picture.
    """
    clear = image.info.get("transparency")
    if image.mode == "1":
        clear = clear and 255  # white is 1 before Pillow 13
    flat = Image.new("L", image.size)
    alpha = None if clear is None else Image.new("L", image.size)
    rows = max(1, _STRIP_PX // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values = np.asarray(strip).astype(np.int32)
        if image.mode == "1":
            values = grey = values * 255
        elif values.min() < 0 or values.max() > 65535:
            raise UnreadablePicture("32-bit whole numbers outside 0..65535 have no stated range")
        else:
            grey = (values + 128) // 257
        flat.paste(Image.fromarray(grey.astype(np.uint8)), (0, top))
        if alpha is not None:
            alpha.paste(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)), (0, top))
    return flat if alpha is None else Image.merge("LA", (flat, alpha))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or its block cannot be read."""
    if image.info.keys().isdisjoint(_ORIENTATION_SOURCES):  # Pillow turns TIFF by itself
        return 1
    try:
        return cast(int, image.getexif().get(_ORIENTATION_TAG, 1))
    except _FAILURES:
        return 1


def _reason(format: str, error: BaseException) -> str:
    """Why the file could not be read, in a short sentence that is the same on every run."""
    text = str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"this {format} is over Pillow's own limit on pixels (PIL.Image.MAX_IMAGE_PIXELS)"
    if isinstance(error, MemoryError):
        return f"this {format} asks for more memory than there is"
    if "not identified by this driver" in text:
        return f"this {format} has no width, no height or no pixels"
    if _TRUNCATED.search(text):
        return f"this {format} is cut short"
    told = f" ({text})" if re.search("[a-z]{3} ", text) else ""  # some readers say only "9"
    return f"this {format} is damaged{told}"


def _hush() -> None:
    """Keep what Pillow's readers remark about odd files from being printed.

    A filter for one thread does not exist (before Python 3.14), and `warnings.catch_warnings` in one thread
    undoes another's. So this process ignores, from its first picture on, warnings raised inside these
    libraries; about large pictures too, for which `limit_px` stands.
    """
    if _HUSHED not in warnings.filters:
        warnings.filterwarnings("ignore", module=_HUSHED[3].pattern)
