"""Chapter 1: convolution and pooling, position by position, then on a real picture."""

import json
from dataclasses import dataclass

import numpy as np

from headstart.tour import draw
from headstart.tour.pictures import Material
from headstart.tour.section import Section
from headstart.values import Bytes, Doubles, Floats

# The textbook example: what goes in, the kernel, and the result as it was published.
EXAMPLE = (
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.2, 0.8, 0.0, 0.3, 0.6, 0.0),
    (0.2, 0.9, 0.0, 0.3, 0.8, 0.0),
    (0.3, 0.8, 0.7, 0.8, 0.9, 0.0),
    (0.0, 0.0, 0.0, 0.2, 0.8, 0.0),
    (0.0, 0.0, 0.0, 0.2, 0.2, 0.0),
)
KERNEL = ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 1.0))
PUBLISHED = (
    (1.0, 1.2, 1.1, 0.9),
    (1.9, 2.7, 2.5, 1.9),
    (1.0, 2.1, 2.4, 1.4),
    (1.0, 1.8, 2.0, 1.8),
)
CLOSE = 0.05  # the table was published with one decimal

NAMED = {
    "edges from left to right": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "edges from top to bottom": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "all edges": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "blur, 9 × 9": tuple((1 / 81,) * 9 for _ in range(9)),
}
LEARNT = 6  # kernels of the first layer that are shown

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Step:
    """One position of the window, and what comes out of it."""

    row: int  # of the window's upper left cell, in the padded table
    column: int
    terms: tuple[tuple[float, float], ...]  # value and weight; weight 1 where nothing is multiplied
    value: float


@dataclass(frozen=True)
class Slide:
    """A window on its way over a table."""

    name: str
    does: str  # sum, max or mean
    input: Table  # with its padding
    padding: int
    kernel: Table  # empty for pooling
    side: int
    stride: int
    steps: tuple[Step, ...]
    result: Table


@dataclass(frozen=True)
class Cell:
    """One number of the published table beside the arithmetic."""

    row: int  # from 0
    column: int
    published: float
    computed: float
    agrees: bool
    missing: tuple[float, ...]  # products that are as large as the difference


@dataclass(frozen=True, eq=False)
class Response:
    """What one kernel makes of the real picture."""

    name: str
    kernel: Bytes  # as a picture
    found: Bytes


@dataclass(frozen=True)
class Convolution:
    """The chapter's numbers."""

    slides: tuple[Slide, ...]
    cells: tuple[Cell, ...]
    shown: Bytes
    shown_class: str
    named: tuple[Response, ...]
    learnt: tuple[Response, ...]
    learnt_of: str


def slide(table: Table, kernel: Table, *, stride: int = 1, padding: int = 0, name: str = "") -> Slide:
    """The kernel at every position: products with the cells below it, and their sum."""
    padded = _padded(table, padding)
    side = len(kernel)
    weights = [own for row in kernel for own in row]
    steps = []
    for row, column in _positions(padded, side, stride):
        values = _window(padded, row, column, side)
        terms = tuple(zip(values, weights, strict=True))
        steps.append(Step(row, column, terms, sum(value * weight for value, weight in terms)))
    return _slid(name, "sum", padded, padding, kernel, side, stride, steps)


def pool(table: Table, *, side: int = 2, stride: int = 2, does: str = "max", name: str = "") -> Slide:
    """The largest number below the window, or the mean of those below it (`does`: max, mean)."""
    steps = []
    for row, column in _positions(table, side, stride):
        values = _window(table, row, column, side)
        found = max(values) if does == "max" else sum(values) / len(values)
        steps.append(Step(row, column, tuple((value, 1.0) for value in values), found))
    return _slid(name, does, table, 0, (), side, stride, steps)


def compared(computed: Slide, published: Table) -> tuple[Cell, ...]:
    """Every published number beside the computed one."""
    found = []
    for at, step in enumerate(computed.steps):
        row, column = divmod(at, len(published[0]))
        gap = step.value - published[row][column]
        agrees = abs(gap) < CLOSE
        products = [value * weight for value, weight in step.terms]
        missing = () if agrees else tuple(own for own in products if own and abs(own - gap) < 1e-9)
        found.append(Cell(row, column, published[row][column], step.value, agrees, missing))
    return tuple(found)


