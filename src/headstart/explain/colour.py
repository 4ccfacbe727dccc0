"""Maps as pictures: colours that the colour-blind can tell apart, PNG and JPEG bytes, no plotting library."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from headstart.explain.heat import Heat
from headstart.values import Bytes, Floats

# orange and blue: apart in hue for every eye, and in lightness
FOR = np.array((230, 97, 1), np.float32)
AGAINST = np.array((33, 102, 172), np.float32)
VEIL = 0.85  # how much of the colour the strongest place gets
WARM = 0.2  # share of the picture that the line encloses
SMALL = 160  # pixels across a picture for a report: even noise stays below 30 kB in a palette
COLOURS = 128
_DIM = np.array(  # from nothing to much, evenly lighter: anchors between which colours are mixed
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float32
)


def overlay(heat: Heat) -> bytes:
    """The heat over the grey picture as a small PNG, at most 30 kB: for pages that show many."""
    image = Image.fromarray(painted(heat))
    if image.width > SMALL:
        image = image.resize((SMALL, SMALL), Image.Resampling.LANCZOS)
    return _bytes(image.quantize(COLOURS, dither=Image.Dither.NONE), "PNG")


def painted(heat: Heat) -> Bytes:
    """The heat over the grey picture, [s, s, 3]: orange speaks for the class, blue against.

    The darker the colour, the more; the strongest place of this map has the whole of it. A line encloses
    the warmest fifth of the picture.
    """
    grey = np.asarray(Image.fromarray(heat.pixels).convert("L"), np.float32)[..., None]
    base = 40 + 0.8 * grey  # room above and below for the colours
    strength = np.abs(heat.map) / max(float(np.abs(heat.map).max()), 1e-12)
    colour = np.where(heat.map[..., None] > 0, FOR, AGAINST)
    share = VEIL * strength[..., None]
    found = base * (1 - share) + colour * share
    line = _border(heat.map >= np.quantile(heat.map, 1 - WARM))
    found[_wider(line)] = 20
    found[line] = 255
    return found.clip(0, 255).astype(np.uint8)


def levels(values: Floats) -> Bytes:
    """A map [h, w] from dark (its least) to light (its largest), [h, w, 3], but for a percent at each end."""
    low, high = (float(end) for end in np.quantile(values, (0.01, 0.99)))
    at = ((values - low) / max(high - low, 1e-12)).clip(0, 1) * (len(_DIM) - 1)
    left = np.minimum(at.astype(np.int64), len(_DIM) - 2)
    share = (at - left)[..., None]
    mixed = _DIM[left] * (1 - share) + _DIM[left + 1] * share
    found: Bytes = mixed.round().astype(np.uint8)
    return found


def strip(tiles: Sequence[Bytes], side: int, *, across: int) -> Bytes:
    """Square pictures side by side, `across` in a row, each `side` pixels, on white."""
    gap = 3
    rows = -(-len(tiles) // across)
    columns = min(across, len(tiles))
    sheet = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for at, tile in enumerate(tiles):
        way = Image.Resampling.NEAREST if tile.shape[0] < side else Image.Resampling.BOX
        down, right = (at // across) * (side + gap), (at % across) * (side + gap)
        sheet[down : down + side, right : right + side] = np.asarray(
            Image.fromarray(tile).resize((side, side), way)
        )
    return sheet


def png(pixels: Bytes) -> bytes:
    """These pixels without loss."""
    return _bytes(Image.fromarray(pixels), "PNG")


def jpeg(pixels: Bytes) -> bytes:
    """These pixels, a tenth as large."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=88, subsampling=0)
    return out.getvalue()


def _bytes(image: Image.Image, form: str) -> bytes:
    out = io.BytesIO()
    image.save(out, form, optimize=True)
    return out.getvalue()


def _border(
    inside: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]",
) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Places inside that have a neighbour outside; the picture's own edge is none."""
    large = np.pad(inside, 1, mode="edge")
    whole = large[:-2, 1:-1] & large[2:, 1:-1] & large[1:-1, :-2] & large[1:-1, 2:]
    return inside & ~whole


def _wider(
    line: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]",
) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """The line and its neighbours."""
    large = np.pad(line, 1)
    return large[1:-1, 1:-1] | large[:-2, 1:-1] | large[2:, 1:-1] | large[1:-1, :-2] | large[1:-1, 2:]
