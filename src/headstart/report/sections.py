"""The sections about the score, the data and the answers. Each gives HTML, or "" where there is nothing to show."""

import shlex
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from headstart.report import plots
from headstart.report.album import Album
from headstart.report.gather import before_after, sheet, strangest, with_pictures
from headstart.report.markup import (
    Cell,
    between,
    cell,
    count,
    details,
    note,
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
from headstart.report.plots import Axis, Line, Point

MATRIX = 25  # classes up to which the confusion matrix is a table
PAIRS = 40  # confusions that are listed
BARS = 30  # classes in the plot
KEYS = 32  # classes in the legend of the map
KINDS = {
    "corrupt": "Files that cannot be read (left out)",
    "leak": "Leaks: the same picture in two parts",
    "label-conflict": "The same picture under two labels",
    "duplicate": "Identical files",
    "near-duplicate": "Near-duplicates",
    "imbalance": "Balance of the classes",
    "tiny-class": "Classes too small to judge",
    "small-picture": "Small pictures",
    "shortcut": "Shortcuts",
    "label-suspect": "Suspicious labels",
    "ignored": "Passed over",
}
HEAD = ("class", "pictures", "recognised", "95 % interval", "right when said", "F1")
TELLING = (
    "way of telling",
    "strangers ranked above known",
    "strangers missed where 95 % of the known are kept",
)
TOLD = 30  # findings of a kind that are written out


def score_of(report: dict[str, Any]) -> dict[str, Any]:
    """The evaluation that counts: on the test part, without what was seen in training; else cross-validated."""
    found: dict[str, Any] = report["test_without_leaks"] or report["test"] or report["cv"]
    return found


def of_whom(report: dict[str, Any]) -> str:
    """Which pictures are judged one by one, in a sentence or two."""
    leaked, tested = report["leaked"], report["test"] and report["test"]["n"]
    if leaked and leaked < tested:
        return f"{count(leaked, 'test picture')} with a twin in the training part left out."
    lead = (
        "Every test picture has a twin in the training part. Instead, these are " if leaked else "These are "
    )
    if tested and not leaked:
        return ""
    if report["tune"] == "never":
        return f"{lead}training pictures, answered by fits without them: those by which the head was chosen."
    return (
        f"{lead}the pictures that were put aside to judge the training by: it stopped where they were recognised "
        "best, so they flatter a little."
    )


def of_so_many(score: dict[str, Any]) -> str:
    """The accuracy and its interval as people count: of twenty pictures, or of a hundred where it is high."""
    base = 20 if 20 * score["accuracy"] < 19.45 else 100
    right, low, high = (number(round(base * x, 1)) for x in (score["accuracy"], *score["accuracy_ci95"]))
    return f"Right on {right} of {base} pictures it has not seen; between {low} and {high} of {base}"


def verdict(album: Album) -> str:
    """How good it is, in one sentence and then in numbers."""
    report = album.material.report
    score = score_of(report)
    n = score["n"]
    if report["test"]:
        how = f"Measured on {count(n, 'picture')} of the test part: right on {score['accuracy'] * n:.0f}."
    else:
        how = f"Cross-validated: each of {count(n, 'picture')} answered by models that had seen neither it nor its twins."
    tiles = [
        ("accuracy", percent(score["accuracy"]), f"95 % interval {between(score['accuracy_ci95'])}"),
        ("classes", f"{len(report['classes']):,}", f"{count(report['data']['used'], 'picture')} used"),
        (
            "mistakes",
            number(round((1 - score["accuracy"]) * n, 1)),
            f"of {count(n, 'picture')} judged",
        ),
        ("trained in", _time(report["seconds"]["total"]), f"{report['backbone']}, head {report['head']}"),
    ]
    blocks = "".join(
        f'<div class="tile"><dt>{text(name)}</dt><dd><b>{text(value)}</b><span>{text(more)}</span></dd></div>'
        for name, value, more in tiles
    )
    rows = [
        [words(name), Cell(text(value), value), Cell(text(meaning), meaning)]
        for name, value, meaning in (
            ("macro-F1", f"{score['macro_f1']:.3f}", "mean over the classes, each counted alike; 1 is best"),
            ("log-loss", f"{score['nll']:.3f}", "how surprised it is by the truth; 0 is best"),
            (
                "Brier score",
                f"{score['brier']:.3f}",
                "squared distance of probabilities from the truth; 0 is best",
            ),
            (
                "calibration error",
                f"{score['ece']:.3f}",
                "how far probabilities are from shares of right answers",
            ),
        )
    ]
    seen = report["leaked"] and not report["test_without_leaks"]
    claim = "Nothing is known about pictures it has not seen" if seen else of_so_many(score)
    val = report.get("val")
    body = [
        f'<p class="claim">{text(claim)}.</p>',
        paragraph(
            text(
                f"{how} With 95 % confidence it is right on {between(score['accuracy_ci95'])} of new pictures like these."
            )
        ),
        paragraph(text(_validated(report, val))) if val else "",
        f'<dl class="tiles">{blocks}</dl>',
        *_cautions(report, score),
        details("Other measures", table("Other measures", ("measure", "value", "what it says"), rows)),
    ]
    title = f"How good is {report['model']}?"
    return f'<section id="verdict" aria-labelledby="verdict-title"><h1 id="verdict-title">{text(title)}</h1>{"".join(body)}</section>'


def _validated(report: dict[str, Any], val: dict[str, Any]) -> str:
    said = (
        f"On the {count(val['n'], 'picture')} of the validation part it is right on {percent(val['accuracy'])} "
        f"({between(val['accuracy_ci95'])})"
    )
    return f"{said}." if report["tune"] == "never" else f"{said}; they said when training was to stop."


def _cautions(report: dict[str, Any], score: dict[str, Any]) -> list[str]:
    found, test = [], report["test"]
    if report["leaked"]:
        twins = f"{count(report['leaked'], 'test picture')} of {test['n']:,} have a twin in the training part"
        told = (
            f"{twins} and are left out of this number. With them it would be {percent(test['accuracy'])} ({between(test['accuracy_ci95'])})."
            if report["test_without_leaks"]
            else f"{twins}. Bring a test part of other pictures."
        )
        found.append(note(text(told)))
    fixed = report.get("fixed")
    if fixed and fixed["judges"]:
        found.append(
            note(
                f"{count(fixed['judges'], 'picture')} that judge it, or might, were moved or dropped by hand. Where a "
                "model's doubt pointed to them, the score flatters a little: wrong labels with which it agrees are "
                "still there."
            )
        )
    if score["accuracy_ci95"][1] - score["accuracy_ci95"][0] > 0.1:
        found.append(
            note(
                f"The interval is wide because only {count(score['n'], 'picture')} could be judged. More test pictures narrow it."
            )
        )
    return found


def data(album: Album) -> str:
    """What it learnt from, and what is wrong with it."""
    of = album.material
    report, findings = of.report, of.report["data"]["findings"]
    counts = Counter(one["kind"] for one in findings)
    used = report["data"]
    lead = (
        f"{count(used['files'], 'file')} found, {used['used']:,} used: {used['train']:,} to learn from"
        + (f", {used['val']:,} to validate" if used["val"] else "")
        + (f", {used['test']:,} to be tested with." if used["test"] else ".")
    )
    own: dict[int, list[str]] = {}
    for path in sheet(of.known):
        own.setdefault(of.known[path][0], []).append(path)
    if all(len(paths) == 1 for paths in own.values()):
        tiles = (
            album.tile(paths[0], _linked(album, label)) for label, paths in own.items() if album.has(paths[0])
        )
        shown = f'<div class="tiles-of">{"".join(tiles)}</div>'
    else:
        shown = "".join(
            f'<div class="row"><h4>{_linked(album, label)}</h4>{album.strip(paths)}</div>'
            for label, paths in own.items()
        )
    fixed = report.get("fixed")
    if fixed:
        lead += (
            f" Your decisions: {count(fixed['moved'], 'label')} moved, {count(fixed['dropped'], 'picture')} dropped, "
            f"{count(fixed['kept'], 'label')} kept."
        )
    names = [part for part in ("train", "val", "test") if used[part]]
    rows = [
        [words(album.name(label)), *(cell(of.counts.get((label, part), 0)) for part in names)]
        for label in range(len(of.classes))
    ]
    some = f"Some of the pictures, of {len(own):,} of {count(len(of.classes), 'class', 'classes')}"
    some = "Some of the pictures" if len(own) == len(of.classes) else some
    body = [f"<h3>{some}</h3>{shown}" if any(album.has(p) for p in sheet(of.known)) else ""]
    body.append(
        details(
            "How many of each class", table("Pictures of each class", ("class", *names), rows, can_sort=True)
        )
    )
    body.append("<h3>What to look at</h3>")
    if not findings:
        body.append(note("Nothing suspicious was found.", "good"))
    pictures = with_pictures(report)
    for kind, title in KINDS.items():
        if not counts[kind]:
            continue
        mine = [one for one in findings if one["kind"] == kind]
        lines = "".join(
            f"<li><code>{text(one['path'])}</code>: {text(one['message'])}</li>" for one in mine[:TOLD]
        )
        more = (
            f"<li>and {len(mine) - TOLD:,} more: all of them stand in model.json, under report, data, findings</li>"
            if len(mine) > TOLD
            else ""
        )
        pairs = "".join(
            f'<div class="pair">{album.strip([one["path"], *one.get("others", [])][:4])}'
            f"<p>{text(one['message'])}</p></div>"
            for one in mine
            if one in pictures and any(album.has(p) for p in [one["path"], *one.get("others", [])])
        )
        body.append(
            f'<div class="finding"><h4>{text(title)} <span class="badge">{counts[kind]:,}</span></h4>'
            f"{f'<div class=pairs>{pairs}</div>' if pairs else ''}{details('All in words', f'<ul>{lines}{more}</ul>')}</div>"
        )
    return section("data", "The pictures", text(lead), *body)


def _linked(album: Album, label: int) -> str:
    """The class's title, with its link where that is one to a web page."""
    info = album.material.infos.get(album.material.classes[label])
    said = text(album.name(label))
    if info and info.url and is_web(info.url):
        return f'<a href="{text(info.url)}" rel="noopener noreferrer" target="_blank">{said}</a>'
    return said


def is_web(url: str) -> bool:
    """Whether this is an address of http or https, and no script or file.

    >>> is_web("https://example.org/a"), is_web("javascript:alert(1)"), is_web("//example.org")
    (True, False, False)
    """
    try:
        found = urlsplit(url.strip())
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.netloc)


