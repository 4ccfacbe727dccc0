"""The pictures of a tour: few, the same ones in every chapter, with a part that nothing learns from."""

import hashlib
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart import backbones
from headstart.data import duplicates, samples
from headstart.data.split import deal
from headstart.errors import TooFewExamples, UnreadablePicture
from headstart.features.pipeline import read
from headstart.look import chosen, scan_all
from headstart.modalities.image import Decoded, decode
from headstart.tour.section import Effort
from headstart.values import Bytes, Examples, Features, Floats, Ints, Preprocess, Spec

CLASSES = 4  # two tasks of two classes
SMALL_PX = 32  # what the networks from scratch get
SIDES_PX = (64, 96)  # what the default network gets: for small pictures, for others. 224 would take minutes
TINY_PX = 96  # short side below which pictures are small
AT_ONCE = 32
DIGITS = "digits"


@dataclass(frozen=True, eq=False)
class Material:
    """Some pictures of four classes (fewer where there are fewer), as each network gets them."""

    name: str
    classes: tuple[str, ...]
    spec: Spec  # the default network, for smaller pictures than usual
    pixels: Bytes  # [n, s, s, 3] for it
    small: Bytes  # [n, 32, 32, 3]
    shown: Bytes  # [224, 224, 3] one of the judged pictures, which is row `shown_row`
    shown_row: int
    shown_class: str
    features: Features  # of the frozen network
    order: Ints  # rows to learn from, in a fixed random order
    judged: Ints  # rows that nothing learns from
    sizes: tuple[int, ...]  # training pictures per class that the tour can give
    encode_s: float  # for one picture

    def first(self, per_class: int, classes: tuple[int, ...] | None = None) -> Ints:
        """So many training rows of each class, the same first ones whatever the number."""
        y = self.features.y[self.order]
        wanted = range(len(self.classes)) if classes is None else classes
        return np.concatenate([self.order[y == label][:per_class] for label in wanted])

    def judged_of(self, classes: tuple[int, ...]) -> Ints:
        """Rows of these classes that nothing learns from."""
        return self.judged[np.isin(self.features.y[self.judged], classes)]


def gather(data: Path | None, effort: Effort, *, seed: int = 0) -> Material:
    """Read and encode the pictures of a tour: the embedded digits, or the first four classes of `data`.

    Near-duplicates stay on one side of the split, as in `train`.

    Raises:
        NoData, Misuse: nothing usable at `data`.
        TooFewExamples: fewer than two classes, or a class with fewer than two pictures to learn from.
    """
    if data is not None:
        return _gather(data, data.resolve().name, effort, seed)
    with tempfile.TemporaryDirectory() as place:
        samples.write(DIGITS, Path(place) / DIGITS)
        return _gather(Path(place) / DIGITS, f"{DIGITS} (embedded sample)", effort, seed)


def _gather(data: Path, name: str, effort: Effort, seed: int) -> Material:
    examples = _some(scan_all(data, None).examples, effort, seed)
    how = chosen(backbones.DEFAULT).preprocess
    files, kept = examples.files(), list[int]()
    raw, seen = list[bytes](), list[Decoded]()
    for row, file in enumerate(files):
        try:
            found = read(file)
            seen.append(decode(found, how))
        except (OSError, UnreadablePicture):
            continue
        raw.append(found)
        kept.append(row)
    y = examples.labels[kept]
    counts = np.bincount(y, minlength=len(examples.classes))
    if len(counts) < 2 or counts.min() < 3:
        raise TooFewExamples(
            f"the tour wants two classes of three readable pictures at least; {data} has "
            + ", ".join(f"{own!r} {count}" for own, count in zip(examples.classes, counts, strict=True))
            + ". Leave out --data to see it on the embedded digits."
        )
    tiny = np.median([min(own.width, own.height) for own in seen]) < TINY_PX
    spec = _sized(chosen(backbones.DEFAULT), SIDES_PX[0] if tiny else SIDES_PX[1])
    pixels = np.stack([decode(own, spec.preprocess).pixels for own in raw])
    small = np.stack([decode(own, _resized(spec.preprocess, SMALL_PX)).pixels for own in raw])
    begin = time.perf_counter()
    x = encoded(spec, pixels)
    encode_s = (time.perf_counter() - begin) / len(x)
    digests = tuple(hashlib.sha256(own).hexdigest() for own in raw)
    last = spec.depths[-1]
    halves = x.astype(np.float16)
    twins = duplicates.find(halves[:, last.start : last.stop], np.stack([o.thumb for o in seen]), digests)
    groups = duplicates.groups(len(y), twins, [examples.groups[row] for row in kept])
    features = Features(halves, y, groups, digests, examples.classes, spec.depths, "tour")
    share = effort.judged / (effort.judged + effort.sizes[-1])
    parts = deal(y, groups, digests, seed=seed, share=share)
    order, judged = parts.rows("train"), parts.rows("test")
    order = order[np.argsort([digests[int(row)] for row in order])]
    least, seldom = (
        int(np.bincount(y[own], minlength=len(examples.classes)).min()) for own in (order, judged)
    )
    if least < 2 or not seldom:
        raise TooFewExamples(
            f"{data} leaves {least} pictures of its smallest class to learn from and {seldom} of one to judge "
            "with, after near-duplicates were put together. Add pictures, or leave out --data."
        )
    sizes = tuple(sorted({min(size, least) for size in effort.sizes}))
    at = int(judged[0])
    return Material(
        name, examples.classes, spec, pixels, small, seen[at].pixels.copy(), at, examples.classes[int(y[at])],
        features, order, judged, sizes, encode_s,
    )  # fmt: skip


def encoded(spec: Spec, pixels: Bytes) -> Floats:
    """Features of every depth [n, d] as the frozen network gives them."""
    import torch

    from headstart.backbones.network import Pooled, load

    network = Pooled(load(spec), spec.preprocess)
    with torch.inference_mode():
        blocks = [pixels[at : at + AT_ONCE] for at in range(0, len(pixels), AT_ONCE)]
        return np.concatenate([network(torch.from_numpy(own)).numpy() for own in blocks])


def _some(examples: Examples, effort: Effort, seed: int) -> Examples:
    """The first classes by name, and of each as many pictures as are wanted, by lot."""
    dice = np.random.default_rng(seed)
    wanted = effort.judged + effort.sizes[-1]
    classes = examples.classes[:CLASSES]
    rows = [
        dice.permutation(np.flatnonzero(examples.labels == label))[:wanted] for label in range(len(classes))
    ]
    return replace(examples.take(np.sort(np.concatenate(rows))), classes=classes, infos=())


def _sized(spec: Spec, side: int) -> Spec:
    return replace(spec, preprocess=_resized(spec.preprocess, side))


def _resized(preprocess: Preprocess, side: int) -> Preprocess:
    """The same share of the picture in fewer pixels."""
    resized = round(side * preprocess.resize_px / preprocess.size_px)
    return replace(preprocess, size_px=side, resize_px=resized)
