"""Same answers or no file: an export held against its model on real pictures, picture by picture.

The model answers as `predict` does: its engine, half-precision features, the head in NumPy. Where the engine
computes in bfloat16, the export (float32) is held against PyTorch in float32, and how far the bfloat16 engine
itself lies from that is told beside it, with a wider tolerance of its own: the export is right all the same.
"""

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from headstart.engines import open_engine
from headstart.errors import ExportRefused
from headstart.evaluate import nll, paired_accuracy
from headstart.export import OUTPUTS, Format, Runner
from headstart.export._pictures import Pictures, Progress
from headstart.model.model import Answers, Model
from headstart.values import Bytes, Doubles, Floats

GAP = 1e-4  # in probability, between float32 here and float32 there
UNKNOWN_GAP = 0.01  # in the score above 1 of which a picture is unknown
MAX_TURNED = 0.05  # share of pictures, known to the model or unknown, of which int8 may say the other
BF16_GAP = 0.1  # in probability, between the engine in bfloat16 and float32; 0.017 on 28 pictures of flowers
BATCH = 16  # pictures at a time, but for the first, which comes alone
WORST = 5  # pictures that a refusal names


@dataclass(frozen=True)
class Own:
    """How far the model's own engine, in bfloat16, lies from float32."""

    precision: str
    agreement: float
    max_probability_gap: float
    tolerance: float


