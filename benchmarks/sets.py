"""Sets of classes hold the truth as often as stated: coverage and size over random splits of kept features.

Each split deals out all pictures of a set anew, twins and groups together, 70 % to learn from and 30 % to be
judged by; head, depths, penalty, temperature and the scores behind the sets come from the 70 % as in `train`
(with the kind of head that `auto` takes on the first split). A set is never empty, so that its coverage is
at least the accuracy of the first choice: where that is above what was asked, so is the coverage. What the
threshold promises by itself (that of sets which may be empty) stands in a line of its own.
"""

from collections.abc import Iterator
from statistics import mean
from typing import Any

import _harness
import _kept
import numpy as np
from _harness import Bound, Options, Result

COVERAGES = (0.9, 0.95, 0.99)
SHARE = 0.3


def measure(asked: Options) -> Iterator[Result]:
    """Two lines for each coverage."""
    with _kept.looks(asked) as seen:
        features = {name: look.features for name, look in seen.items()}
    yield from judged(features, 2 if asked.quick else asked.extra.splits)


def judged(features: dict[str, Any], splits: int) -> Iterator[Result]:
    """The results, from features alone."""
    found = {name: over_splits(own, splits) for name, own in features.items()}
    for coverage in COVERAGES:
        sets = {name: one[coverage] for name, one in found.items()}
        bare = [one["by_threshold"] - coverage for one in sets.values()]
        yield Result(
            f"sets asked to hold the truth in {coverage:.0%}: the threshold alone, away from that, mean over "
            f"{len(sets)} sets",
            100 * abs(mean(bare)),
            "points",
            Bound("<=", 1),
            sum(one["n"] for one in sets.values()),
            splits,
            _harness.ends([100 * gap for gap in bare]),
            {"interval_is": "least and largest set, signed"},
        )
        gaps = [one["coverage"] - coverage for one in sets.values()]
        yield Result(
            f"sets asked to hold the truth in {coverage:.0%}: away from that, mean over {len(sets)} sets",
            100 * abs(mean(gaps)),
            "points",
            Bound("<=", 1),
            sum(one["n"] for one in sets.values()),
            splits,
            _harness.ends([100 * gap for gap in gaps]),
            {
                "interval_is": "least and largest set, signed",
                "mean_coverage": mean(one["coverage"] for one in sets.values()),
                "mean_size": mean(one["mean_size"] for one in sets.values()),
                "sets": sets,
            },
        )


def over_splits(features: Any, splits: int) -> dict[float, dict[str, Any]]:
    """Coverage, size and coverage by class over all splits, for each coverage asked."""
    from headstart.data.split import deal
    from headstart.evaluate import prediction_sets, softmax
    from headstart.evaluate.sets import upper_quantile
    from headstart.heads._choose import choose

    head = "auto"
    held: dict[float, list[Any]] = {coverage: [] for coverage in COVERAGES}
    sizes: dict[float, list[Any]] = {coverage: [] for coverage in COVERAGES}
    within: dict[float, list[float]] = {coverage: [] for coverage in COVERAGES}
    truths, right = [], []
    for seed in range(splits):
        split = deal(features.y, features.groups, features.digests, seed=seed, share=SHARE)
        train, test = split.rows("train"), split.rows("test")
        fitted = choose(features.take(train), head=head, seed=seed)
        head = fitted.best.head
        said = softmax(fitted.logits(features.x[test]), fitted.best.temperature)
        y = features.y[test]
        truths.append(y)
        right.append(float((said.argmax(1) == y).mean()))
        scores = 1 - fitted.held_out[np.arange(len(fitted.truth)), fitted.truth]
        for coverage in COVERAGES:
            threshold = upper_quantile(scores, coverage, beyond=1.0)
            within[coverage].append(float((1 - said[np.arange(len(y)), y] <= threshold).mean()))
            sets = prediction_sets(said, threshold)
            held[coverage].append(sets[np.arange(len(y)), y])
            sizes[coverage].append(sets.sum(1))
    labels = np.concatenate(truths)
    told = {}
    for coverage in COVERAGES:
        each = [float(one.mean()) for one in held[coverage]]
        whole = np.concatenate(held[coverage])
        by_class = [float(whole[labels == c].mean()) for c in np.unique(labels)]
        told[coverage] = {
            "coverage": mean(each),
            "by_threshold": mean(within[coverage]),
            "coverage_5_to_95": [float(end) for end in np.quantile(each, (0.05, 0.95))],
            "accuracy": mean(right),
            "mean_size": mean(float(one.mean()) for one in sizes[coverage]),
            "least_covered_class": min(by_class),
            "classes_5_points_below": int(np.sum(np.array(by_class) < coverage - 0.05)),
            "classes": len(features.classes),
            "head": head,
            "n": len(labels) // splits,
        }
    return told


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--splits", {"type": int, "default": 100}))
