"""A handful of pictures per class: accuracy, log-loss and how far too sure, on test pictures never chosen by.

Pictures are drawn from the training part, seed after seed; the head is chosen and fitted as `train` does. The
same is done once more without the prior on the inputs' variances (heads/_inputs.py), which
docs/decisions/0007 is about.
"""

import os
from collections.abc import Iterator
from typing import Any

import _harness
import numpy as np
from _harness import Options, Result

SETS = ("flowers12", "alien_predator", "caltech101_small", "cifar10_small", "hymenoptera")
SHOTS = (2, 4, 8, 16)


def measure(asked: Options) -> Iterator[Result]:
    """A line for each number of pictures per class, the mean over the sets."""
    import headstart
    from headstart.heads import _inputs

    folders = {name: _harness.picture_set(asked, name) for name in SETS}
    seeds = 1 if asked.quick else asked.extra.seeds
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        seen = {name: headstart.check(folder) for name, folder in folders.items()}
    for shots in SHOTS[:1] if asked.quick else SHOTS:
        found: dict[str, dict[str, Any]] = {}
        for name, look in seen.items():
            ours = [judged(look, shots, seed) for seed in range(seeds)]
            prior, _inputs.PRIOR = _inputs.PRIOR, 0
            plain = [judged(look, shots, seed) for seed in range(seeds)]
            _inputs.PRIOR = prior
            found[name] = {
                key: float(np.mean([one[key] for one in ours])) for key in ("accuracy", "nll", "too_sure")
            } | {
                f"{key}_without_prior": float(np.mean([one[key] for one in plain]))
                for key in ("accuracy", "nll")
            }
        accuracy = [one["accuracy"] for one in found.values()]
        yield Result(
            f"test accuracy from {shots} pictures per class, mean over {len(SETS)} sets",
            float(np.mean(accuracy)),
            "",
            None,
            sum(int(np.sum(np.array(look.examples.parts) == "test")) for look in seen.values()),
            seeds,
            _harness.ends(accuracy),
            {
                "interval_is": "least and largest set",
                "without_prior": float(np.mean([one["accuracy_without_prior"] for one in found.values()])),
                "sets": found,
            },
        )


def judged(look: Any, shots: int, seed: int) -> dict[str, float]:
    """One draw: accuracy, log-loss, and mean confidence less accuracy, on the test part."""
    from headstart.evaluate import judge, softmax
    from headstart.heads._choose import choose

    parts, features = np.array(look.examples.parts), look.features
    order = np.random.default_rng(seed).permutation(np.flatnonzero(parts == "train"))
    labels = features.y[order]
    rows = np.concatenate([order[labels == label][:shots] for label in range(len(features.classes))])
    test = np.flatnonzero(parts == "test")
    fitted = choose(features.take(rows), seed=seed)
    said = softmax(fitted.logits(features.x[test]), fitted.best.temperature)
    score = judge(features.y[test], said, features.classes)
    return {
        "accuracy": score.accuracy,
        "nll": score.nll,
        "too_sure": float(said.max(1).mean()) - score.accuracy,
    }


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seeds", {"type": int, "default": 5}))
