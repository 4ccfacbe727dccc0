"""The sections on how far answers can be trusted, from the document under `trust` in the report."""

from typing import Any

from headstart.evaluate.abstain import FEWEST
from headstart.report import plots
from headstart.report.album import Album
from headstart.report.gather import GROUPS, SUSPECTS
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
from headstart.report.sections import of_whom
from headstart.trust.weak import ENOUGH

LISTED = 50  # suspects written out
GOOD = 0.99  # accuracy that sending unsure pictures to a person is to reach


def _trust(album: Album, part: str) -> Any:
    return (album.material.report.get("trust") or {}).get(part)


def _of_whom(album: Album) -> str:
    said = of_whom(album.material.report)
    return paragraph(text(said), "small") if said else ""


def reliability(album: Album) -> str:
    """Whether “90 % sure” is right nine times in ten."""
    bins = [one for one in _trust(album, "reliability") or [] if one["n"]]
    if not bins:
        return ""
    points = [Point(one["confidence"], one["accuracy"], tuple(one["accuracy_ci95"])) for one in bins]
    low = min(0.9, min(min(p.x, p.ends[0] if p.ends else 1) for p in points))
    low = int(10 * low) / 10
    off = sum(one["n"] * abs(one["accuracy"] - one["confidence"]) for one in bins) / sum(
        one["n"] for one in bins
    )
    told = "; ".join(
        f"{percent(one['confidence'])} sure, {percent(one['accuracy'])} right of {one['n']}" for one in bins
    )
    rows = [
        [
            Cell(f"{percent(one['low'], 0)} to {percent(one['high'], 0)}", one["low"]),
            cell(one["n"]), share(one["confidence"]), share(one["accuracy"]),
            Cell(between(one["accuracy_ci95"]), one["accuracy_ci95"][0]),
        ]
        for one in bins
    ]  # fmt: skip
    return section(
        "reliability",
        "Is it as right as it says?",
        f"Points on the diagonal: when it says 90 %, it is right nine times in ten. On average it is off by {percent(off)}.",
        plots.chart(
            "How sure it is, and how often it is right", told,
            Axis(low, 1, "how sure it said to be", is_share=True), Axis(low, 1, is_share=True),
            [
                Line("", [Point(low, low), Point(1, 1)], "faint", is_dashed=True),
                Line("measured, with 95 % interval", points, "a"),
            ],
        ),
        _of_whom(album),
        details("In numbers", table("Reliability", ("sure", "pictures", "mean", "right", "95 % interval"), rows)),
    )  # fmt: skip


def abstain(album: Album) -> str:
    """How right it is when unsure cases go to a person."""
    rows = [one for one in _trust(album, "abstain") or [] if one["n"]]
    if not rows:
        return ""
    rows = sorted({one["n"]: one for one in rows}.values(), key=lambda one: one["kept"])
    points = [Point(one["kept"], one["accuracy"], tuple(one["accuracy_ci95"])) for one in rows]
    lead = _worth_sending(rows)
    good = [one for one in rows if one["accuracy"] >= GOOD and one["n"] >= FEWEST]
    if good and good[-1] is rows[-1]:
        lead = f"It is right on {percent(rows[-1]['accuracy'])} of all: nothing has to be sent to a person for that."
    elif good:
        one = good[-1]
        lead = (
            f"Send the {percent(1 - one['kept'], 0 if one['kept'] < 0.99 else 1)} it is least sure of to a person, and {percent(one['accuracy'])} of the rest "
            f"is right ({between(one['accuracy_ci95'])}): --min-confidence {one['min_confidence']}."
        )
    low = min(0.9, int(10 * min(one["accuracy_ci95"][0] for one in rows)) / 10)
    told = "; ".join(f"{percent(one['kept'])} answered, {percent(one['accuracy'])} right" for one in rows)
    cells = [
        [
            Cell(str(one["min_confidence"]), one["min_confidence"]), share(one["kept"]),
            Cell(f"{one['n']:,}", one["n"]), share(one["accuracy"]), Cell(between(one["accuracy_ci95"]), one["accuracy_ci95"][0]),
        ]
        for one in reversed(rows)
    ]  # fmt: skip
    head = ("least probability", "answered by the model", "pictures", "right", "95 % interval")
    return section(
        "abstain",
        "When it is unsure",
        text(lead),
        plots.chart(
            "Right answers against the share answered", told,
            Axis(min(0.5, rows[0]["kept"]), 1, "share answered by the model", is_share=True), Axis(low, 1, is_share=True),
            [Line("measured, with 95 % interval", points, "a", has_band=True)],
        ),
        _of_whom(album),
        details("In numbers", table("What --min-confidence brings", head, cells)),
    )  # fmt: skip


