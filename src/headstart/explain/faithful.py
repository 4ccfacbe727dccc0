"""Is a heat map true of the network? Blur what it calls warm and watch the probability fall; or the reverse.

Deletion and insertion curves of Petsiuk et al. 2018 (RISE, arXiv:1806.07421): the warmest pixels are taken
away first from the picture, or given first to a blurred one, and the probability of the class is read after
each step. A map that tells what mattered has a small area under the first curve and a large one under the
second. What is taken away is blurred, so that no edges appear that the network has never seen; every map is
judged with the same blur.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageFilter

from headstart.engines import Engine
from headstart.evaluate import softmax
from headstart.model.model import Model
from headstart.values import Bytes, Doubles, Floats

Answer = Callable[[Bytes], Doubles]  # pictures [m, s, s, 3] to calibrated probabilities [m, k]

STEPS = 12  # of an area, and of a page's curves
BLUR = 0.08  # standard deviation of what is taken away, in sides of the picture
RANDOM_MAPS = 9  # to compare with: a map that knows nothing beats all of them on a tenth of pictures at most
GRID = 7  # cells across a random map: as coarse as the maps of most networks
SPREAD = 0.25  # standard deviation of the map that only knows the centre, in sides


@dataclass(frozen=True, eq=False)
class Curve:
    """What a class has while a picture is taken away, and while it is given, warmest first: its probability,
    or how far its logit is above the others' average.
    """

    deletion: Doubles  # [STEPS + 1] from the whole picture to the blurred one
    insertion: Doubles  # [STEPS + 1] from the blurred picture to the whole one

    @property
    def deleted(self) -> float:
        """Area under the deletion curve, 0 to 1 where it is of a probability. Small is good."""
        return _area(self.deletion)

    @property
    def inserted(self) -> float:
        """Area under the insertion curve, 0 to 1 where it is of a probability. Large is good."""
        return _area(self.insertion)


@dataclass(frozen=True, eq=False)
class Course:
    """What is said of every class meanwhile: one map's steps serve the curves of all classes."""

    deletion: Doubles  # [STEPS + 1, k] from the whole picture to the blurred one
    insertion: Doubles  # [STEPS + 1, k] from the blurred picture to the whole one

    def of(self, column: int) -> Curve:
        """The probability of one class, by its place among the model's."""
        return Curve(self.deletion[:, column], self.insertion[:, column])

    def lead(self, column: int) -> Curve:
        """Its logit less the others' average, divided by the temperature: it moves where a probability of
        nearly nothing cannot.
        """
        return Curve(_lead(self.deletion, column), _lead(self.insertion, column))


@dataclass(frozen=True, eq=False)
class Check:
    """How a map of one class fares beside maps that know nothing of the picture."""

    label: str
    is_lead: bool  # whether the curves are of the logit above the others' average, and not of the probability
    curve: Curve  # of the map
    random: Curve  # of the random maps, averaged
    centre: Curve  # of a map that only knows the middle
    beaten: int  # how many of the random maps the map beats both ways

    def to_json(self) -> dict[str, object]:
        """Areas under the curves, and how many random maps were beaten."""
        return {
            name: {"deletion": own.deleted, "insertion": own.inserted}
            for name, own in (("map", self.curve), ("random", self.random), ("centre", self.centre))
        } | {"random_maps": RANDOM_MAPS, "beaten": self.beaten}


def checked(answer: Answer, pixels: Bytes, maps: Sequence[tuple[str, int, Floats]]) -> tuple[Check, ...]:
    """Checks of some `maps` (class, its place among the model's, map [s, s]) of one picture [s, s, 3].

    The first is that of the answer, and is checked by its probability; others by their logits' lead.
    """
    side = pixels.shape[0]
    chance = [course(answer, pixels, random_map(side, seed)) for seed in range(RANDOM_MAPS)]
    middle = course(answer, pixels, centre_map(side))
    found = []
    for at, (label, column, heat) in enumerate(maps):
        ways = (course(answer, pixels, heat), middle, *chance)
        own, centre, *others = [one.lead(column) if at else one.of(column) for one in ways]
        beaten = sum(own.deleted < one.deleted and own.inserted > one.inserted for one in others)
        found.append(Check(label, at > 0, own, mean_of(others), centre, beaten))
    return tuple(found)


def course(answer: Answer, pixels: Bytes, heat: Floats) -> Course:
    """Both ways through one picture [s, s, 3] by one map [s, s]; equal pixels go in reading order."""
    order = np.argsort(-heat.ravel(), kind="stable")
    ranks = np.argsort(order, kind="stable").reshape(heat.shape)  # 0 for the warmest
    soft = blurred(pixels)
    ends = [round(heat.size * step / STEPS) for step in range(STEPS + 1)]
    taken = np.stack([np.where((ranks < end)[..., None], soft, pixels) for end in ends])
    given = np.stack([np.where((ranks < end)[..., None], pixels, soft) for end in ends[1:-1]])
    said = answer(np.concatenate([taken, given]))
    deletion = said[: len(ends)]
    return Course(deletion, np.concatenate([deletion[-1:], said[len(ends) :], deletion[:1]]))


def mean_of(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves, point by point."""
    return Curve(
        np.mean([one.deletion for one in curves], axis=0), np.mean([one.insertion for one in curves], axis=0)
    )


def answering(model: Model, engine: Engine) -> Answer:
    """How a model answers: calibrated probabilities, on all the engine's workers."""

    def answer(pixels: Bytes) -> Doubles:
        parts = [pixels[at : at + engine.batch] for at in range(0, len(pixels), engine.batch)]
        with ThreadPoolExecutor(engine.workers) as pool:
            x = np.concatenate(list(pool.map(engine.encode, parts)))
        return softmax(model.head.logits(model.inputs.of(x)), model.temperature)

    return answer


def blurred(pixels: Bytes) -> Bytes:
    """The picture with everything but its coarsest colours gone."""
    soft = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(BLUR * pixels.shape[1]))
    return np.asarray(soft)


def random_map(side: int, seed: int) -> Floats:
    """A map that knows nothing, as smooth as those of a network: noise on a coarse grid, upsampled."""
    coarse = np.random.default_rng(seed).normal(size=(GRID, GRID)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR))


def centre_map(side: int) -> Floats:
    """A map that only knows that photographers put things in the middle: a Gaussian."""
    at = (np.arange(side) + 0.5) / side - 0.5
    bell = np.exp(-(at**2) / (2 * SPREAD**2))
    return np.outer(bell, bell).astype(np.float32)


def _lead(probabilities: Doubles, column: int) -> Doubles:
    """From probabilities [m, k], which tell logits but for what they have in common."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    k = logs.shape[1]
    found: Doubles = (logs[:, column] * k - logs.sum(1)) / (k - 1)
    return found


def _area(values: Doubles) -> float:
    """The trapezoids under points at equal distances, for a width of one."""
    return float(sum(a + b for a, b in pairwise(values.tolist())) / 2 / (len(values) - 1))
