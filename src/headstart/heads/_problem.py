"""Penalised least squares on one-hot targets, and the same with every fold left out.

One factorisation serves two heads. With inputs Z [n, d], one-hot targets Y [n, k] and penalty p,

    A = (Z Z' + p I)^-1,   B = Z' A Y   (the ridge weights),   scores(x) = x' B.

Shrinkage linear discriminant analysis needs nothing more: with W = within-class scatter + p I and class
means m_c, the Woodbury identity gives x' W^-1 m_c = scores(x) @ M and m_c' W^-1 m_c = M_cc - 1/n_c,
where M = (Y' A Y)^-1 / p and n_c is the size of class c.

Leaving out a fold G needs no refit when n <= d: the scores of its rows are Y_G - A_GG^-1 (A Y)_G, and
Y' A Y without G follows from the inverse of a block matrix. When n > d, the fold's share is subtracted
from Z'Z and Z'Y and one system of d equations is solved. Both are exact; fold size one is leave-one-out.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import scipy  # its linalg is loaded with the first use: see `heads.load_beside`

from headstart.heads._inputs import one_hot
from headstart.values import Doubles, Floats, Ints

BLOCK = 256  # rows and columns that are mirrored at a time
JITTER = 1e-5  # of the mean diagonal, so that a kernel with twins in it has a Cholesky factor


class Products:
    """Inner products of the rows, or of the columns, of a matrix z [n, d] and of its last columns alone.

    Depth sets are such last columns, so what a wider one needs is what the next narrower one has, and more.
    It is always put together in the same way, whoever asks first: the bits depend on it.
    """

    def __init__(self, z: Floats, widths: Sequence[int] = ()) -> None:
        self._z, self._widths = z, sorted({*widths, z.shape[1]})
        self._kernels: dict[int, Floats] = {}
        self._scatters: dict[int, Floats] = {}
        self._lock = Lock()

    def kernel(self, width: int) -> Floats:
        """Of the rows, [n, n], over the last `width` columns."""
        with self._lock:
            for inner, own in itertools.pairwise([0, *self._widths]):
                if own <= width and own not in self._kernels:
                    more = self._last(own)[:, : own - inner]
                    found: Floats = more @ more.T
                    self._kernels[own] = found + self._kernels[inner] if inner else found
            return self._kernels[width]

    def scatter(self, width: int) -> Floats:
        """Of the last `width` columns, [width, width]: a corner of the widest that has more rows."""
        outer = max((own for own in self._widths if width <= own < len(self._z)), default=width)
        with self._lock:
            if outer not in self._scatters:
                self._scatters[outer] = self._last(outer).T @ self._last(outer)
            return self._scatters[outer][outer - width :, outer - width :]

    def part(self, rows: Ints) -> "Products":
        """The same of some rows, for which the inner products of rows that are known are not made again."""
        own = Products(self._z[rows])
        width = self._z.shape[1]
        if len(rows) <= width:
            own._kernels[width] = self.kernel(width)[np.ix_(rows, rows)]
        return own

    def _last(self, width: int) -> Floats:
        return self._z[:, self._z.shape[1] - width :]


@dataclass(frozen=True, eq=False)
class Problem:
    """Inputs with labels and folds, and what several heads and penalties need of them, computed once."""

    z: Floats  # [n, d]
    y: Ints  # [n] 0..k-1
    k: int
    folds: Ints  # [n] numbered from 0; rows of -1 are never left out
    products: Products | None = None  # of a matrix that ends with the columns of z, where there is one

    @property
    def is_dual(self) -> bool:
        """Fewer rows than inputs: the kernel is the smaller matrix."""
        return bool(self.z.shape[0] <= self.z.shape[1])

    @cached_property
    def kernel(self) -> Floats:
        """Inner products of the rows, [n, n]."""
        return (self.products or Products(self.z)).kernel(self.z.shape[1])

    @cached_property
    def scatter(self) -> Floats:
        """Inner products of the columns, [d, d]."""
        return (self.products or Products(self.z)).scatter(self.z.shape[1])

    @cached_property
    def moments(self) -> Floats:
        """Sums of the inputs by class, [d, k]."""
        found: Floats = self.z.T @ one_hot(self.y, self.k)
        return found

    @cached_property
    def coordinates(self) -> Floats:
        """Rows in min(n, d) numbers that keep every inner product: a Cholesky factor of the kernel.

        What a penalty on |W| cannot tell from the inputs themselves.
        """
        if not self.is_dual:
            return self.z
        kernel = self.kernel.copy()
        kernel.flat[:: len(kernel) + 1] += JITTER * max(float(np.trace(kernel)) / len(kernel), 1e-6)
        lower: Floats = scipy.linalg.cholesky(kernel, lower=True, overwrite_a=True)
        return lower

    def to_inputs(self, weight: Floats) -> Floats:
        """Weights on `coordinates` [., k] as weights on the inputs [d, k]."""
        if not self.is_dual:
            return weight
        found: Floats = self.z.T @ scipy.linalg.solve_triangular(
            self.coordinates, weight, lower=True, trans="T"
        )
        return found

    def curvature(self, ridge: float) -> Floats:
        """Lower Cholesky factor of the coordinates' scatter plus `ridge` on its diagonal."""
        scatter = (self._spread if self.is_dual else self.scatter).copy()
        scatter.flat[:: len(scatter) + 1] += ridge
        lower: Floats = scipy.linalg.cholesky(scatter, lower=True, overwrite_a=True)
        return lower

    @cached_property
    def _spread(self) -> Floats:
        found: Floats = self.coordinates.T @ self.coordinates
        return found

    def rows_of_folds(self) -> list[Ints]:
        """The rows of each fold, in the order of the folds' numbers."""
        return [np.flatnonzero(self.folds == fold) for fold in np.unique(self.folds[self.folds >= 0])]

    def least_squares(self, penalty: float) -> list["Fold"]:
        """Every fold left out, at a relative penalty; kept for the next head that asks."""
        if penalty not in self._kept:
            self._kept[penalty] = left_out(self, penalty)
        return self._kept[penalty]

    @cached_property
    def ends(self) -> dict[int, Floats]:
        """Where the first descent without each fold ended, for those that look for something near."""
        return {}

    @cached_property
    def _kept(self) -> dict[float, list["Fold"]]:
        return {}


