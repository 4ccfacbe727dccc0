"""Multinomial logistic regression with an L2 penalty, started from least squares and steered by it.

L-BFGS (Nocedal 1980) whose first guess of the curvature is the factorisation that least squares has
already paid for: the curvature of the log-loss is bounded by a multiple of the inputs' scatter (Böhning
1992), so that a dozen steps do where plain L-BFGS takes a hundred. With fewer rows than inputs the
problem is solved in the coordinates of the rows' own space, which the penalty cannot tell from the inputs.
"""

from collections import deque
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
GROUP_NUMBERS = 4_000_000  # logits at once: 16 MB
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
        everything = [np.zeros(0, dtype=np.int64)]
        found = _minimise(problem, strength, factor, everything)
        return cls(problem.to_inputs(found[0, :-1]).astype(np.float32), found[0, -1])

    @classmethod
    def out_of_fold(cls, problem: "Problem", *, penalty: float) -> Doubles:
        """See `Head.out_of_fold`. Each fold is a descent of its own; what steers it is shared.

        Folds descend side by side, in two groups or more: the inputs are read from memory once for a group.
        """
        strength = penalty * problem.z.shape[1]
        factor = problem.curvature(strength / CURVATURE)
        z, logits, folds = problem.coordinates, np.zeros((len(problem.y), problem.k)), problem.rows_of_folds()
        numbers = max(2, -(-len(folds) * logits.size // GROUP_NUMBERS))

        def leave(group: Ints) -> None:
            left = [folds[fold] for fold in group]
            # from where the first penalty ended without these rows: it has not seen them either
            starts = [problem.ends[fold] for fold in group if fold in problem.ends]
            start = np.stack(starts) if len(starts) == len(group) else None
            found = _minimise(problem, strength, factor, left, start)
            for fold, rows, both in zip(group, left, found, strict=True):
                problem.ends.setdefault(int(fold), both)
                logits[rows] = z[rows] @ both[:-1] + both[-1]

        side_by_side(leave, [own for own in np.array_split(np.arange(len(folds)), numbers) if len(own)])
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
    problem: "Problem", strength: float, factor: Floats, left: list[Ints], start: Floats | None = None
) -> Floats:
    """Weights and bias, [p, d + 1, k], of least penalised log-loss on all rows but `left[p]` each.

    From `start`, else from least squares. `factor` is the lower Cholesky factor of
    Z'Z + strength / CURVATURE. The p descents share every product with the rows z; each has its own steps
    and end.

    Raises:
        NotFinite: the loss is not finite.
    """
    z, p = problem.coordinates, len(left)
    weight = np.ones((len(z), p), np.float32)  # of each row in each mean
    for column, rows in enumerate(left):
        weight[rows, column] = 0
    used = weight.sum(0)
    weight /= used
    decay = (strength / used).astype(np.float32)
    descents = _Descents(z, one_hot(problem.y, problem.k), weight, decay, factor, used)
    at = descents.start() if start is None else start.copy()
    going = np.arange(p)
    value, slope = descents.look(at, going)
    pairs: list[Pairs] = [deque(maxlen=MEMORY) for _ in range(p)]
    for _ in range(STEPS):
        if not np.isfinite(value).all():
            raise NotFinite("the log-loss is not finite: the features are damaged.")
        direction = descents.direction(slope, pairs, going)
        there, lower, steeper = descents.step(at, value, slope, direction, going)
        gained = value[going] - lower
        for row, fold in enumerate(going):
            step, change = there[row] - at[fold], steeper[row] - slope[fold]
            if _dot(step, change) > 0:
                pairs[fold].append((step, change, _dot(step, change)))
        at[going], value[going], slope[going] = there, lower, steeper
        going = going[gained >= CLOSE]
        if not len(going):
            break
    return at


@dataclass(frozen=True, eq=False)
class _Descents:
    """What p descents on the same rows share."""

    z: Floats  # [n, d]
    targets: Floats  # [n, k] one-hot
    weight: Floats  # [n, p] of each row in the mean of each descent
    decay: Floats  # [p]
    factor: Floats  # [d, d]
    used: Floats  # [p] rows in each mean

    def start(self) -> Floats:
        """Least-squares weights of the rows in use, scaled so that their scores are log-odds."""
        from headstart.evaluate import temperature

        found = np.zeros((self.weight.shape[1], self.z.shape[1] + 1, self.targets.shape[1]), np.float32)
        found[:, :-1] = self._solve(self._times_rows((self.weight[:, :, None] > 0) * self.targets[:, None]))
        for own, weight in zip(found, self.weight.T, strict=True):
            rows = weight > 0
            scores = self.z[rows] @ own[:-1]
            own[:-1] /= np.float32(temperature(scores, self.targets[rows].argmax(1)))
        return found

    def look(self, at: Floats, going: Ints) -> tuple[Doubles, Floats]:
        """Penalised losses [g] and slopes [g, d + 1, k] of those that go on, at `at` [g, d + 1, k]."""
        weight = self.weight[:, going]
        logits = self._scores(at[:, :-1]) + at[None, :, -1]
        logits -= logits.max(2, keepdims=True)
        own = np.einsum("ngk,nk->ng", logits, self.targets)
        mass = np.exp(logits, out=logits)
        total = mass.sum(2)
        losses = np.einsum("ng,ng->g", weight, np.log(total) - own, dtype=np.float64)
        decay = self.decay[going]
        losses += 0.5 * decay * np.einsum("gdk,gdk->g", at[:, :-1], at[:, :-1], dtype=np.float64)
        mass /= total[:, :, None]
        mass -= self.targets[:, None]
        mass *= weight[:, :, None]
        slope = np.empty_like(at)
        slope[:, :-1] = self._times_rows(mass) + decay[:, None, None] * at[:, :-1]
        slope[:, -1] = mass.sum(0)
        return losses, slope

    def step(
        self, at: Floats, value: Doubles, slope: Floats, direction: Floats, going: Ints
    ) -> tuple[Floats, Doubles, Floats]:
        """Where those that go on arrive, with loss and slope there; at home where nothing is lower."""
        there, lower, steeper = at[going], value[going].copy(), slope[going]
        fall = np.array([_dot(own, slope[fold]) for own, fold in zip(direction, going, strict=True)])
        trying, stride = np.arange(len(going)), 1.0
        for _ in range(HALVINGS):
            tried = at[going[trying]] + np.float32(stride) * direction[trying]
            loss, slopes = self.look(tried, going[trying])
            good = loss <= value[going[trying]] + 1e-4 * stride * fall[trying]
            done = trying[good]
            there[done], lower[done], steeper[done] = tried[good], loss[good], slopes[good]
            trying, stride = trying[~good], stride / 2
            if not len(trying):
                break
        return there, lower, steeper

    def direction(self, slope: Floats, pairs: list[Pairs], going: Ints) -> Floats:
        """The two-loop recursion of L-BFGS for each that goes on, [g, d + 1, k]."""
        turned, shares = slope[going], [list[float]() for _ in going]
        for own, share, fold in zip(turned, shares, going, strict=True):
            for step, change, both in reversed(pairs[fold]):
                share.append(_dot(step, own) / both)
                own -= np.float32(share[-1]) * change
        scale = (self.used[going] / np.float32(CURVATURE))[:, None, None]
        turned[:, :-1] = self._solve(turned[:, :-1]) * scale
        turned[:, -1] /= np.float32(CURVATURE)
        for own, share, fold in zip(turned, shares, going, strict=True):
            for (step, change, both), part in zip(pairs[fold], reversed(share), strict=True):
                own += np.float32(part - _dot(change, own) / both) * step
        return -turned

    def _scores(self, weights: Floats) -> Floats:
        """Products of the rows with weights [g, d, k], [n, g, k]."""
        g, d, k = weights.shape
        found: Floats = self.z @ np.ascontiguousarray(weights.transpose(1, 0, 2)).reshape(d, g * k)
        return found.reshape(len(self.z), g, k)

    def _times_rows(self, values: Floats) -> Floats:
        """Products of the columns with values [n, g, k], [g, d, k]."""
        n, g, k = values.shape
        found: Floats = self.z.T @ values.reshape(n, g * k).astype(np.float32, copy=False)
        return found.reshape(-1, g, k).transpose(1, 0, 2)

    def _solve(self, values: Floats) -> Floats:
        """The factorised matrix's inverse times values [g, d, k]."""
        from headstart.heads._problem import solved

        g, d, k = values.shape
        flat = np.asfortranarray(values.transpose(1, 0, 2).reshape(d, g * k))
        found = solved(self.factor, flat)
        return found.reshape(d, g, k).transpose(1, 0, 2)


def _dot(a: Floats, b: Floats) -> float:
    return float(np.vdot(a, b))


PART = Logistic
