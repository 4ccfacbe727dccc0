"""What each piece of a network gives for one picture: its first kernels, then maps from edges to parts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headstart.explain.lens import Lens, Seen, grid_of
from headstart.values import Bytes, Floats

if TYPE_CHECKING:
    from torch import nn

MAPS = 8  # of each piece
KERNELS = 64


@dataclass(frozen=True, eq=False)
class Layer:
    """One piece of the network and what it gives for this picture."""

    name: str
    shape: tuple[int, ...]  # channels, height, width; or the length of a vector
    parameters: int
    maps: tuple[tuple[int, Floats], ...]  # number and [h, w] of the channels that vary most over the picture


@dataclass(frozen=True, eq=False)
class Kernels:
    """The weights of the first convolution, each as the patch of colours that it answers to most."""

    shape: tuple[int, ...]  # kernels, 3, height, width
    tiles: tuple[Bytes, ...]  # [h, w, 3], grey where a weight is zero; KERNELS at most


def layers(lens: Lens, seen: Seen, row: int = 0) -> tuple[Layer, ...]:
    """Stem, stages and last layer, in order, for one picture of a batch that was seen."""
    network = lens.network
    found = []
    counted: set[int] = set()
    pieces = [("stem", network.stem), *zip(network.names, network.stages, strict=True)]
    for (name, piece), x in zip(pieces, [seen.before, *seen.stages], strict=True):
        if name == "stem" and not list(piece.parameters()):
            continue  # the picture itself
        own = grid_of(network, x[row : row + 1])[0] if x.ndim > 2 else x[row]
        spread = own.flatten(1).std(1)
        order = spread.argsort(descending=True, stable=True)[:MAPS].tolist()
        maps = tuple((at, own[at].numpy().astype(np.float32)) for at in order)
        found.append(Layer(name, tuple(own.shape), _count(piece, counted), maps))
    depth = lens.model.backbone.depths[-1]
    return (*found, Layer(depth.name, (depth.stop - depth.start,), _count(network.tail, counted), ()))


def kernels(lens: Lens) -> Kernels | None:
    """The first convolution's kernels; None for a network that begins with something else."""
    from torch import nn

    network = lens.network
    for piece in (network.stem, *network.stages, network.tail):
        for module in piece.modules():
            if isinstance(module, nn.Conv2d) and module.weight.shape[1] == 3:
                weight = module.weight.detach().numpy()
                most = np.abs(weight).max((1, 2, 3), keepdims=True)
                tiles = 127.5 + 127.5 * weight / np.maximum(most, 1e-12)
                shown = tiles[:KERNELS].transpose(0, 2, 3, 1).round().astype(np.uint8)
                return Kernels(tuple(weight.shape), tuple(shown))
    return None


def _count(piece: "nn.Module", counted: set[int]) -> int:
    """Parameters of a piece that no earlier piece has."""
    own = [one for one in piece.parameters() if id(one) not in counted]
    counted |= {id(one) for one in own}
    return sum(one.numel() for one in own)
