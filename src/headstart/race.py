"""Which backbone suits these pictures: candidates race on a growing sample of the training part.

What is compared is no stand-in for the result: it is the out-of-fold log-loss of the head that would be
chosen (`heads._choose`), on the same pictures and folds for all. Encoding is what costs, so the first heat
has few pictures, and those who fall behind in it encode no more (successive halving). The pictures of a heat
are among those of the next, and all features are kept: `train` goes on from there.
"""

import hashlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart import backbones
from headstart.backbones.weights import learnt_from
from headstart.data.scan import Scan
from headstart.data.split import deal, read_split
from headstart.engines import Engine, open_engine
from headstart.errors import Misuse, UnreadablePicture
from headstart.evaluate import accuracy_interval
from headstart.features import pipeline
from headstart.features.extract import OnStep, extract, quiet
from headstart.heads._choose import choose
from headstart.look import Look, chosen, look_with
from headstart.modalities.image import LIMIT_PX
from headstart.values import Doubles, Examples, Features, Ints, Part, Spec, Split

AUTO = "auto"
ENOUGH = 500  # usable pictures from which a test part is held out; fewer are cross-validated
HEATS = (200, 500, 2000)  # pictures; the last heat has all of them, but not more than this
PER_CLASS = 2  # pictures of each class in a heat at least: fewer cannot be held out
NOISE = 1.0  # standard errors of a paired difference within which the cheaper is as good
LEAST = 0.0005  # GMAC of what is told as none
SURE = 1.96  # standard errors to either side, 95 % between them
PACED = 24  # pictures on which the speed is measured where all had been encoded before


@dataclass(frozen=True)
class Heat:
    """How a candidate did on so many pictures, out of fold."""

    n: int
    nll: float
    accuracy: float


@dataclass(frozen=True)
class Candidate:
    """One backbone in the race. Accuracy and log-loss are those of its last heat."""

    name: str
    heats: tuple[Heat, ...]
    accuracy: float
    accuracy_ci95: tuple[float, float]
    nll: float
    ms_per_picture: float  # reading and decoding included, all cores at work
    parameters: int
    gmac: float
    survived: bool  # was never sent away
    verdict: str  # against the winner, on the pictures that both saw

    def to_json(self) -> dict[str, Any]:
        """As in `compare --json`, rounded for reading."""
        heats = [
            {"n": one.n, "nll": round(one.nll, 4), "accuracy": round(one.accuracy, 4)} for one in self.heats
        ]
        return {
            "name": self.name,
            "accuracy": round(self.accuracy, 4),
            "accuracy_ci95": [round(end, 4) for end in self.accuracy_ci95],
            "nll": round(self.nll, 4),
            "ms_per_picture": round(self.ms_per_picture, 2),
            "parameters": self.parameters,
            "gmac": self.gmac,
            "survived": self.survived,
            "verdict": self.verdict,
            "heats": heats,
        }


class Won(NamedTuple):
    """All that `train` needs to go on with the winner."""

    candidates: tuple[Candidate, ...]  # best first
    spec: Spec
    engine: Engine
    seen: Look  # the features are the winner's; twins, groups and findings those of the first look
    split: Split


def candidates(names: Sequence[str] = ()) -> tuple[Spec, ...]:
    """The backbones of these names, fetched if need be; without names those whose weights are here.

    Raises:
        UnknownName, Misuse: asked wrongly, see the message.
        DownloadError, WeightsError, MissingExtra: weights are not here and cannot be fetched.
    """
    here = [name for name in backbones.names() if backbones.is_here(backbones.spec(name))]
    specs = [chosen(name) for name in names or sorted({backbones.DEFAULT, *here})]
    return tuple({(spec.name, spec.weights.sha256): spec for spec in specs}.values())


