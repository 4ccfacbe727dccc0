"""Small pictures for the report: the square that the network gets, as JPEG."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from headstart.errors import UnreadablePicture
from headstart.files import cores
from headstart.modalities.image import LIMIT_PX, decode
from headstart.values import Preprocess

SIDE_PX = 112
QUALITY = 72
MOST = 400
MOST_BYTES = 3_000_000  # of all of them; in the page they take a third more


def thumbs(
    wanted: Iterable[str], files: Mapping[str, Path], preprocess: Preprocess, *, limit_px: int = LIMIT_PX
) -> dict[str, bytes]:
    """JPEGs by path, in the order wanted (most needed first), until there are enough.

    What cannot be read (any more) is left out.
    """
    paths = list(dict.fromkeys(path for path in wanted if path in files))[:MOST]
    smaller = replace(
        preprocess, size_px=SIDE_PX, resize_px=round(SIDE_PX * preprocess.resize_px / preprocess.size_px)
    )

    def one(path: str) -> bytes | None:
        try:
            return jpeg(files[path].read_bytes(), smaller, limit_px)
        except (OSError, UnreadablePicture):
            return None

    with ThreadPoolExecutor(cores()) as pool:
        made = list(pool.map(one, paths))
    return _affordable(paths, made)


def jpeg(data: bytes, preprocess: Preprocess, limit_px: int) -> bytes:
    """One picture as a small JPEG.

    Raises:
        UnreadablePicture: as in `decode`.
    """
    from PIL import Image

    out = io.BytesIO()
    pixels = decode(data, preprocess, limit_px=limit_px).pixels
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def as_css(pictures: Mapping[str, bytes]) -> str:
    """Pictures as classes of a style sheet, t0, t1 … in their order: each is embedded once."""
    return "".join(
        f".t{at}{{background-image:url(data:image/jpeg;base64,{base64.b64encode(data).decode()})}}"
        for at, data in enumerate(pictures.values())
    )


def _affordable(paths: Sequence[str], made: Sequence[bytes | None]) -> dict[str, bytes]:
    left, found = MOST_BYTES, {}
    for path, data in zip(paths, made, strict=True):
        if data is not None and len(data) <= left:
            found[path] = data
            left -= len(data)
    return found
