"""Can the label be told from facts about the file alone? Kernel regression on ranks, each group left out.

The chance of class c at a picture is the share of class c among the others, weighted by how near they are in
the ranks of the facts (Nadaraya 1964, Watson 1964). Ranks make sizes, codes and colours comparable, and
leaving out a picture with its whole group needs no second fit. What a class lost with them is made up for:
else a picture would always seem to be of another class, of which one more is left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate.intervals import accuracy_interval
from headstart.values import Doubles, Floats, Ints

WIDTH = 0.03  # of the kernel, in ranks from 0 to 1, for each fact
BLOCK = 512  # rows at a time


@dataclass(frozen=True)
class Told:
    """How often the label is right when it is told from some facts alone."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    low: float  # lower end of the stricter interval for having looked at several groups of facts
    chance: float  # by always saying the commonest class
    n: int

    @property
    def skill(self) -> float:
        """How much of the way from chance to always right is surely gone; at most 1."""
        return (self.low - self.chance) / max(1 - self.chance, 1e-9)

    @property
    def reach(self) -> float:
        """How much of that way was gone on these pictures; at most 1."""
        return (self.accuracy - self.chance) / max(1 - self.chance, 1e-9)


def told_by(facts: Floats, y: Ints, groups: Ints, *, looks: int = 1) -> Told:
    """What facts [n, f] tell of labels `y` [n]; members of a picture's group say nothing about it.

    `looks`: at how many sets of facts one looks; the lower end of the interval that decides is at level
    1 - 0.05 / looks (Bonferroni).

    >>> told_by(np.repeat(np.float32([[1], [9]]), 20, 0), np.repeat([0, 1], 20), np.arange(40)).accuracy
    1.0
    """
    right = predicted(facts, y, groups) == y
    ends = accuracy_interval(right, groups)
    low, _ = accuracy_interval(right, groups, 1 - 0.05 / looks)
    chance = float(np.bincount(y).max() / len(y))
    return Told(float(right.mean()), ends, low, chance, len(y))


def predicted(facts: Floats, y: Ints, groups: Ints) -> Ints:
    """The class of each picture [n] as the facts [n, f] of all others tell it."""
    ranks = np.stack([_ranks(column) for column in facts.T], axis=1).astype(np.float32)
    ranks /= np.float32(WIDTH * np.sqrt(2 * ranks.shape[1]))
    squares, targets = (ranks**2).sum(1), np.eye(int(y.max()) + 1, dtype=np.float32)[y]
    counts = targets.sum(0)
    usual = int(counts.argmax())
    _, own = np.unique(groups, return_inverse=True)
    lost = np.zeros((int(own.max()) + 1, len(counts)), np.float32)
    np.add.at(lost, own, targets)
    found = np.empty(len(y), np.int64)
    for at in range(0, len(y), BLOCK):
        rows = slice(at, at + BLOCK)
        near = 2 * (ranks[rows] @ ranks.T) - squares[rows, None] - squares[None]
        near[groups[rows, None] == groups[None]] = -np.inf
        np.exp(np.minimum(near, 0, out=near), out=near)
        left = counts - lost[own[rows]]
        shares = near @ targets * (counts / np.maximum(left, 1))
        shares[:, usual] += 1e-6  # nothing near: the commonest class
        found[rows] = shares.round(4).argmax(1)  # of equal shares the first, whatever the rounding
    return found


def _ranks(column: NDArray[np.float32]) -> Doubles:
    """Mean ranks, 0 to 1; equal numbers have equal ranks."""
    _, which, counts = np.unique(column, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: Doubles = ((ends - (counts + 1) / 2) / max(len(column) - 1, 1))[which]
    return found
