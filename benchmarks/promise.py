"""Is what `train --tune` says beforehand true? Seconds until a training is judged, promised and taken.

The networks of frozen stages are converted before: that is not in the promise.
"""

import os
from collections.abc import Iterator
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

CASES = (("hymenoptera", "last"), ("hymenoptera", "all"), ("flowers12", "last"), ("alien_predator", "last"))


def measure(asked: Options) -> Iterator[Result]:
    """A row for each case, then the worst."""
    from headstart import train

    away: list[float] = []
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for at, (name, tune) in enumerate(CASES[:1] if asked.quick else CASES):
            folder = _harness.picture_set(asked, name)
            if asked.quick:
                folder = _harness.some(folder, place / name, 12)
            for seed in (1, 0):  # the first converts what is needed
                words: dict[str, Any] = {"tune": tune, "epochs": 1 if seed else asked.extra.epochs}
                model = train(folder, out=place / f"{at}-{seed}", seed=seed, augment="light", **words)
            (tried,) = model.report["tuning"]
            away.append(tried["seconds"] / tried["promised_s"])
            yield Result(
                f"--tune {tune}: time taken, of the time promised, {name}", 100 * away[-1], "%", None,
                model.report["data"]["train"], 1, None,
                {key: tried[key] for key in ("seconds", "promised_s", "stages_frozen", "views")},
            )  # fmt: skip
    worst = max(away, key=lambda own: abs(np.log(own)))
    yield Result(
        "--tune: farthest from the time promised", 100 * abs(worst - 1), "%", Bound("<=", 30), len(away), 1,
        _harness.ends([100 * own for own in away]), {},
    )  # fmt: skip


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--epochs", {"type": int, "default": 4}))
