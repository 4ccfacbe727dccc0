"""Which labels are probably wrong: confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).

Needs probabilities by fits that have not seen the picture. A class's threshold is the mean probability that
pictures labelled so get for it; a picture counts for another class where its probability there is above that
class's threshold and highest among those. The counts of such pictures estimate how many labels are wrong;
which they are is told by how little probability the label gets. (The margin to the best other class does
worse where classes are many: the probability is then shared among several that are like the picture.)
"""

from dataclasses import dataclass

import numpy as np

from headstart.values import Doubles, Ints

LIKELY = 0.7  # of a suggested class, for the label to be doubted: at a half, what is hard to tell is accused
SURE = 0.9  # so likely, it is told however few wrong labels are expected


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Pictures whose label is doubted, most suspicious first."""

    estimated: int  # how many labels are wrong, by confident learning
    order: Ints  # [n] all pictures, most suspicious first
    suggested: Ints  # [n] by picture: the likeliest class other than the label
    given: Doubles  # [n] probability of the label
    other: Doubles  # [n] probability of the suggested class
    doubted: Ints  # [m] the first of `order` that are worth a look


def joint_counts(y: Ints, probabilities: Doubles) -> Ints:
    """Confident joint [k, k]: labelled i (down), confidently j (across). Uncalibrated counts.

    A class without pictures has no threshold and gets none.

    >>> joint_counts(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]))
    array([[1, 1],
           [0, 1]])
    """
    n, k = probabilities.shape
    counts = np.bincount(y, minlength=k)
    own = np.bincount(y, weights=probabilities[np.arange(n), y], minlength=k)
    threshold = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    above = np.where(probabilities >= threshold - 1e-9, probabilities, -1.0)
    confident = above.max(1) >= 0
    found = np.bincount(y[confident] * k + above[confident].argmax(1), minlength=k * k)
    return found.reshape(k, k).astype(np.int64)


def estimated_errors(y: Ints, probabilities: Doubles) -> int:
    """How many of the labels `y` [n] are wrong: the joint, scaled to the class sizes, off its diagonal."""
    joint = joint_counts(y, probabilities).astype(np.float64)
    seen, counts = joint.sum(1), np.bincount(y, minlength=len(joint))
    share = np.divide(joint.diagonal(), seen, out=np.ones(len(joint)), where=seen > 0)
    return round(float((counts * (1 - share)).sum()))


def suspicion(y: Ints, probabilities: Doubles, ranking: Doubles | None = None) -> Suspicion:
    """The labels `y` [n] in the light of out-of-fold `probabilities` [n, k].

    `ranking` [n, k], where there are better ones, orders the pictures (probabilities of a second round; they
    need no calibration). Doubted is a label against which another class has most of the
    probability: as many as twice what confident learning estimates, and whatever is nearly sure. Where labels
    say nothing about pictures, no class has so much, and none is doubted.

    >>> found = suspicion(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]))
    >>> found.doubted, found.suggested[1]
    (array([1]), np.int64(1))
    """
    rows = np.arange(len(y))
    others = probabilities.copy()
    others[rows, y] = -1
    suggested = others.argmax(1)
    given, other = probabilities[rows, y], probabilities[rows, suggested]
    by = given_to_label(y, probabilities if ranking is None else ranking)
    order = np.lexsort((rows, -other, by))
    estimated = estimated_errors(y, probabilities)
    likely = order[other[order] > LIKELY]
    doubted = likely[(np.arange(len(likely)) < 2 * estimated) | (other[likely] >= SURE)]
    return Suspicion(estimated, order, suggested, given, other, doubted)


def given_to_label(y: Ints, probabilities: Doubles) -> Doubles:
    """Probability of the label, [n]: low is suspicious (self-confidence)."""
    found: Doubles = probabilities[np.arange(len(y)), y]
    return found


def corrected(y: Ints, probabilities: Doubles, sure: float) -> Ints:
    """The labels [n], replaced where another class has a probability above `sure`."""
    best = probabilities.argmax(1)
    return np.where((best != y) & (probabilities.max(1) > sure), best, y).astype(np.int64)
