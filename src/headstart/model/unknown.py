"""The part of a model that tells the unknown: made from training pictures, written down, read strictly."""

from dataclasses import asdict
from typing import Any

import numpy as np

from headstart.evaluate import Familiar, Strangeness, learn, reference_rows, strangeness
from headstart.evaluate.unknown import CHOOSING, METHODS, Clouds, Tried
from headstart.heads import one_thread_each
from headstart.values import Features, Ints

FALSE_REJECTION = 0.02  # share of pictures of known classes that may be called unknown
FOLDS = 10  # so that what is held out is compared with nearly all; from CHOOSING pictures half as many do
PREFIX = "unknown."  # before the names of its arrays
_CLOUD = ("directions", "slopes", "offsets")


def familiar(features: Features, train: Ints, unseen: Strangeness | None = None) -> Familiar:
    """What new pictures are compared with: rows `train` of `features`, at most 2,000 of them.

    `unseen` says how strange pictures are that were not learnt from, where that is known; else it is found
    out by folds.
    """
    rows = train[reference_rows([features.digests[int(row)] for row in train], features.y[train])]
    own = features.take(rows)
    with one_thread_each():
        return learn(own.last(), rows, own.y, unseen or _held_out(own), FALSE_REJECTION)


def _held_out(own: Features) -> Strangeness:
    """Each picture beside those of other folds."""
    from headstart.data.split import folds as deal_folds

    folds = min(FOLDS if len(own) <= CHOOSING else FOLDS // 2, len(np.unique(own.groups)))
    if folds < 2:
        return strangeness(own.last(), own.y, [])
    fold = deal_folds(own.y, own.groups, own.digests, folds, seed=0)
    some = reference_rows(own.digests, own.y, CHOOSING)
    few = min(folds, FOLDS // 2)
    return strangeness(
        own.last(),
        own.y,
        [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds)],
        [(some[fold[some] % few != one], some[fold[some] % few == one]) for one in range(few)],
    )


def to_arrays(own: Familiar) -> dict[str, Any]:
    """For the file of weights."""
    found: dict[str, Any] = {"references": own.references, "rows": own.rows, "scores": own.scores}
    for name, clouds in _clouds_of(own).items():
        found |= {f"{name}.{part}": getattr(clouds, part) for part in _CLOUD}
    return {PREFIX + name: array for name, array in found.items()}


def to_json(own: Familiar) -> dict[str, Any]:
    """For model.json, under `thresholds`."""
    return {
        "method": own.method,
        "false_rejection": own.false_rejection,
        "variance": {name: clouds.variance for name, clouds in _clouds_of(own).items()},
        "tried": [asdict(one) for one in own.tried],
    }


def from_parts(document: dict[str, Any], arrays: dict[str, Any]) -> Familiar:
    """The inverse of `to_json` and `to_arrays`. Takes its arrays out of `arrays`.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: they are not those of a model.
    """
    if document.keys() != {"method", "false_rejection", "variance", "tried"}:
        raise ValueError(f"thresholds.unknown has the keys {sorted(document)}")
    own = {name: arrays.pop(name) for name in [name for name in arrays if name.startswith(PREFIX)]}
    own = {name.removeprefix(PREFIX): array for name, array in own.items()}
    method, variance = document["method"], document["variance"]
    if method not in METHODS:
        raise ValueError(f"method {method!r} for the unknown, wanted one of {METHODS}")
    wanted = ["within"] * (method != "nearest") + ["overall"] * (method == "relative")
    names = {"references", "rows", "scores"} | {f"{name}.{part}" for name in wanted for part in _CLOUD}
    if own.keys() != names or variance.keys() != set(wanted):
        raise ValueError(f"arrays {sorted(own)} and variances {variance} for method {method}")
    clouds = {
        name: Clouds(own[f"{name}.directions"], own[f"{name}.slopes"], own[f"{name}.offsets"], variance[name])
        for name in wanted
    }
    return Familiar(
        method,
        own["references"],
        own["rows"],
        clouds.get("within"),
        clouds.get("overall"),
        own["scores"],
        document["false_rejection"],
        tuple(Tried(**one) for one in document["tried"]),
    )


def check(own: Familiar, dim: int, trained: Ints) -> None:
    """Everything that a wrong answer could come from, told as a ValueError.

    `dim` is the width of the last layer; `trained` the positions of the training pictures in split.csv.
    """
    if own.references.ndim != 2 or own.references.shape[1] != dim or own.references.dtype != np.float16:
        raise ValueError(f"references {own.references.dtype}{own.references.shape}, wanted float16[r, {dim}]")
    if own.rows.dtype != np.int64 or own.rows.shape != own.references.shape[:1]:
        raise ValueError(f"rows {own.rows.dtype}{own.rows.shape} of {len(own.references)} references")
    if not np.isin(own.rows, trained).all():
        raise ValueError("references are pictures that were not trained on")
    shapes: dict[str, tuple[int, ...]] = {"references": own.references.shape, "scores": (own.scores.size,)}
    found: dict[str, Any] = {"references": own.references, "scores": own.scores}
    for name, clouds in _clouds_of(own).items():
        count, rank = clouds.offsets.size, clouds.directions.shape[-1]
        wanted: dict[str, tuple[int, ...]] = {
            "directions": (dim, rank),
            "slopes": (dim, count),
            "offsets": (count,),
        }
        shapes |= {f"{name}.{part}": shape for part, shape in wanted.items()}
        found |= {f"{name}.{part}": getattr(clouds, part) for part in _CLOUD}
        if not isinstance(clouds.variance, float) or not 0 < clouds.variance < np.inf or count < 1:
            raise ValueError(f"variance {clouds.variance!r} of {count} centres")
    for name, array in found.items():
        if array.shape != shapes[name] or not np.isfinite(array).all():
            raise ValueError(f"array {PREFIX}{name} is {array.shape}, wanted finite {shapes[name]}")
        if name != "references" and array.dtype != np.float32:
            raise ValueError(f"array {PREFIX}{name} is {array.dtype}, wanted float32")
    if (np.diff(own.scores) < 0).any():
        raise ValueError("scores of known pictures are not in order")
    if not isinstance(own.false_rejection, float) or not 0 < own.false_rejection < 1:
        raise ValueError(f"false rejection {own.false_rejection!r} is not a share")


def _clouds_of(own: Familiar) -> dict[str, Clouds]:
    both = {"within": own.within, "overall": own.overall}
    return {name: clouds for name, clouds in both.items() if clouds is not None}
