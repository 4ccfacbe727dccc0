"""One answer of a model, taken apart: where it looked, what its layers gave, how the numbers come about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.engines import Engine, open_engine
from headstart.errors import Misuse
from headstart.explain.effect import with_effects
from headstart.explain.faithful import Check, answering, checked
from headstart.explain.heat import OTHERS, Heat, heats_of
from headstart.explain.layers import Kernels, Layer, kernels, layers
from headstart.explain.lens import Lens, open_lens, pixels_of, see
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import COVERAGE, Model, Neighbour
from headstart.values import Doubles, Floats

NEAREST = 5  # training pictures that are shown


@dataclass(frozen=True, eq=False)
class Explanation:
    """What the model says of one picture, and why. Logits and probabilities are those of `predict`."""

    model: Model
    path: str
    label: str  # the model's answer
    other: str  # the runner-up, or the class that was asked about
    logits: Floats  # [k] before calibration
    probabilities: Doubles  # [k]
    unknown: bool
    unknown_score: float
    set: tuple[str, ...]
    heats: tuple[Heat, ...]  # for `label`; with three classes or more also for `other`, and between the two
    checks: tuple[Check, ...]  # of the first heat and, with three classes or more, of that for `other`
    near: tuple[Neighbour, ...]
    kernels: Kernels | None
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """As in `explain --json`."""
        names = self.model.classes
        return {
            "path": self.path,
            "label": self.label,
            "other": self.other,
            "temperature": self.model.temperature,
            "logits": dict(zip(names, self.logits.tolist(), strict=True)),
            "probabilities": dict(zip(names, self.probabilities.tolist(), strict=True)),
            "unknown": self.unknown,
            "unknown_score": self.unknown_score,
            "unknown_threshold": self.model.unknown_threshold,
            "set": list(self.set),
            "heats": [
                {
                    "label": heat.label,
                    "against": heat.against or None,
                    "logit": heat.logit,
                    "constant": heat.constant,
                    "depths": dict(heat.depths),
                    "unplaced": heat.unplaced,
                }
                for heat in self.heats
            ],
            "faithfulness": self.checks[0].to_json(),
            "faithfulness_of_other": self.checks[1].to_json() if len(self.checks) > 1 else None,
            "nearest": [one.to_json() for one in self.near],
        }


@dataclass(frozen=True, eq=False)
class Tools:
    """What is opened once for many pictures: the network to look into, and the engine that answers."""

    lens: Lens
    engine: Engine


def open_tools(model: Model, *, device: str = "cpu") -> Tools:
    """Both forms of the model's network.

    Raises:
        WeightsError, MissingExtra: its weights are not here.
        Misuse: there is no such device.
    """
    return Tools(open_lens(model), open_engine(model.backbone, device))


def explain(
    model: Model, path: str | Path, *, label: str | None = None, device: str = "cpu", limit_px: int = LIMIT_PX
) -> Explanation:
    """Why the model says what it says of this picture, compared with class `label` or else the runner-up.

    `headstart.explain.page.save` makes a page of it. The same picture gives the same bits.

    Raises:
        UnreadablePicture: it is no picture; the message names it.
        Misuse: the model has no class `label`.
        WeightsError, MissingExtra, StoreError: the network cannot be opened.
    """
    return explain_with(open_tools(model, device=device), path, label=label, limit_px=limit_px)


def explain_with(
    tools: Tools, path: str | Path, *, label: str | None = None, limit_px: int = LIMIT_PX
) -> Explanation:
    """`explain` with tools that are open.

    Raises:
        UnreadablePicture, Misuse: as in `explain`.
    """
    model, engine = tools.lens.model, tools.engine
    if label is not None and label not in model.classes:
        raise Misuse(f"the model has no class {label!r}. Its classes: {', '.join(model.classes[:12])}.")
    pixels = pixels_of(path, model, limit_px=limit_px)
    x = engine.encode(pixels[None])
    found = model.answer(x)
    logits = found.logits[0]
    ranks = np.argsort(-logits, kind="stable")
    said, second = model.classes[ranks[0]], model.classes[ranks[1]]
    other = second if label is None or label == said else label
    pairs = [(said, OTHERS), (other, OTHERS), (said, other)] if len(model.classes) > 2 else [(said, other)]
    seen = see(tools.lens, pixels[None])
    parts = [heats_of(tools.lens, seen, [str(path)], pixels[None], [a], [b])[0] for a, b in pairs]
    heats = with_effects(tools.lens, seen, parts)
    maps = [(heat.label, model.classes.index(heat.label), heat.map) for heat in heats[:2]]
    return Explanation(
        model=model,
        path=str(path),
        label=said,
        other=other,
        logits=logits,
        probabilities=found.probabilities[0],
        unknown=found.unknown[0],
        unknown_score=float(found.unknown_score[0]),
        set=model.sets(found.probabilities, COVERAGE)[0],
        heats=tuple(heats),
        checks=checked(answering(model, engine), pixels, maps),
        near=model.nearest(x, NEAREST)[0],
        kernels=kernels(tools.lens),
        layers=layers(tools.lens, seen),
    )