@dataclass(frozen=True)
class Parity:
    """How well an export agrees with its model."""

    n: int
    part: str  # test, or train where there is no test part
    missing: int  # pictures that were wanted and are not where they were
    reference: str  # what answered for the model
    agreement: float  # share of pictures with the same label
    max_probability_gap: float
    tolerance: float | None  # in probability; None where the accuracy is what counts
    max_unknown_gap: float
    unknown_agreement: float
    accuracy: float  # of the export
    accuracy_delta: float  # the export's less the model's
    accuracy_delta_ci95: tuple[float, float]
    max_loss: float | None  # of accuracy; None where the probabilities are what counts
    nll: float  # of the export
    nll_delta: float  # the export's less the model's: what it costs in calibration
    max_turned: float | None  # share whose verdict, known or unknown, may be the other; None as above
    own_engine: Own | None
    gains: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As in `export --json`."""
        found = {name: value for name, value in vars(self).items() if name not in ("gains", "own_engine")}
        found["accuracy_delta_ci95"] = list(self.accuracy_delta_ci95)
        found["own_engine"] = vars(self.own_engine) if self.own_engine else None
        return found | self.gains


@dataclass(frozen=True, eq=False)
class Compared:
    """What both say of the same pictures."""

    pictures: Pictures
    reference: str
    model: Answers
    own: tuple[str, Doubles] | None  # precision and probabilities [n, k] of an engine that is not float32
    export: dict[str, Floats]


def compare(model: Model, pictures: Pictures, run: Runner, on_step: Progress) -> Compared:
    """Ask both."""
    pixels = pictures.pixels
    engine, name = open_engine(model.backbone), "openvino"
    own = None
    if engine.precision != "f32":
        own = engine.precision, model.answer(engine.encode(pixels)).probabilities
        engine, name = open_engine(model.backbone, "torch"), "torch"
    answers = model.answer(engine.encode(pixels))
    found = answered(run, pixels, on_step)
    return Compared(pictures, f"{name} {engine.precision}", answers, own, found)


def answered(run: Runner, pixels: Bytes, on_step: Progress) -> dict[str, Floats]:
    """What an export says: of the first picture alone, of the others in batches.

    Raises:
        ExportRefused: its outputs are not what they should be.
    """
    starts = [0, *range(1, len(pixels), BATCH)]
    found = []
    for start, stop in zip(starts, [*starts[1:], len(pixels)], strict=True):
        found.append(run(np.ascontiguousarray(pixels[start:stop])))
        on_step(stop, len(pixels))
    joined = {name: np.concatenate([one[name] for one in found]) for name in OUTPUTS}
    for name, array in joined.items():
        if len(array) != len(pixels) or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ExportRefused(
                f"nothing was written: the export's {name} are {array.dtype}{array.shape}, wanted finite "
                f"float32 of {len(pixels)} pictures."
            )
    return joined


def same_again(compared: Compared, run: Runner, pixels: Bytes) -> None:
    """Whether the finished file, which differs by what it says of itself, gives the bits that were compared.

    Raises:
        ExportRefused: it does not.
    """
    again = run(np.ascontiguousarray(pixels[:1]))
    if not all(np.array_equal(again[name], compared.export[name][:1]) for name in OUTPUTS):
        raise ExportRefused(
            "nothing was written: the finished file answers otherwise than what was compared."
        )


def judge(
    model: Model, compared: Compared, form: type[Format], max_loss: float, gains: dict[str, Any]
) -> Parity:
    """What the comparison says.

    Raises:
        ExportRefused: the export does not answer as the model does; the worst pictures are named.
    """
    wanted, found = compared.model.probabilities, compared.export["probabilities"].astype(np.float64)
    pictures = compared.pictures
    gaps = np.abs(found - wanted).max(axis=1)
    same = found.argmax(1) == wanted.argmax(1)
    unknown_gaps = np.abs(compared.export["unknown_score"] - compared.model.unknown_score)
    unknown = compared.export["unknown_score"] > model.unknown_threshold
    right, before = found.argmax(1) == pictures.labels, wanted.argmax(1) == pictures.labels
    delta, low, high = paired_accuracy(right, before, pictures.groups)
    turned = unknown != np.array(compared.model.unknown)
    max_turned = max(MAX_TURNED, max_loss)
    surprise = nll(pictures.labels, found)
    parity = Parity(
        n=len(gaps),
        part="test" if pictures.parts[0].part == "test" else "train",
        missing=pictures.missing,
        reference=compared.reference,
        agreement=float(same.mean()),
        max_probability_gap=float(gaps.max()),
        tolerance=GAP if form.is_exact else None,
        max_unknown_gap=float(unknown_gaps.max()),
        unknown_agreement=float(1 - turned.mean()),
        accuracy=float(right.mean()),
        accuracy_delta=delta,
        accuracy_delta_ci95=(low, high),
        max_loss=None if form.is_exact else max_loss,
        nll=surprise,
        nll_delta=surprise - nll(pictures.labels, wanted),
        max_turned=None if form.is_exact else max_turned,
        own_engine=_own(compared),
        gains=gains,
    )
    if form.is_exact and ((~same & is_clear(wanted, GAP)).any() or gaps.max() > GAP):
        _refuse(
            f"{form.name} differs from the model by {gaps.max():.2g} in probability, allowed is {GAP:g}; "
            f"labels agree on {same.sum()} of {len(same)} pictures.",
            _worst(model, compared, gaps),
        )
    if form.is_exact and unknown_gaps.max() > UNKNOWN_GAP:
        _refuse(
            f"{form.name} differs from the model by {unknown_gaps.max():.2g} in the score of the unknown, "
            f"allowed is {UNKNOWN_GAP:g}.",
            _worst(model, compared, unknown_gaps),
        )
    if not form.is_exact and -delta > max_loss:
        _refuse(
            f"{form.name} is right on {right.sum()} of {len(right)} pictures, the model on {before.sum()}: "
            f"{-delta:.4f} of accuracy is lost (95 % between {-high:.4f} and {-low:.4f}), allowed is "
            f"{max_loss:g} (--max-loss).",
            _worst(model, compared, gaps),
        )
    if not form.is_exact and turned.mean() > max_turned:
        _refuse(
            f"{form.name} calls {unknown.sum()} of {len(turned)} pictures unknown, the model "
            f"{sum(compared.model.unknown)}; they differ on {turned.sum()}, {turned.mean():.4f} of all, and "
            f"allowed is {max_turned:g} (or --max-loss, where that is more).",
            _worst(model, compared, np.where(turned, unknown_gaps, -1)),
        )
    return parity


def _refuse(why: str, worst: str) -> NoReturn:
    raise ExportRefused(f"nothing was written: {why} The worst:{worst}")


def is_clear(probabilities: Doubles, tolerance: float) -> Any:
    """Where the two best of each row [n, k] are further apart than two errors of `tolerance` can bridge."""
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0] > 2 * tolerance


def _own(compared: Compared) -> Own | None:
    if compared.own is None:
        return None
    precision, found = compared.own
    wanted = compared.model.probabilities
    same = found.argmax(1) == wanted.argmax(1)
    return Own(precision, float(same.mean()), float(np.abs(found - wanted).max()), BF16_GAP)


def _worst(model: Model, compared: Compared, gaps: Doubles) -> str:
    """The pictures that differ most, with both answers."""
    lines = []
    for row in np.argsort(-gaps, kind="stable")[:WORST]:
        told = []
        for found in (compared.model.probabilities, compared.export["probabilities"]):
            best = int(found[row].argmax())
            told.append(f"{model.classes[best]} {found[row, best]:.4f}")
        path = compared.pictures.parts[int(row)].path
        lines.append(f"\n  {path}: the model says {told[0]}, the export {told[1]}")
    return "".join(lines)
