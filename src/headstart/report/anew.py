"""A report made anew: from a saved model and its pictures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.backbones.weights import is_trained
from headstart.data.check import leaked_rows
from headstart.engines import open_engine
from headstart.errors import Misuse
from headstart.features.extract import OnStep, extract, quiet
from headstart.heads._choose import choose
from headstart.look import scan_all
from headstart.modalities.image import LIMIT_PX
from headstart.model.folder import JSON, load
from headstart.model.model import Part
from headstart.race import learnt_rows
from headstart.report.gather import answered
from headstart.report.making import made
from headstart.report.material import Answered
from headstart.values import Features, Split
from headstart.values import Part as Role

PARTS: dict[str, Role] = {"train": "train", "val": "val", "test": "test"}


def remake(
    folder: Path,
    data: Path,
    *,
    test: Path | None = None,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> bytes:
    """The report of the model in `folder`, whose pictures are in `data` (and `test`), known by their content.

    Pictures that the model's split does not name take no part. Features come from the cache where they are.
    Without a test part the out-of-fold answers are computed again; of a network that was trained further
    there are none then, as it has seen all of these pictures.

    Raises:
        Misuse, DamagedModel: see the messages.
        NoData: nothing usable there.
    """
    model = load(folder)
    examples = scan_all(data, test).examples
    engine = open_engine(model.backbone, device)
    read = extract(examples.files(), model.backbone, engine, limit_px=limit_px, on_step=on_step)
    named: dict[str, list[Part]] = {}
    for part in model.manifest:
        named.setdefault(part.digest, []).append(part)
    at = {name: place for place, name in enumerate(model.classes)}
    kept = np.array([row for row, digest in enumerate(read.digests) if digest in named], dtype=np.int64)
    if not len(kept):
        raise Misuse(f"{data} holds none of the pictures that {folder} was made of. Name the same data.")
    paths = [examples.paths[int(row)] for row in read.rows[kept]]
    own = [_part(named[read.digests[int(row)]], path) for row, path in zip(kept, paths, strict=True)]
    examples = replace(
        examples.take(read.rows[kept]), digests=tuple(one.digest for one in own), classes=model.classes
    )
    labels = np.array([at[one.label] for one in own], dtype=np.int64)
    groups = np.unique([one.group for one in own], return_inverse=True)[1].astype(np.int64)
    features = Features(
        read.x[kept], labels, groups, examples.digests, model.classes, model.backbone.depths, model.features
    )
    split = Split(tuple(PARTS[one.part] for one in own), dealt=False)
    leaked = np.union1d(leaked_rows(split, groups), learnt_rows(features, model.backbone))
    tested = np.setdiff1d(split.rows("test"), leaked)
    if len(tested):
        found = Answered(tested, model.answer(features.x[tested]).probabilities)
    elif is_trained(model.backbone):
        found = Answered(np.zeros(0, np.int64), np.zeros((0, len(model.classes))))
    else:
        asked = model.report["options"]
        fitted = choose(features.take(split.rows("train")), head=asked["head"], seed=asked["seed"])
        found = answered(fitted, features, split, leaked)
    libraries = json.loads((folder / JSON).read_bytes())["libraries"]
    return made(model, engine, features, examples, split, found, libraries=libraries, limit_px=limit_px)


def _part(same: list[Part], path: str) -> Part:
    """Which line of split.csv speaks of the file at `path`: of several with its content that of its name."""
    return next((one for one in same if one.path == path), same[0])