def before(album: Album) -> str:
    """What the source network called the pictures, and what the new model says."""
    of = album.material
    chosen = before_after(of.judged)
    if not chosen:
        if not of.silence or not of.judged:
            return ""
        return section("before", "Before and after", text(of.silence))
    cards = []
    for one in chosen:
        guesses = "".join(
            f"<li><span>{text(name)}</span><span>{text(sure(p))}</span></li>" for name, p in one.guesses
        )
        cards.append(
            f'<article class="card">{album.picture(one.path)}<div><h3>{text(album.name(one.truth))}</h3>'
            f'<p class="small">The source network said</p><ol class="guesses">{guesses}</ol>'
            f'<p class="small">Your model says</p><p>{album.answer(one)}</p></div></article>'
        )
    lead = (
        f"{text(of.backbone.title)} was trained on other pictures and other classes: this is what it takes yours for, in "
        "its own words. "
    )
    lead += (
        "The new head learnt your words for what it sees."
        if of.report["tune"] == "never"
        else "It was then trained further, with a new head, on your pictures and words."
    )
    return section("before", "Before and after", lead, f'<div class="cards">{"".join(cards)}</div>')


def confusion(album: Album) -> str:
    """Who is taken for whom, with the pictures behind each cell."""
    of = album.material
    if not of.judged:
        return ""
    k, whole = len(of.classes), of.confusion
    wrong = sorted(
        ((int(whole[t, s]), t, s) for t in range(k) for s in range(k) if t != s and whole[t, s]), reverse=True
    )
    lead = "Rows are what the pictures are, columns what the model said. Choose a cell to see its pictures."
    body = [_matrix(album, whole)] if k <= MATRIX else []
    panel = '<div id="cell" class="panel" tabindex="-1" role="status" hidden></div>'
    if wrong:
        items = "".join(
            f'<li><button type="button" class="plain" data-cell="{t},{s}" data-n="{n}">{text(album.name(t))} called '
            f"{text(album.name(s))} <b>{n}</b></button></li>"
            for n, t, s in wrong[:PAIRS]
        )
        if k > MATRIX:
            first = f"the first {PAIRS}" if len(wrong) > PAIRS else "all of them"
            lead = f"{count(len(wrong), 'pair')} of classes were confused: {first}, the most frequent first. Choose one to see its pictures."
            body.append(f'<ul class="pairs-list">{items}</ul>')
        else:
            body.append(
                details(f"The confusions in words ({len(wrong)})", f'<ul class="pairs-list">{items}</ul>')
            )
    else:
        body.append(note("No picture was confused.", "good"))
    lead = f"{lead} {of_whom(of.report)}"
    if not of.report["test"]:
        lead += " The score above was found by other divisions of the pictures, so counts can differ."
    return section("confusion", "Who is taken for whom", text(lead), *body, panel)


