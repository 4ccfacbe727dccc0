"""Label these next: pictures of an unlabelled folder from which the model would learn most."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data import duplicates
from headstart.data.walk import pictures_in
from headstart.engines import Engine
from headstart.errors import Misuse, NoData
from headstart.evaluate.next import to_label
from headstart.features.extract import OnStep, extract, quiet
from headstart.features.store import Store
from headstart.heads import one_thread_each
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.values import Bytes, Floats, Halves


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
    compared: int  # training pictures that were looked at for twins ...
    not_kept: int  # ... and those that could not be, as they are not kept on this machine

    def to_json(self) -> dict[str, Any]:
        """As in `next --json`."""
        counts = {"pictures": self.pictures, "unreadable": self.unreadable}
        counts |= {"known": self.known, "twins": self.twins}
        counts |= {"compared": self.compared, "not_kept": self.not_kept}
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

    Of twins one is asked for. Pictures that the model has learnt from are left out by content, and as twins,
    by the rule of `data.duplicates`, of the (at most 2,000) training pictures that a model keeps, as far as
    they are kept on this machine.

    Raises:
        Misuse: there is no such folder.
        NoData: no picture there can be read, or the model knows them all.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  never raises, whatever the name
        what = "is not a folder" if os.path.exists(folder) else "is not there"  # noqa: PTH110
        raise Misuse(f"{folder} {what}. Wanted: a folder of unlabelled pictures.")
    files = [Path(name) for name in pictures_in(folder)]
    if not files:
        raise NoData(f"there is no picture in {folder}.")
    read = extract(files, model.backbone, engine, limit_px=limit_px, on_step=on_step)
    if not len(read.rows):
        at, why = next(iter(read.unreadable.items()))
        raise NoData(
            f"none of the {len(files):,} pictures in {folder} can be read. First: {files[at]}: {why}"
        )
    wanted, digests, wide, thumbs = _training(model, engine)
    count, last = len(read.rows), model.backbone.depths[-1]
    own = read.x[:, last.start : last.stop]
    with one_thread_each():
        twins = duplicates.find(
            np.concatenate([own, wide]),
            np.concatenate([read.pictures.thumbs, thumbs]),
            (*read.digests, *digests),
        )
        groups = duplicates.groups(count + len(digests), twins, ("",) * (count + len(digests)))
        unit = _unit(own.astype(np.float32))
        learnt = {part.digest for part in model.manifest}
        known = np.array([digest in learnt for digest in read.digests])
        taken = np.concatenate([groups[:count][known], groups[count:]])
        groups = groups[:count]
        known = np.isin(groups, taken)
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
        tuple(picks),
        count,
        len(read.unreadable),
        int(known.sum()),
        int((~first & ~known).sum()),
        len(digests),
        wanted - len(digests),
    )


def _training(model: Model, engine: Engine) -> tuple[int, tuple[str, ...], Halves, Bytes]:
    """How many training pictures a model keeps, and digests, last features and thumbs of those kept here."""
    spec, last = model.backbone, model.backbone.depths[-1]
    asked = dict.fromkeys(model.manifest[int(row)].digest for row in model.familiar.rows)
    with Store.open(spec.name, engine.digest, last.stop) as store:
        kept = store.known()
        digests = tuple(digest for digest in asked if digest in kept)
        x, pictures = store.load(list(digests))
    return len(asked), digests, x[:, last.start : last.stop], pictures.thumbs


def _unit(x: Floats) -> Floats:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    found: Floats = (x / np.where(length > 0, length, 1)).astype(np.float32)
    return found
