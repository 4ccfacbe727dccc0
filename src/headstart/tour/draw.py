"""Small pictures for the page: plots as inline SVG, arrays as PNG, tables. Colours are the page's variables."""

import base64
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from headstart.values import Bytes, Doubles, Floats

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 46  # around the field
NBSP = "\N{NO-BREAK SPACE}"
HUES = 5  # --s0 … of the page
DASHES = ("", "7 4", "2 4", "10 4 2 4", "1 3")  # so that lines differ without colour, too
MARKS = ("circle", "square", "diamond", "triangle", "circle")


@dataclass(frozen=True)
class Series:
    """Points to be joined, with intervals where there are any."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    ends: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Axes:
    """What the two directions of a plot say."""

    x: str
    y: str
    log_y: bool = False
    log_x: bool = False
    y_range: tuple[float, float] | None = None
    percent: bool = False


def text(words: object) -> str:
    """Any text as HTML and XML allow it; what cannot be printed is replaced."""
    shown = "".join(c if c.isprintable() or c == NBSP else "\N{REPLACEMENT CHARACTER}" for c in str(words))
    return escape(shown.encode("utf-8", "replace").decode())


def text_lines(words: str) -> str:
    """The same for several lines."""
    return "\n".join(text(line) for line in words.splitlines())


def lines(told: str, axes: Axes, series: Sequence[Series], *, points: bool = True) -> str:
    """A plot of lines with a legend. `told` is read to those who cannot see it."""
    xs = [_scaled(x, log=axes.log_x) for one in series for x in one.x]
    ys = [_scaled(y, log=axes.log_y) for one in series for y in one.y]
    ys += [_scaled(end, log=axes.log_y) for one in series for pair in one.ends for end in pair]
    x_low, x_high = _spread(min(xs), max(xs))
    y_low, y_high = axes.y_range or _spread(min(ys), max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        right = (_scaled(x, log=axes.log_x) - x_low) / (x_high - x_low)
        up = (_scaled(y, log=axes.log_y) - y_low) / (y_high - y_low)
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = _frame(axes, (x_low, x_high), (y_low, y_high), sorted({x for one in series for x in one.x}), at)
    for number, one in enumerate(series):
        hue = f"var(--s{number % HUES})"
        spots = [at(x, y) for x, y in zip(one.x, one.y, strict=True)]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        dash = f' stroke-dasharray="{DASHES[number % HUES]}"' if DASHES[number % HUES] else ""
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{hue}" stroke-width="2"{dash}/>')
        for x, (low, high) in zip(one.x, one.ends, strict=False):
            (left, top), (_, bottom) = at(x, high), at(x, low)
            left += 3 * (number - (len(series) - 1) / 2)  # beside one another, not on top
            parts.append(f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}" stroke="{hue}" stroke-width="2"/>')
        if points:
            parts += [_mark(MARKS[number % HUES], x, y, hue) for x, y in spots]
    return _figure(told, HEIGHT, parts) + legend([one.name for one in series])


def bars(told: str, label: str, rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str]) -> str:
    """Bars lying down, one group per row; `names` are those of the bars in a group."""
    thick, gap = (15, 12) if len(names) > 1 else (22, 10)
    height = TOP + len(rows) * (len(names) * thick + gap) + 40
    most = max((value for _, values in rows for value in values), default=0.0) or 1.0
    left, right = 92, 64
    parts, y = [], float(TOP)
    for row, values in rows:
        middle = y + len(names) * thick / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{text(row)}</text>')
        for number, value in enumerate(values):
            width = value / most * (WIDTH - left - right)
            if value:
                parts.append(
                    f'<rect x="{left}" y="{y + 1:.1f}" width="{max(width, 1):.1f}" height="{thick - 3}" '
                    f'fill="var(--s{number % HUES})"/>'
                )
            parts.append(
                f'<text x="{left + width + 6:.1f}" y="{y + thick / 2 + 4:.1f}">{_short(value)}</text>'
            )
            y += thick
        y += gap
    parts.append(f'<text x="{left}" y="{y + 16:.1f}">{text(label)}</text>')
    return _figure(told, height, parts) + (legend(names, bars=True) if len(names) > 1 else "")


def legend(names: Iterable[str], *, bars: bool = False) -> str:
    """Names beside a stretch of their line, or the colour of their bars."""
    found = []
    for number, name in enumerate(names):
        hue = f"var(--s{number % HUES})"
        dash = f' stroke-dasharray="{DASHES[number % HUES]}"' if DASHES[number % HUES] else ""
        line = f'<path d="M0 6H34" stroke="{hue}" stroke-width="3"{dash}/>'
        shown = (
            f'<rect width="34" height="12" fill="{hue}"/>'
            if bars
            else line + _mark(MARKS[number % HUES], 17, 6, hue)
        )
        found.append(
            f'<li><svg viewBox="0 0 34 12" width="34" height="12" aria-hidden="true">{shown}</svg> '
            f"{text(name)}</li>"
        )
    return f'<ul class="legend">{"".join(found)}</ul>'


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; the first cell of each row names it. Cells are text, or HTML where they say so by `Html`."""
    named = f"<caption>{text(caption)}</caption>" if caption else ""
    top = "".join(f'<th scope="col">{text(own)}</th>' for own in head)
    body = "".join(
        f'<tr><th scope="row">{_cell(first)}</th>{"".join(f"<td>{_cell(own)}</td>" for own in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="wide"><table>{named}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def image(pixels: Bytes, alt: str, *, size: int, smooth: bool = False) -> str:
    """An array [h, w] or [h, w, 3] as an <img> of so many CSS pixels."""
    kind = "" if smooth else ' class="cells"'
    return f'<img{kind} src="{png(pixels)}" alt="{text(alt)}" width="{size}" height="{size}" loading="lazy">'


def png(pixels: Bytes) -> str:
    """An array as an address that holds its picture."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def jpeg(pixels: Bytes, quality: int = 80) -> str:
    """The same for a photograph, smaller."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def stretched(values: Floats | Doubles, *, signed: bool = False) -> Bytes:
    """Any numbers as greys: least black, greatest white; `signed` puts zero at middle grey."""
    if signed:
        most = float(np.abs(values).max()) or 1.0
        return np.asarray(127.5 + values / most * 127.5).round().astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)


