"""Fine-tuning that starts from the frozen head and is judged beside it, on the same pictures.

    deal train / val ─▶ head on train (LP) ─▶ train stages and head (FT) ─▶ mix with the start ─▶ paired gain
                                                                    └─▶ once more on all pictures ─▶ backbone

Kumar et al. 2022 (LP-FT, arXiv:2202.10054) on starting from the head; Wortsman et al. 2022 (WiSE-FT,
arXiv:2109.01903) on mixing weights. Where no mixture is better than the start, the frozen network stays.
"""

import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.backbones.weights import LEARNT, learnt_from, with_bytes
from headstart.data.split import deal
from headstart.data.split import folds as deal_folds
from headstart.engines import open_engine
from headstart.errors import TooFewExamples
from headstart.evaluate import Strangeness, nll, paired, reference_rows, softmax, strangeness, temperature
from headstart.features.extract import extract, quiet
from headstart.files import make_cache_folder, write_whole
from headstart.finetune import loop
from headstart.finetune.loop import FROM_SCRATCH, PRETRAINED, Recipe, bolder, longer
from headstart.finetune.pace import (
    Cost,
    seconds_to_encode,
    seconds_to_keep,
    seconds_to_train,
    views_within,
)
from headstart.finetune.thawed import Start, Thawed
from headstart.finetune.views import RULES as VIEW_RULES
from headstart.finetune.views import Looks, Views, keep, lacking, room, seen_once
from headstart.finetune.wish import Epoch, Material, Policy, in_fold, trained
from headstart.heads import one_thread_each
from headstart.heads._choose import Fitted, Trial, choose
from headstart.heads._inputs import Inputs
from headstart.heads.logistic import Logistic
from headstart.values import Doubles, Features, Floats, Halves, Ints, Spec

FOLDER = "tuning"
RULES = 5  # of how a network is trained; a change that moves a bit is a new number
SHARE = 0.2  # of the training part is kept for judging, where the user brought no val part
VIEWS = 4  # of each picture, disk permitting
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from the start to the trained weights
GROUPS = 5  # kept for judging at least: fewer show no spread
WORTH_CONVERTING = 300  # pictures from which the fast engine's conversion pays
MIRRORED = 200  # pictures on which it is tried whether mirrored ones are still recognised
HARMED = 0.05  # of them more wrong than before are too many
WARM = 2  # pictures before a pace is measured
PACED = 32  # pictures of the steps that show how fast training is: a batch
PLAN = "plan.json"
LINEAR = ("lda", "ridge", "logistic")
NOTHING = "zero"  # the head of a network from scratch before its first step


@dataclass(frozen=True)
class Asked:
    """How a network is to be trained."""

    stages: int  # below the trained ones
    policy: Policy
    recipe: Recipe
    seed: int
    head: str = "auto"  # where training starts
    budget_s: float = math.inf  # of all that was asked for together
    views: int = VIEWS  # of each picture at most, disk permitting
    again: bool = True  # what is taken is trained once more, on what judged it as well


