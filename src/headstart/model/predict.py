"""Answers for files: streamed, in the order asked, by the one inference loop."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.engines import Engine
from headstart.features import pipeline
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import COVERAGE, Model


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture, or the reason why there is none."""

    path: str
    error: str | None
    label: str
    probability: float
    probabilities: dict[str, float]
    unknown: bool
    unknown_score: float
    set: tuple[str, ...]
    title: str
    url: str
    confident: bool | None = None  # whether the probability reaches what was asked; None: nothing was asked

    def to_json(self) -> dict[str, Any]:
        """As in `predict --format jsonl`. Title and link only where the class has them."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        found: dict[str, Any] = {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "unknown": self.unknown,
            "unknown_score": self.unknown_score,
            "set": list(self.set),
        }
        if self.confident is not None:
            found["confident"] = self.confident
        return found | {key: value for key, value in (("title", self.title), ("url", self.url)) if value}


def predict(
    model: Model,
    paths: Iterable[str | Path],
    engine: Engine,
    *,
    coverage: float = COVERAGE,
    min_confidence: float | None = None,
    limit_px: int = LIMIT_PX,
) -> Generator[Prediction, None, None]:
    """One Prediction per path, in order; `paths` may be endless. Nothing is kept in the store.

    Answers with a probability below `min_confidence` are marked; their label stays.

    Raises:
        Misuse: `coverage` is not above 0 and at most 1.
    """
    names: dict[int, str] = {}

    def files() -> Generator[Path, None, None]:
        for at, path in enumerate(paths):
            names[at] = str(path)
            yield Path(path)

    items = pipeline.run(files(), engine, model.backbone.preprocess, limit_px=limit_px)
    try:
        for item in items:
            name = names.pop(item.at)
            if item.kept is None:
                yield Prediction(name, item.error or "", "", 0.0, {}, False, 0.0, (), "", "")  # noqa: FBT003
                continue
            found = model.answer(item.kept.x[None])
            row = found.probabilities[0]
            best = int(row.argmax())
            label = model.classes[best]
            info = model.infos.get(label)
            yield Prediction(
                name,
                None,
                label,
                float(row[best]),
                {own: float(p) for own, p in zip(model.classes, row, strict=True)},
                found.unknown[0],
                float(found.unknown_score[0]),
                model.sets(found.probabilities, coverage)[0],
                info.title if info else "",
                info.url if info else "",
                None if min_confidence is None else bool(row[best] >= min_confidence),
            )
    finally:
        items.close()
