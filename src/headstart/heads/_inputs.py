"""What heads see: features of some depths, standardised on the training part."""

from dataclasses import dataclass

import numpy as np

from headstart.values import Depth, Features, Floats, Halves, Ints

# From the same pass: the last layer alone, with the three deepest stages, or with all of them.
DEPTH_SETS = ("last", "deep", "all")
PRIOR = 10  # rows
STILL = 1e-8  # the variance of a feature that never changes, but for rounding
_BLOCK = 256  # rows at a time, so that no second array of full size is made and memory is used again


def columns(depths: tuple[Depth, ...], name: str) -> slice:
    """The columns of a depth set: depths stand side by side, shallow to deep, the last layer at the end."""
    first = {"last": len(depths) - 1, "deep": max(0, len(depths) - 4), "all": 0}[name]
    return slice(depths[first].start, depths[-1].stop)


def depth_sets(depths: tuple[Depth, ...]) -> list[str]:
    """Names of the depth sets that differ, narrowest first: a network of one depth has one."""
    found: dict[int, str] = {}
    for name in DEPTH_SETS:
        found.setdefault(columns(depths, name).start, name)
    return list(found.values())


@dataclass(frozen=True, eq=False)
class Inputs:
    """How features become what a head sees. Learnt from the training part without its labels.

    With inputs of mean zero and variance about one, one grid of penalties fits every data set.
    """

    start: int
    stop: int
    mean: Floats  # [d]
    scale: Floats  # [d] one over the standard deviation; 0 for a feature that never changes

    @classmethod
    def fit(cls, train: Features, depth_set: str) -> "Inputs":
        """Mean and spread over the training rows.

        A feature's variance is drawn towards the mean variance of its depth, which counts as PRIOR rows
        (the posterior under a scaled inverse chi-squared prior). A few pictures happen to agree in many
        features, and a new one would then seem to lie a hundred deviations away.
        """
        where = columns(train.depths, depth_set)
        width = where.stop - where.start
        total, squares = np.zeros(width), np.zeros(width)
        for at in range(0, len(train), _BLOCK):
            block = _wide(train.x[at : at + _BLOCK, where]).astype(np.float64)
            total += block.sum(0)
            squares += (block**2).sum(0)
        mean = total / len(train)
        variance = np.maximum(squares / len(train) - mean**2, 0)
        changing = variance > STILL
        for depth in train.depths:
            own = np.zeros(width, bool)
            own[max(depth.start - where.start, 0) : max(depth.stop - where.start, 0)] = True
            own &= changing
            if own.any():
                usual = variance[own].mean()
                variance[own] = (len(train) * variance[own] + PRIOR * usual) / (len(train) + PRIOR)
        scale = np.divide(1.0, np.sqrt(variance), out=np.zeros(width), where=changing)
        return cls(where.start, where.stop, mean.astype(np.float32), scale.astype(np.float32))

    def part(self, depths: tuple[Depth, ...], depth_set: str) -> "Inputs":
        """The same for a depth set that lies within: features are standardised depth by depth."""
        where = columns(depths, depth_set)
        own = slice(where.start - self.start, where.stop - self.start)
        return Inputs(where.start, where.stop, self.mean[own], self.scale[own])

    def of(self, x: Halves | Floats) -> Floats:
        """Inputs [n, d] of features [n, all depths]."""
        z = np.empty((len(x), self.stop - self.start), np.float32)
        for at in range(0, len(x), _BLOCK):
            z[at : at + _BLOCK] = (
                _wide(x[at : at + _BLOCK, self.start : self.stop]) - self.mean
            ) * self.scale
        return z


def _wide(x: Halves | Floats) -> Floats:
    return x.astype(np.float32)


def one_hot(y: Ints, k: int) -> Floats:
    """[n, k] of zeros and ones."""
    return np.eye(k, dtype=np.float32)[y]
