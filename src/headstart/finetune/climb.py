"""How far to thaw: each rung is tried only after the one below, and taken only where it is better."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.finetune.augment import usual
from headstart.finetune.promise import promises
from headstart.finetune.tune import (
    Asked,
    Attempt,
    Tuned,
    attempt,
    finish,
    fitting,
    recipe_for,
    stages_below,
)
from headstart.finetune.wish import NEVER, Material, Promise, Wish, frozen_to
from headstart.heads._choose import Fitted
from headstart.heads._cross_validate import OUTER_FOLDS, cross_validate
from headstart.values import Evaluation

AUTO = ("last", "all")  # rungs of `auto`


@dataclass(frozen=True, eq=False)
class Climb:
    """What was tried, and what came of it."""

    material: Material
    attempts: tuple[Attempt, ...]
    promises: tuple[Promise, ...]  # one for each attempt
    taken: Attempt | None
    tuned: Tuned | None  # None: the frozen network stays

    @property
    def depth(self) -> str:
        """What was trained, in a word: `never`, `all`, or so many of the last stages."""
        if self.taken is None:
            return NEVER
        stages = len(self.material.spec.stages)
        return "all" if not self.taken.asked.stages else f"last {stages - self.taken.asked.stages}"

    def cross_validated(self, seed: int) -> Evaluation | None:
        """An estimate where no test part is held out: the training taken, once for each of five folds."""
        if self.taken is None:
            return None
        train = self.material.take(np.setdiff1d(np.arange(len(self.material.features)), self.material.val))
        asked = self.taken.asked
        asked = replace(asked, budget_s=asked.budget_s / OUTER_FOLDS)
        return cross_validate(train.features, fitting(train, asked, asked.budget_s), seed, repeats=1)

    def to_json(self) -> list[dict[str, Any]]:
        """For the report: every attempt, and which was taken."""
        return [
            one.to_json() | {"promised_s": round(promise.seconds, 2), "taken": one is self.taken}
            for one, promise in zip(self.attempts, self.promises, strict=True)
        ]


def asked_for(material: Material, wish: Wish, seed: int, head: str = "auto") -> list[Asked]:
    """The rungs to try, one after the other.

    Raises:
        Misuse: the wish does not fit this network.
    """
    spec, features = material.spec, material.features
    recipe = recipe_for(spec)
    recipe = replace(recipe, epochs=wish.epochs) if wish.epochs else recipe
    policy = wish.augment or usual(len(features), len(features.classes))
    if wish.freeze_to is not None:
        below = [frozen_to(spec, wish.freeze_to)]
    elif wish.tune == "auto":
        below = sorted({stages_below(spec, rung) for rung in AUTO}, reverse=True)
    else:
        below = [stages_below(spec, wish.tune)]
    return [Asked(stages, policy, recipe, seed, head, wish.budget_s) for stages in below]


def climb(material: Material, fitted: Fitted, wish: Wish, seed: int, head: str = "auto") -> Climb:
    """Try what was asked for. `auto` takes the best rung whose gain is more than noise, or none.

    A depth that the user named is taken even where it is no better: the report says so. With a budget, a
    rung is begun only while time is left, and trained as long as fits.
    """
    begin = time.perf_counter()
    attempts: list[Attempt] = []
    asks = asked_for(material, wish, seed, head)
    promised = promises(material, asks)
    for promise in promised:
        material.on_epoch(promise, promise.epochs)
    for asked in asks:
        left = wish.budget_s - (time.perf_counter() - begin)
        if attempts and left < attempts[-1].seconds:  # a deeper rung takes longer than the one before
            break
        attempts.append(attempt(material, asked, left))
    better = [one for one in attempts if one.is_better]
    named = wish.tune != "auto" or wish.freeze_to is not None
    taken = max(better or (attempts if named else []), key=lambda one: one.gain[0], default=None)
    tuned = finish(material, fitted, taken) if taken is not None else None
    return Climb(material, tuple(attempts), tuple(promised[: len(attempts)]), taken, tuned)