def _matrix(album: Album, counts: Any) -> str:
    k = len(counts)
    names = [text(album.name(label)) for label in range(k)]
    head = "".join(f'<th scope="col" class="tilted"><span>{name}</span></th>' for name in names)
    lines = []
    for t in range(k):
        total = max(1, int(counts[t].sum()))
        cells = []
        for s in range(k):
            n = int(counts[t, s])
            level = 0 if not n else 1 + min(3, int(4 * n / total - 1e-9))
            kind = "hit" if t == s else "miss"
            said = f"{names[t]} called {names[s]}: {n}"
            cells.append(
                f'<td class="{kind} l{level}"><button type="button" data-cell="{t},{s}" data-n="{n}" aria-label="{said}">{n}</button></td>'
                if n
                else '<td class="zero">\N{MIDDLE DOT}</td>'
            )
        lines.append(f'<tr><th scope="row">{names[t]}</th>{"".join(cells)}</tr>')
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="Confusion matrix"><table class="matrix">'
        f'<caption class="hidden">Confusion matrix</caption><thead><tr><td class="corner">is \\ said</td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def classes(album: Album) -> str:
    """How each class fared."""
    of = album.material
    score = score_of(of.report)
    rows, bars = [], []
    for label, own in enumerate(of.classes):
        one = score["per_class"][own]
        ends = one["recall_ci95"]
        name = Cell(_linked(album, label), album.name(label))
        rows.append(
            [
                name,
                cell(one["n"]),
                share(one["recall"]),
                Cell(between(ends), ends[0]),
                share(one["precision"]),
                Cell(f"{one['f1']:.3f}", one["f1"]),
            ]
        )
        if one["n"]:
            bars.append((album.name(label), Point(one["recall"], 0, ends)))
    bars.sort(key=lambda item: item[1].x)
    worst, best = bars[0], bars[-1]
    full = sum(one.x == 1 for _, one in bars)
    lead = f"Weakest: {worst[0]}, {percent(worst[1].x)} of its pictures recognised. "
    lead += (
        f"{full:,} of {len(bars):,} classes were recognised every time."
        if full > 1
        else f"Strongest: {best[0]}, {percent(best[1].x)}."
    )
    if of.report["test_without_leaks"]:
        lead += f" {of_whom(of.report)}"
    elif of.report["leaked"]:
        lead += (
            " All of these pictures have a twin in the training part, so this says nothing about new ones."
        )
    low = min(0.9, np.floor(10 * min(one.ends[0] for _, one in bars[:BARS] if one.ends)) / 10)
    told = "; ".join(f"{name} {percent(one.x)}" for name, one in bars[:BARS])
    title = "Share of each class recognised, with 95 % interval"
    if len(bars) > BARS:
        title += f" (the weakest {BARS})"
    whole = table("Classes: choose a heading to sort", HEAD, rows, can_sort=True)
    return section(
        "classes",
        "Class by class",
        text(lead),
        plots.intervals(title, told, bars[:BARS], float(low)),
        details(f"All {len(rows)} classes", whole) if len(rows) > BARS else whole,
        paragraph(
            "Intervals hold for one class at a time; few pictures, or few groups of them, make them wide.",
            "small",
        ),
    )


