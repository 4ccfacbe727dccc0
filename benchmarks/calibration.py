"""Probabilities mean what they say: calibration error and log-loss on test pictures never chosen by.

Uncalibrated is the same head at temperature 1. Sets with fewer than 500 test pictures are shown and not
counted: their calibration error is mostly chance. `ece_by_chance` is what the same probabilities would have
if they were perfect, truths drawn from them: mean, and the middle 90 % of draws. `ece_in_hindsight` is with
the temperature that is best for the test pictures themselves: what is left there no temperature can mend.
One test part may be odd, so the same is measured on random splits as well, 70 % to learn from and 30 % to be
judged by, twins and groups together.
"""

from collections.abc import Iterator
from statistics import mean
from typing import Any

import _harness
import _kept
import numpy as np
from _harness import Bound, Options, Result

ENOUGH = 500
DRAWS = 200
SPLITS = 20


def measure(asked: Options) -> Iterator[Result]:
    """A line for the calibration error, one for the log-loss."""
    with _kept.looks(asked) as seen:
        features = {name: look.features for name, look in seen.items()}
        parts = {
            name: (_kept.rows(look, "train"), np.flatnonzero(np.array(look.examples.parts) != "train"))
            for name, look in seen.items()
        }
    yield from judged(features, parts)


def judged(features: dict[str, Any], parts: dict[str, Any]) -> Iterator[Result]:
    """The results, from features alone."""
    found = {name: one_set(features[name], *parts[name]) for name in features}
    counted = [name for name, one in found.items() if one["n"] >= ENOUGH] or list(found)
    yield Result(
        f"calibration error (15 bins), the largest of the sets with {ENOUGH} test pictures or more",
        max(found[name]["ece"] for name in counted),
        "",
        Bound("<=", 0.03),
        sum(found[name]["n"] for name in counted),
        1,
        None,
        {"counted": counted, "sets": found},
    )
    gains = {name: found[name]["nll_uncalibrated"] - found[name]["nll"] for name in found}
    yield Result(
        f"log-loss that calibration saves, the least of the sets with {ENOUGH} test pictures or more",
        min(gains[name] for name in counted),
        "nats",
        Bound(">", 0),
        sum(found[name]["n"] for name in counted),
        1,
        None,
        {"counted": counted, "gains": gains},
    )
    dealt = {name: over_splits(features[name], found[name]["head"]) for name in counted}
    beyond = {name: [one["ece"] - one["ece_by_chance"][0] for one in own] for name, own in dealt.items()}
    worst = max(counted, key=lambda name: mean(beyond[name]))
    yield Result(
        f"calibration error on {SPLITS} random splits, beyond what perfect ones have, mean, worst set",
        mean(beyond[worst]),
        "",
        None,
        sum(one["n"] for own in dealt.values() for one in own),
        SPLITS,
        _harness.ends(beyond[worst]),
        {
            "interval_is": "least and largest split",
            "sets": {
                name: {
                    "ece": mean(one["ece"] for one in own),
                    "ece_by_chance": mean(one["ece_by_chance"][0] for one in own),
                    "ece_uncalibrated": mean(one["ece_uncalibrated"] for one in own),
                    "n": own[0]["n"],
                    "own_split": found[name]["ece"],
                }
                for name, own in dealt.items()
            },
        },
    )


def over_splits(features: Any, head: str) -> list[dict[str, Any]]:
    """The same on other parts, with the kind of head that the set's own training part chose."""
    from headstart.data.split import deal

    found = []
    for seed in range(SPLITS):
        split = deal(features.y, features.groups, features.digests, seed=seed, share=0.3)
        found.append(one_set(features, split.rows("train"), split.rows("test"), head, seed))
    return found


def one_set(features: Any, train: Any, test: Any, head: str = "auto", seed: int = 0) -> dict[str, Any]:
    """Calibration error and log-loss with and without the temperature."""
    from headstart.evaluate import ece, nll, softmax, temperature
    from headstart.heads._choose import choose

    fitted = choose(features.take(train), head=head, seed=seed)
    logits, y = fitted.logits(features.x[test]), features.y[test]
    said, plain = softmax(logits, fitted.best.temperature), softmax(logits, 1.0)
    return {
        "head": fitted.best.head,
        "temperature": fitted.best.temperature,
        "ece": ece(y, said),
        "ece_by_chance": _by_chance(said),
        "ece_in_hindsight": ece(y, softmax(logits, temperature(logits, y))),
        "ece_uncalibrated": ece(y, plain),
        "nll": nll(y, said),
        "nll_uncalibrated": nll(y, plain),
        "n": len(test),
    }


def _by_chance(said: Any) -> list[float]:
    from headstart.evaluate import ece

    rng = np.random.default_rng(0)
    edges = said.cumsum(axis=1)
    edges[:, -1] = 1.0
    found = [ece((rng.random((len(said), 1)) > edges).sum(axis=1), said) for _ in range(DRAWS)]
    return [float(np.mean(found)), *(float(end) for end in np.quantile(found, (0.05, 0.95)))]


if __name__ == "__main__":
    _harness.main(measure, __doc__)
