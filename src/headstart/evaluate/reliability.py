"""Does a probability of 0.8 mean right four times in five? Bins of the first choice's probability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate.intervals import accuracy_interval
from headstart.evaluate.scores import BINS
from headstart.values import Doubles, Ints


@dataclass(frozen=True)
class Bin:
    """Pictures whose first choice has a probability above `low` and at most `high`."""

    low: float
    high: float
    n: int
    confidence: float  # mean probability
    accuracy: float
    accuracy_ci95: tuple[float, float]


def reliability(confidence: Doubles, right: NDArray[np.bool_], groups: Ints | None = None) -> tuple[Bin, ...]:
    """The bins of `scores.ece` that hold pictures, lowest first: their gaps, weighted by n, sum to it.

    >>> [(one.n, one.accuracy) for one in reliability(np.array([0.62, 0.95]), np.array([False, True]))]
    [(1, 0.0), (1, 1.0)]
    """
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    found = []
    for at in np.unique(bins):
        own = bins == at
        ends = accuracy_interval(right[own], None if groups is None else groups[own])
        found.append(
            Bin(
                float(edges[at]), float(edges[at + 1]), int(own.sum()),
                float(confidence[own].mean()), float(right[own].mean()), ends,
            )
        )  # fmt: skip
    return tuple(found)
