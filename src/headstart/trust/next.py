"""Label these next: pictures of an unlabelled folder from which the model would learn most."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data import duplicates
from headstart.data.walk import pictures_in
from headstart.engines import Engine
from headstart.errors import NoData
from headstart.evaluate.next import to_label
from headstart.features.extract import OnStep, extract, quiet
from headstart.heads import one_thread_each
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.values import Floats

SAME = 0.98  # cosine of the last layer's features from which a picture counts as one of the training part
BLOCK = 1024


@dataclass(frozen=True)
class Pick:
    """One picture to label, with what the model would say of it."""

    path: str
    label: str
    probability: float
    second: str  # the runner-up
    margin: float  # how far it lies behind

    def to_json(self) -> dict[str, Any]:
        """As in `next --json`."""
        return {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "second": self.second,
            "margin": self.margin,
        }


@dataclass(frozen=True)
class Next:
    """What to label next, most wanted first, and what was passed over."""

    picks: tuple[Pick, ...]
    pictures: int  # files that could be read
    unreadable: int
    known: int  # pictures that the model has learnt from, or twins of such
    twins: int  # twins of other pictures of the folder

    def to_json(self) -> dict[str, Any]:
        """As in `next --json`."""
        counts = {"pictures": self.pictures, "unreadable": self.unreadable}
        counts |= {"known": self.known, "twins": self.twins}
        return {"next": [pick.to_json() for pick in self.picks], **counts}


def to_label_next(
    model: Model,
    folder: Path,
    engine: Engine,
    *,
    n: int = 20,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Next:
    """The `n` pictures below `folder` that are unsure and unlike one another; the same ones on every run.

    Of twins one is asked for. Pictures that the model has learnt from are left out by content, and by
    their likeness to the (at most 2,000) training pictures that a model keeps.

    Raises:
        NoData: no picture there can be read, or the model knows them all.
    """
    files = [Path(name) for name in pictures_in(folder)]
    read = extract(files, model.backbone, engine, limit_px=limit_px, on_step=on_step)
    if not len(read.rows):
        raise NoData(f"there is no picture that can be read in {folder}.")
    last = model.backbone.depths[-1]
    with one_thread_each():
        wide = read.x[:, last.start : last.stop]
        twins = duplicates.find(wide, read.pictures.thumbs, read.digests)
        groups = duplicates.groups(len(read.rows), twins, ("",) * len(read.rows))
        unit = _unit(wide.astype(np.float32))
        learnt = {part.digest for part in model.manifest}
        known = np.array([digest in learnt for digest in read.digests])
        reference = _unit(model.familiar.references.astype(np.float32))
        for at in range(0, len(unit) if len(reference) else 0, BLOCK):
            known[at : at + BLOCK] |= (unit[at : at + BLOCK] @ reference.T).max(1) >= SAME
        known = np.isin(groups, groups[known])
        first = np.zeros(len(unit), bool)
        first[np.unique(groups, return_index=True)[1]] = True
        allowed = first & ~known
        if not allowed.any():
            raise NoData(f"the model has learnt from every picture of {folder}, or from a twin of it.")
        probabilities = model.answer(read.x).probabilities
        rows = to_label(probabilities, unit, n, allowed=allowed)
    picks = []
    for row in rows.tolist():
        best, second, *_ = np.argsort(-probabilities[row], kind="stable").tolist()
        chance, other = float(probabilities[row, best]), float(probabilities[row, second])
        name = str(files[int(read.rows[row])])
        picks.append(Pick(name, model.classes[best], chance, model.classes[second], chance - other))
    return Next(
        tuple(picks), len(read.rows), len(read.unreadable), int(known.sum()), int((~first & ~known).sum())
    )


def _unit(x: Floats) -> Floats:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    found: Floats = (x / np.where(length > 0, length, 1)).astype(np.float32)
    return found
