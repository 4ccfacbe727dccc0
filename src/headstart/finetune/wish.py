"""What is asked of tuning, what it works on and what it tells on the way. Nothing here brings torch."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from headstart.errors import Misuse
from headstart.features.extract import OnStep, quiet
from headstart.modalities.image import LIMIT_PX
from headstart.values import Features, Ints, Spec

Policy = Literal["none", "light", "strong"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
NEVER = "never"


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought."""

    stages_frozen: int
    number: int  # from 1
    loss: float  # mean over the training pictures, while it went on; NaN where training ran away
    rate: float  # of the deepest stage, at the end
    gradients: dict[str, float]  # mean norm by stage, before clipping
    val_nll: float | None  # at the best temperature
    val_accuracy: float | None
    seconds: float
    fold: int = 0  # of cross-validation, from 1; 0: a training of the model itself

    @property
    def training(self) -> str:
        """Which training it belongs to: one judged on kept pictures, or the final one on all."""
        kind = "final" if self.val_nll is None else "judged"
        return f"fold {self.fold} {kind}" if self.fold else kind

    def to_json(self) -> dict[str, Any]:
        """One line of the record; null for a number that is not finite."""
        return {key: _short(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Promise:
    """What a training will take, told before it begins."""

    stages_frozen: int
    epochs: int  # at most
    disk_bytes: int  # of views, where none are kept yet, and of the states of its trainings
    seconds: float  # until it is judged
    whole_s: float  # with the second training on all pictures, their features, and any cross-validation


@dataclass(frozen=True)
class Halt:
    """Training was interrupted: what was judged so far, if anything, is being made into a model."""


OnEpoch = Callable[[Epoch | Promise | Halt, int], None]  # what came of it or will, and of how many epochs


def silent(_epoch: Epoch | Promise | Halt, _of: int) -> None:
    """Tell nobody."""


def in_fold(told: OnEpoch, fold: int) -> OnEpoch:
    """Tell which fold of cross-validation the epochs belong to; 0: to none."""

    def tell(epoch: Epoch | Promise | Halt, of: int) -> None:
        told(replace(epoch, fold=fold) if isinstance(epoch, Epoch) else epoch, of)

    return tell


@dataclass(frozen=True)
class Wish:
    """What the user asked of tuning."""

    tune: str  # never, auto, last, all, a number of last stages; "" where freeze_to says it
    freeze_to: str | None  # the deepest stage that stays frozen
    augment: Policy | None  # None: by the number of pictures
    epochs: int | None  # at most; None: the usual
    budget_s: float  # for tuning

    def to_json(self) -> list[Any]:
        """What makes two wishes the same."""
        return [*list(asdict(self).values())[:-1], self.budget_s if math.isfinite(self.budget_s) else None]


def wish(
    spec: Spec,
    tune: str | None,
    freeze_to: str | None,
    augment: str | None,
    epochs: int | None,
    budget_s: float,
) -> Wish:
    """What was asked, if it can be done to this network.

    Raises:
        Misuse: it cannot, or two options contradict each other.
    """
    policy = next((own for own in POLICIES if own == augment), None)
    if augment is not None and policy is None:
        raise Misuse(f"--augment {augment}: wanted one of {', '.join(POLICIES)}.")
    if tune is not None and freeze_to is not None:
        raise Misuse("--tune and --freeze-to both say how deep to train: use one of them.")
    if epochs is not None and epochs < 1:
        raise Misuse(f"--epochs {epochs}: wanted 1 or more.")
    if not budget_s > 0:
        raise Misuse(f"a budget of {budget_s} s: wanted more than nothing.")
    random = spec.weights.source == "random"
    if (tune, freeze_to) in ((NEVER, None), (NEVER if random else None, None)):
        if augment is not None or epochs is not None or math.isfinite(budget_s):
            raise Misuse("--augment, --epochs and --budget are for training stages: say --tune as well.")
    elif not spec.stages:
        raise Misuse(f"{spec.name} has no stages that headstart knows, so it stays frozen: --tune never.")
    if random and (freeze_to is not None or tune not in (None, "all", NEVER)):
        raise Misuse(f"{spec.name} starts from nothing, so all of it is trained: --tune all.")
    usual = "all" if random else "" if freeze_to is not None else NEVER
    found = Wish(tune if tune is not None else usual, freeze_to, policy, epochs, budget_s)
    if found.freeze_to is not None:
        frozen_to(spec, found.freeze_to)
    elif found.tune not in (NEVER, "auto", "last", "all"):
        trained(spec, found.tune)
    return found


def trained(spec: Spec, tune: str) -> int:
    """How many of the last stages are trained for `--tune N`.

    Raises:
        Misuse: there are not so many.
    """
    if not (tune.isascii() and tune.isdecimal()) or not 1 <= int(tune) <= len(spec.stages):
        raise Misuse(
            f"--tune {tune}: wanted never, auto, last, all, or a number of stages, 1 to {len(spec.stages)}."
        )
    return int(tune)


def frozen_to(spec: Spec, stage: str) -> int:
    """How many stages stay frozen when all up to and with `stage` do.

    Raises:
        Misuse: there is no such stage, or nothing would be left to train.
    """
    names = [own.name for own in spec.stages]
    if stage not in names[:-1]:
        raise Misuse(
            f"--freeze-to {stage}: {spec.name} can be frozen to {', '.join(names[:-1]) or 'nothing'}."
        )
    return names.index(stage) + 1


@dataclass(frozen=True, eq=False)
class Material:
    """What is learnt from: pictures whose frozen features are known, and how to see them again."""

    spec: Spec
    features: Features  # of the training part, then of the user's val part
    files: tuple[Path, ...]
    val: Ints  # rows of the user's val part; empty: a part is dealt out
    device: str = "cpu"
    limit_px: int = LIMIT_PX
    on_step: OnStep = quiet
    on_epoch: OnEpoch = silent
    crossed: bool = False  # there is no test part: what is trained is judged by cross-validation
    besides: int = 0  # pictures that only judge: the network that is taken encodes them as well

    def take(self, rows: Ints) -> "Material":
        """These rows only, with nothing to judge by."""
        files = tuple(self.files[int(row)] for row in rows)
        features, val = self.features.take(rows), rows[:0]
        return replace(self, features=features, files=files, val=val, crossed=False, besides=0)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(own) for key, own in value.items()}
    if isinstance(value, float):  # JSON has no word for what is not finite
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
