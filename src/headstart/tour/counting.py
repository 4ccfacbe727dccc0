"""Chapter 2: why a dense layer explodes in parameters, and a convolution does not."""

from dataclasses import dataclass

from headstart.tour import draw
from headstart.tour.section import Section

SIDE = 100  # pixels
NEURONS = 10_000
SIDES = (10, 28, 56, 100, 224)
BYTES = 4  # of a float32


@dataclass(frozen=True)
class Layer:
    """A layer that was built, and how many numbers it would have to learn."""

    name: str
    weights: int
    biases: int
    formula: str
    outputs: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases


@dataclass(frozen=True)
class Counting:
    """The chapter's numbers."""

    layers: tuple[Layer, ...]
    sides: tuple[int, ...]
    dense: tuple[int, ...]  # parameters where a layer has as many neurons as the picture has pixels
    convolution: tuple[int, ...]
    real: int  # parameters of the convolution with one map, built with memory and used


def measured() -> Counting:
    """Layers built on torch's meta device: they have shapes and no memory, so that any size can be counted."""
    import torch
    from torch import nn

    pixels = SIDE * SIDE
    layers = [
        _layer(
            nn.Linear(pixels, NEURONS, device="meta"), f"dense: {NEURONS:,} neurons, each sees all pixels",
            f"{pixels:,} × {NEURONS:,} + {NEURONS:,}", NEURONS,
        )
    ]  # fmt: skip
    for side in (3, 5):
        for maps in (1, NEURONS):
            built = nn.Conv2d(1, maps, side, padding=side // 2, device="meta")
            neurons = built(torch.empty(1, 1, SIDE, SIDE, device="meta")).numel()
            what = "one map" if maps == 1 else f"{maps:,} maps"
            name = f"convolution {side} × {side}, {what}"
            layers.append(_layer(built, name, f"{side} × {side} × {maps:,} + {maps:,}", neurons))
    own = nn.Conv2d(1, 1, 3, padding=1)
    own(torch.zeros(1, 1, SIDE, SIDE))
    dense = [nn.Linear(side * side, side * side, device="meta") for side in SIDES]
    return Counting(
        tuple(layers),
        SIDES,
        tuple(sum(p.numel() for p in one.parameters()) for one in dense),
        tuple(sum(p.numel() for p in nn.Conv2d(1, 1, 3, device="meta").parameters()) for _ in SIDES),
        sum(p.numel() for p in own.parameters()),
    )


def rendered(found: Counting) -> Section:
    """The chapter as HTML."""
    dense, small = found.layers[0], found.layers[1]
    rows = [
        (one.name, f"{one.parameters:,}", one.formula, f"{one.outputs:,}", _memory(one.parameters))
        for one in found.layers
    ]
    growth = draw.lines(
        f"Parameters against the side of the picture: a dense layer with as many neurons as pixels grows from "
        f"{found.dense[0]:,} to {found.dense[-1]:,}, a 3 by 3 convolution stays at {found.convolution[0]}.",
        draw.Axes("side of the picture, pixels", "parameters", log_y=True),
        [
            draw.Series("dense, as many neurons as pixels", found.sides, tuple(map(float, found.dense))),
            draw.Series("convolution 3 × 3, one map", found.sides, tuple(map(float, found.convolution))),
        ],
    )
    body = (
        f"<p>A picture of {SIDE} × {SIDE} grey pixels and a layer of {NEURONS:,} neurons, built in PyTorch "
        "and counted:</p>"
        + draw.table(("layer", "parameters", "weights + biases", "neurons", "memory"), rows)
        + f"<p>The dense layer has {dense.parameters / small.parameters:,.0f} times the parameters of a "
        f"convolution that gives as many neurons ({small.outputs:,}). Two things save them: a neuron looks at "
        "3 × 3 pixels only, and all neurons of a map share their weights. Even with "
        f"{NEURONS:,} maps, which is {found.layers[2].outputs:,} neurons, a 3 × 3 convolution stays at "
        f"{found.layers[2].parameters:,}.</p>"
        + growth
        + "<p>And the kernel does not care how large the picture is. That is why a network can be trained on "
        "pictures of one size and used on those of another, as this tour does.</p>"
    )
    code = (
        "from torch import nn\n\n"
        f'dense = nn.Linear({SIDE} * {SIDE}, {NEURONS}, device="meta")  # counted without its memory\n'
        f"convolution = nn.Conv2d(1, {NEURONS}, 3)\n"
        "for layer in (dense, convolution):\n"
        '    print(f"{sum(own.numel() for own in layer.parameters()):,}")'
    )
    return Section(
        "counting",
        "Why a dense layer explodes and a convolution does not",
        "Compare the first two rows of the table: the same picture, the same number of neurons. Every "
        "parameter has to be learnt from somebody's pictures.",
        body,
        code,
    )


def _layer(built: object, name: str, formula: str, outputs: int) -> Layer:
    from torch import nn

    assert isinstance(built, nn.Linear | nn.Conv2d)  # noqa: S101  both have a weight and a bias
    biases = 0 if built.bias is None else built.bias.numel()
    return Layer(name, built.weight.numel(), biases, formula, outputs)


def _memory(parameters: int) -> str:
    size = parameters * BYTES
    return (
        f"{size / 1e6:,.0f} MB"
        if size >= 1e6
        else f"{size / 1e3:,.0f} kB"
        if size >= 1e4
        else f"{size} bytes"
    )
