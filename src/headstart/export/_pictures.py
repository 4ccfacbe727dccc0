"""The picture files on which an export is compared, and from which it is calibrated: found, read, decoded."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from headstart.data.scan import scan
from headstart.data.walk import pictures_in
from headstart.errors import ExportRefused, Misuse, UnreadablePicture
from headstart.evaluate import reference_rows
from headstart.features.pipeline import read
from headstart.files import digest_bytes, digest_file
from headstart.modalities.image import LIMIT_PX, decode
from headstart.model.model import Model, Part
from headstart.values import Bytes, Ints

MOST = 200  # pictures that are compared
CALIBRATING = 100
LEAST = 0.5  # of those that are wanted: a few would not speak for all
NAMED = 5  # of those that are missing

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
        ExportRefused: too few of them are found.
    """
    if data is not None and not data.exists():
        raise Misuse(f"there is no folder or table of pictures at {data}.")
    places = _places(model, folder, data)
    held_out = [part for part in model.manifest if part.part == "test"]
    train = [part for part in model.manifest if part.part == "train"]
    chosen = _some(held_out, MOST) if held_out else _some(train, min(MOST, max(1, len(train) // 2)))
    compared = {part.digest for part in chosen}
    others = [part for part in train if part.digest not in compared] or train
    found = _decoded(model, chosen, places, f"an export is compared on {'test' if held_out else 'training'}")
    parts = tuple(part for part, _ in found)
    at = {name: place for place, name in enumerate(model.classes)}
    return Pictures(
        parts,
        np.stack([pixels for _, pixels in found]),
        np.array([at[part.label] for part in parts], dtype=np.int64),
        np.unique([part.group for part in parts], return_inverse=True)[1].astype(np.int64),
        len(chosen) - len(found),
        lambda: _training(model, others, places),
    )


def _training(model: Model, others: Sequence[Part], places: "_Places") -> Bytes:
    found = _decoded(model, _some(others, CALIBRATING), places, "int8 is calibrated on training")
    return np.stack([pixels for _, pixels in found])


def _some(parts: Sequence[Part], most: int) -> list[Part]:
    """At most so many, by content; small classes are not forgotten."""
    labels = np.unique([part.label for part in parts], return_inverse=True)[1].astype(np.int64)
    return [parts[int(row)] for row in reference_rows([part.digest for part in parts], labels, most)]


class _Places:
    """Where the pictures of a model are looked for: by their paths, and where these miss by their content."""

    def __init__(self, roots: Sequence[Path], others: Callable[[], Iterable[Path]], said: str) -> None:
        self.said = said  # where that is, for people
        self._roots, self._others = roots, others
        self._known: dict[str, Path] = {}

    def bytes_of(self, part: Part) -> bytes | None:
        """The file that the model saw; None where it is nowhere. Other files are read once, if at all."""
        for root in self._roots:
            if (data := _same(root / part.path, part.digest)) is not None:
                return data
        while part.digest not in self._known:
            file = next(self._left, None)
            if file is None:
                return None
            try:
                self._known.setdefault(digest_file(file), file)
            except OSError:  # gone meanwhile, or not ours to read: not the one that is looked for
                continue
        return _same(self._known[part.digest], part.digest)

    @cached_property
    def _left(self) -> Iterator[Path]:
        return iter(self._others())


def _same(file: Path, digest: str) -> bytes | None:
    try:
        data = read(file)
    except UnreadablePicture:  # not there
        return None
    return data if digest_bytes(data) == digest else None


def _places(model: Model, folder: Path, data: Path | None) -> _Places:
    if data is not None:
        # a test part that lay elsewhere stands in split.csv with its own path
        roots = [data if data.is_dir() else data.parent, Path()]
        return _Places(roots, lambda: _pictures_of(data), f"in {data}")
    named = str(model.report.get("model", folder.name)).removesuffix("-model")
    beside = folder.resolve().parent
    roots = list(dict.fromkeys([Path(), beside, beside / named, Path(named)]))
    usual = [root for root in roots if root.name == named and root.is_dir()]
    return _Places(roots, lambda: chain.from_iterable(map(_pictures_of, usual)), f"near {folder}")


def _pictures_of(data: Path) -> Iterable[Path]:
    """Every file in a folder, or named by a table, that may be a picture."""
    return map(Path, pictures_in(data)) if data.is_dir() else scan(data).examples.files()


def _decoded(model: Model, chosen: Sequence[Part], places: _Places, what: str) -> list[tuple[Part, Bytes]]:
    """Those that are found with the content that the model saw.

    Raises:
        ExportRefused: too few; the message begins with `what` they are for.
    """
    limit_px = int(model.report.get("options", {}).get("limit_px", LIMIT_PX))
    found, missing = [], []
    for part in chosen:
        try:
            data = places.bytes_of(part)
            if data is not None:
                found.append((part, decode(data, model.backbone.preprocess, limit_px=limit_px).pixels))
                continue
        except UnreadablePicture:  # in a format that this installation cannot read
            pass
        missing.append(part.path)
    if len(found) < LEAST * len(chosen):
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        least = math.ceil(LEAST * len(chosen))
        raise ExportRefused(
            f"{what} pictures, and {len(found)} of {len(chosen)} are {places.said} as they were; at least "
            f"{least} have to be. Missing or changed: {', '.join(missing[:NAMED])}{more}. "
            "Name the folder or table that the model was trained on: --data DATA"
        )
    return found
