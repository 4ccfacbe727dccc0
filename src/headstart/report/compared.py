"""Two models on one page, in the report's style."""

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.markup import (
    Cell,
    between,
    cell,
    count,
    mark,
    number,
    paragraph,
    percent,
    section,
    share,
    sure,
    table,
    text,
    words,
)
from headstart.report.page import whole
from headstart.report.plots import Point, intervals
from headstart.report.thumbs import as_css


def compared(document: Mapping[str, Any], thumbs: Mapping[str, bytes]) -> bytes:
    """The page of a difference, from the document of `diff --json` and the pictures that changed sides."""
    a, b = document["a"], document["b"]
    rows: Sequence[Mapping[str, Any]] = document["changes"]
    places = {path: at for at, path in enumerate(thumbs)}
    verdict = (
        f'<section id="verdict" aria-labelledby="verdict-title"><h1 id="verdict-title">'
        f"{text(a['model'])} and {text(b['model'])}</h1>"
        f'<p class="claim">{text(document["verdict"])}.</p>{paragraph(text(in_words(document)))}'
        + intervals(
            "Accuracy, with 95 % interval",
            f"{a['model']} {percent(a['accuracy'])}; {b['model']} {percent(b['accuracy'])}",
            [(one["model"], Point(one["accuracy"], 0, tuple(one["accuracy_ci95"]))) for one in (a, b)],
            min(0.9, int(10 * min(a["accuracy_ci95"][0], b["accuracy_ci95"][0])) / 10),
        )
        + "".join(paragraph(text(said), "lead") for said in _left_out(document))
        + "</section>"
    )
    lines = [
        [
            words(one["class"]),
            cell(one["n"]),
            share(one["a"] / one["n"]),
            share(one["b"] / one["n"]),
            cell(one["won"]),
            cell(one["lost"]),
        ]
        for one in document["per_class"]
    ]
    head = ("class", "pictures", f"right: {a['model']}", f"right: {b['model']}", "won", "lost")
    classes = section(
        "classes", "Class by class", "What each recognises.", table("Classes", head, lines, can_sort=True)
    )
    shown = [("verdict", "Verdict", verdict), ("classes", "Class by class", classes)]
    for won, name, title in ((True, "won", "Won"), (False, "lost", "Lost")):
        own = [one for one in rows if one["won"] == won]
        if own:
            shown.append((name, title, _side(name, title, own, (a["model"], b["model"]), places)))
    return whole(
        f"{a['model']} and {b['model']}", shown, css=as_css(thumbs), data={"classes": [], "pics": []}
    )


def in_words(document: Mapping[str, Any]) -> str:
    """What was measured, in two sentences."""
    a, b = document["a"], document["b"]
    low, high = document["gain_ci95"]
    won = sum(one["won"] for one in document["changes"])
    lost = len(document["changes"]) - won
    return (
        f"On {count(document['n'], 'picture')} {document['pictures']}, {a['model']} is right on {percent(a['accuracy'])} "
        f"({between(a['accuracy_ci95'])}) and {b['model']} on {percent(b['accuracy'])} ({between(b['accuracy_ci95'])}). "
        f"{won:,} were won and {lost:,} lost: {100 * document['gain']:+.1f} points, 95 % {100 * low:.1f} to {100 * high:.1f}, "
        f"p = {number(document['p'])} (exact McNemar)."
    )


def passed_over(document: Mapping[str, Any]) -> str:
    """How many pictures were not judged, and why."""
    why = ", ".join(f"{number:,} {reason}" for reason, number in document["left_out_why"].items())
    return f"{count(document['left_out'], 'picture')} left out: {why}"


def _left_out(document: Mapping[str, Any]) -> list[str]:
    found = []
    if document["left_out"]:
        found.append(f"{passed_over(document)}.")
    found += [
        f"{one['model']} alone knows {', '.join(one['only'][:10])}: their pictures were left out."
        for one in (document["a"], document["b"])
        if one["only"]
    ]
    return found


def _side(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    models: tuple[str, str],
    places: Mapping[str, int],
) -> str:
    cards, lines = [], []
    for one in rows:
        said = "".join(
            f'<p class="small">{text(model)}</p><p><span class="answer {"good" if right else "bad"}">{mark(right=right)}'
            f"{text(label)} {text(sure(p))}</span></p>"
            for model, label, p, right in (
                (models[0], one["a"], one["a_probability"], not one["won"]),
                (models[1], one["b"], one["b_probability"], one["won"]),
            )
        )
        if one["path"] in places:
            picture = f'<span class="pic t{places[one["path"]]}" role="img" aria-label="{text(one["path"])}"></span>'
            cards.append(
                f'<article class="card">{picture}<div><h3>{text(one["truth"])}</h3>{said}</div></article>'
            )
        lines.append(
            [
                Cell(f"<code>{text(one['path'])}</code>", one["path"]),
                words(one["truth"]),
                words(one["a"]),
                words(one["b"]),
            ]
        )
    head = ("file", "truth", *models)
    lead = "wrong before, right after" if name == "won" else "right before, wrong after"
    return section(
        name,
        title,
        f"{count(len(rows), 'picture')}: {lead}.",
        f'<div class="cards">{"".join(cards)}</div>' if cards else "",
        table(f"{title}, by name", head, lines, can_sort=True),
    )
