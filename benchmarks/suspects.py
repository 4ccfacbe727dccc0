"""Planted label errors: how many are among the first suspects, beside cleanlab on the same probabilities.

5 % of the labels of a set become another class, drawn at random; the head is chosen and the suspects are
ranked as `train` does it. Counted are the planted errors among the first 1.5 times as many suspects. The sets
have errors of their own, which stand between. cleanlab gets the out-of-fold probabilities of the choice and
ranks by normalised margin and by self-confidence; the better one counts.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small")
SHARE, LOOKED = 0.05, 1.5
WANTED = 0.93


def measure(asked: Options) -> Iterator[Result]:
    """Recall, recall beyond cleanlab's, precision, and the negative control."""
    sets = SETS[:1] if asked.quick else SETS
    seeds = 1 if asked.quick else asked.extra.seeds
    folders = {name: _harness.picture_set(asked, name) for name in sets}
    try:
        from cleanlab.rank import get_label_quality_scores
    except ModuleNotFoundError as error:
        raise _harness.Absent("cleanlab is not installed: pip install cleanlab") from error
    from headstart.look import look

    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        seen = {name: look(folder) for name, folder in folders.items()}
    found: dict[str, list[dict[str, float]]] = {}
    for name, data in seen.items():
        found[name] = []
        for seed in range(seeds):
            noisy, rows = planted(data.features, seed)
            probabilities, ranking, doubted = ranked(data, noisy)
            own = {"ours": recall(ranking, rows), "first_round": recall(given(noisy, probabilities), rows)}
            for method in ("normalized_margin", "self_confidence"):
                scores = get_label_quality_scores(noisy.y, probabilities, method=method)
                own[method] = recall(scores, rows)
            own["precision"] = float(np.isin(doubted, rows).mean()) if len(doubted) else 0.0
            own["told"] = len(doubted) / len(rows)
            found[name].append(own)
    means = {
        name: {key: float(np.mean([one[key] for one in own])) for key in own[0]}
        for name, own in found.items()
    }
    n = sum(len(data.features) for data in seen.values())
    ours = [one["ours"] for one in means.values()]
    theirs = {
        key: float(np.mean([one[key] for one in means.values()]))
        for key in ("normalized_margin", "self_confidence")
    }
    yield Result(
        f"planted label errors among the first 1.5 times as many suspects, mean over {len(sets)} sets",
        float(np.mean(ours)),
        "",
        Bound(">=", WANTED),
        n,
        seeds,
        _harness.ends(ours),
        {"interval_is": "least and largest set", "sets": means},
    )
    yield Result(
        "the same, above cleanlab's better ranking of the same probabilities",
        100 * (float(np.mean(ours)) - max(theirs.values())),
        "points",
        Bound(">=", 0.0),
        n,
        seeds,
        None,
        {"cleanlab": theirs},
    )
    told = [shuffled(data, seed) for data in seen.values() for seed in range(seeds)]
    yield Result(
        "labels that are shuffled: suspects told, share of the pictures",
        float(np.mean(told)),
        "",
        Bound("<=", 0.01),
        n,
        seeds,
        _harness.ends(told),
    )


def planted(features: Any, seed: int) -> tuple[Any, Any]:
    """The features with some labels changed, and which."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(features), round(SHARE * len(features)), replace=False)
    y, k = features.y.copy(), len(features.classes)
    y[rows] = (y[rows] + rng.integers(1, k, len(rows))) % k
    return replace(features, y=y), rows


def ranked(data: Any, noisy: Any) -> tuple[Any, Any, Any]:
    """Out-of-fold probabilities [n, k], how trustworthy each label is [n], and the rows that are told."""
    from headstart.evaluate.suspects import suspicion
    from headstart.heads import one_thread_each
    from headstart.trust.suspects import second_round

    evidence, rows = evidence_of(data, noisy)
    with one_thread_each():
        both = second_round(evidence)
    k = len(noisy.classes)
    first, order = np.full((len(noisy), k), 1 / k), np.full((len(noisy), k), 1 / k)
    first[rows], order[rows] = evidence.fitted.held_out, both
    found = suspicion(noisy.y[rows], evidence.fitted.held_out, both)
    return first, given(noisy, order), rows[found.doubted]


def evidence_of(data: Any, features: Any) -> tuple[Any, Any]:
    """What the analyses look at, were all pictures training pictures."""
    from headstart.data.facts import NAMES, Facts
    from headstart.heads._choose import choose
    from headstart.trust.evidence import Evidence
    from headstart.values import Part, Split

    whole: Part = "train"
    parts = Split((whole,) * len(features), dealt=True)
    facts = Facts(np.zeros((len(features), len(NAMES)), np.float32))
    evidence = Evidence(features, data.examples, parts, facts, choose(features), 0)
    return evidence, evidence.learnt


def given(features: Any, probabilities: Any) -> Any:
    """Low is suspicious."""
    from headstart.evaluate.suspects import given_to_label

    return given_to_label(features.y, probabilities)


def recall(scores: Any, rows: Any) -> float:
    """Share of `rows` among the 1.5 times as many lowest scores."""
    first = np.argsort(scores, kind="stable")[: round(LOOKED * len(rows))]
    return float(np.isin(rows, first).mean())


def shuffled(data: Any, seed: int) -> float:
    """Share of the pictures that are told as suspects where labels say nothing."""
    labels = np.random.default_rng(seed).permutation(data.features.y)
    _, _, doubted = ranked(data, replace(data.features, y=labels))
    return len(doubted) / len(labels)


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--seeds", {"type": int, "default": 5}))
