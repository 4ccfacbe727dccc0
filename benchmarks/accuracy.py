"""Accuracy of frozen features with what `auto` chose, against single-layer references and against hindsight.

The references are scikit-learn heads on the last layer's features of the same network, the best of seven by
cross-validation on the training part, as written down with the data. Hindsight: every head at every depth
set, each at the penalty that its own cross-validation likes best, is judged on the test part, and the best
of them is compared with what `auto` had chosen without looking.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import _harness
from _harness import Bound, Options, Result

REFERENCES = {"flowers12": 0.967, "alien_predator": 0.945, "caltech101_small": 0.885, "cifar10_small": 0.724}
SMALL = {"hymenoptera": 0.935}  # fewer than 500 training pictures, and a part of ImageNet: shown, not counted


def measure(asked: Options) -> Iterator[Result]:
    """A line per set, the mean over the sets, the regret."""
    found: dict[str, dict[str, Any]] = {}
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        for name, reference in (REFERENCES | SMALL).items():
            source = _harness.picture_set(asked, name)
            folder = _harness.some(source, place / name, 6) if asked.quick else source
            found[name] = one = judged(folder, place / f"{name}-model", asked.extra.seed)
            low, high = one["interval"]
            yield Result(
                f"test accuracy with auto, {name}",
                one["accuracy"],
                "",
                Bound(">=", reference),
                one["n"],
                1,
                (low, high),
                {
                    "reference": reference,
                    "below_reference_by_more_than_noise": high < reference,
                    **{
                        key: one[key]
                        for key in ("chosen", "seconds", "leaked", "without_leaks", "choices", "regret")
                    },
                },
            )
    gain = mean(found[name]["accuracy"] - reference for name, reference in REFERENCES.items())
    regret = mean(found[name]["regret"] for name in REFERENCES)
    pictures = sum(found[name]["n"] for name in REFERENCES)
    yield Result(
        f"mean test accuracy over {len(REFERENCES)} sets, above the single-layer references",
        100 * gain,
        "points",
        Bound(">=", 1.5),
        pictures,
        1,
        None,
        {
            "mean": mean(found[name]["accuracy"] for name in REFERENCES),
            "mean_of_references": mean(REFERENCES.values()),
            "below_by_more_than_noise": [
                name for name, own in REFERENCES.items() if found[name]["interval"][1] < own
            ],
        },
    )
    yield Result(
        f"head and depths by auto, behind the best in hindsight, mean over {len(REFERENCES)} sets",
        100 * regret,
        "points",
        Bound("<=", 1),
        pictures,
        1,
        None,
        {"with_hymenoptera": 100 * mean(one["regret"] for one in found.values())},
    )


def judged(folder: Path, out: Path, seed: int) -> dict[str, Any]:
    """Train as a user does, then every choice in hindsight on the same parts."""
    import headstart

    report = headstart.train(folder, out=out, seed=seed).report
    test = report["test"] or report["cv"]
    choices = in_hindsight(folder, seed)
    best = max(choices.values())
    return {
        "accuracy": test["accuracy"],
        "interval": tuple(test["accuracy_ci95"]),
        "n": test["n"],
        "chosen": " ".join(str(report["choice"][key]) for key in ("head", "depths", "penalty")),
        "seconds": report["seconds"],
        "leaked": report["leaked"],
        "without_leaks": report["test_without_leaks"] and report["test_without_leaks"]["accuracy"],
        "choices": choices,
        "regret": best - test["accuracy"],
    }


def in_hindsight(folder: Path, seed: int) -> dict[str, float]:
    """Test accuracy of every head at every depth set, each at its own best penalty by cross-validation."""
    import numpy as np

    import headstart
    from headstart import heads
    from headstart.evaluate import nll, softmax, temperature
    from headstart.heads import _choose
    from headstart.heads._inputs import Inputs
    from headstart.heads._problem import Problem

    seen = headstart.check(folder)
    parts = np.array(seen.examples.parts)
    train = seen.features.take(np.flatnonzero(parts != "test"))
    test = seen.features.take(np.flatnonzero(parts == "test"))
    folds = _choose.folds_of(train, seed)
    rows = np.flatnonzero(folds >= 0)
    found = {}
    for name in heads.names():
        part = heads.get(name)
        for depths in part.depths:
            inputs = Inputs.fit(train, depths)
            problem = Problem(inputs.of(train.x), train.y, len(train.classes), folds)
            surprise = {}
            for penalty in part.penalties:
                logits = part.out_of_fold(problem, penalty=penalty)[rows]
                held_out = softmax(logits, temperature(logits, train.y[rows]))
                surprise[penalty] = nll(train.y[rows], held_out)
            penalty = min(surprise, key=lambda own: surprise[own])
            said = part.fit(problem, penalty=penalty).logits(inputs.of(test.x)).argmax(1)
            found[f"{name} {depths} {penalty:g}"] = float((said == test.y).mean())
    return found


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seed", {"type": int, "default": 0}))
