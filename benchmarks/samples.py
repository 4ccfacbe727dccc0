"""The drawn sample `objects`: how fast it is drawn, how well it is told apart, and by nothing else.

Sets of several seeds are drawn. The accuracy is that of `train` on its own test part. The control is a forest
on what a picture shows beside its thing: bytes of the file, mean colour, colours along the four borders.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import _harness
import numpy as np
from _harness import Bound, Options, Result
from PIL import Image


def measure(asked: Options) -> Iterator[Result]:
    """Speed, accuracy and the control, over the seeds."""
    import headstart
    from headstart.data.samples import objects

    seeds, per_class = (1, 20) if asked.quick else (asked.extra.seeds, objects.PER_CLASS)
    speeds, scores, control, twins, n = [], [], [], [], 0
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for seed in range(seeds):
            folder = place / f"objects-{seed}"
            begin = time.process_time()
            count = objects.write(folder, per_class=per_class, seed=seed)
            speeds.append(count / (time.process_time() - begin))
            report = headstart.train(folder, out=place / f"model-{seed}").report
            judged = report["test"] or report["cv"]
            scores.append(judged["accuracy"])
            n += judged["n"]
            twins.append(float(sum("duplicate" in one["kind"] for one in report["data"]["findings"])))
            control.append(_told_by_the_rest(folder))
    yield Result(
        "pictures of the sample objects drawn and packed, per second of one core",
        float(np.median(speeds)), "pictures/s", None, seeds * per_class * 5, seeds, _harness.ends(speeds),
    )  # fmt: skip
    yield Result(
        "accuracy of the frozen default on the sample objects",
        float(np.mean(scores)), "", Bound(">=", 0.95), n, seeds, _harness.ends(scores),
        {"interval_is": "least and largest seed", "sets_of_twins_found": sum(twins)},
    )  # fmt: skip
    yield Result(
        "accuracy on the sample objects from file size, mean colour and borders alone (chance 0.2)",
        float(np.mean(control)), "", Bound("<", 0.4), seeds * per_class * 5, seeds, _harness.ends(control),
    )  # fmt: skip


def _told_by_the_rest(folder: Path) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    paths = sorted(folder.glob("*/*.jpg"))
    rows = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture).astype(np.float64)
        edges = (pixels[:8], pixels[-8:], pixels[:, :8], pixels[:, -8:])
        colours = [pixels.mean((0, 1)), *(edge.mean((0, 1)) for edge in edges)]
        rows.append([path.stat().st_size, *np.concatenate(colours)])
    forest = RandomForestClassifier(200, random_state=0, min_samples_leaf=3)
    return float(cross_val_score(forest, np.array(rows), [path.parent.name for path in paths], cv=10).mean())


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seeds", {"type": int, "default": 3}))
