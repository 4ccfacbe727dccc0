"""How near the extraction of features comes to the floor: decoding and network alone, one after the other.

Extraction is the whole of it: reading, hashing, decoding, resizing, network, keeping and loading back. The
floor is what the two large steps cost when each has all cores for itself, added. All in one process, in turn.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("flowers12", "hymenoptera")


def measure(asked: Options) -> Iterator[Result]:
    """One efficiency for each set."""
    from headstart import backbones
    from headstart.engines import open_engine

    folders = {name: _harness.picture_set(asked, name) for name in SETS}
    spec = backbones.spec(backbones.DEFAULT)
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        engine = open_engine(spec)
        for name, folder in folders.items():
            files = _harness.pictures(folder)[:: 4 if asked.quick else 1]
            yield one_set(name, files, spec, engine, place, 2 if asked.quick else asked.extra.runs)


def one_set(name: str, files: list[Path], spec: Any, engine: Any, place: Path, runs: int) -> Result:
    """Extraction, decoding, network, and again."""
    from headstart.features import pipeline
    from headstart.features.extract import extract
    from headstart.files import digest_bytes
    from headstart.modalities.image import decode

    pixels = np.stack([decode(file.read_bytes(), spec.preprocess).pixels for file in files])
    stages: list[float] = []

    def whole() -> float:
        os.environ["HEADSTART_CACHE"] = str(place / f"cold-{name}-{len(stages)}")
        found = extract(files, spec, engine)
        assert found.encoded == len(set(found.digests)), "the store was not cold"
        stages.append(found.seconds)
        return len(files) / found.seconds

    def read(file: Path) -> None:
        data = pipeline.read(file)
        digest_bytes(data)
        decode(data, spec.preprocess)

    def encode(at: int) -> None:
        engine.encode(pixels[at : at + 1])

    def decoding() -> float:
        return _rate(read, files, engine.workers)

    def network() -> float:
        return _rate(encode, range(len(files)), engine.workers)

    for step in (decoding, network):
        step()  # once for the caches of the processor and the file system
    rates = _harness.rounds(runs, whole, decoding, network)
    shares = [a * (1 / b + 1 / c) for a, b, c in zip(*rates, strict=True)]
    extraction, decoded, encoded = (median(own) for own in rates)
    return Result(
        f"extraction, share of what decoding and network alone allow, {name}",
        100 * median(shares),
        "%",
        Bound(">=", 90),
        len(files),
        runs,
        _harness.ends([100 * share for share in shares]),
        {
            "pictures_per_second": extraction,
            "decoding_alone": decoded,
            "network_alone": encoded,
            "floor_ms_per_picture": 1000 / decoded + 1000 / encoded,
            "above_floor_ms_per_picture": 1000 / extraction - 1000 / decoded - 1000 / encoded,
            "workers": engine.workers,
            "precision": engine.precision,
        },
    )


def _rate(work: Callable[[Any], None], items: Sequence[Any], workers: int) -> float:
    """Items per second, `workers` threads side by side."""
    with ThreadPoolExecutor(workers) as pool:
        begin = time.perf_counter()
        for _ in pool.map(work, items):
            pass
        return len(items) / (time.perf_counter() - begin)


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--runs", {"type": int, "default": 7}))
