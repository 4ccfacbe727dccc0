"""Bars and curves as SVG inside a page. Lines differ in dashes as well as in colour."""

from collections.abc import Sequence
from html import escape

from headstart.values import Doubles

WIDTH, HEIGHT = 320, 210
LEFT, TOP, RIGHT, BOTTOM = 44, 10, 14, 54
_LINES = (("var(--accent)", ""), ("var(--ink)", "2 4"), ("var(--against)", "8 4"))


def curves(lines: Sequence[tuple[str, Doubles]], across: str, label: str) -> str:
    """Up to three curves of a probability against the share of the picture, 0 to 100 %, with a legend."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> str:
        return f"{LEFT + wide * x:.1f},{TOP + high * (1 - y):.1f}"

    quarters = [
        (name, [float(values[round(part * (len(values) - 1) / 4)]) for part in range(5)])
        for name, values in lines
    ]
    told = "; ".join(f"{name}: {', '.join(f'{y:.2f}' for y in values)}" for name, values in quarters)
    out = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Probability of {text(label)} '
        f'at 0, 25, 50, 75 and 100 % {across}. {text(told)}">'
    ]
    for tick in (0, 0.5, 1):
        y = TOP + high * (1 - tick)
        out.append(f'<path d="M{LEFT} {y:.1f}h{wide}" class="grid"/>')
        out.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{100 * tick:.0f} %</text>')
    for tick in (0, 0.5, 1):
        x = LEFT + wide * tick
        anchor = "end" if tick == 1 else "middle"
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - 38}" text-anchor="{anchor}">{100 * tick:.0f} %</text>')
    out.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 22}" text-anchor="middle">{text(across)}</text>')
    for number, (name, values) in enumerate(lines):
        colour, dashes = _LINES[number]
        points = " ".join(at(step / (len(values) - 1), float(y)) for step, y in enumerate(values))
        width = 1.7 if number else 2.5
        style = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}"'
        out.append(f'<polyline points="{points}" {style}/>')
        x = (0, 94, 206)[number]
        out.append(f'<path d="M{x} {HEIGHT - 7}h18" {style}/>')
        out.append(f'<text x="{x + 22}" y="{HEIGHT - 3}">{text(name)}</text>')
    return "".join([*out, "</svg>"])


def bar(share: float, *, signed: bool = False) -> str:
    """A bar for a share of 0 to 1; `signed` for -1 to 1, with zero in the middle."""
    zero, whole = (50, 50) if signed else (0, 100)
    start = zero + min(whole * share, 0)
    colour = "var(--accent)" if share > 0 else "var(--against)"
    return (
        '<svg viewBox="0 0 100 8" class=bar aria-hidden=true preserveAspectRatio=none>'
        f'<rect x="{start:.2f}" width="{whole * abs(share):.2f}" height="8" fill="{colour}"/>'
        f'<path d="M{zero} 0v8" class="grid"/></svg>'
    )


def text(plain: str) -> str:
    """Text that is safe in HTML; control characters and odd bytes of file names are escaped visibly."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)
    return escape(shown, quote=True)
