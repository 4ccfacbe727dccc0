"""What comes in and goes out, as OpenAPI says it. Answers are made by `model.predict`, not by these."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from headstart.model.model import COVERAGE
from headstart.model.predict import Wish
from headstart.serve.lanes import Ask

MOST_NEAREST = 100


class Options(BaseModel):
    """What may be asked of each picture."""

    model_config = ConfigDict(extra="forbid")

    top: int | None = Field(None, ge=1, le=100_000, description="So many of the likeliest classes; else all.")
    sets: float = Field(
        COVERAGE, gt=0, le=1, allow_inf_nan=False, description="How often the set is to hold the truth."
    )
    nearest: int = Field(
        0, ge=0, le=MOST_NEAREST, description="Name so many of the training pictures that are most like it."
    )
    min_confidence: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Mark answers that are less sure."
    )
    heat: bool = Field(False, description="A heat map of the answer, as a PNG in a data: address.")  # noqa: FBT003

    def ask(self) -> Ask:
        """The same, as the lanes want it."""
        return Ask(Wish(self.sets, self.min_confidence, self.nearest), self.top, self.heat)


class NamedOptions(Options):
    """The same, and which model is to answer."""

    model: str | None = Field(None, max_length=64, description="Name of the model; else the first.")


class Neighbour(BaseModel):
    """A training picture that resembles the one asked about."""

    path: str
    label: str
    distance: float = Field(description="1 - cosine of the features: 0 (the same) to 2.")


class Prediction(BaseModel):
    """One picture's answer: `path` and `error` alone where it could not be read."""

    path: str = Field(description="The name that came with the picture.")
    error: str | None = Field(None, description="Why it could not be read.")
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = Field(None, description="By class; calibrated.")
    unknown: bool | None = Field(None, description="Whether it is unlike all that was learnt from.")
    unknown_score: float | None = Field(
        None, description="0: as the middling known picture; above 1: unknown."
    )
    set: list[str] | None = Field(None, description="Classes that together hold the truth as often as asked.")
    confident: bool | None = Field(None, description="Where `min_confidence` was asked for.")
    nearest: list[Neighbour] | None = Field(None, description="Where it was asked for, nearest first.")
    heat: str | None = Field(None, description="data:image/png;base64,…")
    heat_missing: str | None = Field(None, description="Why there is no heat map.")
    title: str | None = Field(None, description="Of the class, where it has one.")
    url: str | None = Field(None, description="Of the class, where it has one.")


class Predictions(BaseModel):
    """Answers in the order of the pictures."""

    predictions: list[Prediction]


class Problem(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="For people: what, where, what was wanted, what to do.")
    kind: str = Field(description="For programs: the name of the error.")
    request_id: str
    predictions: list[Prediction] | None = Field(
        None, description="Of each picture, where none of them could be read."
    )


class Health(BaseModel):
    """Whether the server is there."""

    status: str


class Described(BaseModel):
    """A model: its classes, what was measured, and the limits of this server."""

    model_config = ConfigDict(extra="allow")

    name: str
    digest: str = Field(description="SHA-256 of its model.json.")
    loaded: str
    classes: list[str]
    backbone: dict[str, Any]
    summary: str


class Shelved(BaseModel):
    """All models, the one that answers by default first."""

    models: list[Described]
    limits: dict[str, Any]


class Reloaded(BaseModel):
    """A model that was read anew."""

    name: str
    digest: str
    before: str = Field(description="The digest of the one that it replaces.")


class Drift(BaseModel):
    """What one model has answered, against what it learnt from."""

    model: str
    n: int
    unknown: int
    unknown_share: float | None
    unknown_ci95: list[float] | None
    unknown_expected: float
    distance: float | None = Field(description="Total variation between the mixes of classes, 0 to 1.")
    distance_by_chance: float | None = Field(
        description="What so many pictures of the training mix would give on average."
    )
    classes: dict[str, dict[str, float]]


class Drifts(BaseModel):
    """Of every model."""

    models: list[Drift]
