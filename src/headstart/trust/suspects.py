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
from headstart.heads._choose import ROWS as SAMPLE
from headstart.heads._choose import folds_of
from headstart.heads._problem import Problem
from headstart.trust.evidence import Evidence, Judged, answers, closed_form
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

    examined: int  # labels that were looked at
    estimated: int  # how many of them are wrong, by confident learning
    found: int  # that look wrong, told or not
    rows: tuple[Suspect, ...]

    def to_json(self) -> dict[str, Any]:
        """As in `train --json`."""
        numbers = {"examined": self.examined, "estimated": self.estimated, "found": self.found}
        return numbers | {"rows": [one.to_json() for one in self.rows]}

    def table(self) -> list[tuple[str, ...]]:
        """Rows of `suspects.csv`: an empty cell `action` waits for the user."""
        return [
            (one.path, one.label, one.suggested, f"{one.given:.4f}", f"{one.other:.4f}", "")
            for one in self.rows
        ]


NONE = Suspects(0, 0, 0, ())  # nothing was looked at


def find(evidence: Evidence, decided: frozenset[str]) -> Suspects:
    """Suspects among all pictures that can be judged by a fit without them.

    The training part by the fits of the choice; above the sample that this was made on, the rest by a fit on
    the sample; the test and validation parts by the head. Paths that the user has `decided` about are left
    out.
    """
    parts = [beyond(evidence), evidence.held_back()]
    rows = np.concatenate([evidence.learnt, *(one.rows for one in parts)])
    first = np.concatenate([evidence.fitted.held_out, *(one.probabilities for one in parts)])
    order = np.concatenate([second_round(evidence), *(one.probabilities for one in parts)])
    y = evidence.features.y[rows]
    return _told(suspicion(y, first, order), rows, y, evidence, decided)


def beyond(evidence: Evidence) -> Judged:
    """Training pictures outside the sample on which the head was chosen, judged by a fit on the sample.

    Those with a twin in the sample are left out: the fit has seen them.
    """
    features, fitted, learnt = evidence.features, evidence.fitted, evidence.learnt
    train = evidence.parts.rows("train")
    rest = np.setdiff1d(train, learnt)
    rest = rest[~np.isin(features.groups[rest], features.groups[learnt])]
    if len(train) <= SAMPLE or not len(rest):
        return answers(fitted, features, rest[:0])
    part, trial = closed_form(fitted)
    own = features.take(learnt)
    folds = np.zeros(len(own), np.int64)  # not asked for
    problem = Problem(fitted.inputs.of(own.x), own.y, len(own.classes), folds)
    logits = part.fit(problem, penalty=trial.penalty).logits(fitted.inputs.of(features.x[rest]))
    y = features.y[rest]
    return Judged(rest, softmax(logits, temperature(logits, y)), y, features.groups[rest])


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
    return Suspects(len(rows), found.estimated, len(told), tuple(told[:MOST]))
