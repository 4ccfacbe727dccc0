"""Pictures that are easy to make and to tell apart: any number, all distinct, the same for the same seed.

A class is a direction of stripes; each picture has stripes, colours and a rough ground of its own.
"""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(label: int, classes: int, number: int, *, side: int = 64, seed: int = 0) -> Image.Image:
    """One picture of class `label` of `classes`."""
    rng = np.random.default_rng([seed, label, number])
    ground = Image.fromarray(rng.integers(40, 216, (7, 7, 3), dtype=np.uint8))
    rough = np.asarray(ground.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
    angle = np.pi * (label + rng.uniform(-0.2, 0.2)) / classes
    across = np.arange(side) / side
    waves = np.cos(angle) * across[None] + np.sin(angle) * across[:, None]
    stripes = np.sin(2 * np.pi * (rng.uniform(4, 9) * waves + rng.uniform()))
    colour = rng.uniform(-60, 60, 3)
    found = rough + stripes[..., None] * colour + rng.normal(0, 6, (side, side, 1))
    return Image.fromarray(found.clip(0, 255).astype(np.uint8))


def folder(place: Path, count: int, *, classes: int = 10, side: int = 64, seed: int = 0) -> Path:
    """A folder of class folders with `count` JPEGs in all."""
    for label in range(classes):
        (place / f"class-{label}").mkdir(parents=True, exist_ok=True)
    for at in range(count):
        label, number = at % classes, at // classes
        file = place / f"class-{label}" / f"{number:06d}.jpg"
        if not file.exists():
            picture(label, classes, number, side=side, seed=seed).save(file, quality=85)
    return place
