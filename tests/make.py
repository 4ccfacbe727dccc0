"""Toy pictures and folders of them: learnable in seconds, no two alike unless asked."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

TINTS = {"blue": (90, 110, 170), "green": (100, 160, 110), "red": (165, 105, 95)}


def picture(tint: tuple[int, int, int], number: int, *, jitter: float = 18.0, side: int = 72) -> Image.Image:
    """Soft noise around a colour that strays by `jitter`: numbers 0, 1, … give strangers, the same number the same."""
    rng = np.random.default_rng([number, *tint])
    base = np.array(tint) + rng.normal(0, jitter, 3)
    rough = base + rng.normal(0, 45, (9, 9, 1)) + rng.normal(0, 12, (9, 9, 3))
    small = Image.fromarray(rough.clip(0, 255).astype(np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def folder(place: Path, classes: Mapping[str, int], *, first: int = 0, jitter: float = 18.0) -> Path:
    """A folder with so many pictures of each class; names beyond red, green and blue get colours of their own."""
    for name, count in classes.items():
        own = place / name
        own.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode("utf-8", "surrogateescape")) % 200
        tint = TINTS.get(name, (seed, 255 - seed, 128))
        for number in range(first, first + count):
            suffix = ("png", "jpg")[number % 2]
            picture(tint, number, jitter=jitter).save(own / f"{number:04d}.{suffix}")
    return place