def figures(items: Iterable[tuple[str, str]]) -> str:
    """Pictures beside one another, each with its words below (HTML both)."""
    inside = "".join(f"<figure>{own}<figcaption>{words}</figcaption></figure>" for own, words in items)
    return f'<div class="row">{inside}</div>'


def share(value: float) -> str:
    """0.975 as 97.5 %."""
    return f"{100 * value:.1f}{NBSP}%"


def power(value: float) -> str:
    """9.5e-15 as people write it; what is neither small nor large stays plain."""
    if value == 0 or 0.01 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}{NBSP}·{NBSP}{_power(float(exponent))}"


def between(ends: tuple[float, float]) -> str:
    """An interval of shares."""
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}{NBSP}%"


def _cell(own: object) -> str:
    return str(own) if isinstance(own, Html) else text(own)


def _frame(
    axes: Axes,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    xs: Sequence[float],
    at: Callable[[float, float], tuple[float, float]],
) -> list[str]:
    parts = []
    for tick in _ticks(*y_range, whole=axes.log_y):
        y = at(10.0 ** x_range[0] if axes.log_x else x_range[0], 10.0**tick if axes.log_y else tick)[1]
        words = _power(tick) if axes.log_y else f"{100 * tick:.0f} %" if axes.percent else f"{tick:g}"
        parts.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
        )
    ticks = xs if len(xs) <= 6 else [tick for tick in _ticks(*x_range, whole=True) if not axes.log_x]
    anything = 10.0 ** y_range[0] if axes.log_y else y_range[0]
    for tick in ticks:
        x = at(tick, anything)[0]
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{text(axes.x)}</text>')
    down = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(13 {down}) rotate(-90)" text-anchor="middle">{text(axes.y)}</text>'
    )
    return parts


def _figure(told: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{text(told)}">'
        f"<title>{text(told)}</title>{''.join(parts)}</svg>"
    )


def _mark(kind: str, x: float, y: float, hue: str) -> str:
    shapes = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"',
        "square": f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"',
        "diamond": f'<path d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"',
        "triangle": f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z"',
    }
    return f'{shapes[kind]} fill="{hue}"/>'


def _scaled(value: float, *, log: bool) -> float:
    return math.log10(max(value, 1e-300)) if log else value


def _spread(low: float, high: float) -> tuple[float, float]:
    return (low - 0.5, high + 0.5) if high - low < 1e-12 else (low, high + 0.04 * (high - low))


def _ticks(low: float, high: float, *, whole: bool) -> list[float]:
    """Round numbers within a range."""
    rough = max(high - low, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)
    step = max(1.0, step) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _power(exponent: float) -> str:
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.0e}"
