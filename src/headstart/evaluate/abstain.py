"""What if the unsure pictures go to a person? Accuracy on the rest, with intervals.

The chance of the first choice, after calibration, orders the pictures (a baseline that is hard to beat:
Jaeger et al. 2023, arXiv:2211.15259). Both tables are read off the judged pictures.
"""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate.intervals import accuracy_interval
from headstart.values import Doubles, Ints

KEPT = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)  # shares of the pictures that the model answers by itself
WANTED = (0.95, 0.99)  # accuracies for which the smallest threshold is looked for
FEWEST = 20  # pictures behind an accuracy, for it to be looked at


@dataclass(frozen=True)
class Row:
    """Pictures whose first choice has at least `min_confidence`: how many, and how often they are right."""

    min_confidence: float  # with as few digits as part these pictures from the others
    kept: float  # share of all judged pictures
    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]


def coverage(confidence: Doubles, right: NDArray[np.bool_], groups: Ints | None = None) -> tuple[Row, ...]:
    """Accuracy against the share answered, most answered first, at the shares `KEPT`.

    A threshold never divides pictures of equal confidence, so the share kept may be larger than asked; a row
    that would repeat the one before it, or hold fewer than FEWEST pictures, is left out.

    >>> [round(row.accuracy, 2) for row in coverage(np.linspace(0, 1, 40), np.arange(40) >= 20)][::5]
    [0.5, 1.0]
    """
    n, order = len(confidence), np.sort(confidence)[::-1]
    rows: list[Row] = []
    for share in KEPT:
        if not n:
            break
        row = at(0.0 if share == 1 else float(order[round(share * n) - 1]), confidence, right, groups)
        if row.n >= min(FEWEST, n) and (not rows or row.n < rows[-1].n):
            rows.append(row)
    return tuple(rows)


def at(threshold: float, confidence: Doubles, right: NDArray[np.bool_], groups: Ints | None = None) -> Row:
    """The row of one threshold."""
    kept = confidence >= threshold
    threshold = _short(threshold, float(confidence[~kept].max(initial=0.0)))
    n = int(kept.sum())
    ends = accuracy_interval(right[kept], None if groups is None else groups[kept])
    return Row(threshold, n / max(len(kept), 1), n, float(right[kept].mean()) if n else 0.0, ends)


def _short(threshold: float, below: float) -> float:
    """The threshold rounded down to as few digits as do, three at least, and still above `below`.

    >>> _short(0.99961, 0.99943), _short(0.5, 0.0), _short(1.0, 0.99999)
    (0.9996, 0.5, 1.0)
    """
    for digits in range(3, 16):
        found = float(Decimal(threshold).quantize(Decimal(10) ** -digits, ROUND_FLOOR))
        if found > below:
            return found
    return threshold


def reaching(
    wanted: float, confidence: Doubles, right: NDArray[np.bool_], groups: Ints | None = None
) -> Row | None:
    """The row that answers most pictures with an accuracy of at least `wanted`, or None.

    Looked for among all thresholds on the very pictures that judge it, so its accuracy flatters a little; the
    interval says how little a few pictures prove. None also where fewer than FEWEST would be answered.

    >>> reaching(0.99, np.linspace(0, 1, 40), np.arange(40) >= 10).kept
    0.75
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, hits = confidence[order], np.cumsum(right[order])
    counts = np.arange(1, len(order) + 1)
    whole = np.append(ranked[1:] < ranked[:-1], True) if len(order) else np.zeros(0, bool)
    good = np.flatnonzero(whole & (hits >= wanted * counts - 1e-9) & (counts >= FEWEST))
    if not len(good):
        return None
    most = int(good[-1])
    threshold = 0.0 if most == len(order) - 1 else float(ranked[most])
    return at(threshold, confidence, right, groups)
