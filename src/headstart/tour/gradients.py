"""Chapter 3: gradients that vanish or explode on their way down, and what keeps them alive."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.tour import draw
from headstart.tour.learn import Pace, learn, slopes_of
from headstart.tour.pictures import Material
from headstart.tour.section import Effort, Section
from headstart.values import Bytes, Ints

if TYPE_CHECKING:
    import torch

CHANNELS = 16
BATCH = 48
HALVED = 2  # the small pictures' sides are divided by this
VANISHED, EXPLODED = 1e-6, 1e2  # norm of the gradient in the first layer: what no usual rate makes up for
WINDOW = 5  # steps that a point of a training curve is the mean of


@dataclass(frozen=True)
class Setting:
    """A deep network of equal layers, each a 3 × 3 convolution."""

    name: str
    depth: int
    activation: str = "relu"  # as in `backbones.scratch`
    init: str = "he"
    times: float = 1.0  # what the initial weights are multiplied with
    norm: bool = False
    residual: bool = False  # every second layer adds what it was given two layers before


@dataclass(frozen=True)
class Gradients:
    """Norms of the gradient of the loss in each layer's weights, before anything is learnt."""

    setting: Setting
    norms: tuple[float, ...]  # first layer first

    @property
    def ratio(self) -> float:
        """The first layer's over the last one's."""
        return self.norms[0] / self.norms[-1] if self.norms[-1] else 0.0

    @property
    def verdict(self) -> str:
        """What becomes of it until the first layer, in a word."""
        if self.norms[0] < VANISHED:
            return "vanishes"
        return "explodes" if self.norms[0] > EXPLODED else "arrives"


@dataclass(frozen=True)
class Curve:
    """A short real training of a deep network."""

    setting: Setting
    losses: tuple[float, ...]  # of each step


@dataclass(frozen=True)
class Depth:
    """The chapter's numbers."""

    pictures: int
    side: int
    classes: int
    groups: tuple[tuple[str, tuple[Gradients, ...]], ...]
    curves: tuple[Curve, ...]


def settings(depth: int) -> tuple[tuple[str, tuple[Setting, ...]], ...]:
    """What is compared, by question."""
    return (
        (
            "Which activation?",
            (
                Setting("sigmoid", depth, "sigmoid", "xavier"),
                Setting("tanh", depth, "tanh", "xavier"),
                Setting("ReLU", depth, "relu", "he"),
            ),
        ),
        (
            "Which initial weights? (ReLU)",
            (
                Setting("standard deviation 0.01", depth, "relu", "small"),
                Setting("He et al. 2015", depth, "relu", "he"),
                Setting("He, times 1.7", depth, "relu", "he", 1.7),
            ),
        ),
        (
            "What helps a bad start?",
            (
                Setting("0.01, batch normalisation", depth, "relu", "small", norm=True),
                Setting("0.01, residual connections", depth, "relu", "small", residual=True),
                Setting("sigmoid, residual connections", depth, "sigmoid", "xavier", residual=True),
            ),
        ),
    )


def deep(setting: Setting, classes: int, *, seed: int = 0) -> "torch.nn.Module":
    """The network, in double precision, so that the smallest gradients are not rounded to nothing."""
    import torch
    from torch import nn

    from headstart.backbones.scratch import Switches
    from headstart.backbones.scratch.network import ACTIVATION, initialise

    class Block(nn.Module):
        """Two layers, with what they were given added or not."""

        def __init__(self, layers: list[nn.Module]) -> None:
            super().__init__()
            self.body = nn.Sequential(*layers)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.body(x)
            return x + found if setting.residual else found

    def layer(before: int) -> list[nn.Module]:
        norm = [nn.BatchNorm2d(CHANNELS)] if setting.norm else []
        convolution = nn.Conv2d(before, CHANNELS, 3, padding=1, bias=not setting.norm)
        return [convolution, *norm, ACTIVATION[setting.activation]()]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [Block([*layer(CHANNELS), *layer(CHANNELS)]) for _ in range((setting.depth - 1) // 2)]
        rest = [own for _ in range((setting.depth - 1) % 2) for own in layer(CHANNELS)]
        top = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes)]
        network = nn.Sequential(*layer(3), *blocks, *rest, *top).double()
    initialise(network, Switches.of("small-cnn", {"init": setting.init, "seed": str(seed)}))
    with torch.no_grad():
        for own in _convolutions(network):
            own.weight *= setting.times
    return network


def norms(setting: Setting, pictures: Bytes, y: Ints, *, seed: int = 0) -> Gradients:
    """The gradient's norm in each layer for these pictures [n, s, s, 3]; nothing is learnt."""
    import torch
    from torch.nn import functional as F

    network = deep(setting, int(y.max()) + 1, seed=seed).train()
    weights = [own.weight for own in _convolutions(network)]
    loss = F.cross_entropy(network(_scaled(pictures)), torch.from_numpy(y))
    found = torch.autograd.grad(loss, weights)
    return Gradients(setting, tuple(float(own.norm()) for own in found))


def trained(setting: Setting, pictures: Bytes, y: Ints, pace: Pace, *, seed: int = 0) -> Curve:
    """The loss of each step of a short training."""
    network = deep(setting, int(y.max()) + 1, seed=seed).float().train()
    parameters = list(network.parameters())
    groups, inputs = [(parameters, pace.rate)], _scaled(pictures).float()
    return Curve(setting, learn(slopes_of(network, parameters), groups, inputs, y, pace, seed=seed))