@dataclass(frozen=True, eq=False)
class Attempt:
    """A trained network beside the frozen one, on validation pictures that neither has seen."""

    asked: Asked
    recipe: Recipe  # as it was trained: with rates by what there was to learn
    looks: Looks
    state: dict[str, torch.Tensor]  # as training left it, unmixed
    share: float  # of the way from the start that was best
    epochs: tuple[Epoch, ...]
    epoch: int  # after which the state is this: the last, or where it was cut off the best so far
    truth: Ints  # [m]
    groups: Ints  # [m]
    probabilities: Doubles  # [m, k] of the network to be shipped, calibrated on these pictures
    temperature: float
    unseen: Strangeness  # of these pictures to the network to be shipped
    before: Doubles  # [m, k] frozen, and
    after: Doubles  # [m, k] trained: temperature and share from the other half of the pictures
    seconds: float  # of all runs that it took, but for what they were interrupted in
    heads: tuple[str, str]  # of the frozen network, and the one that training began with
    precision: str  # of a training step: "bf16" or "f32"

    @property
    def gain(self) -> tuple[float, float, float]:
        """How much less surprised than the frozen one it was by a picture, and the ends of the interval."""
        rows = np.arange(len(self.truth))
        tiny = 1e-12
        was = -np.log(np.maximum(self.before[rows, self.truth], tiny))
        now = -np.log(np.maximum(self.after[rows, self.truth], tiny))
        return paired(was - now, self.groups)

    @property
    def is_changed(self) -> bool:
        """Whether anything of what was trained is in it."""
        return self.epoch > 0 and self.share > 0

    @property
    def is_better(self) -> bool:
        """Whether training changed anything, and the gain is more than noise."""
        return self.is_changed and self.gain[1] > 0

    @property
    def is_worse(self) -> bool:
        """Whether the loss is more than noise."""
        return self.gain[2] < 0

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        right, was = self.after.argmax(1) == self.truth, self.before.argmax(1) == self.truth
        mean, low, high = self.gain
        return {
            "stages_frozen": self.asked.stages,
            "augment": self.looks.policy,
            "views": self.looks.views,
            "mirrored": self.looks.mirror,
            "n": len(self.truth),
            "frozen": {"nll": round(nll(self.truth, self.before), 4), "accuracy": float(was.mean())},
            "tuned": {"nll": round(nll(self.truth, self.after), 4), "accuracy": float(right.mean())},
            "nll_gain": round(mean, 4) + 0.0,  # no minus before a zero
            "nll_gain_ci95": [round(low, 4) + 0.0, round(high, 4) + 0.0],
            "better": self.is_better,
            "worse": self.is_worse,
            "share": self.share,
            "rate": float(f"{self.recipe.rate:.4g}"),
            "weights_of_epoch": self.epoch,
            "epochs": [one.to_json() for one in self.epochs],
            "again": self.asked.again,
            "seconds": round(self.seconds, 2),
            "frozen_head": self.heads[0],
            "start_head": self.heads[1],
            "precision": self.precision,
        }


@dataclass(frozen=True, eq=False)
class Tuned:
    """A trained backbone with its head. `fitted` speaks of features of `spec`."""

    spec: Spec
    fitted: Fitted
    unseen: Strangeness


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


def is_scratch(spec: Spec) -> bool:
    """Whether the network starts from nothing."""
    return spec.weights.source == "random"


def recipe_for(spec: Spec, n: int) -> Recipe:
    """The usual way to train on `n` pictures: in smaller steps from pretrained weights than from nothing."""
    return FROM_SCRATCH if is_scratch(spec) else longer(PRETRAINED, n)


def attempt(material: Material, asked: Asked, budget_s: float = math.inf) -> Attempt:
    """Train on a part of the material and judge on the rest, beside the frozen network.

    Raises:
        TooFewExamples: nothing can be kept for judging.
        StoreError: views or states cannot be kept.
        NotFinite: training ran away.
    """
    begin = time.perf_counter()
    ground = _ground(material, asked)
    asked, plan, looks = ground.asked, ground.plan, ground.looks
    if "views" not in plan and math.isfinite(budget_s):
        ground = replace(ground, looks=(looks := _in_time(material, ground, budget_s)))
    _plan(ground.folder, plan | {"views": looks.views})
    views = _views(material, asked, ground.network, looks)
    epochs, again = plan.get("epochs", asked.recipe.epochs), bool(plan.get("again", asked.again))
    if "epochs" not in plan and math.isfinite(budget_s):
        cost = _cost(material, asked, ground.network, views, ground.train, ground.val)
        epochs, again = cost.plan(budget_s - (time.perf_counter() - begin), epochs)
    _plan(ground.folder, {"views": looks.views, "epochs": epochs, "again": int(again)})
    asked = replace(asked, recipe=replace(asked.recipe, epochs=epochs), again=again)
    return _judged(material, replace(ground, asked=asked), views, epochs, begin)


def so_far(material: Material, asked: Asked) -> Attempt | None:
    """What an `attempt` that was interrupted had come to, judged as it is; None before its first epoch.

    Nothing is trained, now or by `finish`.

    Raises:
        TooFewExamples, StoreError: as in `attempt`.
    """
    begin = time.perf_counter()
    ground = _ground(material, asked)
    done = loop.finished(_state(ground.folder, "judged", ground.looks))
    if not done or "epochs" not in ground.plan:
        return None
    recipe = replace(asked.recipe, epochs=ground.plan["epochs"])
    own = replace(ground, asked=replace(ground.asked, recipe=recipe, again=False))
    return _judged(material, own, _views(material, asked, ground.network, ground.looks), done, begin)


