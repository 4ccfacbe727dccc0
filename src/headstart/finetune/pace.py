"""What training costs, counted from the seconds of one picture: for promises, and to stay within a budget."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from headstart.engines import Engine
from headstart.finetune import loop
from headstart.finetune.thawed import Thawed
from headstart.values import Spec

TOLD = 16  # pictures that show how fast the engine is


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

    def judged(self, epochs: int) -> float:
        """Seconds until a training is judged: start, epochs and shares, and what tells the unseen."""
        looks = (1 + epochs + self.shares) * self.val + self.train + self.val
        return epochs * self.train * self.step + looks * self.see

    def after(self, epochs: int) -> float:
        """Seconds from there until it can be shipped: the second training, and new features."""
        return epochs * self.again * self.step + self.encoded * self.encode

    def epochs_within(self, seconds: float, most: int) -> int:
        """How many epochs fit, 1 to `most`.

        >>> cost = Cost(train=80, val=20, again=100, shares=4, encoded=100, step=0.1, see=0, encode=0.05)
        >>> cost.judged(2) + cost.after(2), cost.epochs_within(41.5, 10), cost.epochs_within(40.5, 10)
        (41.0, 2, 1)
        >>> cost.epochs_within(1e9, 10), cost.epochs_within(-5.0, 10)
        (10, 1)
        """
        fixed = self.judged(0) + self.after(0)
        each = self.judged(1) + self.after(1) - fixed
        return max(1, int(min(most, (seconds - fixed) / each)))


def seconds_to_train(
    network: Thawed, views: Callable[[], torch.Tensor], truth: torch.Tensor
) -> tuple[float, float]:
    """Of one picture: in a training step, and in judging. Second of two rounds; nothing is changed by it."""
    step = see = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        seen = views()
        loop.descend(network, seen, truth)
        middle = time.perf_counter()
        with torch.no_grad():
            network(seen)
        step, see = middle - begin, time.perf_counter() - middle
    return step / len(truth), see / len(truth)


def seconds_to_encode(engine: Engine, spec: Spec) -> float:
    """Of one picture, when all workers have some. The first round warms up."""
    engine.ready()
    side = spec.preprocess.size_px
    noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    taken = 0.0
    with ThreadPoolExecutor(engine.workers) as pool:
        for _ in range(2):
            begin = time.perf_counter()
            list(pool.map(lambda _: engine.encode(noise), range(TOLD)))
            taken = time.perf_counter() - begin
    return taken / TOLD
