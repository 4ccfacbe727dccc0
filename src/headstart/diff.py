"""Two models on the same pictures: which is better, and on which pictures they changed sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.weights import learnt_from
from headstart.data import duplicates
from headstart.data.scan import Scan
from headstart.engines import open_engine
from headstart.errors import Misuse, NoData, StoreError
from headstart.evaluate import accuracy_interval, mcnemar, paired_accuracy
from headstart.features.extract import OnStep, extract, quiet
from headstart.features.store import Store
from headstart.look import scan_all
from headstart.modalities.image import LIMIT_PX
from headstart.model.measure import belonging
from headstart.model.model import Model
from headstart.values import Doubles, Halves, Ints

# Why a picture is not judged.
LEARNT, DIFFERENT = "that one of them has learnt from", "that the two label differently"
FOREIGN = "of classes that not both know"


@dataclass(frozen=True)
class Change:
    """One picture on which the two models do not agree in being right."""

    path: str
    truth: str
    a: str  # what each said, and how sure it was
    a_probability: float
    b: str
    b_probability: float
    won: bool  # wrong before, right after


@dataclass(frozen=True, eq=False)
class Difference:
    """Model B against model A, on pictures that neither has learnt from."""

    names: tuple[str, str]
    classes: tuple[str, ...]  # that both know
    only: tuple[tuple[str, ...], tuple[str, ...]]  # classes that one alone knows; their pictures are left out
    rule: str  # which pictures were judged
    left_out: Mapping[str, int]  # why pictures there were not judged -> how many
    files: Mapping[str, Path]  # where the judged pictures lie, by path; {} where nobody said
    y: Ints  # [n]
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]]  # [n] each
    accuracy: tuple[float, float]
    intervals: tuple[tuple[float, float], tuple[float, float]]
    gain: tuple[float, float, float]  # in accuracy of B over A, and the ends of its interval
    p: float  # exact McNemar
    changes: tuple[Change, ...]  # won first, then lost; surest first

    @property
    def verdict(self) -> str:
        """The difference in a sentence."""
        _, low, high = self.gain
        a, b = self.names
        if low > 0:
            return f"{b} is better than {a}"
        if high < 0:
            return f"{b} is worse than {a}"
        return f"{b} and {a} cannot be told apart on these pictures"

    def per_class(self) -> list[dict[str, Any]]:
        """For each common class that was judged: how many each got right, how many were won and lost."""
        a, b = self.right
        rows = []
        for label, name in enumerate(self.classes):
            own = self.y == label
            if own.any():
                rows.append(
                    {
                        "class": name,
                        "n": int(own.sum()),
                        "a": int(a[own].sum()),
                        "b": int(b[own].sum()),
                        "won": int((b & ~a)[own].sum()),
                        "lost": int((a & ~b)[own].sum()),
                    }
                )
        return rows

    def to_json(self) -> dict[str, Any]:
        """As in `diff --json`."""
        mean, low, high = self.gain
        sides = [
            {"model": name, "accuracy": accuracy, "accuracy_ci95": list(ends), "only": list(only)}
            for name, accuracy, ends, only in zip(
                self.names, self.accuracy, self.intervals, self.only, strict=True
            )
        ]
        return {
            "a": sides[0],
            "b": sides[1],
            "classes": list(self.classes),
            "n": len(self.y),
            "pictures": self.rule,
            "left_out": sum(self.left_out.values()),
            "left_out_why": dict(self.left_out),
            "gain": mean,
            "gain_ci95": [low, high],
            "p": self.p,
            "verdict": self.verdict,
            "per_class": self.per_class(),
            "changes": [vars(one) for one in self.changes],
        }


def diff(  # noqa: PLR0913  each is an option of the command
    a: Model,
    b: Model,
    data: Path | None = None,
    *,
    test: Path | None = None,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Difference:
    """Compare two models picture by picture, on pictures that neither has learnt from.

    Without `data` these are the pictures in the test parts of both, known by their content, with features
    that were kept. With `data` they are all labelled pictures there that neither was trained or validated on.
    Where classes differ, pictures of common classes alone count, and each model answers among all its own.

    Raises:
        Misuse: fewer than two common classes, or the features of test pictures are not kept.
        NoData: no picture is left to judge.
    """
    common = tuple(name for name in a.classes if name in b.classes)
    if len(common) < 2:
        raise Misuse(
            f"the models have {len(common)} classes in common ({', '.join(a.classes[:5])}; "
            f"{', '.join(b.classes[:5])}): two at least are needed."
        )
    if data is None:
        seen = _tested(a, b, common, device)
    else:
        seen = _found(a, b, common, scan_all(data, test), (device, limit_px, on_step))
        if not len(seen.truths):
            raise NoData(
                f"nothing is left to judge in {data}: it has no picture of the common classes "
                f"({', '.join(common[:10])}) that neither model has learnt from."
            )
    y = np.array([common.index(name) for name in seen.truths], dtype=np.int64)
    said = a.answer(seen.x[0]).probabilities, b.answer(seen.x[1]).probabilities
    right = _right(a, said[0], seen.truths), _right(b, said[1], seen.truths)
    return Difference(
        names=_names(a, b),
        classes=common,
        only=(_others(a, common), _others(b, common)),
        rule=seen.rule,
        left_out=seen.left_out,
        files=seen.files,
        y=y,
        right=right,
        accuracy=(float(right[0].mean()), float(right[1].mean())),
        intervals=(accuracy_interval(right[0], seen.groups), accuracy_interval(right[1], seen.groups)),
        gain=paired_accuracy(right[1], right[0], seen.groups),
        p=mcnemar(right[0], right[1], seen.groups),
        changes=_changes((a, b), seen, said, right),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """The pictures that are judged, as each model's network sees them."""

    rule: str
    paths: tuple[str, ...]
    truths: tuple[str, ...]
    groups: Ints  # [n] what is not independent
    files: Mapping[str, Path]
    x: tuple[Halves, Halves]
    left_out: Mapping[str, int]