@dataclass(frozen=True, eq=False)
class _Ground:
    """What a training stands on."""

    asked: Asked
    train: Ints
    val: Ints
    frozen: Fitted
    start: Start
    begins: str  # with which head
    network: Thawed
    folder: Path
    plan: dict[str, int]  # as far as it was made before
    looks: Looks


def _ground(material: Material, asked: Asked) -> _Ground:
    train, val = dealt(material, asked.seed)
    asked = replace(asked, again=asked.again and not len(material.val))
    features = material.features.take(train)
    frozen = choose(features, head=asked.head, seed=asked.seed)
    first = _linear(features, frozen)
    start, begins = _start(material.spec, first), NOTHING if is_scratch(material.spec) else first.best.head
    network = Thawed(material.spec, asked.stages, start, material.device)
    folder = _folder(material, asked, train, val, start)
    plan = _planned(folder)
    looks = _looks(material, asked, network, val, plan.get("views", usual_views(asked)))
    return _Ground(asked, train, val, frozen, start, begins, network, folder, plan, looks)


def _judged(material: Material, ground: _Ground, views: Views, epochs: int, begin: float) -> Attempt:
    """Trained up to so many epochs, then beside the frozen network."""
    asked, network, looks, train, val = ground.asked, ground.network, ground.looks, ground.train, ground.val
    features, scratch = material.features, is_scratch(material.spec)
    recipe = asked.recipe if scratch else bolder(asked.recipe, ground.frozen.best.nll)
    origin = {name: own.detach().clone() for name, own in network.state().items()}
    state = _state(ground.folder, "judged", looks)
    done = loop.finished(state)
    course = loop.run(
        network, views, features.y, train, recipe,
        seed=asked.seed, val=val, stop_after=epochs, kept=state,
        on_epoch=material.on_epoch,
    )  # fmt: skip
    y, groups = features.y[val], features.groups[val]
    shares = shares_of(network)
    ways: list[Floats] = []
    for share in shares:
        network.put(_between(origin, course.state, share))
        ways.append(loop.logits(network, views, val))
    halves = deal_folds(y, groups, features.take(val).digests, 2, seed=asked.seed)
    still = np.asarray(ground.frozen.logits(features.x[val]), dtype=np.float32)
    best = int(np.argmin([_surprise(own, y) for own in ways]))
    network.put(_between(origin, course.state, shares[best]))
    warmth = temperature(ways[best], y)
    before = sum(epoch.seconds for epoch in course.epochs[:done])  # of runs that this one continues
    return Attempt(
        asked, recipe, looks, course.state, shares[best], course.epochs, course.epoch, y, groups,
        softmax(ways[best], warmth), warmth, _unseen(network, views, features, train, val),
        _crosswise([still], y, halves), _crosswise(ways, y, halves),
        before + time.perf_counter() - begin, (ground.frozen.best.head, ground.begins),
        "bf16" if network.is_halved else "f32",
    )  # fmt: skip


def _surprise(logits: Floats, y: Ints) -> float:
    return nll(y, softmax(logits, temperature(logits, y)))


def _crosswise(ways: list[Floats], y: Ints, halves: Ints) -> Doubles:
    """Probabilities of each half, of the way and with the temperature that are best on the other half."""
    found = np.zeros(ways[0].shape)
    for half in (0, 1):
        mine, other = halves == half, halves != half
        best = min(ways, key=lambda own: _surprise(own[other], y[other]))
        found[mine] = softmax(best[mine], temperature(best[other], y[other]))
    return found


