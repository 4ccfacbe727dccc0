"""How far to trust a share of right answers."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from headstart.values import Doubles, Ints


def wilson(right: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The score interval of Wilson (1927) for the chance behind `right` successes in `n` trials.

    Counts may be fractions, as effective counts are. Without trials nothing is known: (0, 1).

    >>> low, high = wilson(145, 153)
    >>> round(low, 3), round(high, 3)
    (0.9, 0.973)
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # where all or none are right, centre and reach cancel only up to rounding
    low = max(0.0, centre - reach) if right > 0 else 0.0
    high = min(1.0, centre + reach) if right < n else 1.0
    return low, high


def accuracy_interval(
    correct: NDArray[np.bool_] | Doubles, groups: Ints | None = None, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the mean of `correct` [n], when pictures of equal `groups` [n] are not independent.

    Twenty frames of one video are not twenty pictures. `wilson` is given the effective number of pictures:
    n divided by the design effect (Kish 1965), which is the variance of the mean between groups (ratio
    estimator; its squares are taken over whole groups) over the variance that independent pictures would
    have, never below 1; and lessened once more where the groups are so few that this variance is itself
    a guess, by the squared ratio of Student's quantiles for n - 1 and for groups - 1 (Korn and
    Graubard 1998). One group, or all answers alike, show no variance: then each group counts as
    one answer in the sense of Kish, n_effective = n^2 / sum of squared group sizes.

    Every picture its own group, or no groups: exactly `wilson`. `correct` may hold shares between 0 and 1
    (of repeats that were right); they count as n pictures all the same.

    >>> accuracy_interval(np.array([True, True, False, True])) == wilson(3, 4)
    True
    """
    n = len(correct)
    if n == 0:
        return 0.0, 1.0
    right = float(np.sum(correct, dtype=np.float64))
    effective = (
        float(n) if groups is None else _effective(correct.astype(np.float64), groups, right / n, level)
    )
    return wilson(right * (effective / n), effective, level)


def _effective(correct: Doubles, groups: Ints, share: float, level: float) -> float:
    """How many independent pictures tell as much as these n in their groups; at most n."""
    n = len(correct)
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    if len(sizes) == n:
        return float(n)
    if len(sizes) == 1 or share in (0.0, 1.0):
        return float(n**2 / (sizes.astype(np.float64) ** 2).sum())
    residuals = np.bincount(group, weights=correct - share)
    # an exact sum: the numbers that groups happen to have must not move the last digit
    between = len(sizes) / (len(sizes) - 1) * math.fsum(residuals**2) / n**2
    design_effect = max(1.0, between / (share * (1 - share) / (n - 1)))
    fewness = student(n - 1, level) / student(len(sizes) - 1, level)
    return n / design_effect * fewness**2


def student(freedom: int, level: float) -> float:
    """Student's two-sided quantile: closed forms for one and two degrees of freedom, else an expansion.

    Cornish and Fisher's expansion to the fourth order (Abramowitz and Stegun 26.7.5) is within 0.2 % at
    three degrees of freedom and level 0.95, and closer above.
    """
    if freedom == 1:
        return math.tan(math.pi * level / 2)
    if freedom == 2:
        return level * math.sqrt(2 / (1 - level**2))
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / float(freedom) ** order for order, term in enumerate(terms))
