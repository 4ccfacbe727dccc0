"""What training stages is worth on real sets: frozen, last, all, auto and from scratch, on their test parts.

Each is `headstart train` with the same budget for its tuning; `auto` sees only the training part. Differences
to the frozen network are paired, picture by picture. Five sets of pictures, and spoken digits drawn as
spectrograms, which are as far from photographs as pictures can be.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import _harness
import _spectrograms
import numpy as np
from _harness import Bound, Options, Result

SPOKEN = "spoken_digits"
SETS = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small", "cifar10_small", SPOKEN)


def measure(asked: Options) -> Iterator[Result]:
    """A row for each set and way, then how auto did."""
    from headstart import train
    from headstart.evaluate import mcnemar

    budget = 10.0 if asked.quick else 60 * asked.extra.minutes
    gaps = []
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for name in asked.extra.sets.split(",")[: 1 if asked.quick else None]:
            folder = _harness.picture_set(asked, name)
            if name == SPOKEN:
                folder = _spectrograms.drawn(folder, place / name)
            small = name == "cifar10_small"
            right: dict[str, Any] = {}
            for way in asked.extra.ways.split(","):
                words: dict[str, Any] = {"tune": way} if way == "never" else {"tune": way, "budget_s": budget}
                if way == "scratch":
                    size = 32 if small else 64
                    words = {"backbone": f"scratch:small-cnn?size={size}", "budget_s": budget}
                for kept in ("tuning", "views"):  # no way finds what another one trained
                    shutil.rmtree(place / "cache" / kept, ignore_errors=True)
                model = train(folder, out=place / f"{name}-{way}", **words)
                right[way] = correct(model, folder)
                score, plain = model.report["test"], right["never"]
                gain = 100 * (float(right[way].mean()) - float(plain.mean()))
                detail = {
                    "gain_points": gain,
                    "p": mcnemar(right[way], plain),
                    "nll": score["nll"],
                    "seconds": model.report["seconds"],
                    "tuned": model.report["tune"],
                    "attempts": [
                        {key: one[key] for key in ("stages_frozen", "better", "nll_gain", "nll_gain_ci95",
                         "augment", "mirrored", "share", "again", "seconds", "promised_s")}
                        | {"epochs": len(one["epochs"])}
                        for one in model.report["tuning"] or ()
                    ],
                }  # fmt: skip
                yield Result(
                    f"test accuracy, {TITLE[way]}, {name}", score["accuracy"], "", None, score["n"], 1,
                    tuple(score["accuracy_ci95"]), detail,
                )  # fmt: skip
                if way == "auto":
                    gaps.append((name, gain, detail["p"]))
    if not gaps:
        return
    worse = [name for name, gain, p in gaps if gain < 0 and p < 0.05]
    yield Result(
        "sets on which --tune auto is worse than frozen by more than noise", len(worse), f"of {len(gaps)}",
        Bound("==", 0), len(gaps), 1, None, {"gaps": gaps},
    )  # fmt: skip
    yield Result(
        "--tune auto against frozen, mean over the sets", float(np.mean([gain for _, gain, _ in gaps])),
        "points", Bound(">=", 0), len(gaps), 1, _harness.ends([gain for _, gain, _ in gaps]), {},
    )  # fmt: skip


TITLE = {
    "never": "frozen",
    "last": "last stages trained",
    "all": "all stages trained",
    "auto": "--tune auto",
    "scratch": "small CNN from scratch",
}


def correct(model: Any, folder: Any) -> Any:
    """Which test pictures the model gets right, in the order of its table."""
    tested = [part for part in model.manifest if part.part == "test"]
    answers = model.predict([folder / part.path for part in tested])
    return np.array([one.label == part.label for one, part in zip(answers, tested, strict=True)])


if __name__ == "__main__":
    _harness.main(
        measure, __doc__,
        ("--minutes", {"type": float, "default": 3.0}), ("--sets", {"default": ",".join(SETS)}),
        ("--ways", {"default": "never,last,all,auto,scratch"}),
    )  # fmt: skip
