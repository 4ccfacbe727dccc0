"""Memory and time of `train` as the folder grows: generated pictures, small and distinct.

The features themselves are 5,696 bytes for each picture and are held; what else grows is told by the slope.
"""

import math
from collections.abc import Iterator
from typing import Any

import _generate
import _harness
from _harness import Bound, Options, Result

SIZES, QUICK = (5_000, 20_000, 60_000), (1_000, 2_000, 4_000)


def measure(asked: Options) -> Iterator[Result]:
    """Train on each size with a cold store; then once more on the largest with a warm one."""
    sizes = QUICK if asked.quick else asked.extra.sizes
    found = []
    with _harness.workplace() as place:
        for size in sizes:
            folder = _generate.folder(place / "pictures", size)  # the smaller ones are part of it
            cache = _harness.with_network(place / "cache")
            line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json")
            done = _harness.ok(_harness.run(line, cache=cache))
            report = done.json
            assert report["encoded"] == size, "generated pictures are not distinct"
            kinds = [one["kind"] for one in report["data"]["findings"]]
            found.append(
                {
                    "pictures": size,
                    "rss_mb": done.rss / 1e6,
                    "wall_s": done.wall,
                    "stages_s": report["seconds"],
                    "pictures_per_second": report["images_per_second"],
                    "accuracy": report["test"]["accuracy"],
                    "near_duplicates": kinds.count("near-duplicate"),
                }
            )
        again = _harness.ok(_harness.run(line, cache=cache))
    last, before = found[-1], found[-2]
    grown = math.log(last["pictures"] / before["pictures"])
    slope = math.log(last["wall_s"] / before["wall_s"]) / grown
    per_picture = (last["rss_mb"] - before["rss_mb"]) * 1e6 / (last["pictures"] - before["pictures"])
    detail = {
        "sizes": found,
        "bytes_for_each_more": per_picture,
        "second_run": {"wall_s": again.wall, "rss_mb": again.rss / 1e6},
    }
    count = f"{last['pictures']:,} pictures"
    yield Result(
        f"train on {count}, peak memory",
        last["rss_mb"],
        "MB",
        Bound("<", 2000),
        last["pictures"],
        1,
        None,
        detail,
    )
    stages = {name: _slope(found, name) for name in ("scan", "extract", "head", "evaluate")}
    yield Result(
        f"train on {count}, time grows with this power of their number",
        slope,
        "",
        Bound("<=", 1.1),
        last["pictures"],
        1,
        None,
        {"stages": stages},
    )


def _slope(found: list[dict[str, Any]], stage: str) -> float:
    """The power of the number of pictures with which a stage's time grows, between the two largest sizes."""
    last, before = found[-1], found[-2]
    times = max(last["stages_s"][stage], 1e-3) / max(before["stages_s"][stage], 1e-3)
    return math.log(times) / math.log(last["pictures"] / before["pictures"])


if __name__ == "__main__":
    _harness.main(
        measure,
        __doc__,
        ("--sizes", {"type": lambda text: tuple(map(int, text.split(","))), "default": SIZES}),
    )
