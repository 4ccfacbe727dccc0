"""A report made anew: from a saved model and its pictures."""

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.weights import is_trained
from headstart.data.check import leaked_rows
from headstart.data.walk import shown
from headstart.engines import open_engine
from headstart.errors import Misuse
from headstart.features.extract import OnStep, extract, quiet
from headstart.heads._choose import choose
from headstart.look import scan_all
from headstart.modalities.image import LIMIT_PX
from headstart.model.again import is_whole
from headstart.model.folder import JSON, load
from headstart.model.model import Part
from headstart.race import learnt_rows
from headstart.report.gather import answered
from headstart.report.making import made
from headstart.report.material import Answered
from headstart.values import Examples, Features, Finding, Split
from headstart.values import Part as Role

PARTS: dict[str, Role] = {"train": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Anew:
    """A page made anew, and what it lacks, in words. The page says so too."""

    page: bytes
    notes: tuple[str, ...]


def remake(
    folder: Path,
    data: Path,
    *,
    test: Path | None = None,
    device: str = "cpu",
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Anew:
    """The report of the model in `folder`, whose pictures are in `data` (and `test`), known by their content.

    Pictures that the model's split does not name take no part. Features come from the cache where they are.
    Without a test part the out-of-fold answers are computed again; of a network that was trained further
    there are none then, as it has seen all of these pictures.

    Raises:
        Misuse: of the training part, or of the test part, less than half is there; or the model is of an
            earlier build, whose report lacks what the page shows.
        NoData, DamagedModel: see the messages.
    """
    model = load(folder)
    if not is_whole(model.report):
        raise Misuse(
            f"{folder} was made by an earlier build, which wrote less into its report. Train it again."
        )
    examples = scan_all(data, test).examples
    engine = open_engine(model.backbone, device)
    read = extract(examples.files(), model.backbone, engine, limit_px=limit_px, on_step=on_step)
    examples = replace(examples.take(read.rows), digests=read.digests)
    matched = match(examples, model.manifest)
    kept = np.array(sorted(matched), dtype=np.int64)
    own = [matched[int(row)] for row in kept]
    for role in ("train", "test"):
        wanted, held = (sum(one.part == role for one in parts) for parts in (model.manifest, own))
        if 2 * held < wanted:
            places = f"{data} holds" if test is None else f"{data} and {test} hold"
            where = "Name where it lies: --test DATA." if role == "test" else "Name the same data."
            raise Misuse(
                f"{places} {held:,} of the {wanted:,} pictures that are the {role} part of {folder}: too few "
                f"for its report. {where}"
            )
    examples = replace(examples.take(kept), classes=model.classes)
    at = {name: place for place, name in enumerate(model.classes)}
    labels = np.array([at[one.label] for one in own], dtype=np.int64)
    groups = np.unique([one.group for one in own], return_inverse=True)[1].astype(np.int64)
    features = Features(
        read.x[kept], labels, groups, examples.digests, model.classes, model.backbone.depths, model.features
    )
    split = Split(tuple(PARTS[one.part] for one in own), dealt=False)
    notes = []
    if missing := len(model.manifest) - len(own):
        notes.append(
            f"{missing:,} of the {len(model.manifest):,} pictures that the model was made of were not found "
            "or cannot be read: they count in the numbers and are missing among the pictures."
        )
    leaked = np.union1d(leaked_rows(split, groups), learnt_rows(features, model.backbone))
    tested = np.setdiff1d(split.rows("test"), leaked)
    if len(tested):
        found = Answered(tested, model.answer(features.x[tested]).probabilities)
    elif is_trained(model.backbone):
        found = Answered(np.zeros(0, np.int64), np.zeros((0, len(model.classes))))
        notes.append(
            "Before and after, mistakes and the map are left out: the network was trained on all of these "
            "pictures, and what was said of each before it had seen it is not kept. `train` alone shows it."
        )
    else:
        asked = model.report["options"]
        fitted = choose(features.take(split.rows("train")), head=asked["head"], seed=asked["seed"])
        found = answered(fitted, features, split, leaked)
    now = {shown(line.path): shown(path) for line, path in zip(own, examples.paths, strict=True)}
    told = [Finding("ignored", str(data), one, "note") for one in notes]
    model = replace(model, report=_as_of_now(model.report, now, told))
    libraries = json.loads((folder / JSON).read_bytes())["libraries"]
    page = made(model, engine, features, examples, split, found, libraries=libraries, limit_px=limit_px)
    return Anew(page, tuple(notes))


def match(there: Examples, manifest: tuple[Part, ...]) -> dict[int, Part]:
    """Which line of split.csv speaks of which picture: position in `there` -> line, each used once.

    Content decides. Several pictures of one content may lie in several parts: each gets the line that is
    most like it, so that moved or renamed they do not change places.
    """
    lines: dict[str, dict[int, Part]] = defaultdict(dict)
    for at, part in enumerate(manifest):
        lines[part.digest][at] = part
    waiting: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(there.digests):
        if digest in lines:
            waiting[digest].append(row)
    found: dict[int, Part] = {}
    for digest, rows in waiting.items():
        left = lines[digest]
        for level in range(len(_alike("", "", ""))):
            offered: dict[tuple[str, ...], list[int]] = defaultdict(list)
            for at, part in left.items():
                offered[_alike(part.path, part.part, part.label)[level]].append(at)
            for row in [row for row in rows if row not in found]:
                label = there.classes[there.labels[row]]
                if own := offered[_alike(there.paths[row], there.parts[row], label)[level]]:
                    found[row] = left.pop(own.pop(0))
    return found


def _alike(path: str, part: str, label: str) -> tuple[tuple[str, ...], ...]:
    """What makes a picture and a line with the same content one, most telling first."""
    name = path.rpartition("/")[2]
    return (path,), (name, part, label), (part, label), (name, label), (label,), ()


def _as_of_now(report: dict[str, Any], now: dict[str, str], notes: list[Finding]) -> dict[str, Any]:
    """The document with the `notes`, and with today's paths where it names pictures."""

    def moved(one: dict[str, Any], *keys: str) -> dict[str, Any]:
        paths = {key: one[key] for key in keys if key in one}
        return one | {
            key: now.get(own, own) if isinstance(own, str) else [now.get(path, path) for path in own]
            for key, own in paths.items()
        }

    findings = [moved(one, "path", "others") for one in report["data"]["findings"]]
    report = report | {"data": report["data"] | {"findings": [*(one.to_json() for one in notes), *findings]}}
    if trust := report["trust"]:
        rows = [moved(one, "path") for one in trust["suspects"]["rows"]]
        weak = trust["weak"] and [moved(one, "paths") for one in trust["weak"]]
        report["trust"] = trust | {"suspects": trust["suspects"] | {"rows": rows}, "weak": weak}
    return report