def measured(material: Material) -> Convolution:
    """All slides of the example, and the real picture under kernels made by hand and learnt."""
    plain = slide(EXAMPLE, KERNEL, name="convolution, stride 1, no padding")
    slides = (
        plain,
        slide(EXAMPLE, KERNEL, stride=2, name="convolution, stride 2, no padding"),
        slide(EXAMPLE, KERNEL, padding=1, name="convolution, stride 1, padding 1"),
        pool(EXAMPLE, name="max pooling, 2 × 2, stride 2"),
        pool(EXAMPLE, does="mean", name="average pooling, 2 × 2, stride 2"),
    )
    shown = material.pixels[material.shown_row]
    grey = shown.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    named = tuple(
        Response(name, draw.stretched(np.array(own, float), signed=True), _seen(grey, np.array(own, float)))
        for name, own in NAMED.items()
    )
    return Convolution(
        slides, compared(plain, PUBLISHED), shown, material.shown_class, named, _learnt(material),
        material.spec.title,
    )  # fmt: skip


def rendered(found: Convolution) -> Section:
    """The chapter as HTML."""
    wrong = [cell for cell in found.cells if not cell.agrees]
    rows = [
        (
            f"row {row + 1}",
            *(draw.Html(_verdict(cell)) for cell in found.cells if cell.row == row),
        )
        for row in range(len(PUBLISHED))
    ]
    columns = ("", *(f"column {at + 1}" for at in range(len(PUBLISHED[0]))))
    told = " ".join(
        f"In row {cell.row + 1}, column {cell.column + 1} the published table has {cell.published:g}, the "
        f"arithmetic gives {cell.computed:.4g}"
        + (
            f": as much more as one of the products that are added there ({cell.missing[0]:g})."
            if cell.missing
            else "."
        )
        for cell in wrong
    )
    body = (
        "<h3>Step by step</h3><p>The window lies on part of the table. What it covers is multiplied with the "
        "kernel, number by number, and added up: that is one number of the result. Then it moves on. Step "
        "with the buttons, or with the arrow keys while the box is in focus.</p>"
        + _stepper(found.slides)
        + "<h3>The published result and the arithmetic</h3>"
        + draw.table(columns, rows)
        + f"<p>{len(found.cells) - len(wrong)} of {len(found.cells)} cells agree. {draw.text(told)}</p>"
        + f"<h3>On a real picture</h3><p>The same arithmetic at every position of a picture of {found.shown.shape[0]} × "
        f"{found.shown.shape[1]} pixels, as small as the networks of this tour get it. Middle grey is zero, "
        "white positive, black negative.</p>"
        + draw.figures(
            [
                (
                    f'<img src="{draw.jpeg(found.shown)}" width="150" height="150" '
                    f'alt="The picture itself, of class {draw.text(found.shown_class)}">',
                    f"the picture, of class <b>{draw.text(found.shown_class)}</b>",
                ),
                *(_pair(own) for own in found.named),
            ]
        )
        + f"<h3>Kernels that nobody designed</h3><p>The first layer of {draw.text(found.learnt_of)} has kernels "
        "of 3 × 3 pixels in three colours. They were learnt from a million photographs, and some look much "
        "like those made by hand.</p>" + draw.figures(_pair(own) for own in found.learnt)
    )
    code = (
        "from headstart.tour.convolution import EXAMPLE, KERNEL, pool, slide\n\n"
        "for row in slide(EXAMPLE, KERNEL, stride=1, padding=0).result:\n"
        "    print([round(number, 2) for number in row])\n"
        'print(pool(EXAMPLE, side=2, stride=2, does="max").result)'
    )
    return Section(
        "convolution",
        "A convolution, number by number",
        "Watch the window move over the table: every number of the result comes from the same nine weights, "
        "wherever the window stands. So a network that has learnt an edge in one place knows it in all.",
        body,
        code,
    )


def _seen(grey: Doubles, kernel: Doubles) -> Bytes:
    """A kernel at every position of a picture, as greys."""
    windows = np.lib.stride_tricks.sliding_window_view(grey, kernel.shape)
    found = np.asarray(np.einsum("ijkl,kl->ij", windows, kernel))
    return draw.stretched(found, signed=bool(kernel.min() < 0))


