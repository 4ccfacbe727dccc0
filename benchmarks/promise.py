"""Is what `train --tune` says beforehand true? Seconds until a training is judged, promised and taken.

Also where `--budget` shortens it; and in all, with the second training, features and cross-validation, where
there is no test part. The networks of frozen stages are converted before: that is not in the promise.
"""

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

CASES = (("hymenoptera", "last"), ("hymenoptera", "all"), ("flowers12", "last"), ("alien_predator", "last"))
BUDGET = ("hymenoptera", "all")  # in half of the time that it is promised to take
ALONE = ("hymenoptera", "last")  # its training part by itself: too few for a test part


def measure(asked: Options) -> Iterator[Result]:
    """A row for each case, then the worst."""
    away: list[float] = []
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for at, (name, tune) in enumerate(CASES[:1] if asked.quick else CASES):
            folder = _pictures(asked, name, place)
            model, _ = _trained(folder, place / f"{at}", tune, asked.extra.epochs)
            yield _row(f"--tune {tune}: time taken, of the time promised, {name}", model, away)
        name, tune = BUDGET
        folder = _pictures(asked, name, place)
        _, whole = _trained(folder, place / "whole", tune, asked.extra.epochs)
        half = whole.whole_s / 2
        model, told = _trained(folder, place / "half", tune, asked.extra.epochs, budget_s=half)
        yield _whole(
            f"--tune {tune} --budget: time taken in all, of the time promised, {name}", model, told, away
        )
        taken = model.report["seconds"]["tune"]
        yield Result(
            f"--tune {tune} --budget: time for tuning, of the budget, {name}", 100 * taken / half, "%",
            Bound("<=", 130), model.report["data"]["train"], 1, None,
            {"seconds": taken, "budget_s": half, "epochs": told.epochs},
        )  # fmt: skip
        name, tune = ALONE
        folder = _pictures(asked, name, place)
        alone = shutil.copytree(folder / "train", place / "alone") if (folder / "train").is_dir() else folder
        model, told = _trained(alone, place / "crossed", tune, asked.extra.epochs)
        yield _whole(
            f"--tune {tune}, no test part: time taken in all, of the time promised, {name}", model, told, away
        )
    worst = max(away, key=lambda own: abs(np.log(own)))
    yield Result(
        "--tune: farthest from the time promised", 100 * abs(worst - 1), "%", Bound("<=", 30), len(away), 1,
        _harness.ends([100 * own for own in away]), {},
    )  # fmt: skip


def _pictures(asked: Options, name: str, place: Path) -> Path:
    folder = _harness.picture_set(asked, name)
    return _harness.some(folder, place / name, 20) if asked.quick else folder


def _trained(
    folder: Path, out: Path, tune: str, epochs: int, *, budget_s: float = math.inf
) -> tuple[Any, Any]:
    """The model, and what was promised of it. A training of one epoch before it converts what is needed."""
    from headstart import train
    from headstart.finetune.wish import Promise

    told: list[Any] = []
    for seed, most, seconds in ((1, 1, math.inf), (0, epochs, budget_s)):
        for kept in ("views", "tuning"):  # of the training before, and of other cases
            shutil.rmtree(Path(os.environ["HEADSTART_CACHE"]) / kept, ignore_errors=True)
        model = train(
            folder, out=out.with_name(f"{out.name}-{seed}"), seed=seed, augment="light", tune=tune,
            epochs=most, budget_s=seconds, on_epoch=lambda one, _of: told.append(one),
        )  # fmt: skip
    return model, [one for one in told if isinstance(one, Promise)][-1]


def _whole(claim: str, model: Any, told: Any, away: list[float]) -> Result:
    """Of the whole road: second training, features and cross-validation where there is any."""
    seconds = model.report["seconds"]
    taken = seconds["tune"] + (0.0 if model.report["test"] else seconds["evaluate"])
    away.append(taken / told.whole_s)
    tried = [
        {key: one[key] for key in ("seconds", "share", "again", "views")} | {"epochs": len(one["epochs"])}
        for one in model.report["tuning"]
    ]
    return Result(
        claim, 100 * away[-1], "%", None, model.report["data"]["train"], 1, None,
        {"seconds": taken, "tune_s": seconds["tune"], "promised_s": told.whole_s,
         "promised_epochs": told.epochs, "judged_promised_s": told.seconds, "tune": model.report["tune"],
         "attempts": tried},
    )  # fmt: skip


def _row(claim: str, model: Any, away: list[float]) -> Result:
    (tried,) = model.report["tuning"]
    away.append(tried["seconds"] / tried["promised_s"])
    return Result(
        claim, 100 * away[-1], "%", None, model.report["data"]["train"], 1, None,
        {key: tried[key] for key in ("seconds", "promised_s", "stages_frozen", "views")},
    )  # fmt: skip


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--epochs", {"type": int, "default": 4}))
