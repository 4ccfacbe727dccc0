"""Killing `headstart train --tune last` at random moments: the same command then ends with the same bits.

SIGKILL at a moment drawn evenly from the time that an undisturbed run takes, from nothing kept but the
frozen features and the converted networks. Then the same command again; its model's weights are compared
byte by byte, and the time of both runs with that of an undisturbed one.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import _harness
import numpy as np
from _harness import Bound, Options, Result
from kills import kill

SET = "hymenoptera"
EPOCHS = 4


def measure(asked: Options) -> Iterator[Result]:
    """Kill, run again, compare."""
    kills = 3 if asked.quick else asked.extra.kills
    rng = np.random.default_rng(asked.extra.seed)
    with _harness.workplace() as place:
        folder = _harness.picture_set(asked, SET)
        n, out, cache = len(_harness.pictures(folder)), place / "model", place / "cache"
        line = _harness.headstart(
            "train", folder, "--tune", "last", "--epochs", str(EPOCHS), "--out", out, "--force", "--json"
        )

        def fresh() -> None:
            for name in ("tuning", "views", "weights"):
                shutil.rmtree(cache / name, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)

        _harness.ok(_harness.run(line, cache=_harness.with_network(cache)))
        fresh()
        whole = _harness.ok(_harness.run(line, cache=cache)).wall
        wanted = bits(out)
        differ, failed, lost = 0, [], []
        for _ in range(kills):
            fresh()
            moment = float(rng.uniform()) * whole
            kill(line, cache, moment)
            done = _harness.run(line, cache=cache)
            if done.code:
                failed.append(done.err[-300:])
                continue
            differ += bits(out) != wanted
            lost.append(moment + done.wall - whole)
        yield Result(
            "killed tuning: runs of the same command afterwards that fail or end with other bits",
            differ + len(failed), f"of {kills}", Bound("==", 0), kills, 1, None,
            {"pictures": n, "differ": differ, "failed": failed},
        )  # fmt: skip
        yield Result(
            "killed tuning: seconds lost to a kill, median",
            float(np.median(lost)), "s", None, kills, 1, _harness.ends(lost),
            {"undisturbed_s": whole, "epochs": EPOCHS},
        )  # fmt: skip


def bits(model: Path) -> str:
    """What the model's answers depend on."""
    return hashlib.sha256((model / "weights.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    _harness.main(
        measure, __doc__, ("--kills", {"type": int, "default": 20}), ("--seed", {"type": int, "default": 0})
    )