def _learnt(material: Material) -> tuple[Response, ...]:
    """The kernels of the default network's first layer that answer this picture most strongly."""
    import torch

    from headstart.backbones.network import Normalise, load

    first = next(own for own in load(material.spec).modules() if isinstance(own, torch.nn.Conv2d))
    with torch.no_grad():
        seen = first(
            Normalise(material.spec.preprocess)(torch.from_numpy(material.pixels[[material.shown_row]]))
        )[0].numpy()
    weights: Floats = first.weight.detach().numpy()
    best = np.argsort(-seen.std((1, 2)), kind="stable")[:LEARNT]
    return tuple(
        Response(
            f"kernel {int(at) + 1} of {len(weights)}",
            draw.stretched(weights[at].transpose(1, 2, 0), signed=True),
            draw.stretched(seen[at], signed=True),
        )
        for at in best
    )


def _pair(own: Response) -> tuple[str, str]:
    said = f"What is left of the picture under the kernel for {own.name}"
    return (
        draw.image(own.found, said, size=150, smooth=True)
        + draw.image(own.kernel, f"The kernel: {own.name}", size=48),
        draw.text(own.name),
    )


def _verdict(cell: Cell) -> str:
    if cell.agrees:
        return f'<span class="good">{cell.computed:.1f} <span aria-label="agrees">✓</span></span>'
    return (
        f'<span class="bad"><s>{cell.published:.1f}</s> {cell.computed:.1f} '
        '<span aria-label="does not agree">✗</span></span>'
    )


def _stepper(slides: tuple[Slide, ...]) -> str:
    """The box to step through; without scripts it shows the tables."""
    plain = [
        {
            "name": one.name, "does": one.does, "input": one.input, "padding": one.padding,
            "kernel": one.kernel, "side": one.side, "columns": len(one.result[0]),
            "steps": [[own.row, own.column, round(own.value, 6)] for own in one.steps],
        }
        for one in slides
    ]  # fmt: skip
    first = slides[0]
    choice = "".join(f'<option value="{at}">{draw.text(one.name)}</option>' for at, one in enumerate(slides))
    return (
        '<div class="stepper" tabindex="0" role="group" aria-label="Convolution and pooling step by step">'
        f'<p class="controls"><label>What: <select>{choice}</select></label>'
        '<button type="button" data-go="-1" aria-label="Step back">◀ back</button>'
        '<button type="button" data-go="1" aria-label="Next step">next ▶</button>'
        '<span class="count"></span></p>'
        f'<div class="tables"><div><h4>goes in</h4><div class="in">{_grid(first.input)}</div></div>'
        f'<div><h4>kernel</h4><div class="kernel">{_grid(first.kernel)}</div></div>'
        f'<div><h4>comes out</h4><div class="out">{_grid(first.result)}</div></div></div>'
        '<p class="sum" aria-live="polite"></p>'
        f'<script type="application/json">{json.dumps(plain)}</script></div>'
    )


def _grid(cells: Table) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{own:.4g}</td>' for own in row)}</tr>" for row in cells)
    return f'<table class="grid">{rows}</table>'


def _padded(table: Table, padding: int) -> Table:
    width = len(table[0]) + 2 * padding
    empty, sides = ((0.0,) * width,) * padding, (0.0,) * padding
    return (*empty, *((*sides, *row, *sides) for row in table), *empty)


def _positions(table: Table, side: int, stride: int) -> list[tuple[int, int]]:
    rows, columns = len(table) - side + 1, len(table[0]) - side + 1
    return [(row, column) for row in range(0, rows, stride) for column in range(0, columns, stride)]


def _window(table: Table, row: int, column: int, side: int) -> list[float]:
    return [value for line in table[row : row + side] for value in line[column : column + side]]


def _slid(  # noqa: PLR0913
    name: str,
    does: str,
    table: Table,
    padding: int,
    kernel: Table,
    side: int,
    stride: int,
    steps: list[Step],
) -> Slide:
    columns = (len(table[0]) - side) // stride + 1
    values = [own.value for own in steps]
    result = tuple(tuple(values[at : at + columns]) for at in range(0, len(values), columns))
    return Slide(name, does, table, padding, kernel, side, stride, tuple(steps), result)
