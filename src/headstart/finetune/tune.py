"""Fine-tuning that starts from the frozen head and is judged beside it, on the same pictures.

    deal train / val ─▶ head on train (LP) ─▶ train stages and head (FT) ─▶ mix with the start ─▶ paired gain
                                                                    └─▶ once more on all pictures ─▶ backbone

Kumar et al. 2022 (LP-FT, arXiv:2202.10054) on starting from the head; Wortsman et al. 2022 (WiSE-FT,
arXiv:2109.01903) on mixing weights: a share of 0 is the frozen network, so that on the validation pictures
training cannot lose.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.backbones.weights import with_bytes
from headstart.data.split import deal
from headstart.engines import open_engine
from headstart.errors import TooFewExamples
from headstart.evaluate import mcnemar, neighbour_distance, nll, softmax, temperature
from headstart.features.extract import extract
from headstart.files import make_cache_folder, write_whole
from headstart.finetune import loop
from headstart.finetune.loop import FROM_SCRATCH, PRETRAINED, Recipe
from headstart.finetune.thawed import Start, Thawed
from headstart.finetune.views import Looks, Views, keep, need, room, seen_once
from headstart.finetune.wish import Epoch, Material, Policy, trained
from headstart.heads._choose import Fitted, Trial, choose
from headstart.heads._inputs import Inputs
from headstart.heads.logistic import Logistic
from headstart.values import Doubles, Features, Floats, Halves, Ints, Spec

FOLDER = "tuning"
RULES = 1  # of how a network is trained; a change that moves a bit is a new number
SHARE = 0.2  # of the training part is kept for judging epochs, where the user brought no val part
VIEWS = 4  # of each picture, disk permitting
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way from the start to the trained weights
# standard errors that a gain in log-loss must exceed; one is too few, as epoch and share were chosen by it
WORTH = 1.96
WORTH_CONVERTING = 300  # pictures from which the fast engine's conversion pays
MIRRORED = 200  # pictures on which it is tried whether mirrored ones are still recognised
HARMED = 0.05  # of them more wrong than before are too many
LINEAR = ("lda", "ridge", "logistic")


@dataclass(frozen=True)
class Asked:
    """How a network is to be trained."""

    stages: int  # below the trained ones
    policy: Policy
    recipe: Recipe
    seed: int


@dataclass(frozen=True, eq=False)
class Attempt:
    """A trained network beside the frozen one, on validation pictures that neither has seen."""

    asked: Asked
    looks: Looks
    state: dict[str, torch.Tensor]  # after the best epoch, unmixed
    share: float  # of the way from the start that was best
    epochs: tuple[Epoch, ...]
    best: int
    truth: Ints  # [m]
    probabilities: Doubles  # [m, k] calibrated
    temperature: float
    strangeness: Doubles  # [m] distances to the nearest pictures trained on
    frozen: Doubles  # [m, k] what the frozen network says, calibrated
    seconds: float
    promised: float

    @property
    def gains(self) -> Doubles:
        """How much less surprised than the frozen one it was by each picture."""
        rows = np.arange(len(self.truth))
        tiny = 1e-12
        before = -np.log(np.maximum(self.frozen[rows, self.truth], tiny))
        after = -np.log(np.maximum(self.probabilities[rows, self.truth], tiny))
        found: Doubles = before - after
        return found

    @property
    def is_better(self) -> bool:
        """Whether the gain is more than noise."""
        gains = self.gains
        return bool(gains.mean() > WORTH * gains.std(ddof=1) / math.sqrt(len(gains)))

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        right, before = self.probabilities.argmax(1) == self.truth, self.frozen.argmax(1) == self.truth
        gains = self.gains
        half = 1.96 * gains.std(ddof=1) / math.sqrt(len(gains))
        return {
            "stages_frozen": self.asked.stages,
            "augment": self.looks.policy,
            "views": self.looks.views,
            "mirrored": self.looks.mirror,
            "n": len(self.truth),
            "frozen": {"nll": round(nll(self.truth, self.frozen), 4), "accuracy": float(before.mean())},
            "tuned": {"nll": round(nll(self.truth, self.probabilities), 4), "accuracy": float(right.mean())},
            "nll_gain": round(float(gains.mean()), 4),
            "nll_gain_ci95": [round(float(gains.mean() - half), 4), round(float(gains.mean() + half), 4)],
            "p_accuracy": round(mcnemar(right, before), 4),
            "better": self.is_better,
            "share": self.share,
            "best_epoch": self.best,
            "epochs": [one.to_json() for one in self.epochs],
            "seconds": round(self.seconds, 2),
            "promised_s": round(self.promised, 2),
        }


@dataclass(frozen=True, eq=False)
class Tuned:
    """A trained backbone with its head. `fitted` speaks of features of `spec`."""

    spec: Spec
    fitted: Fitted
    strangeness: Doubles


def stages_below(spec: Spec, tune: str) -> int:
    """How many stages stay frozen for `tune`: last, all, or so many last ones.

    `last` is every stage at the final resolution, at most half of them.
    """
    if tune == "all":
        return 0
    return _before_last(spec) if tune == "last" else len(spec.stages) - trained(spec, tune)


def _before_last(spec: Spec) -> int:
    """Stages before the final resolution, at least half of them."""
    from headstart.backbones.libraries import anatomy

    shapes = {piece.name: piece.shape for piece in anatomy(spec)}
    positions = [math.prod(shapes[stage.name]) // stage.channels for stage in spec.stages]
    below = next(at for at, own in enumerate(positions) if own == positions[-1])
    return max(below, math.ceil(len(positions) / 2))


def recipe_for(spec: Spec) -> Recipe:
    """The usual way to train: fewer and smaller steps from pretrained weights than from nothing."""
    return FROM_SCRATCH if spec.weights.source == "random" else PRETRAINED


def attempt(material: Material, asked: Asked, budget_s: float = math.inf) -> Attempt:
    """Train on a part of the material and judge on the rest, beside the frozen network.

    Raises:
        TooFewExamples: nothing can be kept for judging.
        StoreError: views or states cannot be kept.
        NotFinite: training ran away.
    """
    begin = time.perf_counter()
    train, val = _dealt(material, asked.seed)
    features = material.features
    frozen = choose(features.take(train), seed=asked.seed)
    frozen_logits = frozen.logits(features.x[val]).astype(np.float64)
    before = softmax(frozen_logits, frozen.best.temperature)
    start = _start(material.spec, features.take(train), frozen)
    network = Thawed(material.spec, asked.stages, start)
    looks = _looks(material, asked, network, val)
    views = _views(material, asked, network, looks)
    folder = _folder(material, asked, looks, train, val)
    recipe, promised = _plan(folder, network, views, features.y, train, asked, budget_s, begin)
    origin = {name: own.detach().clone() for name, own in network.state().items()}
    course = loop.run(
        network, views, features.y, train, recipe,
        seed=asked.seed, val=val, stop_after=recipe.epochs, kept=folder / "judged.safetensors",
        on_epoch=material.on_epoch,
    )  # fmt: skip
    share, found = _mixed(network, views, features.y, val, origin, course.state)
    warmth = temperature(found, features.y[val])
    return Attempt(
        replace(asked, recipe=recipe), looks, course.state, share, course.epochs, course.best,
        features.y[val], softmax(found, warmth), warmth, _strangeness(network, views, features, train, val),
        before, time.perf_counter() - begin, promised,
    )  # fmt: skip


def finish(material: Material, fitted: Fitted, tried: Attempt) -> Tuned:
    """The backbone to ship: trained once more, as long as was best, on all of the material.

    Where the user brought a val part, this stays out, and what was judged is what ships.
    """
    train, val = _dealt(material, tried.asked.seed)
    rows = train if len(material.val) else np.sort(np.concatenate([train, val]))
    features, asked = material.features, tried.asked
    base = choose(features.take(train), seed=asked.seed) if len(material.val) else fitted
    start = _start(material.spec, features.take(rows), base)
    network = Thawed(material.spec, asked.stages, start)
    origin = {name: own.detach().clone() for name, own in network.state().items()}
    state = tried.state
    if not len(material.val) and tried.best:
        views = _views(material, asked, network, tried.looks)
        folder = _folder(material, asked, tried.looks, train, val)
        nothing = np.zeros(0, np.int64)
        state = loop.run(
            network, views, features.y, rows, asked.recipe,
            seed=asked.seed, val=nothing, stop_after=tried.best, kept=folder / "final.safetensors",
            on_epoch=material.on_epoch,
        ).state  # fmt: skip
    elif not tried.best:
        state = origin
    network.put(_between(origin, state, tried.share))
    spec = with_bytes(material.spec, _file(network))
    first, mean, scale = start.first, start.mean, start.scale
    inputs = Inputs(first, material.spec.depths[-1].stop, mean, scale)
    head = Logistic(network.weight.detach().numpy().copy(), network.bias.detach().numpy().copy())
    right = float((tried.probabilities.argmax(1) == tried.truth).mean())
    loss = nll(tried.truth, tried.probabilities)
    best = Trial("logistic", base.best.depths, base.best.penalty, tried.temperature, loss, right)
    chosen = Fitted(inputs, head, best, base.trials, tried.probabilities, tried.truth)
    return Tuned(spec, chosen, tried.strangeness)


def _dealt(material: Material, seed: int) -> tuple[Ints, Ints]:
    """Rows to train on, and rows to judge epochs by."""
    features = material.features
    if len(material.val):
        return np.setdiff1d(np.arange(len(features)), material.val), material.val
    parts = deal(features.y, features.groups, features.digests, seed=seed + 1, share=SHARE)
    if not len(parts.rows("test")):
        raise TooFewExamples("too few pictures to tune: none can be kept for judging. Use --tune never.")
    return parts.rows("train"), parts.rows("test")


def _start(spec: Spec, train: Features, fitted: Fitted) -> Start:
    """The fitted head with its temperature inside; from scratch, a head that says nothing."""
    if spec.weights.source == "random":
        last, k = spec.depths[-1], len(train.classes)
        width = last.stop - last.start
        return Start(
            last.start, np.zeros(width, np.float32), np.ones(width, np.float32),
            np.zeros((width, k), np.float32), np.zeros(k, np.float32),
        )  # fmt: skip
    if fitted.best.head not in LINEAR:
        fitted = choose(train, head="lda")
    arrays = fitted.head.arrays()
    weight = arrays["weight"] / np.float32(fitted.best.temperature)
    bias = arrays.get("bias", np.zeros(weight.shape[1], np.float32)) / np.float32(fitted.best.temperature)
    return Start(fitted.inputs.start, fitted.inputs.mean, fitted.inputs.scale, weight, bias)


def _looks(material: Material, asked: Asked, network: Thawed, val: Ints) -> Looks:
    """As many views as fit on half of the free disk; mirrored ones where those are still recognised."""
    n = len(material.features)
    views = 1 if asked.policy == "none" else min(VIEWS, asked.recipe.epochs)
    while views > 1 and need(network.width, network.dtype, n, views) > room():
        views -= 1
    mirror = asked.policy != "none" and _survives_mirror(material, asked, network, val)
    return Looks(asked.policy, views, mirror)


def _survives_mirror(material: Material, asked: Asked, network: Thawed, val: Ints) -> bool:
    """Whether the frozen network still recognises mirrored pictures; from scratch nobody can tell yet."""
    if material.spec.weights.source == "random":
        return True
    some = val[np.argsort(np.array(material.features.digests)[val])][:MIRRORED]
    wrong = []
    for mirrored in (False, True):
        seen = seen_once(
            material.spec, asked.stages, [material.files[int(row)] for row in some],
            mirrored=mirrored, device=material.device, limit_px=material.limit_px,
        )  # fmt: skip
        with torch.no_grad():
            said = network(torch.from_numpy(seen)).numpy().argmax(1)
        wrong.append(float((said != material.features.y[some]).mean()))
    return wrong[1] - wrong[0] <= HARMED


def _views(material: Material, asked: Asked, network: Thawed, looks: Looks) -> Views:
    return keep(
        material.spec, asked.stages, network.width, material.files, material.features.digests, looks,
        device=material.device, limit_px=material.limit_px, on_step=material.on_step,
    )  # fmt: skip


def _folder(material: Material, asked: Asked, looks: Looks, train: Ints, val: Ints) -> Path:
    """Where the states of this very training are kept: equal material and settings, equal folder."""
    spec, features = material.spec, material.features
    facts: list[Any] = [RULES, torch.__version__, spec.weights.sha256, spec.architecture, spec.arguments]
    facts += [asdict(spec.preprocess), asdict(asked), asdict(looks), material.device, features.digests]
    facts += [features.y.tolist(), features.backbone, train.tolist(), val.tolist()]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return make_cache_folder(FOLDER, key)


def _plan(  # noqa: PLR0913
    folder: Path,
    network: Thawed,
    views: Views,
    y: Ints,
    train: Ints,
    asked: Asked,
    budget_s: float,
    begin: float,
) -> tuple[Recipe, float]:
    """The recipe with as many epochs as the budget allows, and the seconds that this should take.

    What was planned once for this training stays planned: a continued run must end with the same bits.
    """
    path = folder / "plan.json"
    try:
        kept = json.loads(path.read_bytes())
        return replace(asked.recipe, epochs=int(kept["epochs"])), float(kept["promised"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    each = _seconds_for_an_epoch(network, views, y, train, asked.recipe)
    spent = time.perf_counter() - begin
    again = 1 + 1 / (1 - SHARE)  # the second training is on all pictures
    epochs = (
        max(1, min(asked.recipe.epochs, int((budget_s - spent) / (each * again))))
        if math.isfinite(budget_s)
        else asked.recipe.epochs
    )
    promised = spent + each * epochs
    write_whole(path, json.dumps({"epochs": epochs, "promised": promised}).encode())
    return replace(asked.recipe, epochs=epochs), promised


def _seconds_for_an_epoch(network: Thawed, views: Views, y: Ints, train: Ints, recipe: Recipe) -> float:
    """By two steps that leave no trace; the first warms up."""
    batch = train[: recipe.batch]
    taken = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        seen = torch.from_numpy(views.of(batch, np.zeros(len(batch), np.int64)))
        loop.descend(network, seen, torch.from_numpy(y[batch]))
        taken = time.perf_counter() - begin
    return taken * len(train) / len(batch)


def _mixed(
    network: Thawed, views: Views, y: Ints, val: Ints,
    origin: dict[str, torch.Tensor], state: dict[str, torch.Tensor],
) -> tuple[float, Floats]:  # fmt: skip
    """The share of the way from the start to the trained weights that was best, and the logits there."""
    shares = (1.0,) if network.learns_statistics else SHARES
    found: list[tuple[float, float, Floats]] = []
    for share in shares:
        network.put(_between(origin, state, share))
        own = loop.logits(network, views, val)
        found.append((nll(y[val], softmax(own, temperature(own, y[val]))), share, own))
    _, share, logits = min(found, key=lambda one: one[:2])
    network.put(_between(origin, state, share))
    return share, logits


def _between(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    return {name: torch.lerp(own, b[name], share) for name, own in a.items()}


def _strangeness(network: Thawed, views: Views, features: Features, train: Ints, val: Ints) -> Doubles:
    """How far unseen pictures lie from those trained on, as the trained network sees both."""
    known, new = _last(network, views, train), _last(network, views, val)
    return neighbour_distance(new, known, groups=(features.groups[val], features.groups[train]))


def _last(network: Thawed, views: Views, rows: Ints) -> Halves:
    found = loop.forward(lambda seen: network.features(seen)[:, -network.dim :], views, rows)
    return found.astype(np.float16)


def _file(network: Thawed) -> bytes:
    from safetensors.numpy import save

    data: bytes = save(network.network())
    return data


def fitting(
    material: Material, asked: Asked, budget_s: float = math.inf
) -> Callable[[Ints], Callable[[Ints], Doubles]]:
    """Training as asked on some rows, to judge others by."""

    def fit(rows: Ints) -> Callable[[Ints], Doubles]:
        own = material.take(rows)
        fitted = choose(own.features, seed=asked.seed)
        tuned = finish(own, fitted, attempt(own, asked, budget_s))

        def judge(mine: Ints) -> Doubles:
            few = material.device == "cpu" and len(mine) < WORTH_CONVERTING
            engine = open_engine(tuned.spec, "torch" if few else material.device)
            files = [material.files[int(row)] for row in mine]
            read = extract(files, tuned.spec, engine, limit_px=material.limit_px)
            return softmax(tuned.fitted.logits(read.x), tuned.fitted.best.temperature)

        return judge

    return fit