def mistakes(album: Album) -> str:
    """The surest wrong answers, where the network looked, and what it may have taken them for."""
    of = album.material
    if not of.judged:
        return ""
    wrong = sorted((one for one in of.judged if not one.is_right), key=lambda one: -one.answers[0][1])
    if not wrong:
        return section("mistakes", "Mistakes", "There was none among the judged pictures.")
    worst = [one for one in wrong if one.near or one.path in of.heats][:12] or wrong[:12]
    cards = []
    for one in worst:
        heat = ""
        if one.path in of.heats:
            from base64 import b64encode

            png = b64encode(of.heats[one.path]).decode()
            said = f"Heat map: where the network looked for {album.name(one.answers[0][0])}"
            heat = f'<img class="pic" alt="{text(said)}" src="data:image/png;base64,{png}">'
        near = (
            f'<p class="small">Nearest training pictures</p>{album.strip(one.near, size="little")}'
            if one.near
            else ""
        )
        cards.append(
            f'<article class="card">{album.picture(one.path)}{heat}<div><h3>{text(album.name(one.truth))}</h3>'
            f"<p>{album.answer(one)}</p>{near}</div></article>"
        )
    rest = [one for one in wrong if one not in worst]
    tiles = "".join(
        album.tile(one.path, f"{text(album.name(one.truth))}<br>{album.answer(one)}")
        for one in rest
        if album.has(one.path)
    )
    body = [f'<div class="cards">{"".join(cards)}</div>']
    if tiles:
        body.append(details(f"The other mistakes ({len(rest):,})", f'<div class="tiles-of">{tiles}</div>'))
    lead = (
        "The surest wrong answers. The heading is the label in your data: look whether it, the picture or the "
        "model is at fault."
    )
    return section("mistakes", "Mistakes", lead, *body)


