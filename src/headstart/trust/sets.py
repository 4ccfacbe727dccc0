"""Whether the sets of classes hold the truth as often as asked, and how large they are: for the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate import accuracy_interval, prediction_sets
from headstart.evaluate.sets import upper_quantile
from headstart.values import Doubles, Ints


def told(
    probabilities: Doubles,
    y: Ints,
    groups: Ints,
    classes: Sequence[str],
    scores: Doubles | None,
    asked: float = 0.95,
) -> dict[str, Any]:
    """The part `sets` of `trust`: of pictures [n] with calibrated `probabilities` [n, k] and truth `y` [n].

    `scores` [m] are those of the model (`Model.set_scores`), of other pictures. Without them the pictures are
    those behind the scores, by fits without them: then each half of the groups is judged by the other half.
    A set always has the first choice, so that where this is right more often than asked, so is the set.
    """
    own = 1 - probabilities[np.arange(len(y)), y]
    chosen: NDArray[np.bool_] = np.zeros(probabilities.shape, dtype=np.bool_)
    if scores is not None:
        chosen = prediction_sets(probabilities, upper_quantile(scores.astype(np.float64), asked, beyond=1.0))
    else:
        half = _halves(groups)
        for mine in (half, ~half):
            limit = upper_quantile(own[~mine], asked, beyond=1.0)
            chosen[mine] = prediction_sets(probabilities[mine], limit)
    held = chosen[np.arange(len(y)), y]
    low, high = accuracy_interval(held, groups)
    return {
        "asked": asked,
        "coverage": round(float(held.mean()), 4),
        "coverage_ci95": [round(low, 4), round(high, 4)],
        "mean_size": round(float(chosen.sum(axis=1).mean()), 4),
        "n": len(y),
        "per_class": {
            classes[int(c)]: {
                "coverage": round(float(held[y == c].mean()), 4),
                "n": int((y == c).sum()),
            }
            for c in np.unique(y)
        },
    }


def _halves(groups: Ints) -> NDArray[np.bool_]:
    """Which pictures are in the first half: every other group in a random order."""
    names = np.random.default_rng(0).permutation(np.unique(groups))
    found: NDArray[np.bool_] = np.isin(groups, names[::2])
    return found
