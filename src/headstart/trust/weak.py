"""On which pictures the model does clearly worse: clusters that look alike, dark or blurred ones, classes.

The sets are made without looking at the answers, so that chance finds one in twenty runs at most.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.facts import Facts
from headstart.evaluate.weak import Weak, weak_sets
from headstart.trust.evidence import Evidence, Judged
from headstart.values import Floats, Ints

ENOUGH = 60  # judged pictures below which nothing would be found
PER_CLUSTER = 40  # pictures, on average
CLUSTERS = 20  # at most
STEPS = 12  # of k-means
LEARNT = 2000  # pictures that the centres are found with
WIDTH = 64  # random directions onto which features are thrown: distances stay, nearly
PATHS = 20  # pictures that one weak spot names
TENTHS = 0.15  # share of the pictures at either end of a fact

ENDS = {
    "brightness": ("dark pictures", "bright pictures"),
    "contrast": ("pictures of low contrast", "pictures of high contrast"),
    "sharpness": ("blurred or smooth pictures", "pictures full of fine detail"),
}
TINTS = {
    "red": ("pictures with little red", "reddish pictures"),
    "blue": ("pictures with little blue", "bluish pictures"),
}
TINTED = 8.0  # levels of 255 between both ends of a tint, below which a set has no colours


@dataclass(frozen=True)
class Spot:
    """A set of judged pictures on which the model does worse."""

    what: str
    weak: Weak
    paths: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        return {
            "what": self.what,
            "n": self.weak.n,
            "accuracy": round(self.weak.accuracy, 4),
            "accuracy_ci95": [round(end, 4) for end in self.weak.accuracy_ci95],
            "rest": round(self.weak.rest, 4),
            "p": self.weak.p,
            "paths": list(self.paths),
        }


def find(evidence: Evidence, judged: Judged) -> tuple[Spot, ...] | None:
    """Weak spots among the judged pictures, surest first; None where these are too few to look."""
    if len(judged.rows) < ENOUGH:
        return None
    named: list[tuple[str, Ints]] = []
    classes = evidence.examples.classes
    named += [(f"class {classes[c]}", np.flatnonzero(judged.y == c)) for c in np.unique(judged.y)]
    named += ends(evidence.facts.take(judged.rows))
    short = np.minimum(evidence.facts.column("width"), evidence.facts.column("height"))[judged.rows]
    small, large = _ends(short)
    named += [("small pictures", small), ("large pictures", large)]
    last = evidence.features.last()[judged.rows]
    for number, rows in enumerate(clusters(last, evidence.seed), start=1):
        usual = classes[int(np.bincount(judged.y[rows]).argmax())] if len(rows) else ""
        named.append((f"cluster {number}: pictures that look alike, mostly {usual}", rows))
    found = weak_sets(judged.right, [rows for _, rows in named], judged.groups)
    told = []
    for weak in found:
        what, rows = named[weak.which]
        wrong_first = rows[np.argsort(judged.right[rows], kind="stable")][:PATHS]
        paths = tuple(evidence.examples.paths[judged.rows[at]] for at in wrong_first.tolist())
        told.append(Spot(what, weak, paths))
    return tuple(told)


def ends(facts: Facts) -> list[tuple[str, Ints]]:
    """The pictures at either end of each fact, by name."""
    found = []
    for fact, words in ENDS.items():
        found += list(zip(words, _ends(facts.column(fact)), strict=True))
    grey = facts.columns(("red", "green", "blue")).mean(1)
    for colour, words in TINTS.items():  # beside the other colours: a bright picture is not a red one
        low, high = _ends(facts.column(colour) - grey, least=TINTED)
        found += list(zip(words, (low, high), strict=True))
    return found


def _ends(column: Floats, least: float = 0.0) -> tuple[Ints, Ints]:
    """Rows at the low and at the high end; none where these lie no more than `least` apart."""
    low, high = np.quantile(column, [TENTHS, 1 - TENTHS])
    if high - low <= least:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.flatnonzero(column <= low), np.flatnonzero(column >= high)


def clusters(x: Any, seed: int) -> list[Ints]:
    """Rows of features [n, d] that look alike.

    K-means (Lloyd 1982) on vectors of length one, thrown onto a few random directions (Johnson and
    Lindenstrauss 1984).
    """
    rng = np.random.default_rng(seed)
    n = len(x)
    k = min(CLUSTERS, n // PER_CLUSTER)
    if k < 2:
        return []
    throw = rng.standard_normal((x.shape[1], WIDTH)).astype(np.float32) / np.float32(np.sqrt(WIDTH))
    thrown = np.concatenate([_unit(x[at : at + 512].astype(np.float32)) @ throw for at in range(0, n, 512)])
    some = thrown if n <= LEARNT else thrown[np.sort(rng.choice(n, LEARNT, replace=False))]
    centres: Floats = some[rng.choice(len(some), k, replace=False)]
    for _ in range(STEPS):
        own = _nearest(some, centres)
        counts = np.bincount(own, minlength=k)
        sums = np.eye(k, dtype=np.float32)[own].T @ some
        means: Floats = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
        centres = np.where(counts[:, None] > 0, means, centres)
    own = _nearest(thrown, centres)
    return [np.flatnonzero(own == at) for at in range(k)]


def _nearest(x: Floats, centres: Floats) -> Ints:
    found: Ints = ((centres**2).sum(1) - 2 * x @ centres.T).argmin(1).astype(np.int64)
    return found


def _unit(x: Floats) -> Floats:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    found: Floats = (x / np.where(length > 0, length, 1)).astype(np.float32)
    return found
