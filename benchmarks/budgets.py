"""`headstart train --tune auto` against fastai's `fine_tune` when both get the same time.

Same network, weights and pictures, each in a process of its own; start, loading and judging count. fastai
gets one epoch after its frozen one, even where that takes longer, and more where they fit by the time that
this took. Ours gets what the frozen road leaves of the time. The environment is that of `against_fastai.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import _harness
import numpy as np
from _harness import Absent, Bound, Options, Result

SETS = "hymenoptera,flowers12,alien_predator"
SPARE_S = 3.0  # for judging and saving


def measure(asked: Options) -> Iterator[Result]:
    """A row for each set and budget, then the mean and the worst."""
    names = asked.extra.sets.split(",")[: 1 if asked.quick else None]
    folders = {name: _harness.picture_set(asked, name) for name in names}
    if asked.extra.python is None:
        raise Absent("name a Python that has fastai with --python; see against_fastai.py")
    other = asked.extra.python.absolute()
    if _harness.run([other, "-c", "import fastai"]).code:
        raise Absent("the Python that --python names has no fastai")
    gains: list[float] = []
    budgets = [30.0] if asked.quick else [60 * float(one) for one in asked.extra.minutes.split(",")]
    with _harness.workplace() as place:
        for name, folder in folders.items():
            shortest: list[float] = []
            for budget in budgets:
                cache = _harness.with_network(place / "cache" / f"{name}-{budget:.0f}")
                line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json")
                frozen = _harness.ok(_harness.run(line, cache=cache))
                rest = max(5.0, budget - frozen.wall - SPARE_S)
                ours = _harness.ok(
                    _harness.run([*line, "--tune", "auto", "--budget", f"{rest:.0f}s"], cache=cache)
                )
                epochs = 1
                if shortest:
                    wall, tuning = shortest
                    epochs = max(1, 1 + int((budget - wall) / (tuning / 2)))
                theirs = _harness.ok(
                    _harness.run([other, _harness.HERE / "_fastai.py", folder, str(epochs)], cwd=place)
                )
                if not shortest:
                    shortest = [theirs.wall, theirs.json["seconds"]["fine_tune"]]
                score = ours.json["test"]
                gain = 100 * (score["accuracy"] - theirs.json["accuracy"])
                gains.append(gain)
                yield Result(
                    f"{budget / 60:g} min: --tune auto more accurate than fastai's fine_tune, {name}",
                    gain, "points", Bound(">=", 0), score["n"], 1, None,
                    {
                        "headstart": score["accuracy"], "headstart_ci95": score["accuracy_ci95"],
                        "frozen": frozen.json["test"]["accuracy"], "tuned": ours.json["tune"],
                        "headstart_s": frozen.wall + ours.wall, "fastai": theirs.json["accuracy"],
                        "fastai_epochs": epochs, "fastai_s": theirs.wall,
                    },
                )  # fmt: skip
    yield Result(
        "--tune auto more accurate than fastai's fine_tune in the same time, mean", float(np.mean(gains)),
        "points", Bound(">", 0), len(gains), 1, _harness.ends(gains),
        {"sets": names, "minutes": [budget / 60 for budget in budgets]},
    )  # fmt: skip


if __name__ == "__main__":
    _harness.main(
        measure, __doc__,
        ("--python", {"type": Path, "default": None, "help": "a Python that has fastai"}),
        ("--sets", {"default": SETS}), ("--minutes", {"default": "1,5"}),
    )  # fmt: skip
