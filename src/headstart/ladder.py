"""The ladder: what each step of transfer learning is worth on these very pictures.

    majority -> source's guesses -> nearest pictures -> linear head -> last stages -> all -> from scratch

Every rung is fitted on the training part and judged on the same pictures of the test part, so that two rungs
can be compared picture by picture; with too few pictures for a test part all of them are judged out of fold.
Pictures with a twin among those learnt from judge no rung. Nothing is chosen by these numbers: that is for
`train`, which looks at its training part alone.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from headstart import heads, race
from headstart.backbones import source
from headstart.data.check import leaked_rows
from headstart.data.split import folds
from headstart.errors import Misuse, NotFinite, OutputError, StoreError, TooFewExamples
from headstart.evaluate import accuracy_interval, nll, paired_accuracy
from headstart.features.extract import OnStep, quiet
from headstart.finetune.wish import Material, OnEpoch, in_fold, silent
from headstart.heads._choose import fold_count
from headstart.heads._cross_validate import frozen
from headstart.look import Look, chosen, scan_all
from headstart.modalities.image import LIMIT_PX
from headstart.report import rungs as rungs_kept
from headstart.values import Doubles, Features, Floats, Ints, Part, Spec, Split

RUNGS = ("majority", "source", "nearest", "linear", "last", "all", "scratch")
QUICK = RUNGS[:4]  # need no training of stages
NEIGHBOURS = 5
FOLDS = 5
TINY_PX = 64  # short side below which pictures are small enough for a network of 32 pixels

Predictor = Callable[[Ints], Doubles]  # probabilities [m, k] of rows
Fit = Callable[[Ints], Predictor]


@dataclass(frozen=True)
class Rung:
    """One way to classify, and how it did."""

    name: str
    title: str
    n: int  # pictures that were judged
    accuracy: float
    accuracy_ci95: tuple[float, float]
    nll: float
    seconds: float  # to fit and to answer; encoding that was kept before is not in it
    gmac: float  # billions of multiply-adds for one picture that is classified
    gain: float | None  # in accuracy over the rung below, None for the first
    gain_ci95: tuple[float, float] | None
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """As in `compare --json`."""
        return {
            "name": self.name,
            "title": self.title,
            "n": self.n,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "nll": round(self.nll, 4),
            "seconds": round(self.seconds, 2),
            "gmac": round(self.gmac, 4),
            "gain": self.gain,
            "gain_ci95": list(self.gain_ci95) if self.gain_ci95 else None,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Ladder:
    """The rungs, as far as there are any to stand on."""

    rungs: tuple[Rung, ...]  # from the lowest up
    left_out: dict[str, str]  # names of rungs that could not be judged, and why
    leaked: int  # test pictures that judge no rung: they, or a twin, were learnt from


@dataclass(frozen=True)
class Comparison:
    """What `compare` tells: of backbones, and of how much training pays with the best of them."""

    candidates: tuple[race.Candidate, ...]  # best first
    ladder: Ladder
    data: dict[str, int]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As in `compare --json`."""
        return {
            "backbones": [one.to_json() for one in self.candidates],
            "chosen": self.candidates[0].name,
            "rungs": [one.to_json() for one in self.ladder.rungs],
            "left_out": [{"name": name, "reason": why} for name, why in self.ladder.left_out.items()],
            "leaked": self.ladder.leaked,
            "data": self.data,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }


def compare(  # noqa: PLR0913  each is an option of the command
    data: str | Path,
    *,
    test: str | Path | None = None,
    names: Sequence[str] = (),
    rungs: Sequence[str] = QUICK,
    budget_s: float = math.inf,
    seed: int = 0,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
    on_epoch: OnEpoch = silent,
) -> Comparison:
    """Let backbones race on the pictures that `train` would learn from, then climb with the winner.

    Raises:
        NoData, TooFewExamples, Misuse, UnknownName: as in `train`.
    """
    begin = time.perf_counter()
    if math.isfinite(budget_s) and not set(rungs) - set(QUICK):
        raise Misuse(f"--budget is for rungs that train stages, and none is named: {', '.join(RUNGS[4:])}.")
    specs = race.candidates(names)
    heads.load_beside()
    found = scan_all(Path(data), Path(test) if test else None)
    scanned = time.perf_counter()
    won = race.win(found, specs, None, seed=seed, device=device, limit_px=limit_px, on_step=on_step)
    raced = time.perf_counter()
    climbed = ladder(
        won.spec, won.seen, won.split, rungs,
        seed=seed, device=device, limit_px=limit_px, budget_s=budget_s, on_epoch=on_epoch,
    )  # fmt: skip
    end = time.perf_counter()
    used: dict[str, int] = {part: len(won.split.rows(part)) for part in get_args(Part)}
    compared = Comparison(
        won.candidates,
        climbed,
        {"files": won.seen.files, "used": len(won.seen.examples)} | used,
        {"scan": scanned - begin, "race": raced - scanned, "ladder": end - raced, "total": end - begin},
    )
    if climbed.rungs:
        rungs_kept.keep(compared.to_json(), won.seen.features)
    return compared