def _worth_sending(rows: list[dict[str, Any]]) -> str:
    """Whether the surest answers are right more often than all; `rows` ascend by the share answered."""
    surest, everything = rows[0], rows[-1]
    if surest is everything:
        return "Too few pictures were judged to say what sending the unsure ones to a person would bring."
    if surest["accuracy"] <= everything["accuracy"]:
        return "Here it is right no more often where it is sure: sending the unsure pictures to a person brings nothing."
    if surest["accuracy_ci95"][0] <= everything["accuracy"]:
        return "Where it is surer it was right more often, but on so few pictures that this may be chance."
    return "Send what it is unsure of to a person, and the rest is right more often."


def sets(album: Album) -> str:
    """Several classes that together hold the truth."""
    found = _trust(album, "sets")
    if not found:
        return ""
    lead = (
        f"Asked for sets of classes that hold the truth {percent(found['asked'], 0)} of the time, it gave sets that held it on "
        f"{percent(found['coverage'])} of {count(found['n'], 'picture')} ({between(found['coverage_ci95'])}), "
        f"of {number(found['mean_size'])} classes each, on average."
    )
    rows = [[words(name), cell(one["n"]), share(one["coverage"])] for name, one in found["per_class"].items()]
    inside = table("Truth inside the set", ("class", "pictures", "covered"), rows, can_sort=True)
    return section(
        "sets",
        "Sets that hold the truth",
        lead,
        _of_whom(album),
        details("Class by class", inside) if rows else "",
    )


def _by_frozen(album: Album, what: str) -> str:
    """Where stages were trained, who is meant."""
    if album.material.report["tune"] == "never":
        return ""
    return f"{what} by the frozen network, before any of it was trained."


def suspects(album: Album) -> str:
    """Labels that may be wrong."""
    found = _trust(album, "suspects")
    if not found or not found["examined"]:
        return ""
    rows, used = found["rows"], album.material.report["data"]["used"]
    who = f"of the {found['examined']:,}" + (
        f" that were examined, out of {used:,}" if found["examined"] < used else ""
    )
    by = _by_frozen(album, "Judged")
    wrong = found["estimated"]
    if not rows:
        said = f"No label {who} looks wrong. {by}"
        if wrong:
            said = (
                f"No single label {who} is clearly wrong, though confident learning counts {wrong:,}: the classes are "
                f"hard to tell apart, or labels say little about the pictures. {by}"
            )
        return section("suspects", "Suspicious labels", said)
    lead = f"About {count(wrong, 'label')} {who} may be wrong; the most suspicious come first."
    if not wrong:
        lead = f"Confident learning expects no wrong label {who}; these are the ones against which another class is nearly sure."
    listed = (
        "lists them"
        if found["found"] == len(rows)
        else f"lists the first {len(rows):,} of {found['found']:,}"
    )
    tiles = "".join(
        album.tile(
            one["path"],
            f"labelled <b>{text(one['label'])}</b><br>rather {text(one['suggested'])} ({text(sure(one['other']))})",
        )
        for one in rows[:SUSPECTS]
        if album.has(one["path"])
    )
    cells = [
        [
            Cell(f"<code>{text(one['path'])}</code>", one["path"]), words(one["label"]), words(one["suggested"]),
            share(one["given"]), share(one["other"]), words(one["part"]),
        ]
        for one in rows[:LISTED]
    ]  # fmt: skip
    head = ("file", "label", "rather", "probability of the label", "of the other", "part")
    return section(
        "suspects",
        "Suspicious labels",
        f"{lead} suspects.csv {listed} to be put right. {by}",
        f'<div class="tiles-of">{tiles}</div>' if tiles else "",
        details(f"The first {len(cells)} in words", table("Suspicious labels", head, cells, can_sort=True)),
    )


