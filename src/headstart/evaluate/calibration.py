"""One temperature makes the probabilities mean what they say."""

import itertools
import math

import numpy as np

from headstart.errors import NotFinite, TooFewExamples
from headstart.values import Doubles, Floats, Ints

RANGE = (1e-3, 1e3)
CLOSE = 1e-5  # the step of Newton's method, in logarithms, whose square no longer matters
START_ROWS = 2000  # this many rows find a start from which all rows need a few passes only
NEWTONS = 50  # turns after which the bracket is only halved
BLOCK = 1 << 16  # numbers at a time; they stay in the processor's cache


def temperature(logits: Floats | Doubles, y: Ints) -> float:
    """The temperature, 0.001 to 1000, that makes `logits` [n, k] least surprised by the truth `y` [n].

    Minimises the negative log-likelihood over one scalar (Guo et al. 2017, arXiv:1706.04599). Ranks, and
    so accuracy, do not change.

    Where nearly everything is right, that likelihood knows no bound and would have us claim certainty. So
    the truth is not wanted with probability 1 but with (n + 1) / (n + 2), what Laplace's rule of succession
    grants to n right answers in n; the other classes share the rest (Platt 1999 smooths his targets by the
    same rule). With many examples this changes nothing; with few it keeps a handful of easy answers from
    promising too much. Logits that tell no class from another give 1.

    Raises:
        TooFewExamples: no rows.
        NotFinite: a logit is NaN or infinite.

    >>> logits = np.tile([[9.0, 0.0]], (3, 1))
    >>> round(temperature(logits, np.array([0, 0, 1])), 1)    # sure of class 0, right 2 times in 3
    22.2
    >>> round(9 / temperature(logits, np.array([0, 0, 0])), 3) == round(math.log(4 / 1), 3)
    True
    """
    if len(logits) == 0:
        raise TooFewExamples("the temperature needs at least one example whose truth is known, and got none.")
    if not np.isfinite(logits).all():
        row = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
        raise NotFinite(f"logits must be finite; row {row} is not. The features or the head are damaged.")
    below = logits.astype(np.float64)
    below -= below.max(axis=1, keepdims=True)
    if not below.any():
        return 1.0
    log_scale = 0.0
    if len(below) > 2 * START_ROWS:
        rows = np.linspace(0, len(below) - 1, START_ROWS).astype(np.int64)
        log_scale = _solve(below[rows], y[rows], log_scale)
    return math.exp(-_solve(below, y, log_scale))


def _solve(below: Doubles, y: Ints, start: float) -> float:
    """The logarithm of the factor on the logits `below` [n, k] (row maximum 0) that `temperature` wants.

    The loss is convex in the factor: Newton's method on its slope, kept inside a bracket.
    """
    n, k = below.shape
    truth = float(below[np.arange(n), y].mean())
    others = (float(below.sum(axis=1).mean()) - truth) / (k - 1)
    wanted = ((n + 1) * truth + others) / (n + 2)
    least, most = -math.log(RANGE[1]), -math.log(RANGE[0])
    low, high, at = least, most, start
    for turn in itertools.count():
        if high - low <= CLOSE**2:
            break
        scale = math.exp(at)
        mean, variance = _moments(below, scale)
        slope = mean - wanted
        low, high = (low, at) if slope > 0 else (at, high)
        root = scale - slope / variance if variance > 0 else 0.0
        guess = min(max(math.log(max(root, math.exp(least))), least), most)
        if abs(guess - at) < CLOSE:
            return guess
        # a guess at an end of the bracket was tried before: taken again, two ends can send to each other
        at = guess if low < guess < high and turn < NEWTONS else (low + high) / 2
    return at


def _moments(below: Doubles, scale: float) -> tuple[float, float]:
    """Mean and variance of `below` under the probabilities that `scale * below` gives, averaged over rows."""
    n, k = below.shape
    sums = np.empty((3, n))
    step = max(1, BLOCK // k)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        weights = np.exp(scale * below[rows])
        sums[0, rows] = weights.sum(axis=1)
        weights *= below[rows]
        sums[1, rows] = weights.sum(axis=1)
        sums[2, rows] = np.einsum("nk,nk->n", weights, below[rows])
    total, first, second = sums
    means = first / total
    return float(means.mean()), float((second / total - means**2).mean())
