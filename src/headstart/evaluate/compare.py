"""Is one classifier better than another on the same pictures, or was it luck?"""

import math

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate.intervals import student
from headstart.values import Doubles, Ints


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_], groups: Ints | None = None) -> float:
    """The two-sided p-value of the exact McNemar test on paired answers [n]. 1 where they never differ.

    Only pictures that exactly one of the two got right tell anything; if both were equally good, each
    of these would be a fair coin. Pictures of equal `groups` [n] are one toss, which goes to whoever got more
    of them right (a sign test of groups); without, pictures are taken to be independent.

    >>> a = np.array([True] * 6)
    >>> round(mcnemar(a, ~a), 5)          # six heads or six tails: 2 / 2**6
    0.03125
    """
    lead: Doubles = correct_a.astype(np.float64) - correct_b
    if groups is not None:
        lead = np.bincount(np.unique(groups, return_inverse=True)[1], weights=lead).astype(np.float64)
    only_a, only_b = int(np.sum(lead > 0)), int(np.sum(lead < 0))
    n, fewer = only_a + only_b, min(only_a, only_b)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(math.exp(log - n * math.log(2)) for log in logs))


def paired(gains: Doubles, groups: Ints, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of paired differences [n] and the ends of its interval; groups are what is drawn, not pictures.

    The variance is that between groups (ratio estimator), the quantile Student's for one less than their
    number. One group tells nothing: the interval is then without end.
    """
    mean = float(gains.mean())
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=gains - mean)
    many = len(sums)
    if many < 2:
        return mean, -math.inf, math.inf
    error = math.sqrt(float((sums**2).sum()) * many / (many - 1)) / len(gains)
    half = student(many - 1, level) * error
    return mean, mean - half, mean + half


def paired_accuracy(
    right: NDArray[np.bool_], below: NDArray[np.bool_], groups: Ints, level: float = 0.95
) -> tuple[float, float, float]:
    """How much more accurate the first answers [n] are, and the ends of its interval, within -1 and 1.

    The wider of `paired` and of the adjusted interval for paired proportions (Bonett and Price 2012), which
    counts one more picture for either side and so knows that two pictures prove little.
    """
    mean, low, high = paired(right.astype(np.float64) - below, groups, level)
    n = len(np.unique(groups))
    gained = float(np.mean(right & ~below)) * n
    lost = float(np.mean(below & ~right)) * n
    a, b = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = student(1_000_000, level) * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    return mean, max(-1.0, min(low, a - b - half)), min(1.0, max(high, a - b + half))
