"""The figures behind docs/decisions: batch and streams, the square root, threads of BLAS."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import _harness
import numpy as np
from _harness import Options, Result

SETS = ("flowers12", "alien_predator", "caltech101_small", "cifar10_small", "hymenoptera")
SHAPES = ((1, 2), (4, 2), (8, 2), (1, 1), (8, 1))  # pictures per request, streams
PICTURES = 240


def measure(asked: Options) -> Iterator[Result]:
    """Speed by batch and streams; log-loss with and without the root; time by threads of BLAS."""
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        yield from shapes(1 if asked.quick else 5)
        yield from roots(asked)


def shapes(runs: int) -> Iterator[Result]:
    import openvino

    from headstart.files import cache_folder

    network = next((cache_folder() / "networks").rglob("network.xml"))
    core = openvino.Core()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    speeds: dict[tuple[int, int], list[float]] = {shape: [] for shape in SHAPES}
    bits = {}
    compiled = {}
    for batch, streams in SHAPES:
        model = core.read_model(str(network))
        model.reshape([batch, 224, 224, 3])
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": "2",
        }
        compiled[batch, streams] = core.compile_model(model, "CPU", options)
        rows = [compiled[batch, streams](pixels[at : at + batch])[0].copy() for at in range(0, 8, batch)]
        bits[batch, streams] = np.concatenate(rows)
    for _ in range(runs):
        for (batch, streams), net in compiled.items():
            speeds[batch, streams].append(speed(net, pixels[:batch], streams))
    for batch, streams in SHAPES:
        yield Result(
            f"network alone, batch {batch} on {streams} streams, float32",
            float(np.median(speeds[batch, streams])),
            "pictures/s",
            None,
            PICTURES,
            runs,
            _harness.ends(speeds[batch, streams]),
            {"bits_as_alone": bool(np.array_equal(bits[batch, streams], bits[1, 2]))},
        )


def speed(net: Any, pixels: np.ndarray, streams: int) -> float:
    def work() -> None:
        request = net.create_infer_request()
        for _ in range(PICTURES // len(pixels) // streams):
            request.infer([pixels])

    begin = time.perf_counter()
    threads = [Thread(target=work) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return PICTURES / (time.perf_counter() - begin)


def roots(asked: Options) -> Iterator[Result]:
    from headstart import heads
    from headstart.backbones import DEFAULT, spec
    from headstart.engines import open_engine
    from headstart.heads import _choose, _inputs
    from headstart.look import look_with, scan_all

    engine = open_engine(spec(DEFAULT))
    for name in SETS[: 1 if asked.quick else None]:
        seen = look_with(spec(DEFAULT), engine, scan_all(Path(_harness.picture_set(asked, name)), None))
        rows = np.array([part == "train" for part in seen.examples.parts])
        train = seen.features.take(np.flatnonzero(rows))
        without = _choose.choose(train).best
        plain = _inputs._wide
        _inputs._wide = lambda x: np.copysign(np.sqrt(np.abs(x.astype(np.float32))), x.astype(np.float32))
        with_root = _choose.choose(train).best
        _inputs._wide = plain
        yield Result(
            f"out-of-fold log-loss with the signed square root over that without it, {name}",
            with_root.nll / without.nll,
            "ratio",
            None,
            len(train),
            1,
            None,
            {"with": with_root.nll, "without": without.nll},
        )
        if name == "flowers12":
            begin = time.process_time()
            _choose.choose(train)
            one = time.process_time() - begin
            limit, heads.one_thread_each = heads.one_thread_each, Unlimited  # type: ignore[assignment]
            begin = time.process_time()
            _choose.choose(train)
            many = time.process_time() - begin
            heads.one_thread_each = limit
            yield Result(
                "choosing a head: processor time with all BLAS threads over that with one",
                many / one,
                "ratio",
                None,
                len(train),
                1,
                None,
                {"one_s": one, "many_s": many},
            )


class Unlimited:
    """BLAS as it comes."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


if __name__ == "__main__":
    _harness.main(measure, __doc__)