def measured(material: Material, effort: Effort, *, seed: int = 0) -> Depth:
    """Gradients of every setting on one batch, and two short trainings: without and with residuals."""
    rows = material.order[: max(BATCH, 4 * len(material.classes))][:BATCH]
    pictures, y = _halved(material.small), material.features.y
    groups = tuple(
        (question, tuple(norms(own, pictures[rows], y[rows], seed=seed) for own in some))
        for question, some in settings(effort.depth)
    )
    learnt = material.first(material.sizes[-1])
    pace = Pace(effort.steps, 1e-2, 1e-2, BATCH)
    plain = Setting("plain", effort.depth, norm=True)  # without it neither of the two learns anything
    both = (plain, replace(plain, name="with residual connections", residual=True))
    curves = tuple(trained(own, pictures[learnt], y[learnt], pace, seed=seed) for own in both)
    return Depth(len(rows), pictures.shape[1], len(material.classes), groups, curves)


def rendered(found: Depth) -> Section:
    """The chapter as HTML."""
    depth = found.groups[0][1][0].setting.depth
    axes = draw.Axes("layer (1 sees the picture)", "norm of the gradient", log_y=True)
    plots = "".join(
        f"<div><h3>{draw.text(question)}</h3>"
        + draw.lines(
            f"{question} Norm of the gradient by layer: "
            + "; ".join(
                f"{one.setting.name} {one.norms[0]:.1e} in the first layer, {one.norms[-1]:.1e} in the last"
                for one in some
            ),
            axes,
            [
                draw.Series(
                    one.setting.name, tuple(range(1, depth + 1)), tuple(max(n, 1e-300) for n in one.norms)
                )
                for one in some
            ],
            points=False,
        )
        + "</div>"
        for question, some in found.groups
    )
    rows = [
        (
            f"{_kind(one.setting)}",
            draw.power(one.norms[0]),
            draw.power(one.norms[-1]),
            draw.power(one.ratio),
            draw.Html(f'<span class="{"good" if one.verdict == "arrives" else "bad"}">{one.verdict}</span>'),
        )
        for _, some in found.groups
        for one in some
    ]
    curves = draw.lines(
        "Loss while training: "
        + "; ".join(
            f"{one.setting.name} from {np.mean(one.losses[:WINDOW]):.2f} to {np.mean(one.losses[-WINDOW:]):.2f}"
            for one in found.curves
        ),
        draw.Axes("step", f"loss, mean of {WINDOW} steps"),
        [
            draw.Series(one.setting.name, tuple(map(float, range(1, len(mean) + 1))), mean)
            for one in found.curves
            for mean in [_smooth(one.losses)]
        ],
        points=False,
    )
    ends = [float(np.mean(one.losses[-WINDOW:])) for one in found.curves]
    body = (
        f"<p>Networks of {depth} convolutions with {CHANNELS} channels, before they have learnt anything, and "
        f"one batch of {found.pictures} real pictures ({found.side} × {found.side} pixels). How strongly would "
        "each layer's weights have to change? That is the norm of the gradient, on a scale where each line is "
        "several powers of ten.</p>"
        f'<div class="plots">{plots}</div>'
        + draw.table(("network", "first layer", "last layer", "first : last", "in the first layer it"), rows)
        + f"<p>Less than {draw.power(VANISHED)} counts as vanished here, more than {EXPLODED:g} as exploded. Small initial "
        "weights starve all layers alike: hardly anything of the picture reaches the loss, so that no layer "
        "matters to it.</p>"
        f"<h3>Residual connections</h3><p>The same {depth} layers twice, the same pictures, seed and steps. "
        "One network adds, after every second layer, what it was given before those two. Both have batch "
        f"normalisation and weights after He et al. At the end the loss is {ends[0]:.2f} without and "
        f"{ends[1]:.2f} with residual connections; guessing gives {np.log(found.classes):.2f}.</p>" + curves
    )
    code = (
        "import numpy as np\n"
        "from headstart.tour.gradients import Setting, norms\n\n"
        "pictures = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)\n"
        "labels = np.arange(16) % 4\n"
        'for kind in ("sigmoid", "relu"):\n'
        "    print(kind, norms(Setting(kind, depth=10, activation=kind), pictures, labels).ratio)"
    )
    return Section(
        "gradients",
        "Gradients that vanish, explode, or arrive",
        "Look at the left end of each line: the first layers see the picture, and they can only learn if "
        "the gradient reaches them. A line that falls steeply to the left is a network whose first layers stand "
        "still.",
        body,
        code,
    )


def _convolutions(network: "torch.nn.Module") -> "list[torch.nn.Conv2d]":
    from torch import nn

    return [own for own in network.modules() if isinstance(own, nn.Conv2d)]


def _scaled(pictures: Bytes) -> "torch.Tensor":
    """Pixels to about what a normal distribution gives, [n, 3, s, s], double."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).double()
    return (x - x.mean()) / x.std()


def _halved(pictures: Bytes) -> Bytes:
    n, side, _, _ = pictures.shape
    inner = side // HALVED
    found = pictures.reshape(n, inner, HALVED, inner, HALVED, 3).mean((2, 4))
    return np.asarray(found.round().astype(np.uint8))


def _smooth(losses: tuple[float, ...]) -> tuple[float, ...]:
    width = min(WINDOW, len(losses))
    found = np.convolve(losses, np.ones(width) / width, "valid")
    return tuple(float(own) for own in found)


def _kind(setting: Setting) -> str:
    activation = {"relu": "ReLU"}.get(setting.activation, setting.activation)
    own = "" if activation in setting.name else f"{activation}, "
    return f"{own}{setting.name}"
