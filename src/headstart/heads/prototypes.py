"""Cosine prototypes: the nearest class mean by angle. For a handful of pictures per class.

Nearest class mean on normalised features (Snell et al. 2017, arXiv:1703.05175, without its training).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from headstart.heads import Head, rowwise
from headstart.heads._inputs import one_hot
from headstart.values import Doubles, Floats

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

        Few rows are centred anew without the fold, see `Fold.centred`; with many that changes nothing.
        """
        del penalty
        z, targets = problem.z, one_hot(problem.y, problem.k)
        logits, units = np.zeros(targets.shape), _unit(z, 1)
        sums, total = units.T @ targets, z.sum(0)
        for rows in problem.rows_of_folds():
            if problem.is_dual:
                units = _unit(z - (total - z[rows].sum(0)) / np.float32(len(z) - len(rows)), 1)
                sums = units.T @ targets
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


def _unit(vectors: Floats, axis: int) -> Floats:
    """Vectors along `axis` scaled to length one; a vector shorter than rounding error becomes zero."""
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis, keepdims=True))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > _TINY)
    unit: Floats = (vectors * scale).astype(np.float32)
    return unit


PART = Prototypes
