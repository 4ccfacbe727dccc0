"""The one training loop. Stochastic only by its seed, and resumed from the last finished epoch.

AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with linear warm-up and cosine decay, smaller rates for
shallower stages, no decay of weights on norms, biases and the head, gradients clipped. After each epoch the
log-loss of the validation pictures is taken at the best temperature for them: what is calibrated later should
not be stopped for being too sure now.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from headstart.errors import NotFinite
from headstart.evaluate import nll, softmax, temperature
from headstart.files import cores, write_whole
from headstart.finetune.thawed import Thawed
from headstart.finetune.views import Views
from headstart.finetune.wish import Epoch, OnEpoch
from headstart.values import Floats, Ints

_AT_ONCE = 16  # pictures whose logits are taken together


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Rates are peaks; the deepest stage has `rate`, each one above it less."""

    epochs: int
    batch: int
    rate: float
    head_rate: float
    stage_decay: float  # of the rate, from a stage to the one above it
    weight_decay: float
    clip: float  # norm of all gradients together
    warm_up: float  # share of all steps


# No stopping before the end: at the peak of the rates the log-loss is often worse than at the start, and
# falls below it only when they have fallen.
PRETRAINED = Recipe(10, 32, 5e-4, 1.5e-4, 0.8, 0.02, 1.0, 0.1)
FROM_SCRATCH = Recipe(40, 64, 2e-3, 2e-3, 1.0, 0.05, 1.0, 0.1)
SEEN = 10_000  # pictures are shown at least, to a pretrained network
LONGEST = 30  # epochs, however few pictures there are
BOLDEST = 4.0  # times the rate at most


def longer(recipe: Recipe, n: int) -> Recipe:
    """More epochs where `n` pictures make few steps.

    >>> [longer(PRETRAINED, n).epochs for n in (100, 500, 2000)]
    [30, 20, 10]
    """
    return replace(recipe, epochs=max(recipe.epochs, min(LONGEST, round(SEEN / n))))


def bolder(recipe: Recipe, nll: float) -> Recipe:
    """Greater rates where there is more to learn: in proportion to the frozen network's log-loss, in nats.

    Measured on six sets by the log-loss of pictures kept aside (docs/decisions/0010).

    >>> [round(bolder(PRETRAINED, nll).rate, 4) for nll in (0.1, 0.5, 3.0)]
    [0.0005, 0.001, 0.002]
    """
    times = min(BOLDEST, max(1.0, 4 * nll))
    return replace(recipe, rate=times * recipe.rate, head_rate=times * recipe.head_rate)


@dataclass(frozen=True, eq=False)
class Course:
    """How training went: its epochs, and the state it leaves."""

    epochs: tuple[Epoch, ...]
    epoch: int  # after which the state is this; 0: the start
    state: dict[str, torch.Tensor]


def run(  # noqa: PLR0913  each is a thing of its own
    network: Thawed,
    views: Views,
    y: Ints,
    rows: Ints,
    recipe: Recipe,
    *,
    seed: int,
    val: Ints,
    stop_after: int,
    kept: Path,
    on_epoch: OnEpoch,
) -> Course:
    """Train on `rows` of the pictures for at most `stop_after` of the recipe's epochs.

    It leaves the state after the last epoch: that none is chosen keeps the `val` rows honest, and at the end
    of the schedule the network is at rest. Cut off before that, with rates still high, it leaves the state in
    which the log-loss of the `val` rows was least. The state after each epoch is kept in the file `kept`; a
    run that finds one goes on from there and ends with the same bits.

    An epoch in which a number is not finite is the last. It is told, with the gradients up to there.

    Raises:
        NotFinite: a loss, a gradient or a logit is not.
        OutputError: the state cannot be kept.
    """
    optimiser = _optimiser(network, recipe)
    history: list[Epoch] = []
    best, best_state, least = 0, _copied(network), _val_loss(network, views, y, val)[0] if len(val) else 0.0
    if not np.isfinite(least):
        raise NotFinite("a logit is not finite before training begins: the weights are damaged.")
    found = _read(kept)
    if found is not None and len(found[1]["history"]) <= stop_after:
        history, best, least, best_state = _resume(found, network, optimiser)
    for number in range(len(history) + 1, stop_after + 1):
        done = _epoch(network, optimiser, views, y, rows, recipe, seed, number)
        if len(val):
            loss, accuracy = _val_loss(network, views, y, val)
            done = replace(done, val_nll=loss, val_accuracy=accuracy)
            if loss < least:
                best, least, best_state = number, loss, _copied(network)
        if not np.isfinite([done.loss, done.val_nll or 0.0]).all():
            on_epoch(done, stop_after)
            raise NotFinite(
                f"training ran away in epoch {number}: a loss, a gradient or a logit is not finite. The "
                "rate is too high for this network, or its weights are damaged."
            )
        history.append(done)
        _keep(kept, network, optimiser, history, best, least, best_state)
        on_epoch(done, stop_after)
    if stop_after < recipe.epochs and len(val):
        network.put(best_state)
        return Course(tuple(history), best, best_state)
    return Course(tuple(history), len(history), _copied(network))


