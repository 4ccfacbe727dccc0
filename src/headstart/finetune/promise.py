"""What training will take on this machine, told before it begins: a probe of a few seconds.

A few pictures go through each step by itself (looks, frozen stages, two training steps, judging), and the
times are multiplied by how often the step will be done. Converting a network is not in it.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from headstart.backbones.libraries import anatomy
from headstart.engines import Engine, open_engine
from headstart.features.pipeline import read
from headstart.finetune import loop
from headstart.finetune.augment import looks
from headstart.finetune.thawed import Start, Thawed
from headstart.finetune.tune import SHARE, VIEWS, Asked
from headstart.finetune.views import need
from headstart.finetune.wish import Material, Promise
from headstart.values import Spec

PICTURES = 8  # of each step; enough for a second or two where all stages are trained


def promises(material: Material, asks: list[Asked]) -> list[Promise]:
    """For each training that may be begun, in order: epochs, seconds until it is judged, and in all."""
    engine = open_engine(material.spec, material.device)
    engine.ready()
    encode = _seconds_to_encode(engine, material.spec)
    return [_promise(material, asked, engine, encode) for asked in asks]


def _promise(material: Material, asked: Asked, engine: Engine, encode: float) -> Promise:
    n, k = len(material.features), len(material.features.classes)
    val = len(material.val) or round(SHARE * n)
    views = 1 if asked.policy == "none" else min(VIEWS, asked.recipe.epochs)
    network = Thawed(material.spec, asked.stages, _blank(material.spec, k))
    looked = _seconds_to_look(material, asked, views) / engine.workers
    prepare = n * (looked + views * encode * _share_below(material.spec, asked.stages))
    step, see = _seconds_to_train(network, k)
    train = n - val
    judged = asked.recipe.epochs * (train * step + val * see) + (train + val) * see
    finish = n * encode + (0.0 if len(material.val) else asked.recipe.epochs * n * step)
    seconds = min(prepare + judged, asked.budget_s)
    disk = need(network.width, network.dtype, n, views)
    return Promise(asked.stages, asked.recipe.epochs, disk, seconds, min(seconds + finish, asked.budget_s))


def _blank(spec: Spec, k: int) -> Start:
    """A head that says nothing: times do not depend on it."""
    width = spec.depths[-1].stop
    return Start(
        0, np.zeros(width, np.float32), np.ones(width, np.float32),
        np.zeros((width, k), np.float32), np.zeros(k, np.float32),
    )  # fmt: skip


def _share_below(spec: Spec, stages: int) -> float:
    """What part of a pass lies below the trained stages."""
    pieces = anatomy(spec)
    total = sum(piece.gmac for piece in pieces)
    return sum(piece.gmac for piece in pieces[: stages + 1]) / total if stages and total else 0.0


def _seconds_to_encode(engine: Engine, spec: Spec) -> float:
    """Of one picture, when all workers have some. The first round warms up."""
    side = spec.preprocess.size_px
    noise = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    taken = 0.0
    with ThreadPoolExecutor(engine.workers) as pool:
        for _ in range(2):
            begin = time.perf_counter()
            list(pool.map(lambda _: engine.encode(noise), range(2 * PICTURES)))
            taken = time.perf_counter() - begin
    return taken / (2 * PICTURES)


def _seconds_to_look(material: Material, asked: Asked, views: int) -> float:
    """Of all views of one picture, on one thread."""
    rows = np.linspace(0, len(material.files) - 1, PICTURES).astype(int)
    begin = time.perf_counter()
    for row in rows:
        looks(
            read(material.files[row]), material.features.digests[row], material.spec.preprocess,
            asked.policy, views, mirror=False, limit_px=material.limit_px,
        )  # fmt: skip
    return (time.perf_counter() - begin) / len(rows)


def _seconds_to_train(network: Thawed, k: int) -> tuple[float, float]:
    """Of one picture: in a training step, and in judging. Second of two rounds; nothing is changed by it."""
    dice = np.random.default_rng(0)
    if network.stages:
        seen = torch.from_numpy(dice.normal(size=(PICTURES, network.width)).astype(network.dtype))
    else:
        seen = torch.from_numpy(dice.integers(0, 256, (PICTURES, network.width), dtype=np.uint8))
    truth = torch.from_numpy(dice.integers(0, k, PICTURES))
    step = see = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        loop.descend(network, seen, truth)
        middle = time.perf_counter()
        with torch.no_grad():
            network(seen)
        step, see = middle - begin, time.perf_counter() - middle
    return step / PICTURES, see / PICTURES