def _tested(a: Model, b: Model, common: Sequence[str], device: str) -> _Seen:
    """What stands in both test parts and in no other, with features from the store."""
    others = {part.digest: part.label for part in b.manifest if part.part == "test"}
    shared = [part for part in a.manifest if part.part == "test" and part.digest in others]
    learnt = _learnt(a, b)
    new = [part for part in shared if part.digest not in learnt]
    agreed = [part for part in new if part.label == others[part.digest]]
    known = [part for part in agreed if part.label in common]
    if not known:
        raise NoData(
            "the test parts of the two models share no picture of a common class that neither has learnt "
            "from. Name labelled pictures that both can be judged on: headstart diff MODEL_A MODEL_B DATA"
        )
    digests = tuple(one.digest for one in known)
    return _Seen(
        "in the test parts of both models",
        tuple(one.path for one in known),
        tuple(one.label for one in known),
        _as_dealt((a, b), digests),
        {},
        (_kept(a, digests, device), _kept(b, digests, device)),
        _counted(
            {
                LEARNT: len(shared) - len(new),
                DIFFERENT: len(new) - len(agreed),
                FOREIGN: len(agreed) - len(known),
            }
        ),
    )


def _learnt(a: Model, b: Model) -> set[str]:
    """Contents that one of the two, or its network, was trained or validated on."""
    own = {part.digest for one in (a, b) for part in one.manifest if part.part != "test"}
    return own | learnt_from(a.backbone) | learnt_from(b.backbone)


def _counted(left_out: dict[str, int]) -> dict[str, int]:
    return {why: number for why, number in left_out.items() if number}


def _kept(model: Model, digests: Sequence[str], device: str) -> Halves:
    """Features of these contents from the store.

    Raises:
        Misuse: some were never kept on this machine.
    """
    spec = model.backbone
    with Store.open(spec.name, open_engine(spec, device).digest, spec.depths[-1].stop) as store:
        if missing := set(digests) - store.known():
            raise Misuse(
                f"the features of {len(missing)} test pictures are not kept on this machine. Name the folder "
                "that holds them: headstart diff MODEL_A MODEL_B DATA"
            )
        return store.load(list(digests))[0]


def _found(a: Model, b: Model, common: Sequence[str], there: Scan, how: tuple[str, int, OnStep]) -> _Seen:
    """What neither has learnt from among labelled pictures."""
    device, limit_px, on_step = how
    rows = [row for row, label in enumerate(there.examples.labels) if there.examples.classes[label] in common]
    examples = there.examples.take(rows)
    learnt = _learnt(a, b)
    engine = open_engine(a.backbone, device)
    first = extract(examples.files(), a.backbone, engine, limit_px=limit_px, on_step=on_step)
    new = np.array([at for at, digest in enumerate(first.digests) if digest not in learnt], dtype=np.int64)
    chosen = examples.take(first.rows[new])
    x = first.x[new]
    if a.backbone == b.backbone:
        other = x
    else:
        engine = open_engine(b.backbone, device)
        second = extract(chosen.files(), b.backbone, engine, limit_px=limit_px, on_step=on_step)
        if len(second.rows) != len(new):
            raise StoreError("pictures changed while they were being looked at. Start again.")
        other = second.x
    return _Seen(
        "that neither model has learnt from",
        chosen.paths,
        tuple(chosen.classes[label] for label in chosen.labels),
        belonging(
            (a, b),
            x,
            first.pictures.thumbs[new],
            [first.digests[int(at)] for at in new],
            chosen.groups,
        ),
        dict(zip(chosen.paths, chosen.files(), strict=True)),
        (x, other),
        _counted(
            {
                LEARNT: len(first.rows) - len(new),
                FOREIGN: len(there.examples) - len(examples),
                "that cannot be read": len(first.unreadable),
                "passed over in the data": there.files - len(there.examples),
            }
        ),
    )


def _names(a: Model, b: Model) -> tuple[str, str]:
    one, other = str(a.report["model"]), str(b.report["model"])
    return (one, other) if one != other else (f"{one} (A)", f"{other} (B)")


def _others(model: Model, common: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in model.classes if name not in common)


def _right(model: Model, probabilities: Doubles, truths: Sequence[str]) -> NDArray[np.bool_]:
    best = probabilities.argmax(1)
    return np.array([model.classes[int(c)] == name for c, name in zip(best, truths, strict=True)], dtype=bool)


def _as_dealt(models: tuple[Model, Model], digests: Sequence[str]) -> Ints:
    """What belongs together of pictures that both know, by what either model's split says."""
    named: dict[tuple[int, str], int] = {}
    pairs = []
    for at, model in enumerate(models):
        of = {part.digest: part.group for part in model.manifest}
        pairs += [(named.setdefault((at, of[digest]), row), row) for row, digest in enumerate(digests)]
    return duplicates.joined(len(digests), pairs)


def _changes(
    models: tuple[Model, Model],
    seen: _Seen,
    said: tuple[Doubles, Doubles],
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> tuple[Change, ...]:
    a, b = models
    found = []
    for row in np.flatnonzero(right[0] != right[1]):
        best = [int(one[row].argmax()) for one in said]
        found.append(
            Change(
                seen.paths[int(row)],
                seen.truths[int(row)],
                a.classes[best[0]],
                float(said[0][row, best[0]]),
                b.classes[best[1]],
                float(said[1][row, best[1]]),
                bool(right[1][row]),
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.won, -one.b_probability, one.path)))
