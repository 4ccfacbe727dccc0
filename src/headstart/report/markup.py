"""Pieces of HTML. Whatever a user named (classes, files, titles) becomes text here and nothing else."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"
KEPT = f"{SPACE}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # not printable by themselves


class Cell(NamedTuple):
    """One cell of a table: finished HTML, and what it is sorted by."""

    html: str
    order: float | str


def text(said: object) -> str:
    """Any text as HTML, in elements and in attributes; what cannot be printed becomes a replacement sign.

    Joiners stay: Persian words and many emoji are spelt with them.
    """
    seen = (c if c.isprintable() or c in KEPT else "\N{REPLACEMENT CHARACTER}" for c in str(said))
    return html.escape("".join(seen))


def script_json(document: Any) -> str:
    """JSON that can stand inside a script element: nothing in it closes that, or opens a comment."""
    found = json.dumps(document, separators=(",", ":"))
    return found.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def percent(share: float, digits: int = 1) -> str:
    """A share as per cent.

    >>> percent(0.948), percent(1.0), percent(-0.02)
    ('94.8\u00a0%', '100\u00a0%', '\u22122.0\u00a0%')
    """
    said = f"{100 * abs(share):.{digits}f}"
    said = said if float(said) < 100 else "100"
    return f"{MINUS if share < 0 else ''}{said}{SPACE}%"


def sure(probability: float) -> str:
    """A probability as whole per cents, which never says that it is certain.

    >>> sure(0.998), sure(0.004), sure(0.51)
    ('>\u00a099\u00a0%', '<\u00a01\u00a0%', '51\u00a0%')
    """
    if probability > 0.995:
        return f">{SPACE}99{SPACE}%"
    return f"<{SPACE}1{SPACE}%" if probability < 0.005 else percent(probability, 0)


def between(ends: Sequence[float]) -> str:
    """An interval of shares in words."""
    return f"{100 * ends[0]:.1f} to {percent(ends[1])}"


def number(value: float) -> str:
    """A number as people read it: 0.0012, 3.4, 12,345."""
    if value != 0 and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def count(n: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> count(1, "picture"), count(1200, "picture")
    ('1 picture', '1,200 pictures')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def section(name: str, title: str, lead: str, *body: str) -> str:
    """A section with its anchor; `lead` says in plain words what there is to see (HTML)."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{text(title)}</h2>'
        f'<p class="lead">{lead}</p>{"".join(body)}</section>'
    )


def details(summary: str, *body: str) -> str:
    """Something to be opened (HTML)."""
    return f"<details><summary>{summary}</summary><div>{''.join(body)}</div></details>"


def paragraph(said: str, kind: str = "") -> str:
    """A paragraph of HTML."""
    return f'<p class="{kind}">{said}</p>' if kind else f"<p>{said}</p>"


def note(said: str, kind: str = "warn") -> str:
    """Something to be noticed (HTML): warn, good or bad."""
    sign = {"warn": "!", "good": "\N{CHECK MARK}", "bad": "\N{BALLOT X}"}[kind]
    return (
        f'<p class="note {kind}"><span class="sign" aria-hidden="true">{sign}</span><span>{said}</span></p>'
    )


def mark(*, right: bool) -> str:
    """A sign that is told by shape, colour and word."""
    kind, sign, word = ("good", "\N{CHECK MARK}", "right") if right else ("bad", "\N{BALLOT X}", "wrong")
    return f'<span class="mark {kind}"><span aria-hidden="true">{sign}</span><span class="hidden">{word}: </span></span>'


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], *, can_sort: bool = False
) -> str:
    """A table whose first column names the row. It scrolls by itself where it is wider than the page."""
    titles = "".join(
        f'<th scope="col"><button type="button" data-sort="{at}">{text(name)}</button></th>'
        if can_sort
        else f'<th scope="col">{text(name)}</th>'
        for at, name in enumerate(head)
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(f'<td data-order="{text(cell.order)}">{cell.html}</td>' for cell in rest)
        lines.append(f'<tr><th scope="row" data-order="{text(first.order)}">{first.html}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def cell(value: float, *, digits: int = 0) -> Cell:
    """A cell with a plain number."""
    return Cell(f"{value:,.{digits}f}", value)


def words(said: str) -> Cell:
    """A cell with a user's words."""
    return Cell(text(said), said)


def share(value: float) -> Cell:
    """A cell with a share in per cent and a bar."""
    width = max(0.0, min(1.0, value)) * 60
    bar = (
        '<svg class="bar" viewBox="0 0 60 8" width="60" height="8" aria-hidden="true">'
        f'<rect class="track" width="60" height="8"/><rect class="full" width="{width:.1f}" height="8"/></svg>'
    )
    return Cell(f'<span class="share">{percent(value)}{bar}</span>', value)