def rungs_of(names: str) -> tuple[str, ...]:
    """The rungs in a list with commas; `all-rungs` or `quick` for those.

    Raises:
        Misuse: there is no such rung.
    """
    known = {"every": RUNGS, "quick": QUICK, "none": ()}
    if names in known:
        return known[names]
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if wrong := [name for name in asked if name not in RUNGS]:
        raise Misuse(f"there is no rung {wrong[0]!r}. Known: {', '.join(RUNGS)}; or every, quick, none.")
    return tuple(name for name in RUNGS if name in asked)


def ladder(  # noqa: PLR0913  what `train` would learn from, and how
    spec: Spec,
    seen: Look,
    split: Split,
    names: Sequence[str] = RUNGS,
    *,
    seed: int = 0,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    budget_s: float = math.inf,
    on_epoch: OnEpoch = silent,
) -> Ladder:
    """These rungs, from the lowest up. `budget_s` bounds each rung that trains stages.

    A rung that cannot be judged is left out: a source whose classifier does not see its last layer's features
    makes no guesses, one without stages is not tuned, and for some there may be too few pictures.
    """
    features = seen.features
    leaked = np.union1d(
        leaked_rows(split, features.groups),
        np.intersect1d(split.rows("test"), race.learnt_rows(features, spec)),
    )
    pairs = _pairs(features, split, leaked, seed)
    if not len(pairs[0][1]):
        why = "every test picture, or a twin of it, was learnt from: there is none to judge by."
        return Ladder((), dict.fromkeys(names, why), len(leaked))
    judged = np.concatenate([mine for _, mine in pairs])
    order = np.argsort(judged)
    material = Material(
        spec,
        features,
        tuple(seen.examples.files()),
        np.zeros(0, np.int64),
        device,
        limit_px,
        on_epoch=on_epoch if len(pairs) > 1 else in_fold(on_epoch, 0),
    )
    found: list[Rung] = []
    left_out: dict[str, str] = {}
    below: NDArray[np.bool_] | None = None
    groups = features.groups[judged[order]]
    for name in names:
        fit = _fit(name, material, seen, seed, budget_s / len(pairs), len(pairs[0][0]))
        if isinstance(fit, str):
            left_out[name] = fit
            continue
        begin = time.perf_counter()
        try:
            parts = [fit(rows)(mine) for rows, mine in pairs]
        except (TooFewExamples, NotFinite, StoreError, OutputError) as error:
            left_out[name] = str(error)
            continue
        taken = time.perf_counter() - begin
        probabilities = np.concatenate(parts)[order]
        truth = features.y[judged[order]]
        right = probabilities.argmax(1) == truth
        difference = None if below is None else paired_accuracy(right, below, groups)
        accuracy = float(right.mean())
        found.append(
            Rung(
                name, _title(name, seen), len(truth), accuracy, accuracy_interval(right, groups),
                nll(truth, np.maximum(probabilities, 1e-12)), taken, _gmac(name, spec, seen),
                None if difference is None else difference[0],
                None if difference is None else difference[1:],
                "the least to beat" if difference is None else _verdict(*difference),
            )
        )  # fmt: skip
        below = right
    return Ladder(tuple(found), left_out, len(leaked))


