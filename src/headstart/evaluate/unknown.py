"""Is a picture like anything that was learnt? Strangeness in the space of the last layer's features.

Vectors of length one are compared with the training pictures (`nearest`), or with the classes' centres, under
the shape in which classes usually spread (`mahalanobis`; Lee et al. 2018, arXiv:1807.03888). What an ordinary
picture is also far from can be taken off: the distance to the centre of all (`relative`; Ren et al. 2021,
arXiv:2106.09022), or a share of the mean distance to all classes (`blend`). Which of these a model uses is
found out by leaving classes out: their pictures are then unknown, and it is known that they are.

Leaving classes out says how well strangers of the same kind are told, not how well a picture of something
else entirely is. So only methods that hold for both can be chosen: energy and the highest probability, which
look at differences between classes alone, are tried and told, and never used (docs/decisions/0011).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headstart.evaluate.sets import upper_quantile
from headstart.values import Doubles, Floats, Halves, Ints

REFERENCES = 2000  # training pictures that a model keeps for telling the unknown
CHOOSING = 1000  # of them on which methods are compared
BLOCK = 2048  # rows at a time on either side: 16 MB of similarities
NEIGHBOURS = 5
# Best first against pictures of something else entirely (benchmarks/unknown.py): leaving classes out cannot
# judge that, so that of two methods that it finds as good the earlier is taken.
METHODS = ("mahalanobis", "blend", "relative", "nearest")
TOLD = (*METHODS, "energy", "probability")
AS_GOOD = 0.01  # of AUROC
ROUNDS = 5  # sets of classes that are left out in turn
RANK = 64  # directions in which the shape of a class differs from a ball
POWER = 1  # rounds that sharpen these directions; more change nothing
SHRINK = 0.9  # of a class's shape is a ball: classes are small, and new classes spread otherwise
SHARE = 0.75  # of the mean distance to all classes that `blend` takes off
LEAST = 1e-6  # variance of classes that have one picture each

Pair = tuple[Ints, Ints]  # rows to learn from, and rows to score that have no twin among them


@dataclass(frozen=True)
class Tried:
    """How well a method told pictures of left-out classes from those of known ones."""

    method: str
    auroc: float
    fpr95: float  # share of unknown pictures taken for known where 95 % of the known ones are


@dataclass(frozen=True, eq=False)
class Strangeness:
    """The method to use, and what it says of known pictures that were not learnt from."""

    method: str
    scores: Doubles  # [m]
    tried: tuple[Tried, ...]  # best first; none where leaving classes out is impossible


@dataclass(frozen=True, eq=False)
class Clouds:
    """Centres with one shape for all: a ball, drawn out along some directions."""

    directions: Floats  # [d, r] columns of length below one
    slopes: Floats  # [d, c]
    offsets: Floats  # [c]
    variance: float  # across the directions

    def distances(self, unit: Floats) -> Doubles:
        """Squared Mahalanobis distances [n, c] of rows of length one [n, d] to the centres."""
        across = (unit**2).sum(1) - ((unit @ self.directions) ** 2).sum(1)
        found: Doubles = across[:, None] - 2.0 * (unit @ self.slopes) + self.offsets.astype(np.float64)
        return found / self.variance


@dataclass(frozen=True, eq=False)
class Familiar:
    """What new pictures are compared with."""

    method: str
    references: Halves  # [r, d] training pictures, length one
    rows: Ints  # [r] which pictures they are
    within: Clouds | None  # of the classes, for every method but `nearest`
    overall: Clouds | None  # of all pictures, for `relative`
    scores: Floats  # [m] ascending: raw strangeness of known pictures that were not learnt from
    false_rejection: float  # share of pictures of known classes that may be called unknown
    tried: tuple[Tried, ...]

    def raw(self, unit: Floats) -> Doubles:
        """Strangeness [n] of rows of length one [n, d], in the unit of the method."""
        if self.within is None:
            return _mean_distance(unit @ self.wide.T)
        return _combined(self.method, self.within.distances(unit), self.overall, unit)

    @cached_property
    def wide(self) -> Floats:
        """The references for computing with, [r, d]."""
        return self.references.astype(np.float32)

    @property
    def middle(self) -> float:
        """How strange the middling known picture is."""
        return float(np.median(self.scores)) if len(self.scores) else 0.0

    @property
    def stated(self) -> float | None:
        """`false_rejection`, where there are enough known pictures for the limit to keep to it, else None."""
        return self.false_rejection if (len(self.scores) + 1) * self.false_rejection >= 1 else None

    @property
    def limit(self) -> float:
        """How strange a picture may be and still count as known.

        A new picture of the known classes exceeds it with a chance of `false_rejection`. With too few known
        pictures to tell (below 49 for 0.02; then `stated` is None), twice as far from the middling one as the
        strangest is.
        """
        if not len(self.scores):
            return np.inf
        beyond = 2 * float(self.scores[-1]) - self.middle
        return max(
            upper_quantile(self.scores.astype(np.float64), 1 - self.false_rejection, beyond),
            self.middle + LEAST,
        )


def unit_rows(x: Halves | Floats) -> Floats:
    """Rows of length one; zeros stay zeros."""
    wide = x.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(length > 0, length, 1)
    return wide


def reference_rows(digests: Sequence[str], y: Ints, most: int = REFERENCES) -> Ints:
    """Which pictures are kept to compare new ones with: at most `most`, by content, ascending.

    Half of the places are shared out evenly among the classes, so that small classes are not forgotten.
    """
    order = np.argsort(np.array(digests))
    if len(order) <= most:
        return np.arange(len(order), dtype=np.int64)
    each = max(1, most // (2 * len(np.unique(y))))
    by_class = order[np.argsort(y[order], kind="stable")]
    counts = np.bincount(y)
    rank = np.empty(len(y), dtype=np.int64)
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = rank[order] < each
    return np.sort(np.concatenate([order[first], order[~first]])[:most])


def learn(references: Halves, rows: Ints, y: Ints, found: Strangeness, false_rejection: float) -> Familiar:
    """What a model keeps of its training pictures [r, d] of labels `y` [r] to tell the unknown."""
    unit = unit_rows(references)
    within = overall = None
    if found.method != "nearest":
        basis = _basis(unit)
        within = _clouds(unit, y, basis)
        overall = _clouds(unit, np.zeros_like(y), basis) if found.method == "relative" else None
    scores = np.sort(found.scores).astype(np.float32)
    return Familiar(
        found.method, unit.astype(np.float16), rows, within, overall, scores, false_rejection, found.tried
    )


def strangeness(
    x: Halves | Floats, y: Ints, pairs: Sequence[Pair], fewer: Sequence[Pair] | None = None
) -> Strangeness:
    """The method for features `x` [n, d] of labels `y` [n], and what it says of the rows that are scored.

    Rows of a class of which nothing was learnt in their pair are no known pictures, and are not scored.
    Methods are compared on `fewer` pairs, if given, by leaving out classes in turn. Fewer than three classes
    say nothing (of one class that is left nothing can be taken off): the first method then.
    """
    unit = unit_rows(x)
    tried = _leave_out(unit, y, fewer or pairs)
    worth = {one.method: one.auroc for one in tried if one.method in METHODS}
    enough = max(worth.values(), default=0.0) - AS_GOOD
    method = next((name for name in METHODS if worth.get(name, 1.0) >= enough), METHODS[0])
    scores = [
        _scores(unit, y, learnt, _met(y, learnt, scored), (method,))[method] for learnt, scored in pairs
    ]
    return Strangeness(method, np.concatenate([np.zeros(0), *scores]), tried)


def auroc(known: Doubles, unknown: Doubles) -> float:
    """The chance that an unknown picture [m] is stranger than a known one [n]; ties count half.

    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, "left") + np.searchsorted(ordered, unknown, "right")
    return float(below.mean() / (2 * len(known)))


