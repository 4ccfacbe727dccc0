"""Would more pictures help? Accuracy with an eighth, a quarter, half and all of the training part.

Judged out of fold within the training part: a fold is put aside, heads are fitted on growing shares of the
rest, each share holding the smaller ones. Depths and penalty stay those of the whole; a head that needs
descent is replaced by the closed form that came next to it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart import heads
from headstart.evaluate import accuracy_interval
from headstart.evaluate.curve import Ahead, forecast
from headstart.heads._problem import Problem, Products
from headstart.trust.evidence import Evidence, closed_form
from headstart.values import Doubles, Features, Ints

ROWS = 2500  # pictures that are looked at
SHARES = ((1 / 8, 3), (1 / 4, 2), (1 / 2, 1), (1.0, 1))  # of those outside a fold, and how often drawn
FOLDS = 3
PER_CLASS = 2.0  # pictures of a class, on average, in the smallest share
FEWEST = 60  # pictures below which there is no curve
SIZES = 3  # measured, for a forecast
FAR = 8  # forecasts go to at most so many times what was measured
WORTH = 0.01  # a gain in accuracy that is worth pictures


@dataclass(frozen=True, eq=False)
class Curve:
    """Measured points, what they promise, and recall by class."""

    head: str
    sizes: Ints  # [s]
    right: Doubles  # [m, s] how often each picture was right
    y: Ints  # [m]
    groups: Ints  # [m]
    classes: tuple[str, ...]
    whole: int  # pictures in the training part
    ahead: tuple[Ahead, ...]

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        points = []
        for n, right in zip(self.sizes.tolist(), self.right.T, strict=True):
            low, high = accuracy_interval(right, self.groups)
            ends = [round(low, 4), round(high, 4)]
            points.append({"n": n, "accuracy": round(float(right.mean()), 4), "accuracy_ci95": ends})
        ahead = [
            {
                "n": one.n,
                "accuracy": round(one.accuracy, 4),
                "interval": [round(end, 4) for end in one.interval],
            }
            for one in self.ahead
        ]
        per_class = {
            name: [
                {"n": n, "recall": round(float(right[self.y == label].mean()), 4)}
                for n, right in zip(self.sizes.tolist(), self.right.T, strict=True)
            ]
            for label, name in enumerate(self.classes)
            if (self.y == label).any()
        }
        return {
            "head": self.head,
            "points": points,
            "ahead": ahead,
            "per_class": per_class,
            "verdict": self.verdict(),
        }

    def verdict(self) -> str:
        """Whether more pictures would help, in a sentence."""
        if not self.ahead and len(self.sizes) >= SIZES:
            return (
                f"Measured with up to {self.sizes[-1]:,} of the {self.whole:,} training pictures: too few to "
                "say what more of them would bring."
            )
        if not self.ahead:
            return "Too few sizes could be measured to say what more pictures would bring."
        one = self.ahead[0]
        middle, low, high = one.gain
        ends = f"{100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f}"
        twice = f"with {one.n} pictures about {100 * one.accuracy:.1f} % right ({ends})"
        if low >= WORTH:
            return f"More pictures would help: {twice}."
        if high < WORTH:
            return f"More pictures like these would hardly help: {twice}."
        likely = "would probably help" if middle >= WORTH else "would probably help little"
        return f"More pictures {likely}: {twice}."


def learn(evidence: Evidence) -> Curve | None:
    """The curve of the training part; None where the pictures are too few to be divided."""
    rows = evidence.learnt
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(evidence.seed).choice(rows, ROWS, replace=False))
    train = evidence.features.take(rows)
    part, trial = closed_form(evidence.fitted)
    z = evidence.fitted.inputs.of(train.x)
    sizes, right = measured(train, z, part, trial.penalty, evidence.seed)
    kept = np.isfinite(right).all(1)
    if len(sizes) < 1:
        return None
    whole = len(evidence.parts.rows("train"))
    ahead: tuple[Ahead, ...] = ()
    if len(sizes) >= SIZES:
        wanted = [n for n in (2 * whole, 4 * whole) if n <= FAR * sizes[-1]]
        ahead = forecast(right[kept], sizes, train.groups[kept], wanted, now=whole, seed=evidence.seed)
    y, groups = train.y[kept], train.groups[kept]
    return Curve(part.name, sizes, right[kept], y, groups, train.classes, whole, ahead)


def measured(
    train: Features, z: Any, part: type[heads.Head], penalty: float, seed: int
) -> tuple[Ints, Doubles]:
    """Mean sizes [s] and how often each row of `train` was right [n, s]; NaN for rows never left out."""
    n, k = len(train), len(train.classes)
    folds = _folds(train, seed)
    shares = [(share, times) for share, times in SHARES if share * n * (1 - 1 / FOLDS) >= PER_CLASS * k]
    if n < FEWEST or folds is None or not shares:
        return np.zeros(0, np.int64), np.zeros((n, 0))
    right = np.full((n, len(shares), max(times for _, times in shares)), np.nan)
    sizes = np.zeros((FOLDS, len(shares)))
    products = Products(z)
    plans = []
    for fold in range(FOLDS):
        rest, own = np.flatnonzero((folds != fold) & (folds >= 0)), np.flatnonzero(folds == fold)
        for draw in range(right.shape[2]):
            order = _dealt(train, rest, seed + 1000 * draw + fold)
            for at, (share, times) in enumerate(shares):
                if draw < times:
                    some = np.sort(order[: max(2, round(share * len(order)))])
                    sizes[fold, at] = len(some)
                    plans.append((some, own, at, draw))

    def fit(plan: tuple[Ints, Ints, int, int]) -> None:
        some, own, at, draw = plan
        y = train.y[some]
        problem = Problem(z[some], y, k, np.zeros(len(some), np.int64), products.part(some))
        head = part.fit(problem, penalty=penalty)
        right[own, at, draw] = head.logits(z[own]).argmax(1) == train.y[own]

    heads.side_by_side(fit, sorted(plans, key=lambda plan: -len(plan[0])))
    means = np.array([right[:, at, :times].mean(1) for at, (_, times) in enumerate(shares)]).T
    return np.rint(sizes.mean(0)).astype(np.int64), means


def _folds(train: Features, seed: int) -> Ints | None:
    from headstart.data.split import folds

    groups_of = [len(np.unique(train.groups[train.y == label])) for label in range(len(train.classes))]
    if len(np.unique(train.groups)) < FOLDS or max(groups_of) < 2:
        return None
    found = folds(train.y, train.groups, train.digests, FOLDS, seed=seed)
    found[np.array(groups_of)[train.y] < 2] = -1
    return found


def _dealt(train: Features, rows: Ints, seed: int) -> Ints:
    """The rows in an order of which every beginning has the classes in proportion; groups stay together."""
    rng = np.random.default_rng(seed)
    numbers, which = np.unique(train.groups[rows], return_inverse=True)
    place = np.zeros(len(rows))
    luck = rng.permutation(len(numbers))[which]
    for label in np.unique(train.y[rows]):
        own = np.flatnonzero(train.y[rows] == label)
        own = own[np.argsort(luck[own], kind="stable")]
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    by_group = np.full(len(numbers), np.inf)
    np.minimum.at(by_group, which, place)
    found: Ints = rows[np.lexsort((place, which, by_group[which]))]
    return found
