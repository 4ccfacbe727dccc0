"""Do the pictures that come resemble those that were learnt from? Counted since each model was read.

Two signs: more unknowns than were allowed for, and another mix of classes. Neither says that answers are
wrong. A mix may differ because the world does, and a wrong answer that looks like a known picture shows in
neither.
"""

import math
from dataclasses import dataclass
from typing import Any

from headstart.evaluate import wilson
from headstart.serve.metrics import NOTHING, Counts
from headstart.serve.shelf import Served


@dataclass(frozen=True)
class Drift:
    """What one model has answered, against what it learnt from."""

    model: str
    counts: Counts
    mix: dict[str, float]  # share of each class in training
    expected: float  # share of known pictures that may be called unknown

    @property
    def unknown_ci95(self) -> tuple[float, float] | None:
        """Between what the share of unknowns lies (Wilson); None before there is any answer."""
        return wilson(self.counts.unknown, self.counts.n) if self.counts.n else None

    @property
    def distance(self) -> float | None:
        """Total variation between the answered and the learnt mix: the share that would have to change."""
        n = self.counts.n
        names = self.mix.keys() | self.counts.labels.keys()
        gaps = (abs(self.counts.labels.get(one, 0) / n - self.mix.get(one, 0)) for one in names) if n else ()
        return sum(gaps) / 2 if n else None

    @property
    def by_chance(self) -> float | None:
        """The mean of `distance` for so many pictures of the training mix (normal approximation).

        A share that is drawn n times strays from p by sqrt(2 p (1 - p) / (pi n)) on average.
        """
        n = self.counts.n
        strays = (math.sqrt(2 * p * (1 - p) / (math.pi * n)) for p in self.mix.values()) if n else ()
        return min(1.0, sum(strays) / 2) if n else None

    def to_json(self) -> dict[str, Any]:
        """As in `GET /drift.json`."""
        n, ends = self.counts.n, self.unknown_ci95
        names = [*self.mix, *sorted(self.counts.labels.keys() - self.mix.keys())]
        return {
            "model": self.model,
            "n": n,
            "unknown": self.counts.unknown,
            "unknown_share": self.counts.unknown / n if n else None,
            "unknown_ci95": list(ends) if ends else None,
            "unknown_expected": self.expected,
            "distance": self.distance,
            "distance_by_chance": self.by_chance,
            "classes": {
                name: {
                    "training": self.mix.get(name, 0.0),
                    "answered": self.counts.labels.get(name, 0) / n if n else 0.0,
                    "n": float(self.counts.labels.get(name, 0)),
                }
                for name in names
            },
        }


def drift_of(served: Served, counts: dict[str, Counts]) -> Drift:
    """The drift of one model."""
    own = counts.get(served.name, NOTHING).since(served.before)
    return Drift(served.name, own, served.mix, served.model.familiar.false_rejection)