def fpr95(known: Doubles, unknown: Doubles) -> float:
    """The share of unknown pictures taken for known by the limit that 95 % of the known ones keep to."""
    return float((unknown <= np.quantile(known, 0.95)).mean())


def neighbour_distance(
    x: Halves | Floats,
    reference: Halves | Floats,
    *,
    k: int = NEIGHBOURS,
    groups: tuple[Ints, Ints] | None = None,
) -> Doubles:
    """How strange each row of `x` [n, d] is: 1 - mean cosine to its `k` nearest rows of `reference` [m, d].

    Follows Sun et al. 2022 (arXiv:2204.06507), with the mean over k neighbours in place of the k-th, which is
    steadier when classes are small. 0 (the same direction) to 2 (opposite). With fewer than k rows to compare
    with, the mean of those there are; with none, or for a vector of zeros, 1: like nothing. `groups`, the
    numbers of x [n] and of reference [m], keeps rows of the same group from being neighbours. Lengths do not
    matter; vectors are not centred. Memory is that of a few blocks, whatever n and m.

    >>> x = np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    >>> neighbour_distance(x, np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), k=1)
    array([0., 1.])
    """
    found = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        unit = unit_rows(x[rows])
        nearest = np.full((len(unit), k), -np.inf, dtype=np.float32)
        for begin in range(0, len(reference), BLOCK):
            there = slice(begin, begin + BLOCK)
            cosine = unit @ unit_rows(reference[there]).T
            if groups is not None:
                cosine[groups[0][rows, None] == groups[1][None, there]] = -np.inf
            nearest = _largest(np.concatenate([nearest, cosine], axis=1), k)
        found[rows] = _mean_distance(nearest, k)
    return found


