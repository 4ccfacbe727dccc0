"""Groups of pictures on which a model is clearly worse than on the rest, corrected for looking at many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate.intervals import accuracy_interval
from headstart.values import Doubles, Ints

LEAST = 8  # groups of twins in a set, for it to be looked at
WORSE = 0.05  # how much lower its accuracy has to be than that of the rest
LEVEL = 0.05  # chance of one false alarm or more, over all that was looked at


@dataclass(frozen=True)
class Weak:
    """One set of pictures that does worse."""

    which: int  # position among the sets that were looked at
    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    rest: float  # accuracy on all others
    p: float  # after Holm's correction


def weak_sets(right: NDArray[np.bool_], sets: Sequence[Ints], groups: Ints) -> tuple[Weak, ...]:
    """Those of `sets` (rows of `right` [n] each) on which it is clearly worse than on the rest, worst first.

    Each is tested by Fisher's exact test, one-sided, with one picture for each of the `groups` [n] in it (the
    first: twins prove nothing twice); the chances are corrected by Holm (1979) for all sets of LEAST groups
    or more, and a set is told if its own is at most LEVEL and it lags by WORSE or more. Sets must have been
    made without knowledge of `right`.
    """
    first = np.unique(groups, return_index=True)[1]
    one = np.zeros(len(right), bool)
    one[first] = True
    asked = [at for at, rows in enumerate(sets) if LEAST <= one[rows].sum() <= one.sum() - LEAST]
    chances = [_fisher(right[one], np.isin(np.flatnonzero(one), sets[at])) for at in asked]
    found = []
    for at, p in zip(asked, holm(np.array(chances)), strict=True):
        own = np.zeros(len(right), bool)
        own[sets[at]] = True
        accuracy, rest = float(right[own].mean()), float(right[~own].mean())
        if p <= LEVEL and rest - accuracy >= WORSE:
            ends = accuracy_interval(right[own], groups[own])
            found.append(Weak(at, int(own.sum()), accuracy, ends, rest, float(p)))
    return tuple(sorted(found, key=lambda weak: (weak.p, weak.accuracy, weak.which)))


def holm(p: Doubles) -> Doubles:
    """Chances [m] corrected for m looks (Holm 1979): at most one false alarm in 1 / level times.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    found: Doubles = np.empty(len(p))
    found[order] = np.minimum(steps, 1)
    return found


def _fisher(right: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    """The chance of so few right answers inside, or fewer, were they dealt out blindly (hypergeometric)."""
    n, m, hits = len(right), int(inside.sum()), int(right.sum())
    few = int((right & inside).sum())
    logs = [
        _log_choose(hits, i) + _log_choose(n - hits, m - i)
        for i in range(max(0, m - (n - hits)), min(few, hits) + 1)
    ]
    top = max(logs)
    return min(1.0, math.exp(top - _log_choose(n, m)) * math.fsum(math.exp(log - top) for log in logs))


def _log_choose(n: int, m: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)
