"""Is one classifier better than another on the same pictures, or was it luck?"""

import math

import numpy as np
from numpy.typing import NDArray


def mcnemar(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> float:
    """The two-sided p-value of the exact McNemar test on paired answers [n]. 1 where they never differ.

    Only pictures that exactly one of the two got right tell anything; if both were equally good, each
    of these would be a fair coin. Takes the pictures to be independent.

    >>> a = np.array([True] * 6)
    >>> round(mcnemar(a, ~a), 5)          # six heads or six tails: 2 / 2**6
    0.03125
    """
    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(~correct_a & correct_b))
    n, fewer = only_a + only_b, min(only_a, only_b)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(math.exp(log - n * math.log(2)) for log in logs))
