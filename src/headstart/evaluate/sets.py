"""Sets of classes that hold the truth as often as asked: split conformal prediction.

The score of a class is 1 - its probability ("least ambiguous sets", Sadinle, Lei and Wasserman 2019,
arXiv:1609.00451); the threshold is a quantile of the true classes' scores. If the pictures behind the
threshold and the new ones can be exchanged, the set holds the truth with at least the asked chance,
whatever the probabilities are worth; better probabilities give smaller sets. With out-of-fold
probabilities (Vovk 2015, cross-conformal prediction) the same holds nearly, not to the letter.
"""

import math

import numpy as np
from numpy.typing import NDArray

from headstart.errors import Misuse
from headstart.values import Doubles, Ints


def upper_quantile(scores: Doubles, share: float, beyond: float) -> float:
    """The smallest score that a new one does not exceed with a chance of at least `share`.

    The ceil((n + 1) share)-th smallest of `scores` [n]; `beyond` where n is too small for any of them to do.

    Raises:
        Misuse: `share` is not above 0 and at most 1.

    >>> [upper_quantile(np.arange(n), 0.95, beyond=math.inf) for n in (18, 19)]
    [inf, 18.0]
    """
    if not 0 < share <= 1:
        raise Misuse(f"a share must be above 0 and at most 1, for example 0.95; got {share}.")
    rank = math.ceil((len(scores) + 1) * share - 1e-9)  # 0.07 * 100 is 7.000000000000001
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else beyond


def set_threshold(probabilities: Doubles, y: Ints, coverage: float) -> float:
    """The largest score, 0 to 1, with which a class is still in the set.

    From `probabilities` [n, k] of pictures with truth `y` [n] that the head was not fitted on.
    Where n is too small for the coverage asked (below 19 for 0.95), 1: every class is in the set.

    Raises:
        Misuse: `coverage` is not above 0 and at most 1.
    """
    return upper_quantile(1 - probabilities[np.arange(len(y)), y], coverage, beyond=1.0)


def prediction_sets(probabilities: Doubles, threshold: float) -> NDArray[np.bool_]:
    """Which classes are in the set of each picture, [n, k]. The first choice always is.

    >>> prediction_sets(np.array([[0.6, 0.3, 0.1]]), 0.7)
    array([[ True,  True, False]])
    """
    sets: NDArray[np.bool_] = 1 - probabilities <= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