def finished(kept: Path) -> int:
    """How many epochs of a training were finished, by the state that `run` kept."""
    found = _read(kept)
    return len(found[1]["history"]) if found else 0


def logits(network: Thawed, views: Views, rows: Ints) -> Floats:
    """Logits [m, k] of these pictures' first views: as the network sees them when it is used."""
    return forward(network, views, rows)


def forward(call: Callable[[torch.Tensor], torch.Tensor], views: Views, rows: Ints) -> Floats:
    """What `call` gives for these pictures' first views, [m, …]; several at once, one thread each."""

    def see(some: Ints) -> Floats:
        torch.set_num_threads(1)
        with torch.no_grad():
            seen = torch.from_numpy(views.of(some, np.zeros(len(some), np.int64)))
            found: Floats = call(seen).cpu().numpy()
            return found

    parts = [rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE)]
    with _threads_kept(), ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(see, parts))
    return np.concatenate(found)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """How many threads an operation takes is a setting of the whole process: put it back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _epoch(  # noqa: PLR0913
    network: Thawed,
    optimiser: torch.optim.Optimizer,
    views: Views,
    y: Ints,
    rows: Ints,
    recipe: Recipe,
    seed: int,
    number: int,
) -> Epoch:
    begin = time.perf_counter()
    dice = np.random.default_rng([seed, number])
    order = dice.permutation(len(rows))
    # every picture goes through its views in turn, each from a place of its own
    offsets = np.random.default_rng(seed).integers(views.looks.views, size=len(rows))
    batches = [own for own in np.array_split(order, max(1, round(len(order) / recipe.batch))) if len(own)]
    whole, total, steps = recipe.epochs * len(batches), 0.0, list[dict[str, float]]()
    network.learning(on=True)
    for at, batch in enumerate(batches):
        share = ((number - 1) * len(batches) + at + 0.5) / whole  # mid-step: the last one learns as well
        factor = min(1.0, share / recipe.warm_up) * 0.5 * (1 + np.cos(np.pi * min(1.0, share)))
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        seen = torch.from_numpy(views.of(rows[batch], (offsets[batch] + number) % views.looks.views))
        loss = descend(network, seen, torch.from_numpy(y[rows[batch]]))
        slopes = {name: [p.grad for p in own if p.grad is not None] for name, own in network.groups()}
        found = {name: float(torch.nn.utils.get_total_norm(own)) for name, own in slopes.items()}
        if not np.isfinite([loss, *found.values()]).all():
            total = float("nan")
            break
        steps.append(found)
        if network.is_clipped:
            torch.nn.utils.clip_grad_norm_([p for _, group in network.groups() for p in group], recipe.clip)
        optimiser.step()
        total += loss * len(batch)
    network.learning(on=False)
    rate = max(group["lr"] for group in optimiser.param_groups)
    gradients = {
        name: sum(norms[name] for norms in steps) / len(steps) if steps else float("nan")
        for name, _ in network.groups()
    }
    return Epoch(
        network.stages, number, total / len(rows), rate, gradients, None, None, time.perf_counter() - begin
    )


def descend(network: Thawed, seen: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean log-loss of a batch; its slopes are left with the parameters.

    On the CPU two halves go through the network side by side, on half of the threads each, and their slopes
    are added in this order. Threads that share every operation wait for one another by spinning: measured on
    two cores, four times slower as soon as anything else runs on the machine. Whoever learns statistics of
    batches needs them whole.
    """
    parameters = [own for _, group in network.groups() for own in group]
    halves = [(seen, truth)]
    if network.device.type == "cpu" and not network.learns_statistics and len(seen) > 1:
        halves = list(zip(seen.tensor_split(2), truth.tensor_split(2), strict=True))

    def slopes(half: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, tuple[torch.Tensor | None, ...]]:
        torch.set_num_threads(max(1, cores() // len(halves)))
        share = len(half[1]) / len(truth)
        with torch.autocast(network.device.type, torch.bfloat16, enabled=network.is_halved):
            logits = network(half[0])
        loss = share * F.cross_entropy(logits.float(), half[1].to(network.device))
        return loss.item(), torch.autograd.grad(loss, parameters, allow_unused=True)

    with _threads_kept(), ThreadPoolExecutor(len(halves)) as pool:
        # a new thread would have to gather threads of its own for each operation
        found = list(pool.map(slopes, halves) if len(halves) > 1 else map(slopes, halves))
    for at, own in enumerate(parameters):
        parts = [gradients[at] for _, gradients in found]
        known = [part for part in parts if part is not None]
        own.grad = sum(known[1:], known[0]) if known else None
    return sum(loss for loss, _ in found)


def _optimiser(network: Thawed, recipe: Recipe) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = []
    deep = [name for name, _ in network.groups() if name not in ("last", "head")]
    for name, own in network.groups():
        above = len(deep) - 1 - deep.index(name) if name in deep else 0
        rate = recipe.head_rate if name == "head" else recipe.rate * recipe.stage_decay**above
        heavy = [one for one in own if one.ndim > 1 and name != "head"]
        light = [one for one in own if one.ndim <= 1 or name == "head"]
        groups += [
            {"params": some, "lr": rate, "peak": rate, "weight_decay": decay}
            for some, decay in ((heavy, recipe.weight_decay), (light, 0.0))
            if some
        ]
    return torch.optim.AdamW(groups)


def _val_loss(network: Thawed, views: Views, y: Ints, val: Ints) -> tuple[float, float]:
    found = logits(network, views, val)
    if not np.isfinite(found).all():
        return float("nan"), float("nan")
    probabilities = softmax(found, temperature(found, y[val]))
    return nll(y[val], probabilities), float((probabilities.argmax(1) == y[val]).mean())


def _copied(network: Thawed) -> dict[str, torch.Tensor]:
    return {name: own.detach().clone() for name, own in network.state().items()}


def _keep(  # noqa: PLR0913
    path: Path,
    network: Thawed,
    optimiser: torch.optim.Optimizer,
    history: Sequence[Epoch],
    best: int,
    least: float,
    best_state: dict[str, torch.Tensor],
) -> None:
    from safetensors.torch import save

    tensors = {f"now.{name}": own for name, own in network.state().items()}
    tensors |= {f"best.{name}": own for name, own in best_state.items()}
    for at, own in enumerate(p for group in optimiser.param_groups for p in group["params"]):
        moments = optimiser.state[own]
        tensors |= {f"adam.{at}.{name}": value for name, value in moments.items()}
    told = {"history": [asdict(one) for one in history], "best": best, "least": least}
    plain = {name: own.detach().cpu().contiguous().clone() for name, own in tensors.items()}
    write_whole(path, save(plain, {"course": json.dumps(told)}))


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Tensors and record, None where nothing whole is kept."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["course"])
            return {name: file.get_tensor(name) for name in file.keys()}, told  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def _resume(
    found: tuple[dict[str, torch.Tensor], dict[str, Any]],
    network: Thawed,
    optimiser: torch.optim.Optimizer,
) -> tuple[list[Epoch], int, float, dict[str, torch.Tensor]]:
    tensors, told = found
    network.put({name.removeprefix("now."): own for name, own in tensors.items() if name.startswith("now.")})
    for at, own in enumerate(p for group in optimiser.param_groups for p in group["params"]):
        prefix = f"adam.{at}."
        moments = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        if moments:
            shaped = torch.channels_last if own.ndim == 4 else torch.contiguous_format
            optimiser.state[own] = {  # the number of steps stays where it is
                name: value.to(own.device, memory_format=shaped) if value.ndim == own.ndim else value
                for name, value in moments.items()
            }
    best = {n.removeprefix("best."): v for n, v in tensors.items() if n.startswith("best.")}
    return [Epoch(**one) for one in told["history"]], told["best"], told["least"], best
