"""Answers for files: streamed, in the order asked, by the one inference loop."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.engines import Engine
from headstart.errors import Misuse
from headstart.features import pipeline
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import COVERAGE, Model, Neighbour
from headstart.values import Halves


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
    nearest: tuple[Neighbour, ...] | None = None  # None: not asked for

    def to_json(self) -> dict[str, Any]:
        """As in `predict --format jsonl`. Title and link where the class has them, `nearest` where asked."""
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
        if self.nearest is not None:
            found["nearest"] = [one.to_json() for one in self.nearest]
        return found | {key: value for key, value in (("title", self.title), ("url", self.url)) if value}


@dataclass(frozen=True)
class Wish:
    """What may be asked of an answer beside the class.

    Raises:
        Misuse: `nearest` is below 0.
    """

    coverage: float = COVERAGE  # how often the set is to hold the truth
    min_confidence: float | None = None  # answers below it are marked; their label stays
    nearest: int = 0  # so many of the training pictures that are most like it

    def __post_init__(self) -> None:
        if self.nearest < 0:
            raise Misuse(f"nearest must be 0 or more pictures; got {self.nearest}.")


def told(model: Model, x: Halves, path: str, wish: Wish) -> Prediction:
    """The answer for one picture's features [d]: the one way from features to a Prediction.

    Raises:
        Misuse: the coverage is not above 0 and at most 1.
    """
    found = model.answer(x[None])
    row = found.probabilities[0]
    best = int(row.argmax())
    label = model.classes[best]
    info = model.infos.get(label)
    return Prediction(
        path,
        None,
        label,
        float(row[best]),
        {own: float(p) for own, p in zip(model.classes, row, strict=True)},
        found.unknown[0],
        float(found.unknown_score[0]),
        model.sets(found.probabilities, wish.coverage)[0],
        info.title if info else "",
        info.url if info else "",
        None if wish.min_confidence is None else bool(row[best] >= wish.min_confidence),
        model.nearest(x[None], wish.nearest)[0] if wish.nearest else None,
    )


def refused(path: str, error: str) -> Prediction:
    """The answer for a picture that could not be read."""
    return Prediction(path, error, "", 0.0, {}, False, 0.0, (), "", "")  # noqa: FBT003


def predict(  # noqa: PLR0913  what may be asked of an answer
    model: Model,
    paths: Iterable[str | Path],
    engine: Engine,
    *,
    coverage: float = COVERAGE,
    min_confidence: float | None = None,
    nearest: int = 0,
    limit_px: int = LIMIT_PX,
) -> Generator[Prediction, None, None]:
    """One Prediction per path, in order; `paths` may be endless. Nothing is kept in the store.

    Answers with a probability below `min_confidence` are marked; their label stays.
    With `nearest`, each tells so many of the training pictures that are most like it.

    Raises:
        Misuse: `coverage` is not above 0 and at most 1, or `nearest` is below 0.
    """
    wish = Wish(coverage, min_confidence, nearest)
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
                yield refused(name, item.error or "")
            else:
                yield told(model, item.kept.x, name, wish)
    finally:
        items.close()
