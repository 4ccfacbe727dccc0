"""From light to a picture: exposure, what is out of focus, a shaken hand, vignette, noise, eight bits."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from headstart.data.render.maths import Floats, Vector, grain
from headstart.data.render.scene import Light
from headstart.values import Bytes


@dataclass(frozen=True)
class Lens:
    """How the picture is taken."""

    side_px: int
    exposure: float  # mean brightness that the camera aims at, 0 to 1
    cast: Vector  # what white becomes
    aperture: float  # pixels of blur at twice the distance of the thing; 0: all is sharp
    shake: int  # pixels that the hand moved
    vignette: float  # share of light that is missing in the corners
    noise: float  # of 1
    seed: int  # where the noise begins


def picture(light: Light, focus: float, lens: Lens) -> Bytes:
    """The picture [side, side, 3] of this light, sharp at depth `focus`."""
    level = _mean(light.rgb)
    rgb: Floats = light.rgb * (np.float32(lens.exposure**2 * 1.6) / np.float32(max(level, 1e-3)))
    rgb = rgb * np.array(lens.cast, np.float32)
    shown = np.sqrt(
        rgb * (1 + rgb * np.float32(0.09)) / (1 + rgb * np.float32(0.75))
    )  # bright light is held back
    size = (lens.side_px, lens.side_px)
    taken = Image.fromarray(_eight_bits(shown)).resize(size, Image.Resampling.HAMMING)
    if lens.aperture:
        taken = _out_of_focus(taken, light.depth, focus, lens.aperture)
    if lens.shake:
        taken = _shaken(taken, lens.shake)
    found = np.asarray(taken).astype(np.float32) * np.float32(1 / 255)
    line = (np.arange(lens.side_px, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / lens.side_px) - 1
    dark = 1 - np.float32(lens.vignette / 2) * (line[:, None] ** 2 + line[None, :] ** 2)
    found = found * dark[..., None]
    return _eight_bits(found + _noise(lens) * (0.5 + np.float32(0.5) * (1 - found)))


def _mean(rgb: Floats) -> float:
    """Mean brightness. Whole numbers are summed, since a sum of floats depends on its order."""
    grey = np.minimum(rgb[..., 0] * 0.3 + rgb[..., 1] * 0.6 + rgb[..., 2] * 0.1, 2)
    return int((grey * np.float32(4096)).astype(np.int64).sum()) / 4096 / grey.size


def _eight_bits(shown: Floats) -> Bytes:
    found: Bytes = np.clip(shown * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
    return found


def _out_of_focus(sharp: Image.Image, depth: Floats, focus: float, aperture: float) -> Image.Image:
    """Blurred the more, the farther from the depth in focus; two strengths of blur are mixed."""
    found = np.asarray(sharp).astype(np.float32)
    wide = np.abs(1 - np.float32(focus) / depth) * np.float32(aperture * 2)
    radius = Image.fromarray(np.clip(wide * 16, 0, 255).astype(np.uint8)).resize(sharp.size)
    wide = np.asarray(radius.filter(ImageFilter.BoxBlur(1))).astype(np.float32) * np.float32(1 / 16)
    low = np.float32(0.6)
    for strength in (1.2, 3.0):
        blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(strength))).astype(np.float32)
        share = np.clip((wide - low) / (np.float32(strength) - low), 0, 1)[..., None]
        found = found + (blurred - found) * share
        low = np.float32(strength)
    return Image.fromarray(found.astype(np.uint8))


def _shaken(sharp: Image.Image, pixels: int) -> Image.Image:
    """The mean of the picture and itself, moved."""
    wide = np.asarray(sharp).astype(np.uint16)
    total = np.sum([np.roll(wide, (move // 2, move), (0, 1)) for move in range(pixels + 1)], 0)
    return Image.fromarray((total // (pixels + 1)).astype(np.uint8))


def _noise(lens: Lens) -> Floats:
    """Grain of three colours that share most of it."""
    rng = np.random.default_rng(lens.seed)
    line = np.arange(lens.side_px, dtype=np.float32) * np.float32(1 / 512)
    parts = []
    for _ in range(4):
        x, y = rng.integers(0, 512, 2).tolist()
        parts.append(grain(line[None, :] + np.float32(x / 512), line[:, None] + np.float32(y / 512)))
    found: Floats = np.stack([parts[0] + 0.6 * part for part in parts[1:]], 2) * np.float32(lens.noise)
    return found
