"""All numbers about one set of predictions, in one value."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.errors import NotFinite, TooFewExamples
from headstart.evaluate.accuracy import confusion, macro_f1, per_class
from headstart.evaluate.intervals import accuracy_interval
from headstart.evaluate.scores import brier, ece, nll
from headstart.values import Doubles, Evaluation, Ints, PerClass


def judge(y: Ints, probabilities: Doubles, classes: Sequence[str], groups: Ints | None = None) -> Evaluation:
    """What `probabilities` [n, k] are worth against the truth `y` [n].

    Equal highest probabilities: the first class is the prediction. `groups` [n] widen the intervals
    (see `accuracy_interval`) and change nothing else.

    Raises:
        TooFewExamples: no rows.
        NotFinite: a probability is NaN or infinite.

    >>> judge(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ("ant", "bee")).confusion
    ((1, 0), (1, 0))
    """
    return judge_repeats(y, probabilities[None], classes, groups)


def judge_repeats(
    y: Ints, probabilities: Doubles, classes: Sequence[str], groups: Ints | None = None
) -> Evaluation:
    """What repeated cross-validation says: `probabilities` [r, n, k] of the same n pictures in r repeats.

    Every number is the mean over the repeats. Repeats are not new pictures: `n` and the interval are those of
    n pictures, each with the share of repeats in which it was right. The confusion table is the mean of
    the repeats', rounded so that each row still sums to the class's n (largest remainders up).

    Raises:
        TooFewExamples: no rows or no repeats.
        NotFinite: a probability is NaN or infinite.
    """
    k = len(classes)
    if probabilities.shape[1:] != (len(y), k):
        raise ValueError(f"probabilities {probabilities.shape[1:]} for {len(y)} examples of {k} classes")
    if len(y) == 0 or len(probabilities) == 0:
        raise TooFewExamples(
            "there is no picture to judge on: a score needs at least one whose class is known."
        )
    if not np.isfinite(probabilities).all():
        raise NotFinite("a probability is NaN or infinite: the features or the head are damaged.")
    predicted = probabilities.argmax(axis=2)
    tables = [confusion(y, row, k) for row in predicted]
    correct = (predicted == y).mean(axis=0)
    low, high = accuracy_interval(correct, groups)
    return Evaluation(
        n=len(y),
        accuracy=float((predicted == y).mean()),
        accuracy_ci95=(low, high),
        macro_f1=_mean([macro_f1(table) for table in tables]),
        nll=_mean([nll(y, one) for one in probabilities]),
        ece=_mean([ece(y, one) for one in probabilities]),
        brier=_mean([brier(y, one) for one in probabilities]),
        per_class={
            name: _mean_of_class(own, accuracy_interval(correct[y == c], _of(groups, y == c)))
            for (c, name), *own in zip(enumerate(classes), *(per_class(t) for t in tables), strict=True)
        },
        confusion=tuple(tuple(_rounded(row).tolist()) for row in np.mean(tables, axis=0)),
    )


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers))


def _of(groups: Ints | None, rows: NDArray[np.bool_]) -> Ints | None:
    return None if groups is None else groups[rows]


def _mean_of_class(repeats: Sequence[PerClass], ends: tuple[float, float]) -> PerClass:
    return PerClass(
        _mean([one.precision for one in repeats]),
        _mean([one.recall for one in repeats]),
        ends,
        _mean([one.f1 for one in repeats]),
        repeats[0].n,
    )


def _rounded(shares: Doubles) -> Ints:
    """Whole numbers near `shares` [k] with the same, whole, sum: the largest remainders are rounded up."""
    down = np.floor(shares)
    over = round(float(shares.sum() - down.sum()))
    down[np.argsort(down - shares, kind="stable")[:over]] += 1
    return down.astype(np.int64)
