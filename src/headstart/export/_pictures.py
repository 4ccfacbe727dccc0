"""The picture files on which an export is compared, and from which it is calibrated: found, read, decoded."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import ExportRefused, Misuse, UnreadablePicture
from headstart.evaluate import reference_rows
from headstart.features.pipeline import read
from headstart.files import digest_bytes
from headstart.modalities.image import LIMIT_PX, decode
from headstart.model.model import Model, Part
from headstart.values import Bytes, Ints

MOST = 200  # pictures that are compared
CALIBRATING = 100
_NAME_IT = "Name the folder or table that the model was trained on, its pictures unchanged: --data DATA"

Progress = Callable[[int, int], None]  # pictures compared, pictures in all


@dataclass(frozen=True, eq=False)
class Pictures:
    """What an export is compared on."""

    parts: tuple[Part, ...]  # [n] lines of split.csv
    pixels: Bytes  # [n, s, s, 3]
    labels: Ints  # [n] truth
    groups: Ints  # [n] equal numbers belong together
    missing: int  # pictures that were wanted and are not where they were, or were changed
    training: Callable[[], Bytes]  # [m, s, s, 3] of training pictures, decoded when they are asked for


def gathered(model: Model, folder: Path, data: Path | None) -> Pictures:
    """At most MOST pictures of the test part, chosen by content; where there is none, of the training part.

    Of the training part at most half, so that others are left to calibrate from.

    Raises:
        Misuse: `data` is not there.
        ExportRefused: not one of them is where it was.
    """
    if data is not None and not data.exists():
        raise Misuse(f"there is no folder or table of pictures at {data}.")
    roots = _roots(model, folder, data)
    held_out = [part for part in model.manifest if part.part == "test"]
    train = [part for part in model.manifest if part.part == "train"]
    chosen = _some(held_out, MOST) if held_out else _some(train, min(MOST, max(1, len(train) // 2)))
    compared = {part.digest for part in chosen}
    others = [part for part in train if part.digest not in compared] or train
    found = _decoded(model, chosen, roots)
    if not found:
        where = f"below {data}" if data is not None else f"near {folder}"
        part = "test" if held_out else "training"
        raise ExportRefused(
            f"an export is compared with the model on its {part} pictures, and none of them is {where} as it "
            f"was (such as {chosen[0].path}). {_NAME_IT}"
        )
    parts = tuple(part for part, _ in found)
    at = {name: place for place, name in enumerate(model.classes)}
    return Pictures(
        parts,
        np.stack([pixels for _, pixels in found]),
        np.array([at[part.label] for part in parts], dtype=np.int64),
        np.unique([part.group for part in parts], return_inverse=True)[1].astype(np.int64),
        len(chosen) - len(found),
        lambda: _training(model, others, folder, roots),
    )


def _training(model: Model, others: Sequence[Part], folder: Path, roots: Sequence[Path]) -> Bytes:
    chosen = _some(others, CALIBRATING)
    found = _decoded(model, chosen, roots)
    if not found:
        raise ExportRefused(
            f"int8 is calibrated on training pictures, and none of those of {folder} is where it was (such "
            f"as {chosen[0].path}). {_NAME_IT}"
        )
    return np.stack([pixels for _, pixels in found])


def _some(parts: Sequence[Part], most: int) -> list[Part]:
    """At most so many, by content; small classes are not forgotten."""
    labels = np.unique([part.label for part in parts], return_inverse=True)[1].astype(np.int64)
    return [parts[int(row)] for row in reference_rows([part.digest for part in parts], labels, most)]


def _roots(model: Model, folder: Path, data: Path | None) -> list[Path]:
    """Folders that the paths of split.csv may start from."""
    if data is not None:
        # a test part that lay elsewhere stands in split.csv with its own path
        return [data if data.is_dir() else data.parent, Path()]
    named = str(model.report.get("model", folder.name)).removesuffix("-model")
    beside = folder.resolve().parent
    return list(dict.fromkeys([Path(), beside, beside / named, Path(named)]))


def _decoded(model: Model, chosen: Iterable[Part], roots: Sequence[Path]) -> list[tuple[Part, Bytes]]:
    """Those whose files are there with the content that the model saw."""
    limit_px = int(model.report.get("options", {}).get("limit_px", LIMIT_PX))
    found = []
    for part in chosen:
        for root in roots:
            try:
                data = read(root / part.path)
                if digest_bytes(data) != part.digest:
                    continue
                found.append((part, decode(data, model.backbone.preprocess, limit_px=limit_px).pixels))
                break
            except UnreadablePicture:  # not there, or in a format that this installation cannot read
                continue
    return found
