"""What a report is made of, as one value: `gather` fills it, `render` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.values import ClassInfo, Doubles, Halves, Ints, Spec


@dataclass(frozen=True)
class Judged:
    """One picture whose answer counts in the score."""

    path: str
    truth: int  # position in the classes
    answers: tuple[tuple[int, float], ...]  # class and probability, likeliest first
    guesses: tuple[tuple[str, float], ...]  # of the source network, likeliest first; () where it makes none
    near: tuple[str, ...]  # paths of the nearest training pictures; () where nobody asked
    strangeness: float | None  # as `unknown_score` of `predict`; None where it was not looked at

    @property
    def is_unknown(self) -> bool:
        """Whether it is called unknown."""
        return self.strangeness is not None and self.strangeness > 1

    @property
    def is_right(self) -> bool:
        """Whether the first answer is the truth."""
        return self.answers[0][0] == self.truth


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that `render` shows."""

    report: dict[str, Any]  # the document of `train --json`; what it does not hold is not shown
    classes: tuple[str, ...]
    infos: Mapping[str, ClassInfo]
    backbone: Spec
    known: Mapping[str, tuple[int, str]]  # path of every picture that was used -> its class and part
    counts: Mapping[tuple[int, str], int]  # class and part -> how many; a file under two labels counts twice
    judged: tuple[Judged, ...]  # at most so many as a page can hold
    confusion: Ints  # [k, k] truth, first answer: of all pictures that count
    silence: str  # why the source network makes no guesses, "" where it does
    map: tuple[tuple[int, float, float], ...]  # position in `judged`, across and down, 0..1
    ladder: dict[str, Any] | None  # the document of `compare --json`, where it was run on these pictures
    thumbs: Mapping[str, bytes]  # JPEG by path, of some pictures
    heats: Mapping[str, bytes]  # PNG by path: where the network looked
    facts: Mapping[str, str]  # how it was made: what, and which


@dataclass(frozen=True, eq=False)
class Answered:
    """Pictures that count in the score, what fits without them said, and who saw them before."""

    rows: Ints  # [m] positions in the features
    probabilities: Doubles  # [m, k] calibrated
    source: tuple[Spec, Halves] | None = (
        None  # the network before it was trained, its last layer of all pictures
    )
