"""What training costs, counted from the seconds of one picture: for promises, and to stay within a budget."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from headstart.engines import Engine
from headstart.files import write_whole
from headstart.finetune import loop
from headstart.finetune.thawed import Thawed
from headstart.values import Spec

TOLD = 16  # pictures, or as many as the engine takes at once, that show how fast it is
VIEWING = 1 / 3  # of a budget is the most that making views takes
STATES = 4  # as large as its weights: those now, the best ones, and two moments of each
ENOUGH = 0.5  # of the epochs asked for: with fewer, further epochs teach more than further pictures


class Plan(NamedTuple):
    """What is trained in the time that there is."""

    epochs: int
    again: bool  # whether what is taken is trained once more, on all pictures


@dataclass(frozen=True)
class Cost:
    """Pictures that a training goes through, and the seconds that one of them takes."""

    train: int  # pictures trained on
    val: int  # that judge each epoch
    again: int  # of the second training; 0 where there is none
    shares: int  # ways of mixing that are judged
    encoded: int  # whose features are made with what was trained
    step: float  # seconds, in a training step
    see: float  # through the trained stages, to be judged
    encode: float  # through the whole network, by the fast engine
    keep: float = 0.0  # not of a picture: to write down the state after an epoch

    def judged(self, epochs: int) -> float:
        """Seconds until a training is judged: start, epochs and shares, and what tells the unseen."""
        looks = (1 + epochs + self.shares) * self.val + self.train + self.val
        return epochs * (self.train * self.step + self.keep) + looks * self.see

    def after(self, plan: Plan) -> float:
        """Seconds from there until it can be shipped: the second training, and new features."""
        again = self.again * self.step + self.keep if plan.again and self.again else 0.0
        return plan.epochs * again + self.encoded * self.encode

    def plan(self, seconds: float, most: int) -> Plan:
        """As many epochs as fit, 1 to `most`. Where less than half of them fit twice, they are trained once.

        >>> cost = Cost(train=80, val=20, again=100, shares=4, encoded=100, step=0.1, see=0, encode=0.05)
        >>> cost.judged(2) + cost.after(Plan(2, again=True)), cost.plan(41.5, 4)
        (41.0, Plan(epochs=2, again=True))
        >>> cost.plan(41.5, 10), cost.plan(1e9, 10), cost.plan(-5.0, 10)
        (Plan(epochs=4, again=False), Plan(epochs=10, again=True), Plan(epochs=1, again=False))
        """
        twice = Plan(self._epochs(seconds, most), again=bool(self.again))
        if not twice.again or twice.epochs >= ENOUGH * most:
            return twice
        return replace(self, again=0).plan(seconds, most)

    def _epochs(self, seconds: float, most: int) -> int:
        once, none = Plan(1, again=True), Plan(0, again=True)
        fixed = self.judged(0) + self.after(none)
        each = self.judged(1) + self.after(once) - fixed
        return max(1, int(min(most, (seconds - fixed) / each)))


def views_within(seconds: float, each: float, pictures: Callable[[int], int], most: int) -> int:
    """How many views of each picture, `each` of so many seconds, a budget allows: 1 to `most`.

    `pictures`: how many still lack theirs, were so many views made of each.

    >>> [views_within(seconds, 0.1, lambda _: 100, 4) for seconds in (1.0, 61.0, 91.0, 1e9)]
    [1, 2, 3, 4]
    """
    for views in range(most, 1, -1):
        if views * each * pictures(views) <= VIEWING * seconds:
            return views
    return 1


def seconds_to_train(
    network: Thawed, views: Callable[[], torch.Tensor], truth: torch.Tensor
) -> tuple[float, float]:
    """Of one picture: in a training step, and in judging. Second of two rounds; nothing is changed by it."""
    step = see = 0.0
    still = torch.optim.AdamW([own for _, group in network.groups() for own in group], lr=0.0)
    for _ in range(2):
        begin = time.perf_counter()
        seen = views()
        loop.descend(network, seen, truth)
        still.step()
        _done(network)
        middle = time.perf_counter()
        with torch.no_grad():
            network(seen)
        _done(network)
        step, see = middle - begin, time.perf_counter() - middle
    return step / len(truth), see / len(truth)


def seconds_to_keep(network: Thawed, folder: Path) -> float:
    """Of the state after an epoch: weights now, the best ones, and two moments of each."""
    from safetensors.torch import save

    begin, place = time.perf_counter(), folder / "pace"
    plain = {name: own.detach().cpu().contiguous().clone() for name, own in network.state().items()}
    try:
        write_whole(place, save(plain))
    finally:
        place.unlink(missing_ok=True)
    return STATES * (time.perf_counter() - begin)


def _done(network: Thawed) -> None:
    """Wait: a GPU goes on while the program does."""
    if network.device.type == "cuda":
        torch.cuda.synchronize(network.device)


def seconds_to_encode(engine: Engine, spec: Spec) -> float:
    """Of one picture, when all workers have some. The first round warms up."""
    engine.ready()
    side = spec.preprocess.size_px
    noise = np.random.default_rng(0).integers(0, 256, (engine.batch, side, side, 3), dtype=np.uint8)
    times = max(engine.workers, TOLD // engine.batch)
    taken = 0.0
    with ThreadPoolExecutor(engine.workers) as pool:
        for _ in range(2):
            begin = time.perf_counter()
            list(pool.map(lambda _: engine.encode(noise), range(times)))
            taken = time.perf_counter() - begin
    return taken / (times * engine.batch)
