"""Plots as SVG. Colours are the page's own (CSS classes), so that they follow it into the dark and to paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from headstart.report.markup import text

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 12, 42  # around the field
ROW = 26  # pixels of a line of `intervals`
LONGEST = 18  # letters of a name in `intervals`
SHAPES = 4  # of the points of a map, see `point`
COLOURS = 8  # of classes in the style sheet


@dataclass(frozen=True)
class Axis:
    """From where to where, and what it says."""

    low: float
    high: float
    title: str = ""
    is_share: bool = False  # per cent at its ticks


class Point(NamedTuple):
    """A value, and the ends of its interval or None."""

    x: float
    y: float
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """Points joined by a line of one colour."""

    name: str
    points: Sequence[Point]
    kind: str  # a class of the style sheet: a, b, good, bad, faint
    is_joined: bool = True
    has_band: bool = False  # intervals as an area, not as whiskers
    is_dashed: bool = False


def chart(title: str, told: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Lines and points over two axes. `told` says the same in words, for those who cannot see it."""
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at_x(value: float) -> float:
        return LEFT + (value - x.low) / ((x.high - x.low) or 1) * across

    def at_y(value: float) -> float:
        return TOP + (y.high - value) / ((y.high - y.low) or 1) * down

    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at_y(tick):.1f}" y2="{at_y(tick):.1f}"/>'
        )
        parts.append(_label(LEFT - 6, at_y(tick) + 4, _tick(tick, y), "end"))
    for tick in ticks(x.low, x.high):
        parts.append(
            f'<line class="grid" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="{at_x(tick):.1f}" x2="{at_x(tick):.1f}"/>'
        )
        parts.append(_label(at_x(tick), HEIGHT - BOTTOM + 16, _tick(tick, x), "middle"))
    parts.append(_label(LEFT + across / 2, HEIGHT - 6, x.title, "middle"))
    for line in lines:
        places = [(at_x(one.x), at_y(one.y)) for one in line.points]
        if line.has_band:
            upper = [(at_x(one.x), at_y(one.ends[1])) for one in line.points if one.ends]
            lower = [(at_x(one.x), at_y(one.ends[0])) for one in reversed(line.points) if one.ends]
            parts.append(f'<polygon class="band {line.kind}" points="{_joined(upper + lower)}"/>')
        if line.is_joined and len(places) > 1:
            dashed = " dashed" if line.is_dashed else ""
            parts.append(f'<polyline class="stroke {line.kind}{dashed}" points="{_joined(places)}"/>')
        if line.kind == "faint":
            continue
        for (px, py), one in zip(places, line.points, strict=True):
            if one.ends and not line.has_band:
                low, high = (at_y(end) for end in one.ends)
                parts.append(
                    f'<line class="stroke {line.kind}" x1="{px:.1f}" x2="{px:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
                )
            parts.append(f'<circle class="fill {line.kind}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>')
    legend = "".join(f'<span class="key {line.kind}">{text(line.name)}</span>' for line in lines if line.name)
    return _figure(title, told, f"0 0 {WIDTH} {HEIGHT}", "".join(parts), legend)


def intervals(title: str, told: str, rows: Sequence[tuple[str, Point]], low: float = 0.0) -> str:
    """A line for each name: a point and its interval, on a scale of shares from `low` to 1."""
    left, across = 130, WIDTH - 130 - 44
    height = ROW * len(rows) + 30

    def at(value: float) -> float:
        return left + (max(value, low) - low) / (1 - low) * across

    parts = []
    for tick in ticks(low, 1.0):
        parts.append(
            f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="4" y2="{height - 24}"/>'
        )
        parts.append(_label(at(tick), height - 8, f"{100 * tick:.0f} %", "middle"))
    for row, (name, one) in enumerate(rows):
        y = 4 + ROW * (row + 0.5)
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        parts.append(_label(left - 8, y + 4, short, "end"))
        if one.ends:
            parts.append(
                f'<line class="stroke a" x1="{at(one.ends[0]):.1f}" x2="{at(one.ends[1]):.1f}" y1="{y}" y2="{y}"/>'
            )
        parts.append(f'<circle class="fill a" cx="{at(one.x):.1f}" cy="{y}" r="4"/>')
        parts.append(_label(WIDTH - 4, y + 4, f"{100 * one.x:.1f}", "end"))
    return _figure(title, told, f"0 0 {WIDTH} {height}", "".join(parts))


def point(x: float, y: float, label: int, *, is_right: bool) -> str:
    """The outline of a point of the map: shape and colour by class; mistakes are larger and crossed."""
    size = 5.0
    shape = (label // COLOURS) % SHAPES
    drawn = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>',
        f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}"/>',
        f'<path d="M{x:.1f} {y - size - 1:.1f}l{size + 1} {2 * size}h-{2 * size + 2}z"/>',
        f'<path d="M{x:.1f} {y - size - 1:.1f}l{size + 1} {size + 1}l-{size + 1} {size + 1}l-{size + 1} -{size + 1}z"/>',
    ][shape]
    if is_right:
        return drawn
    reach = size + 3
    return (
        drawn + f'<path class="cross" d="M{x - reach:.1f} {y - reach:.1f}l{2 * reach} {2 * reach}'
        f'm0 -{2 * reach}l-{2 * reach} {2 * reach}"/>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers within a range."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * times for times in (1, 2, 5, 10) if span / (power * times) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(at * step, 10) for at in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float, axis: Axis) -> str:
    if axis.is_share:
        return f"{100 * value:.4g} %"
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _label(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(said)}</text>'


def _figure(title: str, told: str, box: str, inside: str, legend: str = "") -> str:
    keys = f'<span class="keys">{legend}</span>' if legend else ""
    return (
        f'<figure class="plot"><figcaption>{text(title)}{keys}</figcaption>'
        f'<svg viewBox="{box}" role="img" aria-label="{text(title)}. {text(told)}">{inside}</svg></figure>'
    )