@dataclass(frozen=True, eq=False)
class Fold:
    """Scores of the rows that were left out, and what LDA needs of the rest.

    Inputs are centred on all rows, so a row left out knows something of the rest: their sum is its opposite.
    With few rows that tells its class, the one that lacks a row (two classes of four in noise: right every
    time). `centred` are the scores, less their mean, of the fit with a free intercept, which does not care
    where the middle is; discriminants of LDA do not care either. With more rows than inputs the difference
    is lost in the noise, and both are the same.
    """

    rows: Ints  # [g]
    scores: Doubles  # [g, k]
    centred: Doubles  # [g, k] scores of the same, about the mean of the rest
    m: Doubles  # [k, k] (Y'AY)^-1 / penalty of the rest
    counts: Doubles  # [k] class sizes of the rest


@dataclass(frozen=True, eq=False)
class Fit:
    """The fit on all rows."""

    weight: Floats  # [d, k]
    m: Doubles  # [k, k]
    counts: Doubles  # [k]


def absolute(penalty: float, n: int) -> float:
    """A relative penalty in (0, 1), as in shrinkage (1 - g) S + g I, to the p that is added to Z'Z.

    Inputs are standardised, so the average variance is one and n rows have scatter n.
    """
    return penalty / (1 - penalty) * n


def fit(problem: Problem, penalty: float) -> Fit:
    """Fit on all rows; `penalty` is relative, in (0, 1)."""
    z, targets = problem.z, one_hot(problem.y, problem.k)
    p, counts = absolute(penalty, len(z)), targets.sum(0).astype(np.float64)
    if problem.is_dual:
        kernel = problem.kernel.copy()
        kernel.flat[:: len(z) + 1] += p
        solved = scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(kernel, lower=True, overwrite_a=True), targets
        )
        yay = targets.T.astype(np.float64) @ solved
        weight = z.T @ solved
    else:
        weight, yay = _primal(problem.scatter, problem.moments, counts, p)
    return Fit(np.ascontiguousarray(weight, np.float32), _inverse(yay) / p, counts)


