"""Learning curves: does the forecast from half of the pictures hold the accuracy with all of them?

Each set is halved, seed after seed; the curve is measured on the half, up to two thirds of it, and forecasts
the accuracy with two thirds of the whole. Beside it stands what is measured so, on the same pictures.
Negative control: shuffled labels, whose curve is not to rise.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("flowers12", "alien_predator", "cifar10_small", "caltech101_small")


def measure(asked: Options) -> Iterator[Result]:
    """The share of forecasts that held, and the control."""
    from headstart.look import look

    sets = SETS[1:2] if asked.quick else SETS
    seeds = 2 if asked.quick else asked.extra.seeds
    folders = {name: _harness.picture_set(asked, name) for name in sets}
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        seen = {name: look(folder) for name, folder in folders.items()}
    held, missed, detail, rises, none = [], [], {}, [], []
    for name, data in seen.items():
        rises += [control(data.features, seed) for seed in range(seeds)]
        own = [one for seed in range(seeds) for one in forecasts(data.features, seed)]
        if not own:  # too few pictures of each class for three points on the half
            none.append(name)
            continue
        inside = [low <= truth <= high for truth, _, low, high in own]
        gaps = [abs(truth - said) for truth, said, _, _ in own]
        held += inside
        missed += gaps
        width = float(np.mean([high - low for _, _, low, high in own]))
        detail[name] = {"held": float(np.mean(inside)), "gap": float(np.mean(gaps)), "width": width}
    yield Result(
        "learning curve of half of the pictures: 95 % forecasts of the accuracy with all that hold it",
        100 * float(np.mean(held)),
        "%",
        Bound(">=", 90.0),
        len(held),
        seeds,
        None,
        {"sets": detail, "mean_gap": float(np.mean(missed)), "sets_without_a_forecast": none},
    )
    yield Result(
        "learning curve of shuffled labels: runs in which more pictures are said to help",
        float(np.sum(rises)),
        f"of {len(rises)}",
        Bound("<=", max(1.0, 0.05 * len(rises))),
        len(rises),
        seeds,
    )


def forecasts(features: Any, seed: int) -> Iterator[tuple[float, float, float, float]]:
    """Measured accuracy, forecast and its ends, from half of the groups."""
    from headstart.evaluate.curve import forecast
    from headstart.heads import one_thread_each
    from headstart.heads._choose import choose
    from headstart.trust.curve import measured
    from headstart.trust.evidence import closed_form

    rng = np.random.default_rng(seed)
    numbers = np.unique(features.groups)
    half = np.flatnonzero(np.isin(features.groups, rng.permutation(numbers)[: len(numbers) // 2]))
    small = features.take(half)
    fitted = choose(small)
    part, trial = closed_form(fitted)
    with one_thread_each():
        sizes, right = measured(small, fitted.inputs.of(small.x), part, trial.penalty, seed)
        large, truth = measured(features, fitted.inputs.of(features.x), part, trial.penalty, seed)
    kept = np.isfinite(right).all(1)
    if len(sizes) < 3 or not len(large):
        return
    (one,) = forecast(right[kept], sizes, small.groups[kept], [int(large[-1])], now=int(sizes[-1]), seed=seed)
    both = np.isin(np.arange(len(features)), half[kept]) & np.isfinite(truth[:, -1])
    yield float(truth[both, -1].mean()), one.accuracy, *one.interval


def control(features: Any, seed: int) -> bool:
    """Whether more pictures are said to help where labels say nothing."""
    from headstart.evaluate.curve import forecast
    from headstart.heads import one_thread_each
    from headstart.heads._choose import choose
    from headstart.trust.curve import WORTH, measured
    from headstart.trust.evidence import closed_form

    labels = np.random.default_rng(seed).permutation(features.y)
    blind = replace(features, y=labels)
    fitted = choose(blind, head="ridge")
    part, trial = closed_form(fitted)
    with one_thread_each():
        sizes, right = measured(blind, fitted.inputs.of(blind.x), part, trial.penalty, seed)
    kept = np.isfinite(right).all(1)
    if len(sizes) < 3:
        return False
    n = int(sizes[-1])
    (one,) = forecast(right[kept], sizes, blind.groups[kept], [2 * n], now=n, seed=seed)
    return one.gain[1] >= WORTH


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seeds", {"type": int, "default": 5}))
