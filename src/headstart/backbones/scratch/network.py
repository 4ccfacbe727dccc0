"""The torch modules of the networks that start from nothing. They are chains from birth.

So the names in their state dict are the chain's own, and what is saved of a trained one fits a new one.
"""

from collections.abc import Callable
from typing import final

import torch
from torch import nn

from headstart.backbones.chain import Chain
from headstart.backbones.scratch import Arguments, Switches

ACTIVATION: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
WIDEST = 8  # times the first stage's channels, as in VGG


def build(architecture: str, arguments: Arguments) -> Chain:
    """The network with its initial weights: the same bits for the same arguments, in eval mode.

    It has no classes of its own, so its top gives the features as they are. The global generator of random
    numbers stays where it was.

    Raises:
        UnknownName, Misuse: there is no such architecture or switch.
    """
    switches = Switches.of(architecture, dict(arguments))
    with torch.random.fork_rng(devices=[]):  # torch draws for each layer, and all of it is drawn again below
        network = BUILDERS[architecture](switches).eval()
    initialise(network, switches)
    return network


def initialise(network: nn.Module, switches: Switches) -> None:
    """Draw the weights of every convolution anew, in place; biases are zero, normalisation changes nothing.

    `he` keeps the variance of what a ReLU is given through any depth (He et al. 2015, arXiv:1502.01852),
    `xavier` that of a linear layer (Glorot and Bengio 2010), `small` none.
    """
    generator = torch.Generator().manual_seed(switches.seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            if switches.init == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            elif switches.init == "xavier":
                nn.init.xavier_normal_(layer.weight, generator=generator)
            else:
                nn.init.normal_(layer.weight, std=0.01, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _small_cnn(switches: Switches) -> Chain:
    """Stages of two 3 x 3 convolutions and a pooling, as many as leave a map of less than 8 x 8 positions.

    The last map is averaged, not flattened into a wide layer: no weights, and the features of any size of
    picture are as many as the last stage has channels (Lin et al. 2014, arXiv:1312.4400).
    """
    stages: list[tuple[str, nn.Module]] = []
    before = 3
    for number in range(1, max(3, switches.size.bit_length() - 3) + 1):
        width = switches.width * min(2 ** (number - 1), WIDEST)
        layers = [*_layer(before, width, switches), *_layer(width, width, switches), nn.MaxPool2d(2)]
        stages.append((f"stage{number}", nn.Sequential(*layers)))
        before = width
    return Chain(nn.Identity(), stages, _averaged(), nn.Identity())


def _resnet18(switches: Switches) -> Chain:
    """As for CIFAR: the first convolution is 3 x 3 at full resolution, and no pooling follows it."""
    before = switches.width
    stem = nn.Sequential(*_layer(3, before, switches))
    stages: list[tuple[str, nn.Module]] = []
    for number in range(1, 5):
        width, stride = switches.width * 2 ** (number - 1), 1 if number == 1 else 2
        blocks = [Residual(before, width, stride, switches), Residual(width, width, 1, switches)]
        stages.append((f"stage{number}", nn.Sequential(*blocks)))
        before = width
    return Chain(stem, stages, _averaged(), nn.Identity())


@final
class Residual(nn.Module):
    """Two convolutions whose result is added to what they were given (He et al. 2016)."""

    def __init__(self, before: int, width: int, stride: int, switches: Switches) -> None:
        super().__init__()
        *second, self.activation = _layer(width, width, switches)
        self.body = nn.Sequential(*_layer(before, width, switches, stride=stride), *second)
        projected = _layer(before, width, switches, side=1, stride=stride)[:-1]
        self.skip = nn.Sequential(*(projected if before != width else []))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, activated."""
        found: torch.Tensor = self.activation(self.body(x) + self.skip(x))
        return found


def _layer(before: int, width: int, switches: Switches, *, side: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution, its normalisation if there is one, its activation."""
    plain = switches.norm == "none"
    convolution = nn.Conv2d(before, width, side, stride, side // 2, bias=plain)  # the norm has its own shift
    norm = [] if plain else [nn.BatchNorm2d(width)]
    return [convolution, *norm, ACTIVATION[switches.activation]()]


def _averaged() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


BUILDERS: dict[str, Callable[[Switches], Chain]] = {"small-cnn": _small_cnn, "resnet18": _resnet18}