def left_out(problem: Problem, penalty: float) -> list[Fold]:
    """Each fold (numbered from 0; -1 is never left out) predicted by the fit without it."""
    p = absolute(penalty, len(problem.z))
    return _dual_folds(problem, p) if problem.is_dual else _primal_folds(problem, p)


def _dual_folds(problem: Problem, p: float) -> list[Fold]:
    targets = one_hot(problem.y, problem.k).astype(np.float64)
    resolvent = problem.kernel.copy()
    resolvent.flat[:: len(targets) + 1] += p
    resolvent = _symmetric_inverse(resolvent)
    solved = (resolvent @ targets.astype(np.float32)).astype(np.float64)
    yay, counts, k = targets.T @ solved, targets.sum(0), problem.k
    side = resolvent.sum(1, dtype=np.float64)  # what a free intercept takes away: R - R 1 1'R / 1'R 1
    aside, whole = side @ targets, side.sum()
    found = []
    for rows in problem.rows_of_folds():
        block = resolvent[np.ix_(rows, rows)].astype(np.float64)
        own, mine, share = targets[rows], solved[rows], side[rows, None] / whole
        cross = mine - block @ own
        both = np.linalg.solve(block, np.concatenate([mine, cross], 1))
        free = np.linalg.solve(block - share * side[rows], mine - share * aside)
        mixed = own.T @ cross
        rest = yay - mixed - mixed.T - own.T @ block @ own - cross.T @ both[:, k:]
        left = counts - own.sum(0)
        centred = own - free - left / max(left.sum(), 1)
        found.append(Fold(rows, own - both[:, :k], centred, _inverse(rest) / p, left))
    return found


def _primal_folds(problem: Problem, p: float) -> list[Fold]:
    z, targets = problem.z, one_hot(problem.y, problem.k)
    counts = targets.sum(0).astype(np.float64)
    found = []
    for rows in problem.rows_of_folds():
        own_z, own = z[rows], targets[rows]
        rest = counts - own.sum(0)
        weight, yay = _primal(problem.scatter - own_z.T @ own_z, problem.moments - own_z.T @ own, rest, p)
        scores = (own_z @ weight).astype(np.float64)
        found.append(Fold(rows, scores, scores, _inverse(yay) / p, rest))
    return found


def _primal(scatter: Floats, moments: Floats, counts: Doubles, p: float) -> tuple[Floats, Doubles]:
    """Ridge weights [d, k] and Y'AY [k, k] from Z'Z, Z'Y and the class sizes."""
    scatter = scatter.copy()
    scatter.flat[:: len(scatter) + 1] += p
    weight = scipy.linalg.cho_solve(scipy.linalg.cho_factor(scatter, lower=True, overwrite_a=True), moments)
    fitted = moments.T.astype(np.float64) @ weight
    return weight, (np.diag(counts) - (fitted + fitted.T) / 2) / p


def _symmetric_inverse(matrix: Floats) -> Floats:
    """Inverse of a positive definite matrix, which is overwritten. Half the work of a general inverse."""
    factor, failed = scipy.linalg.lapack.spotrf(matrix.T, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(f"leading minor {failed} is not positive")
    lower, _ = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    whole: Floats = lower
    for at in range(0, len(whole), BLOCK):  # block by block, in place: fresh memory is what takes time
        rows, rest = slice(at, at + BLOCK), slice(at + BLOCK, None)
        corner = np.tril(whole[rows, rows])
        whole[rows, rows] = corner + np.tril(corner, -1).T
        whole[rows, rest] = whole[rest, rows].T
    return whole


def _inverse(yay: Doubles) -> Doubles:
    """Inverse of Y'AY. A class without rows has a zero row: it gets no say, rather than an infinite one."""
    empty = np.diag(yay) <= 1e-12
    filled = yay.copy()
    filled[empty] = filled[:, empty] = 0
    filled[empty, empty] = 1
    inverse: Doubles = np.linalg.inv(filled).astype(np.float64)
    inverse[empty, empty] = 0
    return inverse


def solved(lower: Floats, values: Floats) -> Floats:
    """(L L')^-1 @ values for a lower Cholesky factor; `values` is overwritten."""
    found: Floats = scipy.linalg.cho_solve((lower, True), values, overwrite_b=True, check_finite=False)
    return found
