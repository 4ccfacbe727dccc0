"""`headstart train` against the plain way: PyTorch in a DataLoader, then scikit-learn. Whole processes.

Cold feature store, warm network cache. The plain way stands in `_plain.py`; it is run in float32 and with
bfloat16 autocast and channels-last, which helps only where the processor computes in bfloat16: see `flags`.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import _harness
from _harness import Bound, Options, Result

SETS = ("caltech101_small", "cifar10_small")
WANTED = {"plain": Bound(">=", 8), "bf16": Bound(">=", 3)}
NAMES = {"plain": "float32", "bf16": "bf16 and channels-last"}
NOISE = 0.01  # of accuracy, that a difference of two runs may be


def measure(asked: Options) -> Iterator[Result]:
    """Two ratios for each set, and the difference in accuracy."""
    with _harness.workplace() as place:
        for name in SETS[-1:] if asked.quick else SETS:
            source = _harness.picture_set(asked, name)
            folder = _harness.some(source, place / name, 15) if asked.quick else source
            n = len(_harness.pictures(folder))
            yield from compare(folder, n, place, 1 if asked.quick else asked.extra.runs)


def compare(folder: Path, n: int, place: Path, runs: int) -> Iterator[Result]:
    """headstart, plain, headstart, plain in bf16, and again."""
    ours: list[dict] = []
    others: dict[str, list[dict]] = {"plain": [], "bf16": []}
    work = {"ours": 0.0, "plain": 0.0, "bf16": 0.0}  # seconds of CPU
    walls: dict[str, list[float]] = {"plain": [], "bf16": [], "ours to plain": [], "ours to bf16": []}

    def train() -> float:
        cache = _harness.with_network(place / "cache")
        line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json")
        done = _harness.ok(_harness.run(line, cache=cache))
        assert done.json["encoded"] == n, "the store was not cold, or there are copies"
        ours.append(done.json)
        work["ours"] += done.cpu
        return done.wall

    def plainly(way: str) -> float:
        more = ["--bf16"] if way == "bf16" else []
        done = _harness.ok(_harness.run(_harness.python(_harness.HERE / "_plain.py", folder, *more)))
        others[way].append(done.json)
        work[way] += done.cpu
        return done.wall

    for _ in range(runs):
        for way in others:
            walls[f"ours to {way}"].append(train())
            walls[way].append(plainly(way))
    for way, found in others.items():
        ratio, spread = _harness.ratios(walls[way], walls[f"ours to {way}"])
        yield Result(
            f"train, faster than PyTorch {NAMES[way]} + scikit-learn, {folder.name}",
            ratio,
            "times",
            WANTED[way],
            n,
            runs,
            spread,
            {
                "headstart_s": median(walls[f"ours to {way}"]),
                "headstart_stages_s": ours[-1]["seconds"],
                "headstart_precision": ours[-1]["precision"],
                "plain_s": median(walls[way]),
                "plain_stages_s": found[-1]["seconds"],
                "cpu_seconds_ratio": 2 * work[way] / work["ours"],  # ours ran once for each of them
                "encoding_ratio": median(one["seconds"]["extract"] for one in found)
                / median(one["seconds"]["extract"] for one in ours),
            },
        )
    gain = ours[-1]["test"]["accuracy"] - max(found[-1]["accuracy"] for found in others.values())
    yield Result(
        f"train, more accurate than the better of the two, {folder.name}",
        100 * gain,
        "points",
        Bound(">=", -100 * NOISE),
        ours[-1]["test"]["n"],
        1,
        None,
        {
            "headstart": ours[-1]["test"]["accuracy"],
            **{way: one[-1]["accuracy"] for way, one in others.items()},
        },
    )


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 3}))
