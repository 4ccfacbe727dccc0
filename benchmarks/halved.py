"""A step of training in bfloat16 against the same step in float32, on the processor.

Random weights, all stages trained, pictures of noise; steps of both kinds take turns. Networks of plain
convolutions, of convolutions with a kernel for each channel, and of attention. Which of these `headstart`
trains in bfloat16 is told (`chosen`): what it chooses must not be slower. Only processors with AMX.
"""

import os
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import _harness
import numpy as np
from _harness import Absent, Bound, Options, Result

NETWORKS = {  # and pictures in a step
    "scratch:small-cnn?size=32": 64, "scratch:resnet18?size=32": 64, "timm:resnet50": 16,
    "timm:vit_small_patch16_224": 16, "timm:convnext_tiny": 16, "timm:mobilenetv2_100": 16,
    "efficientnet_lite0": 16,
}  # fmt: skip
CLASSES = 10


def measure(asked: Options) -> Iterator[Result]:
    """A row for each network."""
    if "amx_bf16" not in _harness.machine()["flags"]:
        raise Absent("this processor has no AMX")
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(place)
        for name, batch in list(NETWORKS.items())[: 1 if asked.quick else None]:
            yield one(name, batch, 2 if asked.quick else 9)


def one(name: str, batch: int, runs: int) -> Result:
    """Steps in turns, after one of each."""
    import torch
    from safetensors.torch import save

    from headstart import backbones
    from headstart.backbones.network import architecture
    from headstart.backbones.weights import with_bytes
    from headstart.files import cores
    from headstart.finetune import loop
    from headstart.finetune.thawed import Start, Thawed

    torch.manual_seed(0)
    spec = backbones.spec(name)
    if spec.weights.source != "random":
        drawn = architecture(spec.library, spec.architecture, spec.arguments)
        spec = with_bytes(spec, save(drawn.state_dict()))
    dice, last = np.random.default_rng(0), spec.depths[-1]
    weight = dice.normal(0, 0.01, (spec.dim, CLASSES)).astype(np.float32)
    scale, bias = np.ones(spec.dim, np.float32), np.zeros(CLASSES, np.float32)
    network = Thawed(spec, 0, Start(last.start, 0 * scale, scale, weight, bias))
    chosen = network.is_halved
    seen = torch.from_numpy(dice.integers(0, 256, (batch, network.width), dtype=np.uint8))
    truth = torch.arange(batch) % CLASSES
    torch.set_num_threads(cores())
    network.learning(on=True)
    taken: dict[bool, list[float]] = {False: [], True: []}
    losses: dict[bool, float] = {}
    for run in range(runs + 1):
        for halved in taken:
            network.is_halved = halved
            begin = time.perf_counter()
            losses[halved] = loop.descend(network, seen, truth)
            if run:
                taken[halved].append(time.perf_counter() - begin)
    ratios = [whole / half for whole, half in zip(taken[False], taken[True], strict=True)]
    detail: dict[str, Any] = {
        "chosen": chosen, "float32_s": median(taken[False]), "bfloat16_s": median(taken[True]),
        "losses": [losses[False], losses[True]],
    }  # fmt: skip
    return Result(
        f"a training step in bfloat16, faster than in float32, {name}", median(ratios), "times",
        Bound(">=", 1) if chosen else None, batch, runs, _harness.ends(ratios), detail,
    )  # fmt: skip


if __name__ == "__main__":
    _harness.main(measure, __doc__)