def _pairs(features: Features, split: Split, leaked: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    """Rows to fit on and rows to judge: the parts, or folds where no test part is held out."""
    train, test = split.rows("train"), split.rows("test")
    if len(test):
        return [(train, np.setdiff1d(test, leaked))]
    own = features.take(train)
    groups_of = [len(np.unique(own.groups[own.y == label])) for label in range(len(own.classes))]
    wanted = fold_count(groups_of, FOLDS)
    if wanted == 2:
        wanted = min(FOLDS, len(np.unique(own.groups)))
    dealt = folds(own.y, own.groups, own.digests, wanted, seed=seed + 1)
    return [(train[dealt != fold], train[dealt == fold]) for fold in np.unique(dealt)]


def _fit(name: str, material: Material, seen: Look, seed: int, budget_s: float, trained: int) -> Fit | str:
    """How to fit a rung, or why this network does not have it."""
    features, spec = material.features, material.spec
    if name == "majority":
        return lambda rows: _majority(features, rows)
    if name == "nearest":
        return lambda rows: _nearest(features, rows)
    if name == "linear":
        return frozen(features, "auto", seed)
    if name == "source":
        own = source.classifier(spec)
        if own.why:
            return own.why
        guesses = np.asarray(own.logits(features.last()).argmax(1), dtype=np.int64)
        return lambda rows: _matched(features, guesses, rows)
    if not spec.stages and name != "scratch":
        return f"{spec.name} has no stages that headstart knows: all of it stays frozen."
    from headstart.finetune.augment import usual
    from headstart.finetune.tune import Asked, fitting, recipe_for, stages_below

    if name == "scratch":
        spec = chosen(_scratch(seen))
        material = Material(
            spec, features, material.files, material.val, material.device, material.limit_px,
            on_epoch=material.on_epoch,
        )  # fmt: skip
    policy = usual(trained, len(features.classes))
    below = stages_below(spec, "all" if name == "scratch" else name)
    asked = Asked(below, policy, recipe_for(spec, trained), seed, budget_s=budget_s)
    return fitting(material, asked, budget_s)


def _majority(features: Features, rows: Ints) -> Predictor:
    """How often each class comes, whatever the picture."""
    counts = np.bincount(features.y[rows], minlength=len(features.classes)) + 1.0
    return lambda mine: np.tile(counts / counts.sum(), (len(mine), 1))


def _nearest(features: Features, rows: Ints) -> Predictor:
    """The classes of the five nearest training pictures, by cosine; the nearest counts most."""

    def unit(of: Ints) -> Floats:
        x = features.last()[of].astype(np.float32)
        found: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        return found

    known = unit(rows)

    def judge(mine: Ints) -> Doubles:
        cosine = unit(mine) @ known.T
        near = np.argsort(-cosine, axis=1, kind="stable")[:, :NEIGHBOURS]
        votes = np.full((len(mine), len(features.classes)), 1e-3)
        for place in range(near.shape[1]):
            np.add.at(votes, (np.arange(len(mine)), features.y[rows[near[:, place]]]), 1.0 / (place + 1))
        found: Doubles = votes / votes.sum(1, keepdims=True)
        return found

    return judge


def _matched(features: Features, guesses: Ints, rows: Ints) -> Predictor:
    """Nothing is learnt but names: each of the source's classes stands for the one it was seen with most."""
    k = len(features.classes)
    counts = np.zeros((int(guesses.max()) + 1, k))
    np.add.at(counts, (guesses[rows], features.y[rows]), 1.0)
    overall = np.bincount(features.y[rows], minlength=k) + 1.0
    shares = counts + overall / overall.sum()
    shares /= shares.sum(1, keepdims=True)
    return lambda mine: shares[guesses[mine]]


def _scratch(seen: Look) -> str:
    short = np.minimum(seen.pictures.widths, seen.pictures.heights)
    return f"scratch:small-cnn?size={32 if np.median(short) < TINY_PX else 64}"


def _gmac(name: str, spec: Spec, seen: Look) -> float:
    if name == "majority":
        return 0.0
    return chosen(_scratch(seen)).gmac if name == "scratch" else spec.gmac


def _title(name: str, seen: Look) -> str:
    return {
        "majority": "always the commonest class",
        "source": "the source network's own guesses",
        "nearest": "the nearest pictures",
        "linear": "a linear head, network frozen",
        "last": "its last stages trained as well",
        "all": "all stages trained",
        "scratch": f"a small CNN from scratch, {chosen(_scratch(seen)).preprocess.size_px} px",
    }[name]


def _verdict(gain: float, low: float, high: float) -> str:
    told = f"{100 * gain:+.1f} points, 95 % {100 * low:.1f} to {100 * high:.1f}"
    if low > 0:
        return f"better: {told}"
    return f"worse: {told}" if high < 0 else f"cannot tell: {told}"