def finish(material: Material, fitted: Fitted, tried: Attempt) -> Tuned:
    """The backbone to ship: trained once more, as was judged, on all of the material.

    Where the user brought a val part, this stays out, and what was judged is what ships; as where the budget
    left too little time to do it all twice.
    """
    train, val = dealt(material, tried.asked.seed)
    features, asked = material.features, tried.asked
    rows = np.arange(len(features)) if asked.again else train
    base = fitted if asked.again else choose(features.take(train), head=asked.head, seed=asked.seed)
    base = _linear(features.take(rows), base)
    start = _start(material.spec, base)
    network = Thawed(material.spec, asked.stages, start, material.device)
    origin = {name: own.detach().clone() for name, own in network.state().items()}
    state = tried.state
    if asked.again and tried.is_changed:
        views = _views(material, asked, network, tried.looks)
        folder = _folder(material, replace(asked, recipe=tried.recipe), rows, rows[:0], start)
        nothing = np.zeros(0, np.int64)
        state = loop.run(
            network, views, features.y, rows, tried.recipe,
            seed=asked.seed, val=nothing, stop_after=tried.recipe.epochs,
            kept=_state(folder, "final", tried.looks), on_epoch=material.on_epoch,
        ).state  # fmt: skip
    network.put(_between(origin, state, tried.share))
    seen = learnt_from(material.spec) | set(features.digests)
    spec = with_bytes(material.spec, _file(network, seen))
    first, mean, scale = start.first, start.mean, start.scale
    inputs = Inputs(first, material.spec.depths[-1].stop, mean, scale)
    weight, bias = (own.detach().cpu().numpy().copy() for own in (network.weight, network.bias))
    head = Logistic(weight, bias)
    right = float((tried.probabilities.argmax(1) == tried.truth).mean())
    loss = nll(tried.truth, tried.probabilities)
    # from scratch the head begins with nothing on the last layer, whatever random features liked
    depths, penalty = ("last", 0.0) if is_scratch(material.spec) else (base.best.depths, base.best.penalty)
    best = Trial("logistic", depths, penalty, tried.temperature, loss, right)
    chosen = Fitted(inputs, head, best, base.trials, tried.probabilities, tried.truth, val)
    return Tuned(spec, chosen, tried.unseen)


def dealt(material: Material, seed: int) -> tuple[Ints, Ints]:
    """Rows to train on, and rows to judge by: none with a twin that was learnt from.

    Raises:
        TooFewExamples: too few are left for judging, or they are all of one class: right on it means nothing.
    """
    features = material.features
    if len(material.val):
        train, val = np.setdiff1d(np.arange(len(features)), material.val), material.val
    else:
        parts = deal(features.y, features.groups, features.digests, seed=seed + 1, share=SHARE)
        train, val = parts.rows("train"), parts.rows("test")
    before = learnt_from(material.spec)
    known = [row for row, digest in enumerate(features.digests) if digest in before]
    seen = np.concatenate([features.groups[train], features.groups[np.array(known, dtype=np.int64)]])
    val = val[~np.isin(features.groups[val], seen)]
    if len(np.unique(features.groups[val])) < GROUPS or len(np.unique(features.y[val])) < 2:
        of = f" that {material.spec.name} has not learnt from" if known else ""
        raise TooFewExamples(
            f"too few pictures{of} to judge tuning by: at least {GROUPS} different ones, of two classes or "
            "more, are wanted beside those trained on. Add pictures."
        )
    groups_of = [
        len(np.unique(features.groups[train[features.y[train] == c]])) for c in np.unique(features.y)
    ]
    if max(groups_of) < 2 or sum(count > 0 for count in groups_of) < 2:
        raise TooFewExamples(
            "too few pictures to tune on beside those that judge: two different ones of a class, and two "
            "classes, are wanted. Add pictures."
        )
    return train, val


def _linear(train: Features, fitted: Fitted) -> Fitted:
    """The fitted head, or LDA where that is not linear in its inputs."""
    return fitted if fitted.best.head in LINEAR else choose(train, head="lda")


def _start(spec: Spec, fitted: Fitted) -> Start:
    """A fitted linear head with its temperature inside; from scratch, a head that says nothing."""
    if is_scratch(spec):
        last, k = spec.depths[-1], fitted.held_out.shape[1]
        width = last.stop - last.start
        return Start(
            last.start, np.zeros(width, np.float32), np.ones(width, np.float32),
            np.zeros((width, k), np.float32), np.zeros(k, np.float32),
        )  # fmt: skip
    arrays = fitted.head.arrays()
    weight = arrays["weight"] / np.float32(fitted.best.temperature)
    bias = arrays.get("bias", np.zeros(weight.shape[1], np.float32)) / np.float32(fitted.best.temperature)
    return Start(fitted.inputs.start, fitted.inputs.mean, fitted.inputs.scale, weight, bias)


