"""Accuracy against time as a picture: an SVG by hand, so that no plotting library has to be installed."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from headstart.race import Candidate

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 56, 86  # around the field
LETTER, LINE = 6.4, 15  # pixels that a letter and a line of a label take
LONGEST = 30  # letters of a label
CHOSEN, OTHER, INK, FAINT = "#0b6e4f", "#3a5a98", "#1f2328", "#d0d7de"


class Box(NamedTuple):
    """A rectangle, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Square pixels that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0) * max(down, 0)


FIELD = Box(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)


def drawn(candidates: Sequence["Candidate"], data: str) -> str:
    """The SVG. The winner comes first among `candidates`; who left early is hollow."""
    times = [one.ms_per_picture for one in candidates]
    x_low, x_high = min(times) / 1.6, max(times) * 1.6
    ends = [end for one in candidates for end in one.accuracy_ci95]
    step = _step(max(ends) - min(ends))
    y_low, y_high = math.floor(min(ends) / step) * step, math.ceil(max(ends) / step) * step

    def x(ms: float) -> float:
        share = math.log(ms / x_low) / math.log(x_high / x_low)
        return FIELD.left + share * (FIELD.right - FIELD.left)

    def y(accuracy: float) -> float:
        return FIELD.bottom - (accuracy - y_low) / (y_high - y_low) * (FIELD.bottom - FIELD.top)

    best = candidates[0]
    title = f"Backbones on {data}: accuracy against time"
    told = ". ".join(
        f"{one.name}: {one.ms_per_picture:.1f} ms per picture, accuracy {one.accuracy:.3f}, "
        f"95 % between {one.accuracy_ci95[0]:.3f} and {one.accuracy_ci95[1]:.3f}, {one.verdict}"
        for one in candidates
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="title desc" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<title id="title">{_text(title)}</title>',
        f'<desc id="desc">{_text(told)}.</desc>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _words(LEFT, 28, title, size=16, weight="600"),
    ]
    for number in range(round((y_high - y_low) / step) + 1):
        at = y_low + number * step
        lines += [
            _line(FIELD.left, y(at), FIELD.right, y(at), FAINT),
            _words(FIELD.left - 8, y(at) + 4, f"{at:.{_decimals(step)}f}", anchor="end"),
        ]
    for ms in _ticks(x_low, x_high):
        lines += [
            _line(x(ms), FIELD.bottom, x(ms), FIELD.bottom + 5, INK),
            _words(x(ms), FIELD.bottom + 20, f"{ms:g}", anchor="middle"),
        ]
    middle = (FIELD.left + FIELD.right) / 2
    lines += [
        _line(FIELD.left, FIELD.bottom, FIELD.right, FIELD.bottom, INK),
        _words(middle, FIELD.bottom + 40, "milliseconds per picture (logarithmic)", anchor="middle"),
        f'<g transform="translate(20 {(FIELD.top + FIELD.bottom) / 2:.1f}) rotate(-90)">'
        f"{_words(0, 0, 'accuracy out of fold, with 95 % interval', anchor='middle')}</g>",
        _words(middle, FIELD.bottom + 64, _legend(candidates), anchor="middle", colour="#57606a"),
    ]
    taken = []
    for one in candidates:
        at, (low, high) = x(one.ms_per_picture), one.accuracy_ci95
        taken.append(Box(at - 6, y(high), at + 6, y(low)))
        colour = CHOSEN if one is best else OTHER
        lines += [
            f"<g><title>{_text(f'{one.name}: {one.verdict}')}</title>",
            *(_line(at - 5, y(end), at + 5, y(end), colour) for end in (low, high)),
            _line(at, y(low), at, y(high), colour),
            f'<circle cx="{at:.1f}" cy="{y(one.accuracy):.1f}" r="{7 if one is best else 5}" '
            f'fill="{colour if one.survived else "#ffffff"}" stroke="{colour}" stroke-width="2"/></g>',
        ]
    for one in candidates:
        high, low = (y(end) for end in reversed(one.accuracy_ci95))
        lines += _label(one, x(one.ms_per_picture), (high, y(one.accuracy), low), taken, is_best=one is best)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _label(
    one: "Candidate", x: float, ys: tuple[float, float, float], taken: list[Box], *, is_best: bool
) -> list[str]:
    """The name beside its point, or above or below its bar, where it hides least of what is there already."""
    name = one.name if len(one.name) <= LONGEST else f"{one.name[: LONGEST - 1]}…"
    name += " (chosen)" if is_best else ""
    width = len(name) * LETTER * (1.1 if is_best else 1)
    top, y, bottom = ys
    wanted = [(x + 12, y), (x - 12 - width, y), (x - width / 2, top - 10), (x - width / 2, bottom + 10)]
    wanted += [(left, y + far) for far in (-18, 18, -36, 36, -54, 54) for left in (x + 12, x - 12 - width)]
    boxes = [Box(left, at - LINE / 2, left + width, at + LINE / 2) for left, at in wanted]
    hidden = [sum(map(box.overlap, taken)) + 4 * (box.overlap(box) - box.overlap(FIELD)) for box in boxes]
    box = boxes[hidden.index(min(hidden))]
    taken.append(box)
    is_left, is_beside = box.right < x, box.right < x or box.left > x
    anchor, at = ("end", box.right) if is_left else ("start", box.left) if is_beside else ("middle", x)
    weight, colour = ("600", CHOSEN) if is_best else ("400", INK)
    middle = (box.top + box.bottom) / 2
    # a name that is not beside its own point has a line to it
    line = [_line(x, y, at, middle, "#8c959f")] if is_beside and abs(middle - y) > LINE else []
    return [*line, _words(at, middle + 4, name, anchor=anchor, weight=weight, colour=colour)]


def _legend(candidates: Sequence["Candidate"]) -> str:
    told = f"the chosen one judged on {candidates[0].heats[-1].n} pictures"
    if all(one.survived for one in candidates):
        return told
    return f"{told}; hollow: left the race before the end"


def _step(span: float) -> float:
    """A round distance between grid lines that gives three to eight of them."""
    rough = max(span, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough)


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, closer together where it is narrow."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    coarse, fine = (
        [times * power for power in powers for times in steps if low <= times * power <= high]
        for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))
    )
    return coarse if len(coarse) > 3 else fine


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _words(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "400",
    colour: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}" paint-order="stroke" stroke="#ffffff" stroke-width="3">{_text(text)}</text>'
    )


def _text(text: str) -> str:
    """Any name as text that XML allows."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
