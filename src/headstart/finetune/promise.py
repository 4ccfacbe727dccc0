"""What training will take on this machine, told before it begins: a probe of a few seconds.

A few pictures go through each step by itself (looks, frozen stages, two training steps, judging), and the
times are multiplied by how often the step will be done (`pace`). Converting a network is not in it.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from headstart.engines import open_engine
from headstart.features.pipeline import read
from headstart.files import make_cache_folder
from headstart.finetune.augment import looks
from headstart.finetune.pace import (
    STATES,
    Cost,
    Plan,
    seconds_to_encode,
    seconds_to_keep,
    seconds_to_train,
    views_within,
)
from headstart.finetune.thawed import Start, Thawed
from headstart.finetune.tune import (
    FOLDER,
    MIRRORED,
    PACED,
    SHARE,
    Asked,
    device_for,
    shares_of,
    usual_views,
)
from headstart.finetune.views import need
from headstart.finetune.wish import Material, Promise
from headstart.heads._cross_validate import fold_number
from headstart.values import Spec

LOOKED = 16  # pictures that show how fast views are made


def promises(material: Material, asks: list[Asked]) -> list[Promise]:
    """For each training that may be begun, in order: epochs, seconds until it is judged, and in all.

    With a budget, so many epochs are promised as will fit into it. In all: with the second training, the
    features, and where there is no test part with cross-validation.
    """
    encode = _encode(material, material.device)
    return [_promise(material, asked, encode) for asked in asks]


def _promise(material: Material, asked: Asked, encode: float) -> Promise:
    n, k = len(material.features), len(material.features.classes)
    views = usual_views(asked)
    network = Thawed(material.spec, asked.stages, _blank(material.spec, k), material.device)
    step, see = _seconds_to_train(network, k)
    keep = seconds_to_keep(network, make_cache_folder(FOLDER))
    cost = _cost(n, len(material.val), n + material.besides, network, (step, see, encode, keep))
    view = _seconds_to_view(material, asked, views)
    if math.isfinite(asked.budget_s):
        views = views_within(asked.budget_s, view, lambda _: n, views)
    mirrored = 0 if asked.policy == "none" or network.learns_statistics else 2 * min(MIRRORED, cost.val)
    prepare = n * views * view + mirrored * (view + see)
    plan = Plan(asked.recipe.epochs, again=not len(material.val))
    if math.isfinite(asked.budget_s):
        plan = cost.plan(asked.budget_s - prepare, plan.epochs)
    judged = prepare + cost.judged(plan.epochs)
    whole, trainings = judged + cost.after(plan), 1 + plan.again
    if material.crossed:
        train = material.take(np.setdiff1d(np.arange(n), material.val)).features
        # the user's val part judges no fold: what is taken is trained twice in each
        each = plan._replace(again=plan.again or len(material.val) > 0)
        folds = fold_number(train, asked.seed)
        device = device_for(material, len(train) // folds)
        judge = encode if device == material.device else _encode(material, device)
        whole += _folds(len(train), folds, network, asked, each, (step, see, judge, keep))
        trainings += folds * (1 + each.again)
    disk = need(network.width, network.dtype, n, views) + _states(network, trainings)
    return Promise(asked.stages, plan.epochs, disk, judged, whole)


def _encode(material: Material, device: str) -> float:
    return seconds_to_encode(open_engine(material.spec, device), material.spec)


def _cost(n: int, val: int, encoded: int, network: Thawed, pace: tuple[float, float, float, float]) -> Cost:
    """Of a training on `n` pictures, the user's `val` of them kept for judging, or a share of them."""
    held = val or round(SHARE * n)
    return Cost(n - held, held, 0 if val else n, len(shares_of(network)), encoded, *pace)


def _folds(
    n: int, folds: int, network: Thawed, asked: Asked, plan: Plan, pace: tuple[float, float, float, float]
) -> float:
    """Seconds for cross-validation of `n` pictures: in each of its folds all but its own are trained on."""
    own = n // folds
    cost = _cost(n - own, 0, own, network, pace)
    if math.isfinite(asked.budget_s):
        once = cost if plan.again else replace(cost, again=0)
        plan = once.plan(asked.budget_s / folds, plan.epochs)
    return folds * (cost.judged(plan.epochs) + cost.after(plan))


def _states(network: Thawed, trainings: int) -> int:
    """Bytes of what these keep to go on from: weights, the best ones, and two moments of each."""
    return trainings * STATES * sum(own.nbytes for own in network.state().values())


def _blank(spec: Spec, k: int) -> Start:
    """A head that says nothing: times do not depend on it."""
    width = spec.depths[-1].stop
    return Start(
        0, np.zeros(width, np.float32), np.ones(width, np.float32),
        np.zeros((width, k), np.float32), np.zeros(k, np.float32),
    )  # fmt: skip


def _seconds_to_view(material: Material, asked: Asked, views: int) -> float:
    """Of one view, when all workers make some: looks, and the frozen stages. The first round warms up."""
    engine = open_engine(material.spec, material.device, stages=asked.stages) if asked.stages else None
    if engine is not None:
        engine.ready()
    rows = np.linspace(0, len(material.files) - 1, LOOKED).astype(int)

    def make(row: int) -> None:
        pixels = looks(
            read(material.files[row]), material.features.digests[row], material.spec.preprocess,
            asked.policy, views, mirror=False, limit_px=material.limit_px,
        )  # fmt: skip
        if engine is not None:
            engine.encode(pixels)

    taken = 0.0
    with ThreadPoolExecutor(engine.workers if engine is not None else 2) as pool:
        for _ in range(2):
            begin = time.perf_counter()
            list(pool.map(make, rows))
            taken = time.perf_counter() - begin
    return taken / (len(rows) * views)


def _seconds_to_train(network: Thawed, k: int) -> tuple[float, float]:
    """Of one picture, on noise: in a training step, and in judging."""
    dice = np.random.default_rng(0)
    if network.stages:
        seen = torch.from_numpy(dice.normal(size=(PACED, network.width)).astype(network.dtype))
    else:
        seen = torch.from_numpy(dice.integers(0, 256, (PACED, network.width), dtype=np.uint8))
    return seconds_to_train(network, lambda: seen, torch.from_numpy(dice.integers(0, k, PACED)))
