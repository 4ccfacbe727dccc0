"""`headstart train` against the plain way: PyTorch in a DataLoader, then scikit-learn. Whole processes.

Cold feature store, warm network cache. The plain way stands in `_plain.py`. It is run as most people write
it, in float32, and once more as the best that PyTorch has for this processor: bfloat16 autocast and
channels-last where the processor computes in bfloat16 (`flags`), else channels-last in float32, because
there autocast is many times slower than float32. `--bf16` insists on autocast.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import _harness
from _harness import Bound, Options, Result

SETS = ("caltech101_small", "cifar10_small")
BF16 = {"avx512_bf16", "amx_bf16"}  # flags of processors that compute in bfloat16
NOISE = 0.01  # of accuracy, that a difference of two runs may be


def measure(asked: Options) -> Iterator[Result]:
    """Two ratios for each set, and the difference in accuracy."""
    with _harness.workplace() as place:
        for name in SETS[-1:] if asked.quick else asked.extra.sets:
            source = _harness.picture_set(asked, name)
            folder = _harness.some(source, place / name, 15) if asked.quick else source
            yield from compare(folder, _harness.pictures(folder), place, asked)


def ways(asked: Options) -> dict[str, tuple[list[str], Bound]]:
    """What PyTorch is asked for, and how much faster than that headstart is to be."""
    best = {"channels-last": ["--channels-last"]}
    if asked.extra.bf16 or BF16 & set(_harness.machine()["flags"]):
        best = {"bf16 and channels-last": ["--channels-last", "--bf16"]}
    found: dict[str, tuple[list[str], Bound]] = {"float32": ([], Bound(">=", 8))}
    return found | {name: (words, Bound(">=", 3)) for name, words in best.items()}


def compare(folder: Path, files: list[Path], place: Path, asked: Options) -> Iterator[Result]:
    """headstart, plain, headstart, the best of PyTorch, and again."""
    tried, runs = ways(asked), 1 if asked.quick else asked.extra.runs
    contents = _harness.distinct(files)
    ours: list[dict[str, Any]] = []
    others: dict[str, list[dict[str, Any]]] = {way: [] for way in tried}
    work = dict.fromkeys(["ours", *tried], 0.0)  # seconds of CPU
    walls: dict[str, list[float]] = {way: [] for own in tried for way in (own, f"ours to {own}")}

    def train() -> float:
        cache = _harness.with_network(place / "cache")
        line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json")
        done = _harness.ok(_harness.run(line, cache=cache))
        assert done.json["encoded"] == contents, "the store was not cold"
        ours.append(done.json)
        work["ours"] += done.cpu
        return done.wall

    def plainly(way: str) -> float:
        line = _harness.python(_harness.HERE / "_plain.py", folder, *tried[way][0])
        done = _harness.ok(_harness.run(line))
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
            f"train, faster than PyTorch ({way}) and scikit-learn, {folder.name}",
            ratio,
            "times",
            tried[way][1],
            len(files),
            runs,
            spread,
            {
                "headstart_s": median(walls[f"ours to {way}"]),
                "headstart_stages_s": ours[-1]["seconds"],
                "headstart_precision": ours[-1]["precision"],
                "plain_s": median(walls[way]),
                "plain_stages_s": found[-1]["seconds"],
                "cpu_seconds_ratio": len(tried) * work[way] / work["ours"],  # ours ran beside each
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
    insist = {"action": "store_true", "help": "autocast also where the processor has no bfloat16"}
    only = {"nargs": "+", "default": SETS, "choices": SETS}
    _harness.main(
        measure, __doc__, ("--runs", {"type": int, "default": 3}), ("--sets", only), ("--bf16", insist)
    )
