"""Multinomial logistic regression with an L2 penalty, started from least squares and steered by it.

L-BFGS (Nocedal 1980) whose first guess of the curvature is the factorisation that least squares has
already paid for: the curvature of the log-loss is bounded by a multiple of the inputs' scatter (Böhning
1992), so that a dozen steps do where plain L-BFGS takes a hundred. With fewer rows than inputs the
problem is solved in the coordinates of the rows' own space, which the penalty cannot tell from the inputs.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from headstart.errors import NotFinite
from headstart.heads import Head, rowwise, side_by_side
from headstart.heads._inputs import DEPTH_SETS, one_hot
from headstart.values import Doubles, Floats, Ints

if TYPE_CHECKING:
    from headstart.heads._problem import Problem

Pairs = deque[tuple[Floats, Floats, float]]  # step, change of slope, their inner product

STEPS = 100
MEMORY = 8  # pairs of steps and changes of slope that L-BFGS keeps
CLOSE = 1e-4  # a step that gains less log-loss than this is the last: four digits are shown
HALVINGS = 20
CURVATURE = 0.02  # p (1 - p) at a typical picture: how much of the scatter the log-loss feels


@final
@dataclass(frozen=True, eq=False)
class Logistic(Head):
    """Log-odds are linear in the inputs."""

    name = "logistic"
    penalties = (0.003, 0.01, 0.03)  # per input: times d is the weight of |W|^2 / 2 against n * mean log-loss
    depths = DEPTH_SETS
    is_descent = True

    weight: Floats  # [d, k]
    bias: Floats  # [k]

    @classmethod
    def fit(cls, problem: "Problem", *, penalty: float) -> "Logistic":
        """Minimise the mean log-loss plus `penalty` * d / n * |W|^2 / 2; the bias is free."""
        strength = penalty * problem.z.shape[1]
        factor = problem.curvature(strength / CURVATURE)
        weight, bias = _minimise(problem.coordinates, problem.y, problem.k, strength, factor)
        return cls(problem.to_inputs(weight).astype(np.float32), bias)

    @classmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """See `Head.out_of_fold`. Each fold is a descent of its own; what steers it is shared."""
        strength = penalty * problem.z.shape[1]
        factor = problem.curvature(strength / CURVATURE)
        z, logits = problem.coordinates, np.zeros((len(problem.y), problem.k))

        def leave(fold: tuple[int, Ints]) -> None:
            number, rows = fold
            rest = np.setdiff1d(np.arange(len(z)), rows)
            # from where the first penalty ended without these rows: it has not seen them either
            start = problem.ends.get(number)
            weight, bias = _minimise(z[rest], problem.y[rest], problem.k, strength, factor, start)
            problem.ends.setdefault(number, (weight, bias))
            logits[rows] = z[rows] @ weight + bias

        side_by_side(leave, list(enumerate(problem.rows_of_folds())))
        return logits

    def logits(self, z: Floats) -> Floats:
        """Log-odds [n, k] up to a constant per row."""
        return rowwise(z, self.weight) + self.bias

    def arrays(self) -> dict[str, Floats]:
        """`weight` [d, k], `bias` [k]."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Floats]) -> "Logistic":
        """The inverse of `arrays`."""
        return cls(arrays["weight"], arrays["bias"])


def _minimise(
    z: Floats, y: Ints, k: int, strength: float, factor: Floats, start: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """Weight [d, k] and bias [k] of least penalised log-loss on rows z [n, d].

    From `start`, else from least squares. `factor` is the lower Cholesky factor of
    Z'Z + strength / CURVATURE.

    Raises:
        NotFinite: the loss is not finite.
    """
    from scipy.linalg import cho_solve

    n, d = z.shape
    targets, decay = one_hot(y, k), np.float32(strength / n)
    rows = np.arange(n)

    def precondition(slope: Floats) -> Floats:
        turned = np.empty_like(slope)
        turned[:d] = cho_solve((factor, True), slope[:d], check_finite=False) * np.float32(n / CURVATURE)
        turned[d] = slope[d] / np.float32(CURVATURE)
        return turned

    def look(both: Floats) -> tuple[float, Floats]:
        logits = z @ both[:d] + both[d]
        logits -= logits.max(1, keepdims=True)
        mass = np.exp(logits)
        total = mass.sum(1, keepdims=True)
        value = float(np.log(total).mean(dtype=np.float64) - logits[rows, y].mean(dtype=np.float64))
        value += 0.5 * float(decay) * _dot(both[:d], both[:d])
        residual = (mass / total - targets) / np.float32(n)
        return value, np.concatenate([z.T @ residual + decay * both[:d], residual.sum(0, keepdims=True)])

    weight, bias = start or (_start(z, y, k, factor), np.zeros(k, np.float32))
    at = np.concatenate([weight, bias[None]])
    value, slope = look(at)
    pairs: Pairs = deque(maxlen=MEMORY)
    for _ in range(STEPS):
        if not np.isfinite(value):
            raise NotFinite("the log-loss is not finite: the features are damaged.")
        direction = _direction(slope, pairs, precondition)
        fall, stride = _dot(direction, slope), 1.0
        for _ in range(HALVINGS):
            there = at + np.float32(stride) * direction
            lower, steeper = look(there)
            if lower <= value + 1e-4 * stride * fall:
                break
            stride /= 2
        else:
            break  # nothing lower along the way: as low as float32 can tell
        step, change = there - at, steeper - slope
        if _dot(step, change) > 0:
            pairs.append((step, change, _dot(step, change)))
        gained, at, value, slope = value - lower, there, lower, steeper
        if gained < CLOSE:
            break
    return np.ascontiguousarray(at[:d]), at[d]


def _start(z: Floats, y: Ints, k: int, factor: Floats) -> Floats:
    """Least-squares weights of these rows, scaled so that their scores are log-odds."""
    from scipy.linalg import cho_solve

    from headstart.evaluate import temperature

    weight: Floats = cho_solve((factor, True), z.T @ one_hot(y, k), check_finite=False)
    return weight / np.float32(temperature(z @ weight, y))


def _direction(slope: Floats, pairs: Pairs, precondition: Callable[[Floats], Floats]) -> Floats:
    """The two-loop recursion of L-BFGS."""
    turned, shares = slope.copy(), []
    for step, change, both in reversed(pairs):
        share = _dot(step, turned) / both
        shares.append(share)
        turned -= np.float32(share) * change
    turned = precondition(turned)
    for (step, change, both), share in zip(pairs, reversed(shares), strict=True):
        turned += np.float32(share - _dot(change, turned) / both) * step
    return -turned


def _dot(a: Floats, b: Floats) -> float:
    return float(np.vdot(a, b))


PART = Logistic