def _leave_out(unit: Floats, y: Ints, pairs: Sequence[Pair]) -> tuple[Tried, ...]:
    """Each method's AUROC and FPR95, averaged over the rounds, best AUROC first.

    A round learns from one pair's rows without the classes that are left out. All pictures of these that are
    scored in any pair are then unknown; the known ones are the pair's own.
    """
    classes = np.unique(y)
    rounds = min(ROUNDS, len(classes)) if len(classes) > 2 else 0
    unseen = np.unique(np.concatenate([np.zeros(0, np.int64), *(scored for _, scored in pairs)]))
    found: dict[str, list[tuple[float, float]]] = {}
    for turn in range(rounds if pairs else 0):
        gone = np.isin(y, classes[turn::rounds])
        learnt, scored = (rows[~gone[rows]] for rows in pairs[turn % len(pairs)])
        scored = _met(y, learnt, scored)
        strange = unseen[gone[unseen]]
        if not len(learnt) or not len(scored) or not len(strange):
            continue
        said = _scores(unit, y, learnt, np.concatenate([scored, strange]), TOLD)
        for method, own in said.items():
            known, unknown = own[: len(scored)], own[len(scored) :]
            found.setdefault(method, []).append((auroc(known, unknown), fpr95(known, unknown)))
    means = {method: np.mean(own, axis=0) for method, own in found.items()}
    tried = [Tried(name, round(float(a), 4), round(float(f), 4)) for name, (a, f) in means.items()]
    return tuple(sorted(tried, key=lambda one: -one.auroc))


def _met(y: Ints, learnt: Ints, scored: Ints) -> Ints:
    """Those of the rows `scored` whose class was learnt."""
    return scored[np.isin(y[scored], y[learnt])]


def _scores(unit: Floats, y: Ints, learnt: Ints, scored: Ints, methods: Sequence[str]) -> dict[str, Doubles]:
    """What each method says of the rows `scored`, having learnt from others only."""
    new, old = unit[scored], unit[learnt]
    found = {}
    if "nearest" in methods:
        found["nearest"] = _mean_distance(new @ old.T)
    rest = [method for method in methods if method != "nearest"]
    if rest:
        # From these rows alone: held-out rows that had a say in the directions would seem less strange.
        basis = _basis(old)
        within = _clouds(old, y[learnt], basis).distances(new)
        overall = _clouds(old, np.zeros_like(learnt), basis) if "relative" in rest else None
        found |= {method: _combined(method, within, overall, new) for method in rest}
    return found


def _combined(method: str, within: Doubles, overall: Clouds | None, unit: Floats) -> Doubles:
    """Strangeness [n] from the distances [n, c] to the classes."""
    nearest: Doubles = within.min(axis=1)
    if method == "relative" and overall is not None:
        nearest -= overall.distances(unit)[:, 0]
    elif method == "probability":
        nearest = 1 - 1 / np.exp((nearest[:, None] - within) / 2).sum(axis=1)
    else:
        nearest -= {"mahalanobis": 0.0, "blend": SHARE, "energy": 1.0}[method] * within.mean(axis=1)
    return nearest


def _clouds(unit: Floats, y: Ints, basis: Floats) -> Clouds:
    """Centres of the classes that there are, and their common shape, drawn towards a ball."""
    names, label = np.unique(y, return_inverse=True)
    counts = np.bincount(label)
    order = np.argsort(label, kind="stable")
    sums = np.add.reduceat(unit[order], np.cumsum(counts) - counts, axis=0)
    centres = sums / counts[:, None].astype(np.float32)
    free = max(1, len(unit) - len(names))
    total = float((unit.astype(np.float64) ** 2).sum() - (counts @ (centres.astype(np.float64) ** 2)).sum())
    variance = max(SHRINK * total / free / unit.shape[1], LEAST)
    off = unit @ basis - (centres @ basis)[label]
    spread, turn = np.linalg.eigh((off.T @ off).astype(np.float64) / free)
    drawn = (1 - SHRINK) * np.maximum(spread, 0)
    directions = (basis @ (turn * np.sqrt(drawn / (drawn + variance)))).astype(np.float32)
    slopes = centres.T - directions @ (directions.T @ centres.T)
    return Clouds(directions, slopes, (centres * slopes.T).sum(axis=1), variance)


def _basis(unit: Floats) -> Floats:
    """The directions [d, r] in which these rows differ most, nearly (Halko et al. 2011, arXiv:0909.4061)."""
    centred = unit - unit.mean(axis=0)
    rank = min(RANK, *centred.shape)
    wide = min(rank + 16, *centred.shape)
    found: Floats = np.random.default_rng(0).normal(size=(unit.shape[1], wide)).astype(np.float32)
    for _ in range(POWER):
        found, _ = np.linalg.qr(centred.T @ (centred @ found))
    seen = centred @ found
    _, turn = np.linalg.eigh((seen.T @ seen).astype(np.float64))
    basis: Floats = found @ turn[:, ::-1][:, :rank].astype(np.float32)
    return basis


def _largest(cosine: Floats, k: int) -> Floats:
    """The `k` largest of each row, in no order."""
    at = cosine.shape[1] - min(k, cosine.shape[1])
    return np.partition(cosine, at, axis=1)[:, at:] if at else cosine


def _mean_distance(cosine: Floats, k: int = NEIGHBOURS) -> Doubles:
    """One minus the mean over the k largest finite cosines of each row; 1 where there are none."""
    largest = np.sort(_largest(cosine, k), axis=1).astype(np.float64)
    real = np.isfinite(largest)
    total = np.where(real, largest, 0).sum(axis=1)
    distance: Doubles = np.clip(1 - total / np.maximum(real.sum(axis=1), 1), 0, 2)
    return distance
