"""Labels for the pictures that the model asks for, against labels for as many drawn at random.

Everything on kept features. A few pictures of each class of the training part are labelled to begin with;
then, round after round, the head is chosen anew and some more are labelled. Both ways begin with the same
pictures; accuracy is that on the test part, and what is told is the mean over the rounds.
"""

import os
from collections.abc import Iterator
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("cifar10_small", "caltech101_small")
FIRST = 4  # pictures of each class to begin with
ROUNDS, STEP = 6, 40


def measure(asked: Options) -> Iterator[Result]:
    """A line for each set."""
    from headstart.look import look

    for name in SETS[-1:] if asked.quick else SETS:
        folder = _harness.picture_set(asked, name)
        with _harness.workplace() as place:
            os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
            seen = look(folder)
        seeds = 2 if asked.quick else asked.extra.seeds
        rounds = 2 if asked.quick else ROUNDS
        pairs = [
            [raced(seen, how, seed, rounds) for how in ("asked for", "at random")] for seed in range(seeds)
        ]
        gains = np.array([np.mean(wise) - np.mean(blind) for wise, blind in pairs])
        error = gains.std(ddof=1) / np.sqrt(len(gains))
        from headstart.evaluate.intervals import student

        half = float(student(len(gains) - 1, 0.95) * error)
        yield Result(
            f"{name}: accuracy gained by labelling what the model asks for, mean of {rounds} rounds",
            float(gains.mean()),
            "",
            Bound(">", 0.0),
            int(np.sum(np.array(seen.examples.parts) == "test")),
            seeds,
            (float(gains.mean()) - half, float(gains.mean()) + half),
            {
                "interval_is": "95 %, Student's, over seeds",
                "labels": [FIRST * len(seen.features.classes) + STEP * at for at in range(1, rounds + 1)],
                "asked_for": np.mean([wise for wise, _ in pairs], axis=0).tolist(),
                "at_random": np.mean([blind for _, blind in pairs], axis=0).tolist(),
            },
        )


def raced(look: Any, how: str, seed: int, rounds: int) -> list[float]:
    """Accuracy on the test part after each round."""
    from headstart.evaluate import softmax
    from headstart.evaluate.next import to_label
    from headstart.heads._choose import choose

    parts, features = np.array(look.examples.parts), look.features
    rng = np.random.default_rng(seed)
    pool = rng.permutation(np.flatnonzero(parts != "test"))
    test = np.flatnonzero(parts == "test")
    last = features.last().astype(np.float32)
    last /= np.maximum(np.linalg.norm(last, axis=1, keepdims=True), 1e-9)
    labels = features.y[pool]
    rows = np.concatenate([pool[labels == c][:FIRST] for c in range(len(features.classes))])
    found = []
    fitted = choose(features.take(rows), head="lda", seed=0)
    for _ in range(rounds):
        rest = np.setdiff1d(pool, rows)
        if how == "at random":
            more = rng.permutation(rest)[:STEP]
        else:
            said = softmax(fitted.logits(features.x[rest]), fitted.best.temperature)
            more = rest[to_label(said, last[rest], STEP, seed=seed)]
        rows = np.concatenate([rows, more])
        fitted = choose(features.take(rows), head="lda", seed=0)
        found.append(float((fitted.logits(features.x[test]).argmax(1) == features.y[test]).mean()))
    return found


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seeds", {"type": int, "default": 10}))
