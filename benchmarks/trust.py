"""What the report and all that it looks into add to the time of `train`.

The unknown is told with `--no-report`, too: its share is in what the own clock of `train` says. `train` and
`train --no-report` in turn, each with an empty cache but for the network, so
that every picture is encoded; and once more on a folder that is known.
"""

import shutil
from collections.abc import Iterator
from statistics import median
from typing import Any

import _harness
from _harness import Bound, Options, Result

SET = "cifar10_small"
PER_CLASS = 200


def measure(asked: Options) -> Iterator[Result]:
    """The added share of a first run, and the added seconds of a second."""
    runs = 1 if asked.quick else asked.extra.runs
    with _harness.workplace() as place:
        source = _harness.picture_set(asked, SET)
        folder = _harness.some(source / "train", place / "pictures", 55 if asked.quick else PER_CLASS)
        n = len(_harness.pictures(folder))
        stages: list[dict[str, Any]] = []
        shares: list[float] = []

        def train(*more: str, anew: bool) -> float:
            cache = _harness.with_network(place / "cache") if anew else place / "cache"
            shutil.rmtree(place / "model", ignore_errors=True)
            line = _harness.headstart("train", folder, "--out", place / "model", "--json", *more)
            done = _harness.ok(_harness.run(line, cache=cache))
            if not more:
                own = done.json["seconds"]
                stages.append(done.json["trust"]["seconds"] | own)
                if anew:
                    added = own["trust"] + own["report"]
                    shares.append(100 * added / (own["total"] - added))
            return done.wall

        steps = [lambda: train(anew=True), lambda: train("--no-report", anew=True)]
        whole, without = _harness.rounds(runs, *steps)
        ratio, ends = _harness.ratios(whole, without)
        yield Result(
            "report, trust and the unknown: added to the rest of train, by its own clock", median(shares),
            "%", Bound("<", 25), n, runs, _harness.ends(shares), {"stages_s": stages[-1]},
        )  # fmt: skip
        yield Result(
            "train against train --no-report: longer by",
            100 * (ratio - 1),
            "%",
            Bound("<", 25),
            n,
            runs,
            (100 * (ends[0] - 1), 100 * (ends[1] - 1)),
            {"with_s": whole, "without_s": without, "stages_s": stages[-1]},
        )
        again = [lambda: train(anew=False), lambda: train("--no-report", anew=False)]
        whole, without = _harness.rounds(runs, *again)
        added = [a - b for a, b in zip(whole, without, strict=True)]
        yield Result(
            "train against train --no-report, on a folder that is known: longer by",
            median(added),
            "s",
            None,
            n,
            runs,
            _harness.ends(added),
            {"with_s": whole, "without_s": without, "stages_s": stages[-1]},
        )


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 5}))