def unknown(album: Album) -> str:
    """Whether it notices what it has never seen."""
    of = album.material
    trust = (of.report.get("trust") or {}).get("unknown")
    strange = strangest(of.judged)
    if trust is None and not strange:
        return ""
    body = []
    if trust is not None:
        stated = trust["false_rejection"]
        lead = "A picture unlike anything learnt is answered with “unknown”. " + (
            "The training pictures are too few to say how often pictures of known classes are"
            if stated is None
            else f"Of pictures of known classes {percent(stated, 0)} are meant to be"
        )
        lead += (
            f"; of {count(trust['n'], 'test picture')} {percent(trust['rejected'])} were ({between(trust['rejected_ci95'])})."
            if trust["n"]
            else "; without test pictures that count, nothing tells how many are."
        )
        if trust["tried"]:
            rows = [
                [words(one["method"]), share(one["auroc"]), share(one["fpr95"])] for one in trust["tried"]
            ]
            body.append(
                details(
                    "How it tells",
                    paragraph(f"Chosen: {text(trust['method'])}. Tried by leaving classes out in turn."),
                    table("Ways to tell the unknown", TELLING, rows),
                )
            )
    else:
        many = sum(one.is_unknown for one in of.judged)
        lead = (
            f"A picture unlike anything learnt is answered with “unknown”. Of {count(len(of.judged), 'judged picture')}, "
            f"all of known classes, that befell {many:,}."
        )
    if strange:
        tiles = "".join(
            album.tile(
                one.path,
                f"{album.answer(one)}" + (" <b>unknown</b>" if one.is_unknown else ""),
            )
            for one in strange
        )
        body.insert(0, f'<h3>The strangest of the judged pictures</h3><div class="tiles-of">{tiles}</div>')
    return section("unknown", "What it does not know", lead, *body)