def shortcuts(album: Album) -> str:
    """Whether the label can be told from something that is not in the picture."""
    found = _trust(album, "shortcuts")
    if not found:
        return ""
    caught = [one for one in found if one["found"]]
    best = max(found, key=lambda one: one["accuracy"])
    lead = (
        f"{_nothing(best)} The {text(best['fact'])} says most: {percent(best['accuracy'])} right from it alone, "
        f"{percent(best['chance'])} by always saying the commonest class."
    )
    if any(one["foreign"] for one in caught):
        lead = (
            "The class can be told without looking at what is shown. Check that the score is not owed to it."
        )
    elif caught:
        lead = "The class can be told from something that may be the subject itself: no harm if that is what tells the classes apart."
    notes = [
        note(
            f"From the {text(one['fact'])} alone, {percent(one['accuracy'])} are right ({between(one['accuracy_ci95'])}); "
            f"by chance it would be {percent(one['chance'])}.",
            "bad" if one["foreign"] else "warn",
        )
        for one in caught
    ]
    rows = [
        [
            words(one["fact"]),
            share(one["accuracy"]),
            Cell(between(one["accuracy_ci95"]), one["accuracy_ci95"][0]),
            share(one["chance"]),
            words("yes" if one["found"] else "no"),
        ]
        for one in found
    ]
    head = ("fact about the file", "right from it alone", "95 % interval", "by chance", "shortcut")
    return section(
        "shortcuts",
        "Shortcuts",
        lead,
        *notes,
        details("All that was tried", table("Shortcuts", head, rows, can_sort=True)),
    )


def _nothing(best: dict[str, Any]) -> str:
    if best["accuracy_ci95"][0] <= best["chance"]:
        return "Nothing gives the class away."
    return "Facts about the files tell something of the class, but not so much that a warning is due."


def weak(album: Album) -> str:
    """Groups of pictures on which it is clearly worse."""
    if "weak" not in (album.material.report.get("trust") or {}):
        return ""
    found = _trust(album, "weak")
    if found is None:
        few = f"Fewer than {ENOUGH} pictures were judged: too few to look for groups on which it is worse."
        return section("weak", "Weak spots", few)
    if not found:
        return section("weak", "Weak spots", "No group of pictures was found on which it is clearly worse.")
    cards = []
    for at, one in enumerate(found):
        said = (
            f"{percent(one['accuracy'])} right ({between(one['accuracy_ci95'])}) on {count(one['n'], 'picture')}; "
            f"{percent(one['rest'])} on the others. p = {one['p']:.2g}, corrected for looking at many groups."
        )
        pictures = album.strip(one["paths"][:6]) if at < GROUPS else ""
        cards.append(f'<div class="finding"><h3>{text(one["what"])}</h3><p>{said}</p>{pictures}</div>')
    return section(
        "weak", "Weak spots", "On these groups of pictures it is clearly worse.", _of_whom(album), *cards
    )


def curve(album: Album) -> str:
    """Whether more pictures would help."""
    found = _trust(album, "curve")
    if not found or not found["points"]:
        return ""
    points = [Point(one["n"], one["accuracy"], tuple(one["accuracy_ci95"])) for one in found["points"]]
    who = "it" if album.material.report["tune"] == "never" else "a head on the frozen network"
    ahead = [Point(one["n"], one["accuracy"], tuple(one["interval"])) for one in found["ahead"]]
    lead = f"With {points[-1].x:,.0f} training pictures {who} reaches {percent(points[-1].y)}, judged out of fold."
    if ahead:
        last = ahead[-1]
        lead += (
            f" With {last.x:,.0f}, about {percent(last.y)} can be expected ({between(last.ends or (0, 1))})."
        )
    lead += f" {found['verdict']}"
    everything = points + ahead
    low = min(0.9, int(10 * min(p.ends[0] if p.ends else p.y for p in everything)) / 10)
    told = "; ".join(f"{p.x:,.0f} pictures {percent(p.y)}" for p in everything)
    lines = [Line("measured, with 95 % interval", points, "a", has_band=True)]
    if ahead:
        lines.append(Line("expected", [points[-1], *ahead], "b", has_band=True, is_dashed=True))
    body = [
        plots.chart(
            "Right answers against training pictures", told, Axis(0, everything[-1].x, "training pictures"),
            Axis(low, 1, is_share=True), lines,
        )
    ]  # fmt: skip
    rows = [
        [words(name), *(share(one["recall"]) for one in own)]
        for name, own in found["per_class"].items()
        if len(own) == len(found["points"])
    ]
    if rows:
        head = ("class", *(f"{one['n']:,} pictures" for one in found["points"]))
        body.append(
            details(
                "Class by class",
                table("Recognised, by number of training pictures", head, rows, can_sort=True),
            )
        )
    return section("curve", "Would more pictures help?", text(lead), *body)
