"""Cosine prototypes: the nearest class mean by angle. For a handful of pictures per class.

Nearest class mean on normalised features (Snell et al. 2017, arXiv:1703.05175, without its training).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from headstart.heads import Head, rowwise
from headstart.heads._inputs import one_hot
from headstart.values import Doubles, Floats, Ints

if TYPE_CHECKING:
    from headstart.heads._problem import Problem

_TINY = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Prototypes(Head):
    """Logits are cosines with each class's mean direction, -1 to 1."""

    name = "prototypes"
    penalties = (0.0,)  # nothing to choose
    depths = ("last", "all")

    prototypes: Floats  # [d, k] columns of length one; zero for a class without pictures

    @classmethod
    def fit(cls, problem: "Problem", *, penalty: float) -> "Prototypes":
        """Average the directions of each class. `penalty` is ignored: there is nothing to shrink."""
        del penalty
        return cls(_unit(_unit(problem.z, 1).T @ one_hot(problem.y, problem.k), 0))

    @classmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """See `Head.out_of_fold`. A fold's pictures are subtracted from the sums.

        Few rows are centred anew without the fold (see `Fold.centred`); with many that changes nothing.
        """
        del penalty
        targets = one_hot(problem.y, problem.k)
        logits = np.zeros(targets.shape)
        if problem.is_dual:
            for rows in problem.rows_of_folds():
                logits[rows] = _cosines(problem.kernel, targets, rows)
            return logits
        units = _unit(problem.z, 1)
        sums = units.T @ targets
        for rows in problem.rows_of_folds():
            logits[rows] = units[rows] @ _unit(sums - units[rows].T @ targets[rows], 0)
        return logits

    def logits(self, z: Floats) -> Floats:
        """Cosines [n, k]."""
        return rowwise(_unit(z, 1), self.prototypes)

    def arrays(self) -> dict[str, Floats]:
        """`prototypes` [d, k]."""
        return {"prototypes": self.prototypes}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> "Prototypes":
        """The inverse of `arrays`."""
        return cls(arrays["prototypes"])


def _cosines(kernel: Floats, targets: Floats, rows: Ints) -> Doubles:
    """Cosines [g, k] of `rows` with each class's mean direction, both about the mean of the other rows.

    From inner products [n, n] alone: with m the mean of the rest, (a - m)'(b - m) = a'b - a'm - b'm + m'm.
    """
    rest = np.ones(len(kernel))
    rest[rows] = 0
    rest /= max(rest.sum(), 1)
    along = kernel @ rest.astype(np.float32)  # [n] a'm
    middle = float(along @ rest)  # m'm
    weight = _inverse_root(kernel.diagonal().astype(np.float64) - 2 * along + middle)
    shares = np.where(rest > 0, weight, 0)[:, None] * targets  # [n, k] of each row in its class's direction
    sums = shares.sum(0)
    found = (kernel @ shares.astype(np.float32)).astype(np.float64)
    found += np.outer(middle - along, sums) - along @ shares
    lengths = np.einsum("nk,nk->k", shares, found)
    cosines: Doubles = (found * weight[:, None] * _inverse_root(lengths))[rows]
    return cosines


def _inverse_root(squares: Doubles) -> Doubles:
    """1 / sqrt; 0 where the length is rounding error."""
    found: Doubles = np.divide(
        1.0, np.sqrt(np.maximum(squares, 0)), out=np.zeros(len(squares)), where=squares > _TINY
    )
    return found


def _unit(vectors: Floats, axis: int) -> Floats:
    """Vectors along `axis` scaled to length one; a vector shorter than rounding error becomes zero."""
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis, keepdims=True))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > _TINY)
    unit: Floats = (vectors * scale).astype(np.float32)
    return unit


PART = Prototypes
