"""What showing a place does to a logit: the other half of a heat map.

The parts of a logit (`heat`) say which positions of the last layers it is added up from. What fills such a
position may lie beside it, and what is there may be there elsewhere, too. So cells of a blurred picture are
shown, some at random, and the slope of the logit at each cell is read: averaged over how many are shown and
which, that is the multilinear form of the Shapley value (Owen 1972, doi:10.1287/mnsc.18.5.64), with a slope
in place of a difference, so that one pass there and back serves all cells.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.explain.faithful import blurred
from headstart.explain.heat import CELLS, Heat, pull_of, upsampled
from headstart.explain.lens import Lens, Seen
from headstart.values import Bytes, Floats

if TYPE_CHECKING:
    import torch

SAMPLES = 32  # choices of cells
BATCH = 4  # pictures at a time: what their gradients need is held


def with_effects(lens: Lens, seen: Seen, heats: Sequence[Heat]) -> list[Heat]:
    """Maps of one picture, which was `seen`, with `effect`. The same picture gives the same bits."""
    rows = [0] * len(heats)
    pull, _ = pull_of(
        lens.model,
        seen.features.numpy()[rows],
        [heat.label for heat in heats],
        [heat.against for heat in heats],
    )
    found = effects(lens, heats[0].pixels, pull)
    return [replace(heat, effect=own) for heat, own in zip(heats, found, strict=True)]


def effects(lens: Lens, pixels: Bytes, pull: Floats) -> Floats:
    """What showing each pixel of a picture [s, s, 3] adds, [n, s, s], to each sum of features.

    `pull` [n, all depths] says what features count for. The parts of a map add up to about what the sum is
    for the picture less what it is for the blurred one; to just that where the network is linear.
    """
    import torch

    from headstart.backbones.network import Normalise

    normalise = Normalise(lens.model.backbone.preprocess)
    sharp, soft = (normalise(torch.from_numpy(own[None].copy())) for own in (pixels, blurred(pixels)))
    side, shown, pulls = pixels.shape[0], _shown(), torch.from_numpy(pull)
    slopes = torch.zeros(len(pull), CELLS, CELLS)
    for start in range(0, SAMPLES, BATCH):
        cells = shown[start : start + BATCH].requires_grad_()
        with torch.enable_grad():
            share = torch.nn.functional.interpolate(cells[:, None], (side, side), mode="bilinear")
            features = torch.cat(lens.network.depths(soft + share * (sharp - soft)), 1)
            sums = (features @ pulls.T).sum(0)
            for row, one in enumerate(sums):
                last = row + 1 == len(sums)
                slopes[row] += torch.autograd.grad(one, cells, retain_graph=not last)[0].sum(0)
    found: Floats = upsampled(slopes / SAMPLES, side).numpy()
    return found


def _shown() -> "torch.Tensor":
    """Which cells are shown, [SAMPLES, CELLS, CELLS] of 0 and 1: from few to nearly all of them."""
    import torch

    rng, count = np.random.default_rng(0), CELLS**2
    many = ((np.arange(SAMPLES) + 0.5) / SAMPLES * count).round()
    ranks = rng.permuted(np.tile(np.arange(count), (SAMPLES, 1)), axis=1)
    return torch.from_numpy((ranks < many[:, None]).astype(np.float32).reshape(SAMPLES, CELLS, CELLS))
