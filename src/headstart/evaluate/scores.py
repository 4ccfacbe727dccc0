"""How good the probabilities are, not only the first choice. Smaller is better, 0 is perfect."""

import numpy as np

from headstart.values import Doubles, Ints

BINS = 15  # Guo et al. 2017


def nll(y: Ints, probabilities: Doubles) -> float:
    """Mean negative natural logarithm of the probability [n, k] given to the truth [n]. 0 to about 708.

    A probability of zero counts as the smallest normal float64, so that one sure mistake does not
    make every comparison infinite.

    >>> round(nll(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 4)
    0.6931
    """
    given = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.maximum(given, np.finfo(np.float64).tiny)).mean())


def brier(y: Ints, probabilities: Doubles) -> float:
    """Brier's score of 1950: squared distance to the one-hot truth, summed over classes. 0 to 2.

    With two classes it is twice the score that some libraries give for the positive class alone.

    >>> brier(np.array([0]), np.array([[0.0, 1.0]]))
    2.0
    """
    given = probabilities[np.arange(len(y)), y]
    return float(((probabilities**2).sum(axis=1) - 2 * given + 1).mean())


def ece(y: Ints, probabilities: Doubles) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart. 0 to 1.

    Pictures are put into 15 bins of equal width by the probability of their first choice, the upper edge
    belonging to the bin; the gaps between a bin's mean confidence and its accuracy are averaged by
    the number of pictures (Guo et al. 2017, arXiv:1706.04599). Few pictures make it too large: even
    perfect probabilities have empty and lonely bins.

    >>> ece(np.array([0, 0, 0, 1]), np.full((4, 2), [0.75, 0.25]))
    0.0
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
    gaps = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(y))
