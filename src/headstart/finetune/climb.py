"""How far to thaw: each rung is tried only where the one below was better, and taken only where it is."""

import itertools
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.errors import TooFewExamples
from headstart.finetune.augment import usual
from headstart.finetune.promise import promises
from headstart.finetune.tune import (
    SHARE,
    VIEWS,
    Asked,
    Attempt,
    Tuned,
    attempt,
    dealt,
    finish,
    fitting,
    is_scratch,
    recipe_for,
    so_far,
    stages_below,
)
from headstart.finetune.wish import NEVER, Halt, Material, Promise, Wish, frozen_to
from headstart.heads._choose import Fitted
from headstart.heads._cross_validate import cross_validate, fold_number, outer_folds
from headstart.values import Evaluation

AUTO = "auto"
RUNGS = ("last", "all")  # of `auto`


@dataclass(frozen=True, eq=False)
class Climb:
    """What was tried, and what came of it."""

    material: Material
    attempts: tuple[Attempt, ...]
    promises: tuple[Promise, ...]  # one for each attempt; none where training was interrupted
    taken: Attempt | None
    tuned: Tuned | None  # None: the frozen network stays
    why: str  # it stays; "" where it does not
    is_stopped: bool = False  # training was interrupted: what was judged so far is what there is

    @property
    def depth(self) -> str:
        """What was trained, in a word: `never`, `all`, or so many of the last stages."""
        if self.taken is None:
            return NEVER
        stages = len(self.material.spec.stages)
        return "all" if not self.taken.asked.stages else f"last {stages - self.taken.asked.stages}"

    def cross_validated(self, seed: int) -> Evaluation | None:
        """An estimate where no test part is held out: the training taken, once for each fold."""
        if self.taken is None:
            return None
        train, asked = _training(self.material), self.taken.asked
        asked = replace(
            asked,
            budget_s=asked.budget_s / fold_number(train.features, seed),
            views=self.taken.looks.views,
            again=asked.again or len(self.material.val) > 0,  # the user's val part judges no fold
        )
        return cross_validate(train.features, fitting(train, asked, asked.budget_s), seed, repeats=1)

    def to_json(self) -> list[dict[str, Any]]:
        """For the report: every attempt, and which was taken."""
        promised = itertools.chain((round(one.seconds, 2) for one in self.promises), itertools.repeat(None))
        return [
            one.to_json() | {"promised_s": promise, "taken": one is self.taken}
            for one, promise in zip(self.attempts, promised, strict=False)
        ]


def asked_for(material: Material, wish: Wish, seed: int, head: str = "auto") -> list[Asked]:
    """The rungs to try, one after the other.

    Raises:
        Misuse: the wish does not fit this network.
    """
    spec, features = material.spec, material.features
    recipe = recipe_for(spec, len(features))
    recipe = replace(recipe, epochs=wish.epochs) if wish.epochs else recipe
    policy = wish.augment or usual(len(features), len(features.classes))
    if wish.freeze_to is not None:
        below = [frozen_to(spec, wish.freeze_to)]
    elif wish.tune == AUTO:
        below = sorted({stages_below(spec, rung) for rung in RUNGS}, reverse=True)
    else:
        below = [stages_below(spec, wish.tune)]
    views = min(VIEWS, max(2, recipe.epochs))  # the first alone is the plain picture
    return [Asked(stages, policy, recipe, seed, head, wish.budget_s, views) for stages in below]


def check(material: Material, wish: Wish, seed: int) -> str:
    """Why tuning cannot be judged on these pictures; "" where it can, in each fold of cross-validation too.

    Raises:
        TooFewExamples: it cannot, and the depth was named. `auto` keeps the frozen network.
    """
    try:
        dealt(material, seed)
        if material.crossed:
            _check_folds(_training(material), seed)
    except TooFewExamples as error:
        if wish.tune == AUTO:
            return str(error)
        instead = "Or start from a pretrained network" if is_scratch(material.spec) else "Or use --tune never"
        raise TooFewExamples(f"{error} {instead}.") from error
    return ""


def _check_folds(train: Material, seed: int) -> None:
    fold_of = outer_folds(train.features, seed)
    for fold in np.unique(fold_of[fold_of >= 0]):
        try:
            dealt(train.take(np.flatnonzero(fold_of != fold)), seed)
        except TooFewExamples as error:
            raise TooFewExamples(
                "without a test part the score comes from cross-validation, and in a fold of it there are "
                f"{error} Or bring a test part: --test."
            ) from error


def _training(material: Material) -> Material:
    """Without the user's val part."""
    return material.take(np.setdiff1d(np.arange(len(material.features)), material.val))


def climb(material: Material, fitted: Fitted, wish: Wish, seed: int, head: str = "auto") -> Climb:
    """Try what was asked for. `auto` climbs while a rung is better, and takes the best, or none.

    A depth that the user named is taken even where its gain may be noise: the report says so. But where the
    start by itself is better than any mixture with what was trained there is nothing to take. With a budget,
    a rung is begun only while time is left, and trained as long as fits.

    Raises:
        TooFewExamples: as in `check`.
    """
    begin = time.perf_counter()
    if why := check(material, wish, seed):
        return Climb(material, (), (), None, None, why)
    attempts: list[Attempt] = []
    asks = asked_for(material, wish, seed, head)
    promised = promises(material, asks)
    for promise in promised:
        material.on_epoch(promise, promise.epochs)
    for asked in asks:
        left = wish.budget_s - (time.perf_counter() - begin)
        if attempts:
            left -= _again_s(attempts[-1])  # it may be the one that is taken
            if not attempts[-1].is_better or left < attempts[-1].seconds:  # a deeper rung takes longer
                break
        attempts.append(attempt(material, asked, left))
    told = tuple(promised[: len(attempts)])
    taken = _best(attempts, wish)
    if taken is None:
        auto = wish.tune == AUTO
        why = "no depth was better by more than noise." if auto else "training made it no better."
        return Climb(material, tuple(attempts), told, None, None, why)
    return Climb(material, tuple(attempts), told, taken, finish(material, fitted, taken), "")


def interrupted(
    material: Material, fitted: Fitted, wish: Wish, seed: int, head: str = "auto"
) -> Climb | None:
    """What a `climb` that was interrupted had come to. Nothing is trained any more.

    None where nothing is better than the frozen network yet, or where only cross-validation, which is
    training, could say how good it is.
    """
    if material.crossed:
        return None
    material.on_epoch(Halt(), 0)
    tries = [so_far(material, asked) for asked in asked_for(material, wish, seed, head)]
    attempts = [one for one in tries if one is not None]
    taken = _best(attempts, wish)
    if taken is None:
        return None
    tuned = finish(material, fitted, taken)
    return Climb(material, tuple(attempts), (), taken, tuned, "", is_stopped=True)


def _best(attempts: list[Attempt], wish: Wish) -> Attempt | None:
    """What is taken. `auto` wants it to be better for certain, else any change for the better will do."""
    fit = [one for one in attempts if (one.is_better if wish.tune == AUTO else one.is_changed)]
    return max(fit, key=lambda one: one.gain[0], default=None)


def _again_s(tried: Attempt) -> float:
    """Seconds for the second training of what was tried, by those of the first."""
    first = sum(epoch.seconds for epoch in tried.epochs)
    return first / (1 - SHARE) if tried.asked.again else 0.0
