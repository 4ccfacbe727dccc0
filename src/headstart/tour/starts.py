"""Chapter 5: from scratch, frozen, fine-tuned: the same pictures, and ever more of them."""

from dataclasses import dataclass

from headstart.tour import draw
from headstart.tour.learn import Run
from headstart.tour.section import Section

WAYS = ("scratch", "frozen", "all")
TITLES = {"scratch": "from scratch", "frozen": "frozen, new head", "all": "fine-tuned, all stages"}


@dataclass(frozen=True)
class Starts:
    """The chapter's numbers."""

    classes: int
    runs: tuple[Run, ...]


def measured(runs: tuple[Run, ...], classes: int) -> Starts:
    """The runs of this chapter among all that were made."""
    return Starts(classes, tuple(run for way in WAYS for run in runs if run.way == way))


def rendered(found: Starts) -> Section:
    """The chapter as HTML."""
    series = []
    for way in WAYS:
        own = [run for run in found.runs if run.way == way]
        series.append(
            draw.Series(
                TITLES[way],
                tuple(float(run.per_class) for run in own),
                tuple(run.accuracy for run in own),
                tuple(run.accuracy_ci95 for run in own),
            )
        )
    rows = [
        (
            f"{run.per_class} per class",
            TITLES[run.way],
            draw.share(run.accuracy),
            draw.between(run.accuracy_ci95),
            f"{run.seconds:.1f}",
        )
        for run in sorted(found.runs, key=lambda own: (own.per_class, WAYS.index(own.way)))
    ]
    low = min(0.1 * (10 * run.accuracy_ci95[0] // 1) for run in found.runs)
    plot = draw.lines(
        "Accuracy by the number of training pictures: "
        + "; ".join(
            f"{TITLES[run.way]}, {run.per_class} per class: {run.accuracy:.1%}" for run in found.runs
        ),
        draw.Axes(
            "training pictures per class (logarithmic)",
            "accuracy",
            log_x=True,
            percent=True,
            y_range=(low, 1.02),
        ),
        series,
    )
    few, many = found.runs[0].per_class, max(run.per_class for run in found.runs)
    told = " ".join(_gap(found, size) for size in dict.fromkeys((few, many)))
    body = (
        f"<p>{found.classes} classes, the same training pictures for all three, judged on the same "
        f"{found.runs[0].judged} pictures that none of them has seen. The upright lines are 95 % intervals.</p>"
        + plot
        + f"<p>{draw.text(told)}</p>"
        + draw.table(("pictures", "way", "right", "95 % sure", "seconds"), rows)
        + "<p>Seconds are from raw pictures to a classifier that can answer, on this machine, while this page "
        "was made. The differences between two ways on so few judged pictures are often within the intervals: "
        "<code>headstart compare</code> pairs them picture by picture and says which are more than noise.</p>"
    )
    code = (
        "from headstart.tour.learn import frozen, scratch\n"
        "from headstart.tour.pictures import gather\n"
        "from headstart.tour.section import QUICK\n\n"
        "pictures = gather(None, QUICK)\n"
        "print(scratch(pictures, 5, QUICK, seed=0).accuracy, frozen(pictures, 5, seed=0)[0].accuracy)\n"
        "# on your own pictures, with paired verdicts:\n"
        "#   headstart compare photos/ --rungs every"
    )
    return Section(
        "starts",
        "From scratch, frozen, fine-tuned",
        "Look at the left side first: with a handful of pictures the way of starting decides. Then follow "
        "the lines to the right, where more pictures make up for a poor start.",
        body,
        code,
    )


def _gap(found: Starts, size: int) -> str:
    own = {run.way: run for run in found.runs if run.per_class == size}
    gap = 100 * (own["frozen"].accuracy - own["scratch"].accuracy)
    word = "ahead of" if gap > 0 else "behind" if gap < 0 else "level with"
    by = f"{abs(gap):.1f} points " if gap else ""
    return f"With {size} pictures per class the frozen network is {by}{word} the one from scratch."
