"""Which head, which depths, which penalty: what out-of-fold log-loss after one temperature says.

Everything is judged on the same grouped folds of the training part; the temperature that the model
ships with comes from the winner's out-of-fold logits.
"""

from dataclasses import dataclass

import numpy as np

from headstart import heads
from headstart.data.split import folds as deal_folds
from headstart.errors import NotFinite, TooFewExamples
from headstart.evaluate import nll, softmax, temperature
from headstart.heads import Head
from headstart.heads._inputs import DEPTH_SETS, Inputs
from headstart.heads._problem import Problem
from headstart.values import Doubles, Features, Floats, Halves, Ints

ROWS = 6000  # heads are compared on at most this many pictures; the chosen one is fitted on all
MANY = (
    1000  # pictures from which five folds do; fewer get ten, so that the fits are nearly as good as the final
)
NEAR = 1.02  # a head that is this much more surprised than the best is not looked into further


@dataclass(frozen=True)
class Trial:
    """One head, at one depth set and penalty, and how surprised it was by what it had not seen."""

    head: str
    depths: str
    penalty: float
    temperature: float
    nll: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """The winner, fitted on all rows, with what chose it."""

    inputs: Inputs
    head: Head
    best: Trial
    trials: tuple[Trial, ...]  # best first
    held_out: Doubles  # [m, k] calibrated probabilities of training pictures by fits without them
    truth: Ints  # [m] their labels

    def logits(self, x: Halves) -> Floats:
        """Uncalibrated logits [n, k] of features [n, all depths]."""
        return self.head.logits(self.inputs.of(x))


def choose(train: Features, *, head: str = "auto", seed: int = 0) -> Fitted:
    """The head whose out-of-fold log-loss is least, fitted on all of `train`.

    Closed forms are tried at every depth set, what needs descent at the depth set that these liked best.
    From a middling penalty it goes to the neighbours as long as that is better: with many pictures at the
    best depth set only, and for what needs descent only if it comes near the best. The order of the rows
    changes nothing but rounding.

    Raises:
        UnknownName: no such head.
        TooFewExamples: fewer than two classes, or no class with two groups of pictures.
    """
    tried = [heads.get(name) for name in (heads.names() if head == "auto" else [head])]
    sample = _sample(train)
    folds = _folds(sample, seed)
    rows = np.flatnonzero(folds >= 0)
    problems: dict[str, tuple[Inputs, Problem]] = {}
    kept: dict[tuple[str, str, float], tuple[Trial, Doubles]] = {}

    def look(part: type[Head], depths: str, penalty: float) -> None:
        if (part.name, depths, penalty) in kept:
            return
        if depths not in problems:
            inputs = Inputs.fit(train, depths)
            problem = Problem(inputs.of(sample.x), sample.y, len(train.classes), folds)
            problems[depths] = inputs, problem
        logits = part.out_of_fold(problems[depths][1], penalty=penalty)[rows]
        if not np.isfinite(logits).all():
            raise NotFinite(f"head {part.name} gave a logit that is not finite")
        warmth = temperature(logits, sample.y[rows])
        probabilities = softmax(logits, warmth)
        right = float((probabilities.argmax(1) == sample.y[rows]).mean())
        trial = Trial(part.name, depths, penalty, warmth, nll(sample.y[rows], probabilities), right)
        kept[part.name, depths, penalty] = trial, probabilities

    def best_of(part: type[Head] | None = None) -> Trial:
        trials = [trial for trial, _ in kept.values() if part is None or trial.head == part.name]
        return min(trials, key=lambda trial: trial.nll)

    def climb(part: type[Head], depths: str) -> None:
        """From a middling penalty to its neighbours, as long as that is better."""
        at = len(part.penalties) // 2
        look(part, depths, part.penalties[at])
        if part.is_descent and best_of(part).nll > NEAR * best_of().nll:
            return
        while True:
            for near in range(max(0, at - 1), min(len(part.penalties), at + 2)):
                look(part, depths, part.penalties[near])
            own = [trial for trial, _ in kept.values() if (trial.head, trial.depths) == (part.name, depths)]
            best = part.penalties.index(min(own, key=lambda trial: trial.nll).penalty)
            if best == at:
                return
            at = best

    direct = [part for part in tried if not part.is_descent]

    def look_at(depths: str) -> None:
        for part in direct:
            if depths in part.depths and len(rows) > MANY:
                look(part, depths, part.penalties[len(part.penalties) // 2])
            elif depths in part.depths:
                climb(part, depths)

    heads.side_by_side(look_at, DEPTH_SETS)
    for part in direct:
        climb(part, best_of(part).depths)
    for part in tried:
        if part.is_descent:
            for depths in (best_of().depths,) if kept else part.depths:
                climb(part, depths)
    best = best_of()
    inputs, problem = problems[best.depths]
    if len(sample) < len(train):
        problem = Problem(inputs.of(train.x), train.y, len(train.classes), np.zeros(len(train), np.int64))
    fitted = heads.get(best.head).fit(problem, penalty=best.penalty)
    trials = tuple(sorted((trial for trial, _ in kept.values()), key=lambda trial: trial.nll))
    held_out = kept[best.head, best.depths, best.penalty][1]
    return Fitted(inputs, fitted, best, trials, held_out, sample.y[rows])


def _sample(train: Features) -> Features:
    """At most about ROWS rows, each class in proportion but ten at least, chosen by content."""
    if len(train) <= ROWS:
        return train
    rows: list[int] = []
    by_content = np.argsort(np.array(train.digests))
    for label in range(len(train.classes)):
        own = by_content[train.y[by_content] == label]
        rows += own[: max(10, round(ROWS * len(own) / len(train)))].tolist()
    return train.take(np.sort(np.array(rows, dtype=np.int64)))


def _folds(train: Features, seed: int) -> Ints:
    """Grouped, stratified folds; -1 for pictures of a class that would be gone without them."""
    groups_of = [len(np.unique(train.groups[train.y == label])) for label in range(len(train.classes))]
    if sum(count > 0 for count in groups_of) < 2:
        raise TooFewExamples("a classifier needs pictures of at least two classes.")
    if max(groups_of) < 2:
        raise TooFewExamples(
            "no class has two pictures that are not twins of each other: nothing can be held out. Add pictures."
        )
    wanted = min(5 if len(train) > MANY else 10, len(np.unique(train.groups)))
    found = deal_folds(train.y, train.groups, train.digests, wanted, seed=seed)
    found[np.array(groups_of)[train.y] < 2] = -1
    return found