def win(  # noqa: PLR0913  as `train` got them
    found: Scan,
    specs: Sequence[Spec],
    split: Path | None,
    *,
    head: str = "auto",
    seed: int = 0,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Won:
    """Let backbones race, and see all pictures as the winner does.

    The parts are dealt out once, by what the first candidate (the default, or else the cheapest) takes for
    twins. The others encode no picture of the test part unless they have won.
    """
    begin = time.perf_counter()
    course = _Course(head, seed, device, limit_px, on_step)
    runners = course.runners(specs)
    seen, parts = course.look(runners[0], found, split)
    rows, groups = parts.rows("train"), seen.features.groups
    ranked = course.run(runners, seen.examples.take(rows), groups[rows])
    best = ranked[0]
    if best is not runners[0]:
        seen = replace(seen, features=course.read(best, seen.examples, groups))
    clock = {
        "network": sum(one.engine.opening_s for one in runners),
        "extract": sum(one.seconds for one in runners),
        "check": seen.seconds["check"],
    }
    clock["race"] = time.perf_counter() - begin - sum(clock.values())
    seen = replace(seen, encoded=sum(one.encoded for one in runners), seconds=clock)
    return Won(_told(ranked), best.spec, best.engine, seen, parts)


def race(  # noqa: PLR0913  what `train` would learn from, and how
    training: Examples,
    groups: Ints,
    specs: Sequence[Spec],
    *,
    head: str = "auto",
    seed: int = 0,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> tuple[Candidate, ...]:
    """The candidates, best first, as they did on `training` pictures whose content digests are known.

    Pictures of equal `groups` [n] are never on both sides of a fold. Same pictures, seed and machine: same
    answer, whatever the clock says; among those that noise cannot tell apart the one with fewer multiply-adds
    wins, not the one that happened to be faster.

    Raises:
        TooFewExamples: fewer than two classes, or nothing can be held out.
        StoreError, WeightsError, MissingExtra: a network cannot be opened or its features not kept.
    """
    course = _Course(head, seed, device, limit_px, on_step)
    return _told(course.run(course.runners(specs), training, groups))


def learnt_rows(features: Features, spec: Spec) -> Ints:
    """Rows that the network has learnt from, with their twins: a score on them says nothing."""
    before = learnt_from(spec)
    known = [row for row, digest in enumerate(features.digests) if digest in before]
    found: Ints = (
        np.flatnonzero(np.isin(features.groups, features.groups[known])) if known else np.zeros(0, int)
    )
    return found


def parts_of(
    examples: Examples, features: Features, split: Path | None, seed: int, *, enough: int = ENOUGH
) -> Split:
    """The user's parts where he brought any, else dealt out, else everything is for training."""
    if split is not None:
        return read_split(split, examples)
    if any(examples.parts):
        return Split(tuple("train" if part == "" else part for part in examples.parts), dealt=False)
    if len(examples) >= enough:
        return deal(features.y, features.groups, features.digests, seed=seed)
    whole: Part = "train"
    return Split((whole,) * len(examples), dealt=True)


def sizes(n: int, k: int) -> list[int]:
    """How many of `n` pictures of `k` classes each heat has, ascending.

    >>> sizes(720, 12), sizes(150, 3), sizes(60_000, 3)
    ([200, 500, 720], [150], [200, 500, 2000])
    >>> sizes(2_000, 300)                    # two of each class at least
    [600, 2000]
    """
    wanted = [max(heat, PER_CLASS * k) for heat in HEATS]
    return sorted({min(heat, n) for heat in wanted})


def sample(labels: Ints, groups: Ints, digests: Sequence[str], n: int, *, seed: int) -> Ints:
    """About `n` rows, ascending: each class in proportion, but PER_CLASS of it at least.

    Dealt out by content, one of each group before a second of any, so that few pictures tell much. The rows
    of a smaller `n` are among those of a larger one.
    """
    seen: Counter[tuple[int, int]] = Counter()
    order: dict[int, list[tuple[int, int]]] = {}
    by_content = sorted(
        range(len(labels)), key=lambda row: hashlib.sha256(f"{seed}:{digests[row]}".encode()).digest()
    )
    for row in by_content:
        label, group = int(labels[row]), int(groups[row])
        order.setdefault(label, []).append((seen[label, group], row))
        seen[label, group] += 1
    rows: list[int] = []
    for own in order.values():
        wanted = max(PER_CLASS, math.floor(n * len(own) / len(labels) + 0.5))
        rows += [row for _, row in sorted(own, key=lambda one: one[0])[:wanted]]
    return np.array(sorted(rows), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Judged:
    """One heat of one candidate, picture by picture: those that were held out, the same for all."""

    n: int
    losses: Doubles  # [m]
    correct: NDArray[np.bool_]  # [m]
    groups: Ints  # [m]

    def nll(self) -> float:
        return float(self.losses.mean())

    def above(self, other: "_Judged") -> tuple[float, float]:
        """How much larger the log-loss is than the other's, and the standard error, groups being whole."""
        gaps = self.losses - other.losses
        mean = float(gaps.mean())
        _, group = np.unique(self.groups, return_inverse=True)
        sums = np.bincount(group, weights=gaps - mean)
        scale = len(sums) / max(len(sums) - 1, 1)
        return mean, math.sqrt(scale * math.fsum(sums**2)) / len(gaps)


@dataclass(eq=False)
class _Runner:
    """A candidate on its way."""

    spec: Spec
    engine: Engine
    judged: list[_Judged] = field(default_factory=list)
    encoded: int = 0
    seconds: float = 0.0
    pace: tuple[int, float] = (0, 0.0)  # pictures and seconds, where most of what was asked for was new
    ms: float = 0.0  # per picture
    survived: bool = True

    def count(self, asked: int, encoded: int, seconds: float) -> None:
        """Remember what an extraction took."""
        self.encoded += encoded
        self.seconds += seconds
        if encoded and 2 * encoded >= asked:
            self.pace = self.pace[0] + encoded, self.pace[1] + seconds


@dataclass(frozen=True)
class _Course:
    """What is the same for all candidates."""

    head: str
    seed: int
    device: str
    limit_px: int
    on_step: OnStep

    def runners(self, specs: Sequence[Spec]) -> list[_Runner]:
        """The candidates: the default, for which finding twins is calibrated, then the cheapest first."""
        ordered = sorted(specs, key=lambda spec: (spec.name != backbones.DEFAULT, _cost(spec)))
        return [_Runner(spec, open_engine(spec, self.device)) for spec in ordered]

    def look(self, first: _Runner, found: Scan, split: Path | None) -> tuple[Look, Split]:
        """All pictures as the first candidate sees them, and the parts that follow from that."""
        seen = look_with(first.spec, first.engine, found, limit_px=self.limit_px, on_step=self.on_step)
        first.count(len(seen.examples), seen.encoded, seen.seconds["extract"])
        return seen, parts_of(seen.examples, seen.features, split, self.seed)

    def run(self, runners: Sequence[_Runner], training: Examples, groups: Ints) -> list[_Runner]:
        """Heat after heat, until the last or until one is clearly ahead. Best first."""
        for one in runners:
            if known := len(learnt_from(one.spec).intersection(training.digests)):
                raise Misuse(
                    f"{one.spec.name} has learnt from {known} of these pictures, so a race on them would "
                    "flatter it. Leave it out, or bring other pictures."
                )
        heats = sizes(len(training), len(np.unique(training.labels)))
        running = list(runners)
        for n in heats if len(runners) > 1 else heats[-1:]:
            rows = sample(training.labels, groups, training.digests, n, seed=self.seed)
            for one in running:
                one.judged.append(self.judge(self.read(one, training.take(rows), groups[rows])))
            if n < heats[-1]:
                running = _left(running)
            if len(running) == 1:
                break
        for one in runners:
            one.ms = self.ms(one, training.files()[:PACED])
            one.survived = one in running
        best = _best(running)
        others = sorted(
            (one for one in runners if one is not best),
            key=lambda one: (not one.survived, -len(one.judged), _rank(one)),
        )
        return [best, *others]

    def read(self, one: _Runner, pictures: Examples, groups: Ints) -> Features:
        """What a candidate sees in these pictures.

        Raises:
            UnreadablePicture: a file is no longer what it was. (Whether a file can be read does not depend on
                the backbone: 300 hostile files were tried with ten ways of preprocessing.)
        """
        read = extract(pictures.files(), one.spec, one.engine, limit_px=self.limit_px, on_step=self.on_step)
        one.count(len(pictures), read.encoded, read.seconds)
        if read.digests != pictures.digests:
            now = dict(zip(read.rows.tolist(), read.digests, strict=True))
            changed = next(at for at, digest in enumerate(pictures.digests) if now.get(at) != digest)
            raise UnreadablePicture(
                f"{pictures.paths[changed]} was changed while backbones were compared: run the command again."
            )
        depths, backbone = one.spec.depths, one.engine.digest
        return Features(read.x, pictures.labels, groups, read.digests, pictures.classes, depths, backbone)

    def judge(self, features: Features) -> _Judged:
        """The head that would be chosen, on the pictures that it did not see."""
        fitted = choose(features, head=self.head, seed=self.seed)
        given = fitted.held_out[np.arange(len(fitted.truth)), fitted.truth]
        losses = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
        right = fitted.held_out.argmax(1) == fitted.truth
        return _Judged(len(features), losses, right, features.groups[fitted.rows])

    def ms(self, one: _Runner, files: Sequence[Path]) -> float:
        """Milliseconds per picture: what they took, or where all were encoded before, what a few take now."""
        done, seconds = one.pace
        if not done:
            one.engine.ready()
            begin = time.perf_counter()
            done = len(list(pipeline.run(files, one.engine, one.spec.preprocess, limit_px=self.limit_px)))
            seconds = time.perf_counter() - begin
        return 1000 * seconds / done


def _cost(spec: Spec) -> tuple[float, str]:
    return spec.gmac, spec.name


def _rank(one: _Runner) -> tuple[float, tuple[float, str]]:
    """Least surprised first."""
    return one.judged[-1].nll(), _cost(one.spec)


def _left(running: Sequence[_Runner]) -> list[_Runner]:
    """Who goes on: the better half unless surely worse, and who is cheaper and as good within noise."""
    ranked = sorted(running, key=_rank)
    first, half = ranked[0], math.ceil(len(ranked) / 2)
    near = [one for one in ranked[:half] if not _is_above(one, first.judged[-1], SURE)]
    cheap = [one for one in ranked[half:] if _cost(one.spec) < _cost(first.spec)]
    return near + [one for one in cheap if not _is_above(one, first.judged[-1], NOISE)]


def _best(running: Sequence[_Runner]) -> _Runner:
    """The least surprised, or the cheapest that is as good within noise."""
    first = min(running, key=_rank).judged[-1]
    return min((one for one in running if not _is_above(one, first, NOISE)), key=lambda one: _cost(one.spec))


def _is_above(one: _Runner, first: _Judged, errors: float) -> bool:
    gap, error = one.judged[-1].above(first)
    return gap > errors * error


def _told(ranked: Sequence[_Runner]) -> tuple[Candidate, ...]:
    """The candidates as values, the winner first."""
    found = []
    for one in ranked:
        heats = tuple(Heat(own.n, own.nll(), float(own.correct.mean())) for own in one.judged)
        last = one.judged[-1]
        found.append(
            Candidate(
                name=one.spec.name,
                heats=heats,
                accuracy=heats[-1].accuracy,
                accuracy_ci95=accuracy_interval(last.correct, last.groups),
                nll=heats[-1].nll,
                ms_per_picture=one.ms,
                parameters=one.spec.parameters,
                gmac=one.spec.gmac,
                survived=one.survived,
                verdict=_verdict(one, ranked[0]),
            )
        )
    return tuple(found)


def _verdict(one: _Runner, winner: _Runner) -> str:
    """How a candidate compares with the winner on the pictures of its own last heat."""
    if one is winner:
        return "chosen"
    own = one.judged[-1]
    gap, error = own.above(winner.judged[len(one.judged) - 1])
    low, high = abs(gap) - SURE * error, abs(gap) + SURE * error
    told = f"log-loss {abs(gap):.3f} {'lower' if gap < 0 else 'higher'} (95 % {low:.3f} to {high:.3f})"
    times = (one.spec.gmac or LEAST) / (winner.spec.gmac or LEAST)
    if abs(gap) <= NOISE * error and times > 1:
        told = f"as good within noise, but {times:.1f} times the cost"
    elif gap < 0 and times > 1:
        told += f", but {times:.1f} times the cost"
    return told if one.survived else f"left after {own.n} pictures: {told}"
