"""Ridge head: penalised least squares on one-hot targets, solved exactly.

Targets of class c are divided by the root of its share, so that a class of one in a hundred is not
answered with one hundredth of the score. (Hoerl and Kennard 1970; leave-out as in `_problem`.)
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
class Ridge(Head):
    """Scores are linear in the inputs."""

    name = "ridge"
    penalties = (0.03, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95)
    depths = DEPTH_SETS

    weight: Floats  # [d, k]

    @classmethod
    def fit(cls, problem: "Problem", *, penalty: float) -> "Ridge":
        """Solve once; `penalty` is relative, in (0, 1)."""
        from headstart.heads._problem import fit

        solved = fit(problem, penalty)
        return cls((solved.weight / _root_share(solved.counts)).astype(np.float32))

    @classmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """See `Head.out_of_fold`."""
        logits = np.zeros((len(problem.y), problem.k))
        for fold in problem.least_squares(penalty):
            logits[fold.rows] = fold.centred / _root_share(fold.counts)
        return logits

    def logits(self, z: Floats) -> Floats:
        """Scores [n, k], about 0 to 1 before calibration."""
        return rowwise(z, self.weight)

    def arrays(self) -> dict[str, Floats]:
        """`weight` [d, k]."""
        return {"weight": self.weight}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> "Ridge":
        """The inverse of `arrays`."""
        return cls(arrays["weight"])


def _root_share(counts: Doubles) -> Doubles:
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    root: Doubles = np.sqrt(share * len(counts))  # one for each class when they are balanced
    return root


PART = Ridge
