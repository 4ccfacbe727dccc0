"""Shrinkage linear discriminant analysis: one covariance for all classes, shrunk towards a multiple of I.

Closed form (Fisher 1936; Friedman 1989, regularized discriminant analysis), with equal class priors:
the calibration temperature scales a prior away anyhow, and rare classes do not vanish. Everything
follows from the ridge solution, see `_problem`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from headstart.heads import Head, rowwise
from headstart.heads._inputs import DEPTH_SETS
from headstart.values import Doubles, Floats

if TYPE_CHECKING:
    from headstart.heads._problem import Problem


@final
@dataclass(frozen=True, eq=False)
class Lda(Head):
    """Discriminants are linear in the inputs."""

    name = "lda"
    penalties = (0.03, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95)
    depths = DEPTH_SETS

    weight: Floats  # [d, k]
    bias: Floats  # [k]

    @classmethod
    def fit(cls, problem: "Problem", *, penalty: float) -> "Lda":
        """Solve once; `penalty` is the shrinkage, in (0, 1)."""
        from headstart.heads._problem import fit

        solved = fit(problem, penalty)
        turn, bias = _discriminant(solved.m, solved.counts)
        return cls((solved.weight @ turn).astype(np.float32), bias.astype(np.float32))

    @classmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """See `Head.out_of_fold`."""
        logits = np.zeros((len(problem.y), problem.k))
        for fold in problem.least_squares(penalty):
            turn, bias = _discriminant(fold.m, fold.counts)
            logits[fold.rows] = fold.scores @ turn + bias
        return logits

    def logits(self, z: Floats) -> Floats:
        """Discriminants [n, k]: log-likelihood ratios, were the classes Gaussian."""
        return rowwise(z, self.weight) + self.bias

    def arrays(self) -> dict[str, Floats]:
        """`weight` [d, k], `bias` [k]."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> "Lda":
        """The inverse of `arrays`."""
        return cls(arrays["weight"], arrays["bias"])


def _discriminant(m: Doubles, counts: Doubles) -> tuple[Doubles, Doubles]:
    """From ridge scores to discriminants: scores @ turn + bias."""
    inverse = np.divide(1.0, counts, out=np.zeros_like(counts), where=counts > 0)
    freedom = max(counts.sum() - len(counts), 1.0)
    return freedom * m, -0.5 * freedom * (np.diag(m) - inverse)


PART = Lda
