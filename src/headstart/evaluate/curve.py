"""How accuracy grows with the number of pictures, and how it is likely to go on: an inverse power law.

error(n) = a + b n^-c with a, b >= 0 (Cortes et al. 1994; Mahmood et al. 2022, arXiv:2202.01602, on how far
such forecasts go wrong). The same pictures are judged at every size, so that the points move together: they
are weighted by the inverse of their covariance, found by drawing groups of pictures again (bootstrap). Every
drawn set of points has a fit of its own, with an exponent drawn by how well it fits; the interval is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.values import Doubles, Ints

EXPONENTS = np.linspace(0.1, 1.5, 15)
DRAWS = 400
NOISE = (
    0.005  # of a point beside the choice of pictures: other pictures to learn from, and no exact power law
)
LEVEL = 0.95


@dataclass(frozen=True)
class Ahead:
    """A forecast."""

    n: int
    accuracy: float
    interval: tuple[float, float]
    gain: tuple[float, float, float]  # over `now` pictures: middle and ends


def forecast(
    right: Doubles, sizes: Ints, groups: Ints, wanted: Sequence[int], *, now: int, seed: int = 0
) -> tuple[Ahead, ...]:
    """Accuracies to be expected with `wanted` numbers of pictures.

    `right` [n, s] tells how often each judged picture was right with `sizes` [s] pictures to learn from, 0 to
    1; `groups` [n] are drawn as wholes. `now` is how many there are. Needs three sizes or more.

    >>> sizes = np.array([100, 200, 400, 800])
    >>> right = np.arange(1000)[:, None] / 1000 >= 0.05 + 2 / np.sqrt(sizes)
    >>> round(forecast(right.astype(float), sizes, np.arange(1000), [3200], now=800)[0].accuracy, 2)
    0.91
    """
    rng = np.random.default_rng(seed)
    drawn = 1 - _drawn(right, groups, rng)
    spread = np.cov(drawn.T) + NOISE**2 * np.eye(len(sizes))
    drawn += rng.normal(0, NOISE, drawn.shape)
    root = np.linalg.cholesky(np.linalg.inv(spread)).T
    scale = float(sizes[-1])  # so that powers are of numbers near one
    ahead = np.array(wanted) / scale
    costs, lines, ends = [], [], []
    for exponent in EXPONENTS:
        a, b, cost = _fits(root, drawn, (sizes / scale) ** -exponent)
        costs.append(cost)
        lines.append(a[:, None] + b[:, None] * ahead**-exponent)
        ends.append(a + b * (now / scale) ** -exponent)
    chances = np.exp(-0.5 * (np.array(costs) - np.min(costs, axis=0)))
    picks = (np.cumsum(chances / chances.sum(0), axis=0) < rng.random(DRAWS)).sum(0)
    picks = np.minimum(picks, len(EXPONENTS) - 1)
    rows = np.arange(DRAWS)
    errors, present = np.array(lines)[picks, rows], np.array(ends)[picks, rows]
    low, middle, high = np.quantile(1 - errors, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=0)
    gains = np.quantile(present[:, None] - errors, [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return tuple(
        Ahead(
            int(n), float(np.clip(middle[i], 0, 1)),
            (float(np.clip(low[i], 0, 1)), float(np.clip(high[i], 0, 1))),
            (float(gains[0, i]), float(gains[1, i]), float(gains[2, i])),
        )
        for i, n in enumerate(wanted)
    )  # fmt: skip


def _drawn(right: Doubles, groups: Ints, rng: np.random.Generator) -> Doubles:
    """Mean accuracies [DRAWS, s] of groups drawn with replacement."""
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    sums = np.stack([np.bincount(group, weights=column) for column in right.T], axis=1)
    times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=DRAWS)
    found: Doubles = (times @ sums) / (times @ counts)[:, None]
    return found


def _fits(root: Doubles, errors: Doubles, powers: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Least squares of weighted errors [r, s] on 1 and `powers` [s], neither below 0: a, b, cost [r]."""
    one, power, target = root.sum(1), root @ powers, errors @ root.T
    uu, uv, vv = float(one @ one), float(one @ power), float(power @ power)
    ut, vt = target @ one, target @ power
    b = (uu * vt - uv * ut) / max(uu * vv - uv**2, 1e-12)
    a = (ut - uv * b) / uu
    a, b = np.where(b < 0, ut / uu, a), np.maximum(b, 0)
    a, b = np.maximum(a, 0), np.where(a < 0, np.maximum(vt / vv, 0), b)
    cost = ((target - a[:, None] * one - b[:, None] * power) ** 2).sum(1)
    return a, b, cost
