"""One page in one file: no request leaves it, whatever stands in it."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from headstart.report import sections, trusted
from headstart.report.album import Album
from headstart.report.markup import script_json, text
from headstart.report.material import Material
from headstart.report.thumbs import as_css
from headstart.version import VERSION

Shown = tuple[str, str, str]  # anchor, name in the navigation, HTML; "" where there is nothing to show

CARD = (
    '<dialog id="card" aria-label="Picture"><button type="button" class="plain close" autofocus>Close</button>'
    '<div class="body"></div></dialog>'
)


def render(material: Material) -> bytes:
    """The whole report as HTML in UTF-8. Parts for which there is nothing are left out."""
    album = Album(material)
    shown: list[Shown] = [
        ("verdict", "Verdict", sections.verdict(album)),
        ("before", "Before and after", sections.before(album)),
        ("confusion", "Who is taken for whom", sections.confusion(album)),
        ("classes", "Class by class", sections.classes(album)),
        ("mistakes", "Mistakes", sections.mistakes(album)),
        ("map", "Map", sections.atlas(album)),
        ("reliability", "As right as it says?", trusted.reliability(album)),
        ("abstain", "When it is unsure", trusted.abstain(album)),
        ("sets", "Sets of classes", trusted.sets(album)),
        ("unknown", "What it does not know", sections.unknown(album)),
        ("data", "The pictures", sections.data(album)),
        ("suspects", "Suspicious labels", trusted.suspects(album)),
        ("shortcuts", "Shortcuts", trusted.shortcuts(album)),
        ("weak", "Weak spots", trusted.weak(album)),
        ("curve", "More pictures?", trusted.curve(album)),
        ("race", "Which backbone", sections.race(album)),
        ("ladder", "What each step is worth", sections.ladder(album)),
        ("tuning", "Training further", sections.tuning(album)),
        ("cost", "Time and cost", sections.cost(album)),
        ("made", "How it was made", sections.made(album)),
    ]
    return whole(f"Report: {material.report['model']}", shown, css=as_css(material.thumbs), data=album.data())


def whole(title: str, shown: Sequence[Shown], *, css: str, data: dict[str, Any]) -> bytes:
    """A page in the report's style: sections with a navigation, pictures in `css`, `data` for the script.

    Its content security policy lets no script run but its own and loads nothing from anywhere, so that a
    hole in the escaping would still do no harm.
    """
    script = _file("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = [one for one in shown if one[2]]
    links = "".join(f'<li><a href="#{anchor}">{text(name)}</a></li>' for anchor, name, _ in shown)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="headstart {text(VERSION)}">
<title>{text(title)}</title>
<style>{style()}{css}</style>
</head>
<body>
<header class="top"><p>headstart {text(VERSION)}</p><button type="button" id="theme" class="theme">Dark colours</button></header>
<div class="page">
<nav aria-label="Contents"><ul>{links}</ul></nav>
<main>{"".join(part for _, _, part in shown)}
<footer><p>This page stands alone: it works offline, and nothing in it is loaded from elsewhere.</p></footer></main>
</div>
{CARD}
<script type="application/json" id="facts">{script_json(data)}</script>
<script>{script}</script>
</body>
</html>
"""
    return page.encode("utf-8")


def style() -> str:
    """The style sheet, light and dark."""
    return _file("style.css").replace("/*dark*/", _file("dark.css"))


@cache
def _file(name: str) -> str:
    return files("headstart.report").joinpath(name).read_text(encoding="utf-8")
