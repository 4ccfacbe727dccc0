"""Training as a tour does it: a few seconds, nothing kept on disk.

`finetune.loop.run` keeps its state in a file after each epoch, so that hours of training survive a kill, and
trains what a Spec describes. Here training takes seconds and some networks are made for one drawing only. So
there is one small descent of our own, which takes its slopes from `finetune.loop.descend` where the network
is one of a Spec.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.evaluate import accuracy_interval
from headstart.look import chosen
from headstart.tour.pictures import AT_ONCE, Material, encoded
from headstart.tour.section import Effort
from headstart.values import Bytes, Floats, Ints, Spec

if TYPE_CHECKING:
    import torch

    from headstart.backbones.chain import Chain
    from headstart.finetune.thawed import Start, Thawed
    from headstart.heads._choose import Fitted

Slopes = Callable[["torch.Tensor", "torch.Tensor"], float]  # of a batch and its truth: the loss

SCRATCH = "scratch:small-cnn?size=32&width=16"
HEAD = "lda"  # closed form, and training can start from it
BATCH = 20
WARM_UP = 0.1  # of all steps
CLIP = 1.0  # norm of all slopes together


@dataclass(frozen=True)
class Pace:
    """How long and how fast. Rates are peaks."""

    steps: int
    rate: float
    head_rate: float
    batch: int = BATCH


@dataclass(frozen=True)
class Moved:
    """How far the numbers of one piece of a network went while something was learnt."""

    piece: str
    weights: int  # and shifts
    change: float  # of these: norm of the change over the norm before
    is_equal: bool  # not one bit of weights, shifts and statistics changed
    is_trained: bool


@dataclass(frozen=True)
class Run:
    """One way of learning, and how it did on the judged pictures."""

    way: str  # scratch, frozen, last, all
    per_class: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    judged: int
    seconds: float  # until it can answer: encoding, fitting, training
    losses: tuple[float, ...]  # of each step; none for what is fitted at once
    moved: tuple[Moved, ...]


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: with layers as small as these, two wait for one another longer than they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learn(
    slopes: "Slopes",
    groups: Sequence[tuple[Sequence["torch.nn.Parameter"], float]],
    inputs: "torch.Tensor",
    y: Ints,
    pace: Pace,
    *,
    seed: int,
) -> tuple[float, ...]:
    """Mean loss of each step: whole epochs, as many as come nearest to `pace.steps`.

    `slopes` gives a batch's loss and leaves its slopes with the parameters.

    AdamW with linear warm-up and cosine decay, as in `finetune.loop`; `groups` are parameters and their rate.
    """
    import torch

    own = [{"params": list(some), "lr": rate, "peak": rate} for some, rate in groups if some]
    optimiser = torch.optim.AdamW(own, weight_decay=0.0)
    truth, dice, losses = torch.from_numpy(y), np.random.default_rng(seed), list[float]()
    batches = max(1, round(len(y) / pace.batch))
    epochs = max(1, round(pace.steps / batches))
    for _ in range(epochs):
        for batch in np.array_split(dice.permutation(len(y)), batches):
            share = (len(losses) + 1) / (epochs * batches)
            factor = min(1.0, share / WARM_UP) * 0.5 * (1 + np.cos(np.pi * share))
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            losses.append(slopes(inputs[batch], truth[batch]))
            torch.nn.utils.clip_grad_norm_([p for some, _ in groups for p in some], CLIP)
            optimiser.step()
    return tuple(losses)


def slopes_of(
    network: Callable[["torch.Tensor"], "torch.Tensor"], parameters: Sequence["torch.nn.Parameter"]
) -> Slopes:
    """The loss of a batch, its slopes left with the parameters; on the threads that torch has now."""
    import torch
    from torch.nn import functional as F

    def slopes(x: torch.Tensor, truth: torch.Tensor) -> float:
        loss = F.cross_entropy(network(x), truth)
        for own, found in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            own.grad = found
        return loss.item()

    return slopes


def train_on(
    network: "Thawed", inputs: "torch.Tensor", y: Ints, pace: Pace, *, seed: int
) -> tuple[float, ...]:
    """Train what a Thawed has thawed, and its head, on these inputs. Loss of each step."""
    from headstart.finetune.loop import descend

    groups = [(own, pace.head_rate if name == "head" else pace.rate) for name, own in network.groups()]
    slopes: Slopes = lambda x, truth: descend(network, x, truth)  # noqa: E731
    if network.learns_statistics:  # and cannot be halved: `descend` would take all threads for it
        slopes = slopes_of(network, [own for some, _ in groups for own in some])
    network.learning(on=True)
    steps = learn(slopes, groups, inputs, y, pace, seed=seed)
    network.learning(on=False)
    return steps


def inputs_of(spec: Spec, pixels: Bytes, stages: int) -> "torch.Tensor":
    """What a Thawed above so many stages is given: pixels, or what the frozen stages make of them, [n, w]."""
    import torch

    from headstart.backbones.network import Prefix, load

    if not stages:
        return torch.from_numpy(pixels.reshape(len(pixels), -1))
    prefix = Prefix(load(spec), spec.preprocess, stages)
    with torch.no_grad():
        blocks = [pixels[at : at + AT_ONCE] for at in range(0, len(pixels), AT_ONCE)]
        return torch.cat([prefix(torch.from_numpy(own)) for own in blocks])


def answers(call: Callable[["torch.Tensor"], "torch.Tensor"], inputs: "torch.Tensor") -> Floats:
    """What `call` gives for each row of inputs."""
    import torch

    with torch.no_grad():
        starts = range(0, len(inputs), AT_ONCE)
        return np.concatenate([call(inputs[at : at + AT_ONCE]).numpy() for at in starts])


def frozen(material: Material, per_class: int, *, seed: int) -> tuple[Run, "Fitted"]:
    """A linear head on what the frozen network gives."""
    from headstart.backbones.network import load
    from headstart.heads._choose import choose

    network = load(material.spec)
    before = snapshot(network)
    rows = material.first(per_class)
    begin = time.perf_counter()
    x = encoded(material.spec, material.pixels[rows]).astype(np.float16)
    own = material.features.take(rows)
    fitted = choose(replace(own, x=x), head=HEAD, seed=seed)
    seconds = time.perf_counter() - begin
    logits = fitted.logits(material.features.x[material.judged])
    return _run("frozen", material, per_class, logits, seconds, [], moved(before, network, set())), fitted


def tuned(material: Material, per_class: int, way: str, effort: Effort, *, seed: int) -> Run:
    """The last stages, or all, trained further from the head that frozen features gave."""
    from headstart.finetune.thawed import Thawed
    from headstart.finetune.tune import stages_below

    first, fitted = frozen(material, per_class, seed=seed)
    network = Thawed(material.spec, stages_below(material.spec, way), start(fitted))
    pace = Pace(effort.tuned_steps, 2e-4, 2e-4)
    return _trained(way, network, material, material.pixels, per_class, pace, seed, first.seconds)


def scratch(material: Material, per_class: int, effort: Effort, *, seed: int) -> Run:
    """A small network that starts from random weights, all of it trained."""
    from headstart.finetune.thawed import Start, Thawed

    spec = chosen(SCRATCH)
    last, k = spec.depths[-1], len(material.classes)
    zeros, ones = np.zeros(spec.dim, np.float32), np.ones(spec.dim, np.float32)
    head = Start(last.start, zeros, ones, np.zeros((spec.dim, k), np.float32), np.zeros(k, np.float32))
    pace = Pace(effort.scratch_steps, 3e-3, 3e-3)
    return _trained("scratch", Thawed(spec, 0, head), material, material.small, per_class, pace, seed, 0.0)


def start(fitted: "Fitted") -> "Start":
    """A fitted linear head with its temperature inside, for training to begin with."""
    from headstart.finetune.thawed import Start

    arrays, warmth = fitted.head.arrays(), np.float32(fitted.best.temperature)
    inputs = fitted.inputs
    return Start(inputs.start, inputs.mean, inputs.scale, arrays["weight"] / warmth, arrays["bias"] / warmth)


def snapshot(network: "Chain") -> dict[str, dict[str, Any]]:
    """Copies of all numbers of each piece of a network, by their names."""
    pieces = [
        ("stem", network.stem),
        *zip(network.names, network.stages, strict=True),
        ("last", network.tail),
    ]
    return {
        name: {key: own.detach().clone() for key, own in piece.state_dict().items() if own.ndim}
        for name, piece in pieces
    }


def moved(before: dict[str, dict[str, Any]], network: "Chain", trained: set[str]) -> tuple[Moved, ...]:
    """How far each piece went since it was copied. Statistics of batches are compared, not measured."""
    import torch

    found = []
    for name, now in snapshot(network).items():
        was = before[name]
        weights = [key for key in now if not key.endswith(("running_mean", "running_var"))]
        if not weights:
            continue
        change = sum(float((now[key].double() - was[key].double()).square().sum()) for key in weights)
        size = sum(float(was[key].double().square().sum()) for key in weights)
        equal = all(torch.equal(now[key], was[key]) for key in now)
        numbers = sum(now[key].numel() for key in weights)
        found.append(Moved(name, numbers, (change / size) ** 0.5 if size else 0.0, equal, name in trained))
    return tuple(found)


def _trained(  # noqa: PLR0913
    way: str,
    network: "Thawed",
    material: Material,
    pixels: Bytes,
    per_class: int,
    pace: Pace,
    seed: int,
    seconds: float,
) -> Run:
    spec = material.spec if pixels is material.pixels else chosen(SCRATCH)
    rows, judged = material.first(per_class), material.judged
    before = snapshot(network.chain)
    begin = time.perf_counter()
    inputs = inputs_of(spec, pixels[rows], network.stages)
    losses = train_on(network, inputs, material.features.y[rows], pace, seed=seed)
    seconds += time.perf_counter() - begin
    logits = answers(network, inputs_of(spec, pixels[judged], network.stages))
    trained = {name for name, _ in network.groups()}
    return _run(way, material, per_class, logits, seconds, losses, moved(before, network.chain, trained))


def _run(  # noqa: PLR0913
    way: str,
    material: Material,
    per_class: int,
    logits: Floats,
    seconds: float,
    losses: Sequence[float],
    went: tuple[Moved, ...],
) -> Run:
    judged = material.judged
    right: NDArray[np.bool_] = logits.argmax(1) == material.features.y[judged]
    interval = accuracy_interval(right, material.features.groups[judged])
    return Run(way, per_class, float(right.mean()), interval, len(judged), seconds, tuple(losses), went)