def usual_views(asked: Asked) -> int:
    """How many views of each picture are made where the disk has room."""
    return 1 if asked.policy == "none" else asked.views


def _looks(material: Material, asked: Asked, network: Thawed, val: Ints, views: int) -> Looks:
    """At most so many views, as what is missing fits on half of the free disk.

    Mirrored ones where those are still recognised.
    """
    mirror = asked.policy != "none" and _survives_mirror(material, asked, network, val)
    spec, digests = material.spec, material.features.digests
    found = Looks(asked.policy, views, mirror)
    while found.views > 1:
        missing, length = lacking(spec, asked.stages, network.width, digests, found, material.device)
        if length * len(missing) <= room():
            break
        found = replace(found, views=found.views - 1)
    return found


def _in_time(material: Material, ground: _Ground, budget_s: float) -> Looks:
    """Fewer views, where making them would take more than their share of the budget."""
    looks, asked, network = ground.looks, ground.asked, ground.network
    spec, digests = material.spec, material.features.digests

    def missing(views: int) -> Ints:
        own = replace(looks, views=views)
        return lacking(spec, asked.stages, network.width, digests, own, material.device)[0]

    rows = missing(looks.views)
    if looks.views == 1 or len(rows) <= WARM:  # what little is missing is made in no time
        return looks
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, PACED).astype(int))]
    taken = 0.0
    for some in (rows[:WARM], rows[WARM:]):  # the first may have to convert a network
        begin = time.perf_counter()
        _views(replace(material.take(some), on_step=quiet), asked, network, looks)
        taken = time.perf_counter() - begin
    each = taken / (len(rows) - WARM) / looks.views
    return replace(looks, views=views_within(budget_s, each, lambda own: len(missing(own)), looks.views))


def _survives_mirror(material: Material, asked: Asked, network: Thawed, val: Ints) -> bool:
    """Whether the frozen network still recognises mirrored pictures; from scratch nobody can tell yet."""
    if is_scratch(material.spec):
        return True
    some = val[np.argsort(np.array(material.features.digests)[val])][:MIRRORED]
    wrong = []
    for mirrored in (False, True):
        seen = seen_once(
            material.spec, asked.stages, [material.files[int(row)] for row in some],
            mirrored=mirrored, device=material.device, limit_px=material.limit_px,
        )  # fmt: skip
        with torch.no_grad():
            blocks = [network(torch.from_numpy(seen[at : at + 16])) for at in range(0, len(seen), 16)]
        said = torch.cat(blocks).cpu().numpy().argmax(1)
        wrong.append(float((said != material.features.y[some]).mean()))
    return wrong[1] - wrong[0] <= HARMED


def _views(material: Material, asked: Asked, network: Thawed, looks: Looks) -> Views:
    return keep(
        material.spec, asked.stages, network.width, material.files, material.features.digests, looks,
        device=material.device, limit_px=material.limit_px, on_step=material.on_step,
    )  # fmt: skip


def _folder(material: Material, asked: Asked, train: Ints, val: Ints, start: Start) -> Path:
    """Where this very training is kept: equal material, start and settings, equal folder.

    How many views and epochs are made of it, disk and clock say; that is written down in it.
    """
    spec, features = material.spec, material.features
    facts: list[Any] = [RULES, VIEW_RULES, torch.__version__, spec.weights.sha256, spec.architecture]
    facts += [spec.arguments, asdict(spec.preprocess), material.device, features.digests]
    facts += [asdict(asked) | {"budget_s": str(asked.budget_s)}, material.limit_px]
    facts += [features.y.tolist(), features.backbone, train.tolist(), val.tolist(), start.first]
    own = hashlib.sha256(json.dumps(facts).encode())
    for array in (start.mean, start.scale, start.weight, start.bias):
        own.update(np.ascontiguousarray(array).tobytes())
    return make_cache_folder(FOLDER, own.hexdigest()[:32])


def _state(folder: Path, name: str, looks: Looks) -> Path:
    """The file of states of a training on these views."""
    return folder / f"{name}-{looks.views}{'-mirrored' if looks.mirror else ''}.safetensors"


