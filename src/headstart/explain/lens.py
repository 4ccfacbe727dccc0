"""A model's network opened in PyTorch, and one pass through it with every stage's output held."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import UnreadablePicture
from headstart.features.pipeline import read
from headstart.modalities.image import LIMIT_PX, decode
from headstart.model.model import Model
from headstart.values import Bytes

if TYPE_CHECKING:
    import torch

    from headstart.backbones.chain import Chain


@dataclass(frozen=True, eq=False)
class Lens:
    """A model with its network opened in PyTorch, float32 on the CPU."""

    model: Model
    network: "Chain"


@dataclass(frozen=True, eq=False)
class Seen:
    """What each piece of the network gives for a batch, and the features [b, all depths]."""

    before: "torch.Tensor"  # what the first stage gets
    stages: "list[torch.Tensor]"
    features: "torch.Tensor"


def open_lens(model: Model) -> Lens:
    """The model's network, ready to be looked into.

    Raises:
        WeightsError, MissingExtra: its weights are not here.
    """
    from headstart.backbones.network import load

    return Lens(model, load(model.backbone))


def pixels_of(file: str | Path, model: Model, *, limit_px: int = LIMIT_PX) -> Bytes:
    """What the network gets of this file, [s, s, 3].

    Raises:
        UnreadablePicture: the message names the file and the reason.
    """
    try:
        found = decode(read(Path(file)), model.backbone.preprocess, limit_px=limit_px)
    except UnreadablePicture as error:
        raise UnreadablePicture(f"{file} cannot be read: {error}.") from error
    return found.pixels.copy()  # Pillow's own are not to be written to, and engines ask for leave to


def see(lens: Lens, pixels: Bytes) -> Seen:
    """One pass over pictures [b, s, s, 3]; every stage's output is held."""
    import torch

    from headstart.backbones.network import Normalise

    network = lens.network
    with torch.no_grad():
        before = network.stem(Normalise(lens.model.backbone.preprocess)(torch.from_numpy(pixels)))
        x, stages, pooled = before, [], []
        for stage in network.stages:
            x = stage(x)
            stages.append(x)
            pooled.append(network.pooled(x))
        return Seen(before, stages, torch.cat([*pooled, network.tail(x)], 1))


def grid_of(network: "Chain", x: "torch.Tensor") -> "torch.Tensor":
    """A stage's output as [b, channels, h, w]. Class tokens are left out."""
    if network.layout == "NHWC":
        return x.permute(0, 3, 1, 2)
    if network.layout == "tokens":
        x = x[:, network.prefix :]
        side = int(x.shape[1] ** 0.5)
        height, width = (side, side) if side * side == x.shape[1] else (1, x.shape[1])
        return x.transpose(1, 2).reshape(len(x), x.shape[2], height, width)
    return x
