"""What the analyses look at, gathered once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headstart import heads
from headstart.data.facts import Facts
from headstart.evaluate import softmax
from headstart.heads import Head
from headstart.heads._choose import SCOUT, Fitted, Trial, middle
from headstart.values import Doubles, Examples, Features, Ints, Split


@dataclass(frozen=True, eq=False)
class Judged:
    """Pictures with calibrated answers of what had not seen them."""

    rows: Ints  # [m] positions among all
    probabilities: Doubles  # [m, k]
    y: Ints  # [m]
    groups: Ints  # [m]

    @property
    def confidence(self) -> Doubles:
        """Probability of the first choice, [m]."""
        found: Doubles = self.probabilities.max(1)
        return found

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the first choice is the label, [m]."""
        found: NDArray[np.bool_] = self.probabilities.argmax(1) == self.y
        return found


@dataclass(frozen=True, eq=False)
class Evidence:
    """The data as the frozen network sees them, and the head that was chosen on its features.

    Where stages were trained, this is still the frozen network: a network that has learnt from pictures says
    nothing honest about their labels.
    """

    features: Features  # [n] every usable picture
    examples: Examples  # [n]
    parts: Split  # [n]
    facts: Facts  # [n]
    fitted: Fitted
    seed: int

    @cached_property
    def learnt(self) -> Ints:
        """Rows of the pictures that were left out once, [m], in the order of `fitted.held_out`."""
        used = np.concatenate([self.parts.rows("train"), self.parts.rows("val")])
        found: Ints = used[self.fitted.rows]
        return found

    def held_back(self) -> Judged:
        """The test and validation parts, with the answers of this head."""
        rows = np.sort(np.concatenate([self.parts.rows("test"), self.parts.rows("val")]))
        return answers(self.fitted, self.features, rows)


def answers(fitted: Fitted, features: Features, rows: Ints) -> Judged:
    """What a head says of these rows."""
    probabilities = softmax(fitted.logits(features.x[rows]), fitted.best.temperature)
    return Judged(rows, probabilities, features.y[rows], features.groups[rows])


def counted(fitted: Fitted, features: Features, parts: Split, leaked: Ints) -> Judged:
    """The pictures that count for the head of a model, all `features` being those of its own network.

    The test part without the `leaked` rows. Where nothing is left of it, the pictures that were left out when
    the head was fitted: by folds of the training part or, where stages were trained, put aside for judging.
    """
    tested = np.setdiff1d(parts.rows("test"), leaked)
    if len(tested):
        return answers(fitted, features, tested)
    rows = np.concatenate([parts.rows("train"), parts.rows("val")])[fitted.rows]
    return Judged(rows, fitted.held_out, features.y[rows], features.groups[rows])


def closed_form(fitted: Fitted) -> tuple[type[Head], Trial]:
    """The best head that needs no descent, at the depths of the chosen one: fitted again in an instant."""
    for trial in fitted.trials:
        part = heads.get(trial.head)
        if trial.depths == fitted.best.depths and not part.is_descent:
            return part, trial
    part = heads.get(SCOUT)
    best = fitted.best
    return part, Trial(part.name, best.depths, middle(part), 1.0, best.nll, best.accuracy)