def _planned(folder: Path) -> dict[str, int]:
    """How many views and epochs were planned for this training, and whether twice, as far as it came.

    What was planned once stays planned: a continued run must end with the same bits.
    """
    try:
        found = json.loads((folder / PLAN).read_bytes())
        least = {"views": 1, "epochs": 1, "again": 0}
        return {name: max(few, int(found[name])) for name, few in least.items() if name in found}
    except (OSError, ValueError, TypeError):
        return {}


def _plan(folder: Path, plan: dict[str, int]) -> None:
    write_whole(folder / PLAN, json.dumps(plan).encode())


def _cost(material: Material, asked: Asked, network: Thawed, views: Views, train: Ints, val: Ints) -> Cost:
    """What this training costs, by a few steps that leave no trace."""
    n, y = len(material.features), material.features.y
    batch = train[:PACED]
    first = np.zeros(len(batch), np.int64)
    step, see = seconds_to_train(
        network, lambda: torch.from_numpy(views.of(batch, first)), torch.from_numpy(y[batch])
    )
    encode = seconds_to_encode(open_engine(material.spec, material.device), material.spec)
    again = n if asked.again else 0
    encoded = n + material.besides
    keep = seconds_to_keep(network, make_cache_folder(FOLDER))
    return Cost(len(train), len(val), again, len(shares_of(network)), encoded, step, see, encode, keep)


def shares_of(network: Thawed) -> tuple[float, ...]:
    """Shares of the way that are tried. From scratch there is nothing to mix with."""
    return (1.0,) if network.learns_statistics else SHARES


def _between(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    return {name: torch.lerp(own, b[name].to(own.device), share) for name, own in a.items()}


def _unseen(network: Thawed, views: Views, features: Features, train: Ints, val: Ints) -> Strangeness:
    """How strange unseen pictures are beside those trained on, as the trained network sees both."""
    digests = [features.digests[int(row)] for row in train]
    some = train[reference_rows(digests, features.y[train])]  # as many as a model keeps
    both = np.concatenate([some, val])
    rows = np.arange(len(both))
    pairs = [(rows[: len(some)], rows[len(some) :])]
    with one_thread_each():
        return strangeness(_last(network, views, both), features.y[both], pairs)


def _last(network: Thawed, views: Views, rows: Ints) -> Halves:
    found = loop.forward(lambda seen: network.features(seen)[:, -network.dim :], views, rows)
    return found.astype(np.float16)


def _file(network: Thawed, seen: Iterable[str]) -> bytes:
    """The file of weights, with the digests of the pictures that they have seen."""
    from safetensors.numpy import save

    digests = np.frombuffer(b"".join(bytes.fromhex(own) for own in sorted(seen)), np.uint8).reshape(-1, 32)
    data: bytes = save(network.network() | {LEARNT: digests})
    return data


def device_for(material: Material, pictures: int) -> str:
    """Where a network that answers for so few pictures runs: converting it has to pay."""
    few = material.device == "cpu" and pictures < WORTH_CONVERTING
    return "torch" if few else material.device


def fitting(
    material: Material, asked: Asked, budget_s: float = math.inf
) -> Callable[[Ints], Callable[[Ints], Doubles]]:
    """Training as asked on some rows, to judge others by; each is a fold of its own."""
    folds = itertools.count(1)

    def fit(rows: Ints) -> Callable[[Ints], Doubles]:
        own = replace(material.take(rows), on_epoch=in_fold(material.on_epoch, next(folds)))
        fitted = choose(own.features, head=asked.head, seed=asked.seed)
        tried = attempt(own, asked, budget_s)
        if not (tried.is_changed or is_scratch(material.spec)):  # it stays frozen, as the model would
            x, warmth = material.features.x, fitted.best.temperature
            return lambda mine: softmax(fitted.logits(x[mine]), warmth)
        tuned = finish(own, fitted, tried)

        def judge(mine: Ints) -> Doubles:
            engine = open_engine(tuned.spec, device_for(material, len(mine)))
            files = [material.files[int(row)] for row in mine]
            read = extract(files, tuned.spec, engine, limit_px=material.limit_px)
            return softmax(tuned.fitted.logits(read.x), tuned.fitted.best.temperature)

        return judge

    return fit
