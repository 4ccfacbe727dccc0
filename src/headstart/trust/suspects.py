"""Labels that look wrong: found out of fold, written to a table that can be edited and given back.

Two rounds. In the first every picture is judged by the fits of the choice that left it out. Labels that look
wrong for sure are then replaced, and all pictures are judged once more, out of fold, by a closed-form head
that such labels no longer pull about; both rounds together order the suspects.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.evaluate import softmax, temperature
from headstart.evaluate.suspects import Suspicion, corrected, suspicion
from headstart.heads._choose import folds_of
from headstart.heads._problem import Problem
from headstart.trust.evidence import Evidence, Judged, closed_form
from headstart.values import Doubles, Examples, Finding, Ints

MOST = 200  # suspects that are told
SURE = 0.7  # probability of another class, from which a label is replaced in the second round
ROWS = 3000  # pictures up to which there is a second round


@dataclass(frozen=True)
class Suspect:
    """One label that looks wrong."""

    path: str
    label: str
    suggested: str
    given: float  # probability of the label, by fits that have not seen the picture
    other: float  # of the suggested class
    part: str

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        return {
            "path": self.path,
            "label": self.label,
            "suggested": self.suggested,
            "given": round(self.given, 4),
            "other": round(self.other, 4),
            "part": self.part,
        }

    def finding(self) -> Finding:
        """As in `check`."""
        said = f"labelled {self.label!r}, looks like {self.suggested!r}: {self.other:.2f} to {self.given:.2f}"
        return Finding("label-suspect", self.path, said, "note")


@dataclass(frozen=True)
class Suspects:
    """All that look wrong, most suspicious first, at most MOST."""

    estimated: int  # how many labels are wrong, by confident learning
    rows: tuple[Suspect, ...]

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        return {"estimated": self.estimated, "rows": [one.to_json() for one in self.rows]}

    def table(self) -> list[tuple[str, ...]]:
        """Rows of `suspects.csv`: an empty cell `action` waits for the user."""
        return [
            (one.path, one.label, one.suggested, f"{one.given:.4f}", f"{one.other:.4f}", "")
            for one in self.rows
        ]


def find(evidence: Evidence, held_back: Judged | None, decided: frozenset[str]) -> Suspects:
    """Suspects among the pictures that were learnt from and those that were held back.

    `held_back` are pictures of the test and validation parts with the answers of the model, which was not
    fitted on them. Paths that the user has `decided` about are left out.
    """
    learnt = evidence.learnt
    first = evidence.fitted.held_out
    order = second_round(evidence)
    y = evidence.features.y[learnt]
    if held_back is not None:
        learnt = np.concatenate([learnt, held_back.rows])
        first = np.concatenate([first, held_back.probabilities])
        order = np.concatenate([order, held_back.probabilities])
        y = np.concatenate([y, held_back.y])
    return _told(suspicion(y, first, order), learnt, y, evidence, decided)


def second_round(evidence: Evidence) -> Doubles:
    """Mean probabilities [m, k] of both rounds, for ordering only."""
    fitted, rows = evidence.fitted, evidence.learnt
    if len(rows) > ROWS:
        return fitted.held_out
    own = evidence.features.take(rows)
    y = corrected(own.y, fitted.held_out, SURE)
    if np.array_equal(y, own.y) or len(np.unique(y)) < 2:
        return fitted.held_out
    part, trial = closed_form(fitted)
    problem = Problem(fitted.inputs.of(own.x), y, len(own.classes), folds_of(own, evidence.seed))
    kept = problem.folds >= 0
    logits = part.out_of_fold(problem, penalty=trial.penalty)
    second = fitted.held_out.copy()
    second[kept] = softmax(logits[kept], temperature(logits[kept], y[kept]))
    both: Doubles = (fitted.held_out + second) / 2
    return both


def _told(found: Suspicion, rows: Ints, y: Ints, evidence: Evidence, decided: frozenset[str]) -> Suspects:
    examples: Examples = evidence.examples
    told = [
        Suspect(
            examples.paths[rows[at]],
            examples.classes[y[at]],
            examples.classes[found.suggested[at]],
            float(found.given[at]),
            float(found.other[at]),
            evidence.parts.parts[rows[at]],
        )
        for at in found.doubted.tolist()
        if examples.paths[rows[at]] not in decided
    ]
    return Suspects(found.estimated, tuple(told[:MOST]))
