"""Augmentation: other looks at a training picture, told by its content, a number and nothing else.

What is cut out lies within the picture, nothing is turned upside down and no hue changes, so that what a look
shows stays what it is called; where it is turned or slanted, a grey corner shows. Mirroring is left out where
mirrored pictures are no longer recognised (`finetune.tune`): letters, digits and hands do not survive it.
"""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageEnhance

from headstart.finetune.wish import Policy
from headstart.modalities.image import LIMIT_PX, WHOLE, Cut, cuts
from headstart.values import Bytes, Floats, Preprocess

STRONG_FROM = 100  # pictures per class from which `strong` is taken unless one is named
SIZES = {"light": (0.7, 1.14), "strong": (0.45, 1.14)}  # of the look's side, in sides of the central square
STRETCH = 0.15  # logarithm of the most that width and height differ by
_GREY = (128, 128, 128)


def usual(pictures: int, classes: int) -> Policy:
    """The policy for so many training pictures."""
    return "strong" if pictures >= STRONG_FROM * classes else "light"


def looks(  # noqa: PLR0913  what to look at, and how
    data: bytes,
    digest: str,
    preprocess: Preprocess,
    policy: Policy,
    views: int,
    *,
    mirror: bool,
    limit_px: int = LIMIT_PX,
) -> Bytes:
    """So many views of a picture, [views, s, s, 3]; the first is the one that `decode` gives.

    Follows random resized crops (Szegedy et al. 2015, arXiv:1409.4842) and, for `strong`, one change of
    random kind and strength for each view (TrivialAugment, Müller and Hutter 2021, arXiv:2103.10158).

    Raises:
        UnreadablePicture: as in `decode`.
    """
    dice = [np.random.default_rng([int(digest[:15], 16), view]) for view in range(views)]
    wanted = [WHOLE] + [_cut(own, policy, mirror=mirror) for own in dice[1:]]
    found = cuts(data, preprocess, wanted, limit_px=limit_px)
    if policy == "strong":
        for view in range(1, views):
            found[view] = _changed(found[view], dice[view])
    return found


def plain(data: bytes, preprocess: Preprocess, *, mirrored: bool, limit_px: int = LIMIT_PX) -> Bytes:
    """The picture as `decode` gives it, or with left and right exchanged, [1, s, s, 3]."""
    return cuts(data, preprocess, [replace(WHOLE, mirrored=mirrored)], limit_px=limit_px)


def _cut(dice: np.random.Generator, policy: Policy, *, mirror: bool) -> Cut:
    if policy == "none":
        return WHOLE
    low, high = SIZES[policy]
    size, stretch = dice.uniform(low, high), float(np.exp(dice.uniform(-STRETCH, STRETCH) / 2))
    width, height = size * stretch, size / stretch
    right = dice.uniform(-1, 1) * max(0.0, high - width)
    down = dice.uniform(-1, 1) * max(0.0, high - height)
    return Cut(right, down, width, height, mirrored=mirror and dice.random() < 0.5)


def _changed(pixels: Bytes, dice: np.random.Generator) -> Bytes:
    """One change of random kind and strength."""
    image = Image.fromarray(pixels)
    kind = dice.integers(8)
    strength = float(dice.uniform(-1, 1))
    bilinear = Image.Resampling.BILINEAR
    if kind == 0:
        return _away(pixels, np.float32(0), 1 + 0.4 * strength)
    if kind == 1:
        return _away(pixels, _grey(image).mean(), 1 + 0.4 * strength)
    if kind == 2:
        return _away(pixels, _grey(image), 1 + 0.6 * strength)
    if kind == 3:
        changed = ImageEnhance.Sharpness(image).enhance(1 + 0.8 * strength)
    elif kind == 4:
        low, high = np.float32(pixels.min()), np.float32(pixels.max())
        return _away(pixels - low, np.float32(0), float(255 / (high - low))) if high > low else pixels
    elif kind == 5:
        changed = image.rotate(15 * strength, bilinear, fillcolor=_GREY)
    elif kind == 6:
        middle = image.height / 2
        shear = (1, 0.2 * strength, -0.2 * strength * middle, 0, 1, 0)
        changed = image.transform(image.size, Image.Transform.AFFINE, shear, bilinear, fillcolor=_GREY)
    else:
        changed = image
    return np.asarray(changed)


def _grey(image: Image.Image) -> Floats:
    """How light each pixel is, [s, s, 1]."""
    return np.asarray(image.convert("L"), np.float32)[:, :, None]


def _away(pixels: Bytes | Floats, origin: Floats | np.float32, factor: float) -> Bytes:
    """Every colour so many times as far from `origin`, which is grey.

    What no pixel can hold is drawn towards its own grey until one can: cut off channel by channel it would
    change its hue (a light orange made lighter, by 17 degrees).
    """
    wanted = origin + np.float32(factor) * (pixels - origin)
    grey = wanted.mean(-1, keepdims=True).clip(0, 255)
    colour = wanted - grey
    room = np.where(colour > 0, 255 - grey, grey) / np.maximum(np.abs(colour), np.float32(1e-3))
    found: Bytes = np.rint(grey + colour * room.min(-1, keepdims=True).clip(0, 1)).astype(np.uint8)
    return found