def atlas(album: Album) -> str:
    """The map: pictures that look alike to the network stand together."""
    of = album.material
    if len(of.map) < 4:
        return ""
    width, height, rim = 600, 460, 14
    points = []
    for place, (at, x, y) in enumerate(of.map):
        one = of.judged[at]
        said = f"{album.name(one.truth)}, called {album.name(one.answers[0][0])}"
        drawn = plots.point(
            rim + x * (width - 2 * rim), rim + (1 - y) * (height - 2 * rim), one.truth, is_right=one.is_right
        )
        kind = "" if one.is_right else " wrong"
        points.append(
            f'<g class="dot c{one.truth % plots.COLOURS}{kind}" role="button" tabindex="{0 if not place else -1}" '
            f'data-pic="{at}" data-class="{one.truth}" aria-label="{text(said)}">{drawn}</g>'
        )
    options = "".join(
        f'<option value="{label}">{text(album.name(label))}</option>' for label in range(len(of.classes))
    )
    shown = sorted({of.judged[at].truth for at, _, _ in of.map})
    keys = "".join(
        f'<li><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><g class="dot c{label % plots.COLOURS}">'
        f"{plots.point(8, 8, label, is_right=True)}</g></svg>{text(album.name(label))}</li>"
        for label in shown[:KEYS]
    )
    if len(shown) > KEYS:
        keys += f"<li>and {count(len(shown) - KEYS, 'class', 'classes')} more: choose one above</li>"
    lead = (
        f"Each point is one of {count(len(of.map), 'judged picture')}; pictures that look alike to the network stand "
        "together. Crosses are mistakes. Choose a point to see its picture; arrow keys go from one to the next."
    )
    return section(
        "map",
        "A map of the pictures",
        text(lead),
        f'<p><label>Show the class <select id="map-class"><option value="">all of them</option>{options}</select></label></p>',
        f'<svg id="atlas" class="atlas" viewBox="0 0 {width} {height}" role="group" aria-label="Map of the features">{"".join(points)}</svg>',
        f'<ul class="legend">{keys}</ul>',
        paragraph(
            "Far distances on the map mean nothing; only what is close does (t-SNE on the last layer's features).",
            "small",
        ),
    )


def race(album: Album) -> str:
    """Which backbones were compared, where they were."""
    found = album.material.report.get("race")
    if not found:
        return ""
    rows = [
        [
            words(one["name"]),
            share(one["accuracy"]),
            Cell(between(one["accuracy_ci95"]), one["accuracy_ci95"][0]),
            cell(one["nll"], digits=3),
            cell(one["ms_per_picture"], digits=1),
            Cell(text(one["verdict"]), one["verdict"]),
        ]
        for one in found
    ]
    bars = [(one["name"], Point(one["accuracy"], 0, tuple(one["accuracy_ci95"]))) for one in found]
    low = float(np.floor(10 * min(one["accuracy_ci95"][0] for one in found)) / 10)
    told = "; ".join(f"{one['name']}: {one['verdict']}" for one in found)
    head = ("backbone", "accuracy", "95 % interval", "log-loss", "ms a picture", "verdict")
    return section(
        "race",
        "Which backbone",
        f"{count(len(found), 'backbone')} raced on training pictures; {text(found[0]['name'])} was chosen.",
        plots.intervals("Accuracy out of fold, with 95 % interval", told, bars, min(0.9, low)),
        table("The race", head, rows, can_sort=True),
    )


def ladder(album: Album) -> str:
    """What each step of transfer learning is worth on these pictures, where `compare` was run on them."""
    found = album.material.ladder
    rungs = found["rungs"] if found else []
    if not found or not rungs:
        return ""
    rows = [
        [
            words(one["title"]),
            share(one["accuracy"]),
            Cell(between(one["accuracy_ci95"]), one["accuracy_ci95"][0]),
            cell(one["nll"], digits=3),
            cell(one["seconds"], digits=1),
            words(one["verdict"]),
        ]
        for one in rungs
    ]
    bars = [(one["title"], Point(one["accuracy"], 0, tuple(one["accuracy_ci95"]))) for one in rungs]
    low = float(np.floor(10 * min(one["accuracy_ci95"][0] for one in rungs)) / 10)
    told = "; ".join(f"{one['title']}: {one['verdict']}" for one in rungs)
    head = (
        "step",
        "accuracy",
        "95 % interval",
        "log-loss",
        "seconds",
        "beside the step above it in this table",
    )
    how = "of the test part" if found["data"]["test"] else "by fits without each"
    absent = " ".join(f"Left out: {one['name']}, {one['reason']}" for one in found["left_out"])
    return section(
        "ladder",
        "What each step is worth",
        f"headstart compare climbed from the commonest class upwards with {text(found['chosen'])}, "
        f"on {count(rungs[0]['n'], 'picture')} {how}. It chose nothing in this model.",
        plots.intervals("Accuracy, with 95 % interval", told, bars, min(0.9, low)),
        table("The ladder of compare", head, rows),
        paragraph(text(absent)) if absent else "",
    )


