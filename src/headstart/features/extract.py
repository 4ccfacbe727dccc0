"""Features of many files: from the store where they are known, else encoded once and kept."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.engines import Engine
from headstart.errors import DamagedStore
from headstart.features import pipeline
from headstart.features.store import Store
from headstart.modalities.image import LIMIT_PX
from headstart.values import Halves, Ints, Kept, Pictures, Spec

OnStep = Callable[[int, int], None]  # pictures done, pictures in all
COMMIT_S = 0.1  # of encoding is the most that a killed run does again


def quiet(_done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, eq=False)
class Extraction:
    """What could be read of a list of files, and why the rest could not."""

    rows: Ints  # [n] positions in the list of the files that were read
    digests: tuple[str, ...]  # [n] of their content
    x: Halves  # [n, d]
    pictures: Pictures  # [n]
    unreadable: dict[int, str]  # position -> reason
    encoded: int  # how many were not known before
    seconds: float  # without the opening of the network


def extract(
    files: Sequence[Path],
    backbone: Spec,
    engine: Engine,
    *,
    limit_px: int = LIMIT_PX,
    on_step: OnStep = quiet,
) -> Extraction:
    """Features of every file that can be read, in the order of `files`.

    Whatever was encoded is kept at once: an interrupted or killed run loses a tenth of a second. All features
    come back through the store, so that a first and a second run give the same bits.

    Raises:
        StoreError: the store cannot be opened, read or written.
    """
    try:
        return _extract(files, backbone, engine, limit_px, on_step)
    except DamagedStore:  # found while reading, and removed: it is made anew, once
        return _extract(files, backbone, engine, limit_px, on_step)


def _extract(
    files: Sequence[Path], backbone: Spec, engine: Engine, limit_px: int, on_step: OnStep
) -> Extraction:
    begin, opened = time.perf_counter(), engine.opening_s
    with Store.open(backbone.name, engine.digest, backbone.depths[-1].stop) as store:
        seen = store.known()
        digests: dict[int, str] = {}
        failed: dict[str, str] = {}
        unreadable: dict[int, str] = {}
        waiting: list[Kept] = []
        encoded, last = 0, time.perf_counter()

        def passes(digest: str) -> bool:
            if digest in seen:
                return True
            seen.add(digest)
            return False

        items = pipeline.run(files, engine, backbone.preprocess, passes=passes, limit_px=limit_px)
        try:
            for item in items:
                if item.kept is not None:
                    waiting.append(item.kept)
                    encoded += 1
                if item.error is None:
                    digests[item.at] = item.digest
                else:
                    unreadable[item.at] = item.error
                    failed[item.digest] = item.error
                if waiting and time.perf_counter() - last > COMMIT_S:
                    store.add(waiting)
                    waiting.clear()
                    last = time.perf_counter()
                on_step(item.at + 1, len(files))
        finally:
            items.close()
            store.add(waiting)
        for at, digest in digests.items():  # a copy of a file that failed was passed over
            if digest in failed:
                unreadable[at] = failed[digest]
        rows = [at for at in sorted(digests) if at not in unreadable]
        x, pictures = store.load([digests[at] for at in rows])
    return Extraction(
        np.array(rows, dtype=np.int64),
        tuple(digests[at] for at in rows),
        x,
        pictures,
        dict(sorted(unreadable.items())),
        encoded,
        time.perf_counter() - begin - (engine.opening_s - opened),
    )
