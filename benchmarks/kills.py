"""SIGKILL at random moments of `train`: the same command then succeeds and encodes nothing a second time.

Each trial has a cold store and, every second time, an old model in the place of the new one. Train is killed
once, at a moment drawn evenly over the time that an undisturbed run takes (every fifth in its last tenth);
what stands at the place of the model must be a whole model or nothing. Then the same command runs to its
end. Every picture that goes through the network is counted: more than there are pictures were done again.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import _counted
import _generate
import _harness
import numpy as np
from _harness import Bound, Options, Result

SET = "hymenoptera"
LOST_S = 0.1  # of encoding may be lost with each kill, and what is between network and store
AHEAD = 16  # pictures that may be under way for each core
SAME = "weights.safetensors"


def measure(asked: Options) -> Iterator[Result]:
    """Kill, look, run again."""
    kills = 6 if asked.quick else asked.extra.kills
    rng = np.random.default_rng(asked.extra.seed)
    with _harness.workplace() as place:
        if asked.quick:
            folder = _generate.folder(place / "pictures", 200, classes=4)
        else:
            folder = _harness.picture_set(asked, SET)
        _harness.pictures(folder)
        out, counter = place / "model", place / "count"
        line = _harness.python(
            _harness.HERE / "_counted.py", counter, "train", folder, "--out", out, "--force", "--json"
        )
        whole = [
            _harness.ok(_harness.run(line, cache=_harness.with_network(place / "cache"))) for _ in range(2)
        ]
        report, lasting = whole[1].json, min(one.wall for one in whole)
        distinct, rate = report["encoded"], report["images_per_second"]
        assert _counted.read(counter) == 2 * distinct, "the count is not what train says"
        wanted = (out / SAME).read_bytes()
        old = shutil.copytree(out, place / "old-model")

        redone, found = [], {"absent": 0, "whole": 0, "half": 0, "done before the kill": 0}
        failed, differ, moments = [], 0, []
        for trial in range(kills):
            cache = _harness.with_network(place / "cache")
            shutil.rmtree(out, ignore_errors=True)
            if trial % 2:
                shutil.copytree(old, out)
            counter.unlink()
            share = float(rng.uniform(0.9, 1.02) if trial % 5 == 4 else rng.uniform())
            killed = kill(line, cache, share * lasting)
            found["done before the kill"] += not killed
            moments.append(share)
            found[state(out, cache)] += 1
            done = _harness.run(line, cache=cache)
            if done.code or state(out, cache) != "whole":
                failed.append(f"at {share:.2f}: {done.err[-300:]}")
                continue
            differ += (out / SAME).read_bytes() != wanted
            again = done.json["encoded"]
            lost = _counted.read(counter) - distinct
            # one that had ended before the kill encodes nothing the second time
            assert lost >= 0, f"{again} encoded in the second run, {lost} lost"
            redone.append(lost)
        left = [entry.name for entry in place.iterdir() if entry.name.startswith(".")]
    allowed = rate * LOST_S + AHEAD * (_harness.machine()["cores"] or 1)
    yield Result(
        "killed train: runs of the same command afterwards that fail",
        len(failed),
        "of " + str(kills),
        Bound("==", 0),
        kills,
        1,
        None,
        {"failed": failed[:3], "moments": [min(moments), max(moments)]},
    )
    yield Result(
        "killed train: half models left",
        found["half"],
        "of " + str(kills),
        Bound("==", 0),
        kills,
        1,
        None,
        {"found": found, "leftovers_beside": len(left), "models_that_differ_from_an_undisturbed_one": differ},
    )
    yield Result(
        "killed train: pictures encoded twice, worst kill",
        max(redone, default=0),
        "pictures",
        Bound("<=", round(allowed)),
        kills,
        1,
        None,
        {
            "sum": sum(redone),
            "median": median(redone),
            "distinct": distinct,
            "share_redone": sum(redone) / (distinct * kills),
            "pictures_per_second": rate,
            "bound": f"{LOST_S} s of encoding and {AHEAD} pictures under way for each core",
        },
    )


def kill(line: list[str], cache: Path, after_s: float) -> bool:
    """Start, wait, SIGKILL. False: it had ended by itself."""
    around = os.environ | {"HEADSTART_CACHE": str(cache)}
    started = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=around)
    time.sleep(after_s)
    started.send_signal(signal.SIGKILL)
    return started.wait() == -signal.SIGKILL


def state(out: Path, cache: Path) -> str:
    """What stands at the place of the model: nothing, a model that loads strictly, or something else."""
    if not out.exists():
        return "absent"
    code = "import sys, headstart; headstart.load(sys.argv[1])"
    return "half" if _harness.run(_harness.python("-c", code, out), cache=cache).code else "whole"


if __name__ == "__main__":
    _harness.main(
        measure, __doc__, ("--kills", {"type": int, "default": 50}), ("--seed", {"type": int, "default": 0})
    )