def tuning(album: Album) -> str:
    """Training curves, where stages were trained."""
    report = album.material.report
    found, why, depth = report.get("tuning"), report.get("kept_frozen"), report["tune"]
    if not found and not why:
        return ""
    which = {"all": "all stages were", "last 1": "the last stage was"}.get(depth, f"the {depth} stages were")
    lead = f"The network stays frozen: {why}" if why else f"In the network that ships, {which} trained."
    if report.get("interrupted"):
        lead += " Training was interrupted: this is the best that had been judged until then."
    body = []
    for one in found or ():
        title = f"{one['stages_frozen']} stages frozen, {one['augment']} augmentation"
        epochs = one["epochs"]
        trained = [Point(e["number"], e["loss"]) for e in epochs if e["loss"] is not None]
        held = [Point(e["number"], e["val_nll"]) for e in epochs if e["val_nll"] is not None]
        both = [p.y for p in trained + held]
        if both:
            told = f"loss from {both[0]:.3f} to {trained[-1].y:.3f}" if trained else ""
            last = max(p.x for p in trained + held)
            body.append(
                plots.chart(
                    f"Log-loss: {title}", told, Axis(0, last, "epoch"), Axis(0, max(both) * 1.05),
                    [Line("on what it learns from", trained, "a"), Line("on pictures kept aside", held, "b")],
                )
            )  # fmt: skip
        gain, (low, high) = one["nll_gain"], one["nll_gain_ci95"]
        word = "better" if one["better"] else "worse" if one["worse"] else "no clear difference"
        taken = "taken" if one["taken"] else "not taken"
        if 0 < one["share"] < 1:
            taken += f", {share(one['share'])} of the way from the frozen network to the trained one"
        body.append(
            paragraph(
                f"{text(title)}: {word}, {taken}. Log-loss {one['frozen']['nll']:.3f} before, {one['tuned']['nll']:.3f} after "
                f"(gain {gain:.3f}, 95 % {low:.3f} to {high:.3f}, {one['n']:,} pictures, {one['seconds']:.0f} s)."
            )
        )
    return section(
        "tuning",
        "Training the network further",
        text(lead),
        *body,
    )


def cost(album: Album) -> str:
    """Where the time went, and what an answer costs."""
    of = album.material
    report, seconds = of.report, of.report["seconds"]
    rows = [
        [words(name), cell(value, digits=2), share(value / max(seconds["total"], 1e-9))]
        for name, value in seconds.items()
        if name != "total"
    ]
    pace = f" at {report['images_per_second']:,.0f} pictures a second" if report["images_per_second"] else ""
    lead = (
        f"Made in {_time(seconds['total'])}: {count(report['encoded'], 'picture')} encoded{pace}. "
        f"An answer costs {of.backbone.gmac:g} billion multiply-adds; the network has {of.backbone.parameters / 1e6:.1f} million weights."
    )
    return section(
        "cost", "Time and cost", text(lead), table("Seconds by step", ("step", "seconds", "share"), rows)
    )


def made(album: Album) -> str:
    """How to make it again, and whom to thank."""
    of = album.material
    command = of.report["command"]
    lead = "The same data, options and versions on the same machine give the same model, bit by bit."
    if "--budget" in command:
        lead += " But for the time: what a budget allows differs from run to run."
    rows = [
        [words(name), Cell(f'<span class="long">{text(said)}</span>', said)]
        for name, said in of.facts.items()
    ]
    trials = [
        [
            words(one["head"]),
            words(one["depths"]),
            cell(one["penalty"], digits=2),
            cell(one["nll"], digits=4),
            share(one["accuracy"]),
        ]
        for one in of.report["choice"]["trials"]
    ]
    return section(
        "made",
        "How it was made",
        lead,
        f'<pre tabindex="0"><code>{text(shlex.join(command))}</code></pre>',
        table("Facts", ("what", "which"), rows),
        details(
            f"Heads that were tried ({len(trials)})",
            table(
                "Heads, judged out of fold",
                ("head", "depths", "penalty", "log-loss", "accuracy"),
                trials,
                can_sort=True,
            ),
        ),
    )


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
