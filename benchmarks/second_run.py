"""Training again on a folder that is known: other head, other seed, ten pictures more, another name.

Seconds beyond process start: the wall time of `headstart train` less that of `headstart --version`, in turn.
"""

import shutil
from collections.abc import Iterator
from statistics import median
from typing import Any

import _harness
from _harness import Bound, Options, Result

SET = "cifar10_small"
HEADS = ("lda", "ridge", "logistic", "prototypes", "auto")
NEW = 10


def measure(asked: Options) -> Iterator[Result]:
    """Times for each head, then what a changed folder costs."""
    runs = 1 if asked.quick else asked.extra.runs
    with _harness.workplace() as place:
        source = _harness.picture_set(asked, SET)
        folder = _harness.some(source / "train", place / "pictures", 55 if asked.quick else 10_000)
        n = len(_harness.pictures(folder))
        cache = _harness.with_network(place / "cache")

        def train(*more: str) -> _harness.Run:
            line = _harness.headstart("train", folder, "--out", place / "model", "--force", "--json", *more)
            return _harness.ok(_harness.run(line, cache=cache))

        def start() -> float:
            return _harness.ok(_harness.run(_harness.headstart("--version"), cache=cache)).wall

        first = train()
        assert first.json["encoded"] == _harness.distinct(_harness.pictures(folder))
        found: dict[str, dict[str, Any]] = {}
        for seed, head in enumerate(HEADS, 1):
            again: list[_harness.Run] = []

            def once(head: str = head, seed: int = seed, again: list[_harness.Run] = again) -> float:
                again.append(train("--head", head, "--seed", str(seed)))
                assert again[-1].json["encoded"] == 0, "known pictures were encoded again"
                return again[-1].wall

            starts, walls = _harness.rounds(runs, start, once)
            beyond = [wall - begin for wall, begin in zip(walls, starts, strict=True)]
            found[head] = {
                "beyond_start_s": median(beyond),
                "spread_s": _harness.ends(beyond),
                "wall_s": median(walls),
                "start_s": median(starts),
                "stages_s": again[-1].json["seconds"],
                "rss_mb": max(one.rss for one in again) / 1e6,
            }
        named = {head: one for head, one in found.items() if head != "auto"}
        slowest = max(named, key=lambda head: named[head]["beyond_start_s"])
        for title, head in (
            (f"other head ({slowest} is the slowest)", slowest),
            ("other seed, head auto", "auto"),
        ):
            yield Result(
                f"second train, {title}, beyond process start",
                found[head]["beyond_start_s"],
                "s",
                Bound("<", 2),
                n,
                runs,
                found[head]["spread_s"],
                {"first_wall_s": first.wall, **(found if head == slowest else {})},
            )

        added = [file for file in _harness.pictures(source / "test") if file.parent.name == "cat"][:NEW]
        for file in added:
            shutil.copy(file, folder / "cat" / f"added-{file.name}")
        done = train()
        yield Result(
            "ten pictures added, encoded",
            done.json["encoded"],
            "pictures",
            Bound("==", NEW),
            n + NEW,
            1,
            None,
            {"wall_s": done.wall, "stages_s": done.json["seconds"]},
        )
        folder = folder.rename(place / "another-name")
        done = train()
        yield Result(
            "folder renamed, encoded",
            done.json["encoded"],
            "pictures",
            Bound("==", 0),
            n + NEW,
            1,
            None,
            {"wall_s": done.wall},
        )


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 5}))
