"""Do the pictures that come resemble those that were learnt from? Counted since each model was read.

Two signs: more unknowns than were allowed for, and another mix of classes. Neither says that answers are
wrong. A mix may differ because the world does, and a wrong answer that looks like a known picture shows in
neither.
"""

import math
from dataclasses import dataclass
from typing import Any

from headstart.evaluate import wilson
from headstart.report import markup
from headstart.report.page import whole
from headstart.serve.metrics import NOTHING, Counts
from headstart.serve.shelf import Served, Shelf

ENOUGH = 100  # answers, below which the page does not judge


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


def page(shelf: Shelf, counts: dict[str, Counts]) -> bytes:
    """A page about every model, in the report's style."""
    found = [drift_of(shelf.get(name), counts) for name in shelf.names]
    shown = [(f"model-{at}", one.model, _section(at, one)) for at, one in enumerate(found)]
    return whole(
        "Drift: what comes, against what was learnt", shown, css="", data={"classes": [], "pics": []}
    )


def _section(at: int, one: Drift) -> str:
    n, ends, distance, chance = one.counts.n, one.unknown_ci95, one.distance, one.by_chance
    lead = (
        f"{markup.count(n, 'picture')} answered since this model was read. "
        "Reload the page for newer counts; alerts belong on the figures of /metrics."
    )
    if ends is None or distance is None or chance is None:
        return markup.section(f"model-{at}", one.model, lead)
    share = one.counts.unknown / n
    unknown = (
        f"{markup.percent(share)} unknown (95 % sure: {markup.between(ends)}); "
        f"{markup.percent(one.expected)} of known pictures may be."
    )
    mix = (
        f"The classes answered differ from those learnt from by {markup.percent(distance)} of the pictures; "
        f"{markup.percent(chance)} would be chance."
    )
    if n < ENOUGH:
        said = [markup.paragraph(unknown), markup.paragraph(mix)]
        said.append(markup.paragraph(f"Fewer than {ENOUGH} answers: too few to judge by.", "small"))
    else:
        said = [
            markup.note(unknown, "warn" if ends[0] > one.expected else "good"),
            markup.note(mix, "warn" if distance > 2 * chance else "good"),
        ]
    document = one.to_json()["classes"]
    rows = [
        [
            markup.words(name),
            markup.share(own["training"]),
            markup.share(own["answered"]),
            markup.cell(own["n"]),
            markup.Cell(markup.percent(own["answered"] - own["training"]), own["answered"] - own["training"]),
        ]
        for name, own in document.items()
    ]
    head = ["Class", "Learnt from", "Answered", "Pictures", "Difference"]
    table = markup.table(f"Classes of {one.model}", head, rows, can_sort=True)
    return markup.section(f"model-{at}", one.model, lead, *said, table)
