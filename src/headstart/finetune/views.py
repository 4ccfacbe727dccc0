"""Views of the training pictures as the frozen stages see them: made once, kept on disk by content.

One file per picture and kind of views, in the cache: its views one after the other, each the pooled features
of the frozen stages and the whole map of the last one. With nothing frozen, a view is the pixels themselves.
A killed run goes on with the first picture that has no file.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.engines import Engine, open_engine
from headstart.errors import StoreError, UnreadablePicture
from headstart.features.extract import OnStep
from headstart.features.pipeline import read
from headstart.files import cache_folder, make_cache_folder, reason, sibling
from headstart.finetune.augment import looks, plain
from headstart.finetune.wish import Policy
from headstart.modalities.image import LIMIT_PX
from headstart.values import Bytes, Ints, Spec

FOLDER = "views"
SHARE = 0.5  # of the free disk is the most that views take
RULES = 2  # of how looks are made; a change of `finetune.augment` is a new number


@dataclass(frozen=True)
class Looks:
    """Which views are made of each picture."""

    policy: Policy
    views: int
    mirror: bool


@dataclass(frozen=True, eq=False)
class Views:
    """Kept views of n pictures."""

    files: tuple[Path, ...]
    looks: Looks
    width: int  # numbers in one view
    dtype: "np.dtype[Any]"

    def of(self, rows: Ints, views: Ints) -> NDArray[np.generic]:
        """View `views[i]` of picture `rows[i]`, [b, width]."""
        found = np.empty((len(rows), self.width), self.dtype)
        for at, (row, view) in enumerate(zip(rows, views, strict=True)):
            with self.files[int(row)].open("rb") as file:
                file.seek(int(view) * self.width * self.dtype.itemsize)
                found[at] = np.frombuffer(file.read(self.width * self.dtype.itemsize), self.dtype)
        return found


def need(width: int, dtype: "np.dtype[Any]", pictures: int, views: int) -> int:
    """Bytes on disk."""
    return pictures * (views * width * dtype.itemsize + 4)


def keep(  # noqa: PLR0913  what to look at, and how
    spec: Spec,
    stages: int,
    width: int,
    files: Sequence[Path],
    digests: Sequence[str],
    asked: Looks,
    *,
    device: str,
    limit_px: int = LIMIT_PX,
    on_step: OnStep,
) -> Views:
    """Views of these pictures behind the first `stages` stages; what is not kept is made now.

    Raises:
        StoreError: they do not fit on the disk, or cannot be written.
        UnreadablePicture: a file changed since it was read.
    """
    engine = open_engine(spec, device, stages=stages) if stages else None
    folder = _folder(spec, engine, asked)
    dtype = np.dtype("<f2") if stages else np.dtype(np.uint8)
    length = need(width, dtype, 1, asked.views)
    paths = [folder / f"{digest}.bin" for digest in digests]
    missing = [at for at, path in enumerate(paths) if not _is_whole(path, length)]
    free = shutil.disk_usage(folder).free
    if length * len(missing) > SHARE * free:
        raise StoreError(
            f"views of {len(missing)} pictures need {length * len(missing) / 1e9:.1f} GB at {folder}, where "
            f"{free / 1e9:.1f} GB are free. Tune fewer stages, or set HEADSTART_CACHE to another disk."
        )

    def make(at: int) -> None:
        data = read(files[at])
        if hashlib.sha256(data).hexdigest() != digests[at]:
            raise UnreadablePicture(f"{files[at]} changed while it was being learnt from. Start again.")
        pixels = looks(
            data, digests[at], spec.preprocess, asked.policy, asked.views,
            mirror=asked.mirror, limit_px=limit_px,
        )  # fmt: skip
        _write(paths[at], _seen(engine, pixels))

    if engine is not None and missing:
        engine.ready()
    workers = engine.workers if engine is not None else 2
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(make, at) for at in missing]
        try:
            for done, job in enumerate(jobs, 1):
                job.result()
                on_step(len(files) - len(missing) + done, len(files))
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
    return Views(tuple(paths), asked, width, dtype)


def lacking(
    spec: Spec, stages: int, width: int, digests: Sequence[str], asked: Looks, device: str
) -> tuple[Ints, int]:
    """Which of these pictures have no views kept yet, by the lengths of the files, and the bytes of one's."""
    engine = open_engine(spec, device, stages=stages) if stages else None
    folder = _folder(spec, engine, asked)
    length = need(width, np.dtype("<f2") if stages else np.dtype(np.uint8), 1, asked.views)
    return np.flatnonzero([_length(folder / f"{digest}.bin") != length for digest in digests]), length


def seen_once(
    spec: Spec,
    stages: int,
    files: Sequence[Path],
    *,
    mirrored: bool,
    device: str,
    limit_px: int = LIMIT_PX,
) -> NDArray[np.generic]:
    """One view of each picture, [n, width]: as `decode` gives it, or left and right exchanged. Not kept."""
    engine = open_engine(spec, device, stages=stages) if stages else None

    def see(file: Path) -> NDArray[np.generic]:
        return _seen(engine, plain(read(file), spec.preprocess, mirrored=mirrored, limit_px=limit_px))

    with ThreadPoolExecutor(engine.workers if engine else 2) as pool:
        return np.concatenate(list(pool.map(see, files)))


def _seen(engine: Engine | None, pixels: Bytes) -> NDArray[np.generic]:
    return pixels.reshape(len(pixels), -1) if engine is None else engine.encode(pixels)


def _folder(spec: Spec, engine: Engine | None, asked: Looks) -> Path:
    facts = [RULES, asdict(asked), engine.digest if engine else asdict(spec.preprocess)]
    return make_cache_folder(
        FOLDER, hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    )


def _write(path: Path, values: NDArray[np.generic]) -> None:
    body = values.tobytes()
    part = sibling(path, "part")
    try:
        part.write_bytes(body + zlib.crc32(body).to_bytes(4, "little"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {reason(error)}.") from error


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_whole(path: Path, length: int) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return len(data) == length and zlib.crc32(data[:-4]).to_bytes(4, "little") == data[-4:]


def room() -> int:
    """Bytes that views may take on this machine's disk now."""
    place = cache_folder()
    while not place.exists():
        place = place.parent
    return int(SHARE * shutil.disk_usage(place).free)
