"""A small CNN from scratch beside the frozen and the fine-tuned network, on more and more pictures.

CIFAR-10 at 32 pixels: the first 25, 50, 100 and 200 pictures of each class, judged on the same test part.
From scratch it is the textbooks' network of convolutions and pooling (`scratch:small-cnn?size=32`).
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import _harness
from _harness import Options, Result

SET = "cifar10_small"
SIZES = (25, 50, 100, 200)
WAYS: dict[str, dict[str, Any]] = {
    "small CNN from scratch": {"backbone": "scratch:small-cnn?size=32"},
    "frozen": {"tune": "never"},
    "last stages trained": {"tune": "last"},
}


def measure(asked: Options) -> Iterator[Result]:
    """A row for each size and way."""
    from headstart import train

    source = _harness.picture_set(asked, SET)
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for size in SIZES[:1] if asked.quick else SIZES:
            folder = place / str(size)
            _harness.some(source / "train", folder / "train", size)
            shutil.copytree(source / "test", folder / "test")
            for way, words in WAYS.items():
                minutes = {"budget_s": 10.0 if asked.quick else 60 * asked.extra.minutes}
                bound: dict[str, Any] = {} if way == "frozen" else minutes
                model = train(folder, out=place / f"{size}-{way}", report=False, **words, **bound)
                score, done = model.report["test"], model.report["tuning"] or []
                yield Result(
                    f"test accuracy on {SET} from {size} pictures per class, {way}",
                    score["accuracy"], "", None, score["n"], 1, tuple(score["accuracy_ci95"]),
                    {"seconds": model.report["seconds"], "tuned": model.report["tune"], "nll": score["nll"],
                     "epochs": [len(one["epochs"]) for one in done]},
                )  # fmt: skip


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--minutes", {"type": float, "default": 4.0}))
