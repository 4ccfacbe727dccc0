"""Chapter 4: which weights move, stage by stage, in four ways of learning from the same pictures."""

from dataclasses import dataclass

from headstart.tour import draw
from headstart.tour.learn import Run
from headstart.tour.section import Section

WAYS = ("frozen", "last", "all", "scratch")
TITLES = {
    "frozen": "frozen: only a new head is fitted",
    "last": "the last stages trained as well",
    "all": "all stages trained",
    "scratch": "a small network from scratch",
}


@dataclass(frozen=True)
class Freezing:
    """The chapter's numbers: one run for each way, on the same pictures."""

    runs: tuple[Run, ...]


def measured(runs: tuple[Run, ...]) -> Freezing:
    """The runs of this chapter among all that were made: those with most pictures."""
    most = max(run.per_class for run in runs)
    return Freezing(tuple(run for way in WAYS for run in runs if run.way == way and run.per_class == most))


def rendered(found: Freezing) -> Section:
    """The chapter as HTML."""
    parts = []
    for run in found.runs:
        told = f"{TITLES[run.way]}: " + ", ".join(f"{own.piece} {own.change:.2%}" for own in run.moved)
        rows = [(own.piece, (100 * own.change,)) for own in run.moved]
        still = [own.piece for own in run.moved if own.is_equal]
        said = (
            "Not one bit changed anywhere."
            if len(still) == len(run.moved)
            else f"Not one bit changed in {', '.join(still)}."
            if still
            else "Every piece moved."
        )
        parts.append(
            f"<div><h3>{draw.text(TITLES[run.way])}</h3>"
            + draw.bars(told, "change of the weights, % of their norm", rows, ("change",))
            + f"<p>{draw.text(said)} Right on {draw.share(run.accuracy)} of {run.judged} unseen pictures.</p></div>"
        )
    pictures = found.runs[0].per_class
    by_way = {run.way: [100 * own.change for own in run.moved] for run in found.runs}
    stem = (
        "The stem stays even then: headstart never trains a pretrained one, which has few weights and would see "
        "the largest gradients. "
        if any(
            own.piece == "stem" and own.is_equal
            for run in found.runs
            if run.way == "all"
            for own in run.moved
        )
        else ""
    )
    far, near = max(by_way["all"]), min(by_way["scratch"])
    body = (
        f"<p>Four ways to learn from the same {pictures} pictures per class. For each piece of the network: how "
        "far its numbers are from where they started, as a share of their size. The first three start from "
        "the same pretrained network, the last from random numbers.</p>"
        f'<div class="plots">{"".join(parts)}</div>'
        "<p>A stage that stays frozen is not trained slowly, it is not trained at all: its numbers are equal to "
        "the last bit, and its outputs can be computed once and kept. Where all stages "
        f"were trained from pretrained weights, none moved by more than {far:.2g} %: most of what they knew stays. "
        f"{stem}From scratch the least moved by {near:.2g} %.</p>"
    )
    code = (
        "from headstart.tour.learn import frozen, tuned\n"
        "from headstart.tour.pictures import gather\n"
        "from headstart.tour.section import QUICK\n\n"
        'pictures = gather(None, QUICK)  # or Path("photos"), a folder of class folders\n'
        "print(frozen(pictures, 5, seed=0)[0].moved)\n"
        'print(tuned(pictures, 5, "last", QUICK, seed=0).moved)'
    )
    return Section(
        "freezing",
        "Freezing, stage by stage",
        "Compare the four drawings: where there is no bar, nothing moved. Freezing chooses how much of what "
        "the network knew is kept, and how much there is to learn.",
        body,
        code,
    )
