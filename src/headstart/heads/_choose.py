"""Which head, which depths, which penalty: what out-of-fold log-loss after one temperature says.

Everything is judged on the same grouped folds of the training part; the temperature that the model
ships with comes from the winner's out-of-fold logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart import heads
from headstart.data.split import folds as deal_folds
from headstart.errors import NotFinite, TooFewExamples
from headstart.evaluate import nll, softmax, temperature
from headstart.heads import Head
from headstart.heads._inputs import DEPTH_SETS, Inputs, depth_sets
from headstart.heads._problem import Problem, Products
from headstart.values import Doubles, Features, Floats, Halves, Ints

ROWS = 6000  # heads are compared on at most this many pictures; the chosen one is fitted on all
MANY = (
    1000  # pictures from which five folds do; fewer get ten, so that the fits are nearly as good as the final
)
WORTH = 100_000  # pictures times classes beyond which descent is tried only where it is asked for
NEAR = 1.02  # a head that is this much more surprised than the best is not looked into further
SCOUT = "ridge"  # finds the depth set for a head that is asked for alone and is slow to fit


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
    rows: Ints  # [m] which pictures they are: positions in train and then val

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
    with heads.one_thread_each():
        return _choose(
            train, [heads.get(name) for name in (heads.names() if head == "auto" else [head])], seed
        )


def _choose(train: Features, tried: list[type[Head]], seed: int) -> Fitted:
    sampled = _sample(train)
    search = _Search(train, train.take(sampled), seed)
    scouts = [part for part in tried if not part.is_descent] or [heads.get(SCOUT)]

    def look_at(depths: str) -> None:
        for part in scouts:
            if depths in part.depths and len(search.rows) > MANY:
                search.look(part, depths, middle(part))
            elif depths in part.depths:
                search.climb(part, depths)

    heads.side_by_side(look_at, depth_sets(train.depths))
    for part in scouts:
        if part in tried:
            search.climb(part, search.best([part]).depths)
    for part in tried:
        if part.is_descent and (len(tried) == 1 or search.promises(part, search.best().depths)):
            search.climb(part, search.best().depths)
    best = search.best(tried)
    inputs, problem = search.problem(best.depths)
    if len(search.sample) < len(train):
        problem = Problem(inputs.of(train.x), train.y, len(train.classes), np.zeros(len(train), np.int64))
    fitted = heads.get(best.head).fit(problem, penalty=best.penalty)
    asked = [part.name for part in tried]
    trials = sorted((trial for trial in search.trials() if trial.head in asked), key=_rank)
    held_out = search.probabilities(best)
    rows = sampled[search.rows]
    return Fitted(inputs, fitted, best, tuple(trials), held_out, train.y[rows], rows)


def middle(part: type[Head]) -> float:
    """The penalty from which the search starts."""
    return part.penalties[len(part.penalties) // 2]


class _Search:
    """Trials made so far, each once. Threads may look at different depth sets at the same time."""

    def __init__(self, train: Features, sample: Features, seed: int) -> None:
        self.sample = sample
        self.folds = folds_of(sample, seed)
        self.rows = np.flatnonzero(self.folds >= 0)
        self._widest = Inputs.fit(train, "all")
        self._z = self._widest.of(sample.x)
        widths = [self._widest.part(sample.depths, name) for name in DEPTH_SETS]
        self._products = Products(self._z, [own.stop - own.start for own in widths])
        self._problems: dict[str, tuple[Inputs, Problem]] = {}
        self._kept: dict[tuple[str, str, float], tuple[Trial, Doubles]] = {}

    def problem(self, depths: str) -> tuple[Inputs, Problem]:
        """The inputs of a depth set, and the problem on the sampled rows."""
        if depths not in self._problems:
            inputs = self._widest.part(self.sample.depths, depths)
            z = self._z[:, inputs.start :]
            self._problems[depths] = (
                inputs,
                Problem(z, self.sample.y, len(self.sample.classes), self.folds, self._products),
            )
        return self._problems[depths]

    def look(self, part: type[Head], depths: str, penalty: float) -> Trial:
        """The trial of this head, depth set and penalty."""
        if (part.name, depths, penalty) not in self._kept:
            logits = part.out_of_fold(self.problem(depths)[1], penalty=penalty)
            loss, warmth, probabilities = self._judge(part, logits, self.rows)
            right = float((probabilities.argmax(1) == self.sample.y[self.rows]).mean())
            trial = Trial(part.name, depths, penalty, warmth, loss, right)
            self._kept[part.name, depths, penalty] = trial, probabilities
        return self._kept[part.name, depths, penalty][0]

    def climb(self, part: type[Head], depths: str) -> None:
        """From a middling penalty to its neighbours, as long as that is better."""
        at = part.penalties.index(middle(part))
        while True:
            near = part.penalties[max(0, at - 1) : at + 2]
            self.look(part, depths, part.penalties[at])  # brings what the others share
            heads.side_by_side(lambda penalty: self.look(part, depths, penalty), near)
            best = min((self.look(part, depths, penalty) for penalty in near), key=_rank)
            if best.penalty == part.penalties[at]:
                return
            at = part.penalties.index(best.penalty)

    def promises(self, part: type[Head], depths: str) -> bool:
        """Whether a slow head comes near the best; where pictures are many, on one fold."""
        if len(self.rows) * len(self.sample.classes) > WORTH:
            return False
        if len(self.rows) <= MANY:
            return self.look(part, depths, middle(part)).nll <= NEAR * self.best().nll
        first = np.flatnonzero(self.folds == 0)
        problem = Problem(
            self.problem(depths)[1].z,
            self.sample.y,
            len(self.sample.classes),
            np.where(self.folds == 0, 0, -1),
            self._products,
        )
        loss, _, _ = self._judge(part, part.out_of_fold(problem, penalty=middle(part)), first)
        rival = self.probabilities(self.best())[np.isin(self.rows, first)]
        return loss <= NEAR * nll(self.sample.y[first], rival)

    def trials(self) -> list[Trial]:
        """All trials, in the order in which they were made."""
        return [trial for trial, _ in list(self._kept.values())]

    def best(self, parts: Sequence[type[Head]] = ()) -> Trial:
        """The least surprised trial of these heads, or of all."""
        names = [part.name for part in parts]
        return min(
            (trial for trial in self.trials() if not names or trial.head in names),
            key=_rank,
        )

    def probabilities(self, trial: Trial) -> Doubles:
        """What a trial said of each of `rows`, calibrated."""
        return self._kept[trial.head, trial.depths, trial.penalty][1]

    def _judge(self, part: type[Head], logits: Doubles, rows: Ints) -> tuple[float, float, Doubles]:
        if not np.isfinite(logits[rows]).all():
            raise NotFinite(f"head {part.name} gave a logit that is not finite: the features are damaged.")
        warmth = temperature(logits[rows], self.sample.y[rows])
        probabilities = softmax(logits[rows], warmth)
        return nll(self.sample.y[rows], probabilities), warmth, probabilities


def _rank(trial: Trial) -> tuple[float, str, int, float]:
    """Least surprised first; where two are equal, never whichever thread came first."""
    return trial.nll, trial.head, DEPTH_SETS.index(trial.depths), trial.penalty


def _sample(train: Features) -> Ints:
    """At most about ROWS rows, each class in proportion but ten at least, chosen by content."""
    if len(train) <= ROWS:
        return np.arange(len(train), dtype=np.int64)
    rows: list[int] = []
    by_content = np.argsort(np.array(train.digests))
    for label in range(len(train.classes)):
        own = by_content[train.y[by_content] == label]
        rows += own[: max(10, round(ROWS * len(own) / len(train)))].tolist()
    return np.sort(np.array(rows, dtype=np.int64))


def fold_count(groups_of: list[int], most: int) -> int:
    """How many folds: as many as the middling class has groups, 2 to `most`.

    Then a fold takes about as much from every class. Were a picture left out of a class of two while the
    others stay whole, its class would have half the pictures of each rival, and be judged by that: on noise,
    LDA would then never be right.
    """
    return min(most, max(2, int(np.median([count for count in groups_of if count > 1]))))


def folds_of(train: Features, seed: int) -> Ints:
    """Grouped, stratified folds; -1 for pictures of a class that would be gone without them."""
    groups_of = [len(np.unique(train.groups[train.y == label])) for label in range(len(train.classes))]
    if sum(count > 0 for count in groups_of) < 2:
        raise TooFewExamples("a classifier needs pictures of at least two classes.")
    if max(groups_of) < 2:
        raise TooFewExamples(
            "no class has two pictures that are not twins: nothing can be held out. Add pictures."
        )
    wanted = fold_count(groups_of, 5 if len(train) > MANY else 10)
    found = deal_folds(train.y, train.groups, train.digests, wanted, seed=seed)
    found[np.array(groups_of)[train.y] < 2] = -1
    return found
