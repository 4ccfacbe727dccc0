"""What the tier `best` (DINOv2 ViT-S/14 at 224 px) costs beside the default: time per picture of the network.

Its weights are not needed for that: random ones take as long. Both engines on the same pictures, in turn.
"""

import os
import time
from collections.abc import Iterator
from statistics import median

import _harness
import numpy as np
from _harness import Options, Result

PICTURES = 48


def measure(asked: Options) -> Iterator[Result]:
    """The ratio."""
    from concurrent.futures import ThreadPoolExecutor

    from safetensors.torch import save

    from headstart import backbones
    from headstart.backbones.network import architecture
    from headstart.backbones.weights import with_bytes
    from headstart.engines import open_engine

    n = 8 if asked.quick else PICTURES
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        spec = backbones.spec("best")
        state = architecture(spec.library, spec.architecture, spec.arguments).state_dict()
        best = with_bytes(spec, save({name: own.contiguous() for name, own in state.items()}))
        engines = [open_engine(backbones.spec("fast")), open_engine(best)]
        dice = np.random.default_rng(0)
        pixels = dice.integers(0, 256, (n, 224, 224, 3), dtype=np.uint8)

        def rate(engine: object) -> float:
            with ThreadPoolExecutor(engines[0].workers) as pool:
                begin = time.perf_counter()
                list(pool.map(lambda at: engine.encode(pixels[at : at + 1]), range(n)))  # type: ignore[attr-defined]
                return n / (time.perf_counter() - begin)

        for engine in engines:
            engine.encode(pixels[:1])
        runs = 1 if asked.quick else 5
        fast, slow = _harness.rounds(runs, lambda: rate(engines[0]), lambda: rate(engines[1]))
        ratios = [a / b for a, b in zip(fast, slow, strict=True)]
        yield Result(
            "network of best, time per picture beside the default's", median(ratios), "times", None,
            n, runs, _harness.ends(ratios),
            {"fast_per_s": median(fast), "best_per_s": median(slow), "precision": engines[1].precision},
        )  # fmt: skip


if __name__ == "__main__":
    _harness.main(measure, __doc__)
