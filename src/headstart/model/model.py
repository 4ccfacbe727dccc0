"""A finished classifier as one value, and its answers. Needs NumPy only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.evaluate import Familiar, prediction_sets, softmax, unit_rows
from headstart.evaluate.sets import upper_quantile
from headstart.heads import Head
from headstart.heads._inputs import Inputs
from headstart.values import ClassInfo, Doubles, Floats, Halves, Spec

if TYPE_CHECKING:
    from headstart.model.predict import Prediction

COVERAGE = 0.95  # of the sets of classes, unless asked otherwise


@dataclass(frozen=True)
class Part:
    """What `split.csv` says of one picture."""

    path: str
    digest: str
    label: str
    group: str
    part: str


@dataclass(frozen=True)
class Neighbour:
    """A training picture that resembles the one asked about."""

    path: str  # as in split.csv
    label: str
    distance: float  # 1 - cosine of the last layer's features: 0 (the same) to 2

    def to_json(self) -> dict[str, Any]:
        """As under `nearest` in `predict --format jsonl`."""
        return {"path": self.path, "label": self.label, "distance": self.distance}


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of n pictures, row by row."""

    logits: Floats  # [n, k] before calibration
    probabilities: Doubles  # [n, k] calibrated
    unknown_score: Doubles  # [n] 0: as strange as the middling known picture; above 1: unknown
    unknown: Sequence[bool]  # [n]


@dataclass(frozen=True, eq=False)
class Model:
    """Backbone, inputs, head and calibration, with what was measured on the way."""

    classes: tuple[str, ...]
    infos: dict[str, ClassInfo]
    backbone: Spec
    features: str  # digest under which the features were kept: weights, preprocessing, engine, precision
    inputs: Inputs
    head: Head
    temperature: float
    set_scores: Floats  # [m] 1 - probability of the truth, of training pictures by fits without them
    familiar: Familiar  # what new pictures are compared with to tell the unknown
    report: dict[str, Any]  # the document of `train --json`
    manifest: tuple[Part, ...]  # split.csv

    def predict(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        coverage: float = COVERAGE,
        nearest: int = 0,
        device: str = "cpu",
    ) -> list["Prediction"]:
        """Answers for picture files, in the order asked; one path gives a list of one.

        With `nearest`, each tells so many of the training pictures that are most like it.
        """
        from headstart.engines import open_engine
        from headstart.model.predict import predict

        asked = [paths] if isinstance(paths, str | Path) else paths
        engine = open_engine(self.backbone, device)
        return list(predict(self, asked, engine, coverage=coverage, nearest=nearest))

    def evaluate(self, data: str | Path, *, device: str = "cpu") -> dict[str, Any]:
        """The document of `evaluate --json` for other labelled data; see `model.measure`."""
        from headstart.engines import open_engine
        from headstart.model.measure import measure

        return measure(self, Path(data), open_engine(self.backbone, device))

    def summary(self) -> str:
        """What was measured, in one sentence."""
        score = self.report["test"] or self.report["cv"]
        low, high = score["accuracy_ci95"]
        kind = "held out" if self.report["test"] else "cross-validated"
        said = f"accuracy {score['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {score['n']} {kind} pictures"
        if not self.report["leaked"]:
            return said
        honest = self.report["test_without_leaks"]
        without = (
            f"without them {honest['accuracy']:.3f} on {honest['n']}" if honest else "as all of them have"
        )
        return f"{said}; {self.report['leaked']} have a twin in training, {without}"

    def answer(self, x: Halves) -> Answers:
        """Answers for features [n, all depths]. A picture's bits do not depend on its neighbours."""
        logits = self.head.logits(self.inputs.of(x))
        scores = self.unknown_score(x)
        unknown = [bool(score > self.unknown_threshold) for score in scores]
        return Answers(logits, softmax(logits, self.temperature), scores, unknown)

    def unknown_score(self, x: Halves) -> Doubles:
        """How strange features [n, all depths] are: 0 as the middling known picture, above 1 unknown."""
        return np.array([self._strangeness(row[None]) for row in self._last(x)], dtype=np.float64)

    @property
    def unknown_threshold(self) -> float:
        """The score above which a picture is unknown: scores are told in this unit."""
        return 1.0

    @property
    def references(self) -> Halves:
        """Last-layer features [r, dim] of the training pictures that are kept, length one."""
        return self.familiar.references

    def nearest(self, x: Halves, count: int) -> list[tuple[Neighbour, ...]]:
        """For features [n, all depths] the most similar of the training pictures kept, nearest first.

        At most 2,000 training pictures are kept (see `evaluate.reference_rows`).
        """
        found = []
        for row in self._last(x):
            distances = 1 - (self.familiar.wide @ unit_rows(row[None])[0]).astype(np.float64)
            order = np.argsort(distances, kind="stable")[:count]
            parts = [self.manifest[int(self.familiar.rows[at])] for at in order]
            found.append(
                tuple(
                    Neighbour(part.path, part.label, round(float(np.clip(distances[at], 0, 2)), 6))
                    for part, at in zip(parts, order, strict=True)
                )
            )
        return found

    def sets(self, probabilities: Doubles, coverage: float = COVERAGE) -> list[tuple[str, ...]]:
        """For each row the classes, likeliest first, that together hold the truth as often as asked.

        Raises:
            Misuse: `coverage` is not above 0 and at most 1.
        """
        threshold = upper_quantile(self.set_scores.astype(np.float64), coverage, beyond=1.0)
        chosen = prediction_sets(probabilities, threshold)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            tuple(self.classes[c] for c in ranks if row[c]) for ranks, row in zip(order, chosen, strict=True)
        ]

    def _last(self, x: Halves) -> Floats:
        last = self.backbone.depths[-1]
        return x[:, last.start : last.stop].astype(np.float32)

    def _strangeness(self, row: Floats) -> float:
        """Of one picture [1, dim]: alone, so that its bits do not depend on others."""
        middle, limit = self._marks
        return round(float((self.familiar.raw(unit_rows(row))[0] - middle) / (limit - middle)), 6)

    @cached_property
    def _marks(self) -> tuple[float, float]:
        return self.familiar.middle, self.familiar.limit
