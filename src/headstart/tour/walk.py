"""The tour itself: gather pictures, run every chapter, write the page."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.files import check_free, folder_whole
from headstart.tour import (
    convolution,
    counting,
    forgetting,
    freezing,
    gradients,
    layers,
    learn,
    page,
    pictures,
    starts,
)
from headstart.tour.section import FULL, QUICK, Effort, Section
from headstart.version import VERSION

INDEX = "index.html"

OnChapter = Callable[[str], None]  # what is being done now


def unheard(_what: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Tour:
    """What was computed, and where the page stands."""

    page: Path
    effort: str
    pictures: dict[str, Any]
    chapters: dict[str, Any]  # by name: a frozen value each, None where it needs more classes
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As in `tour --json`: all numbers of the page."""
        return {
            "page": str(self.page),
            "effort": self.effort,
            "pictures": self.pictures,
            "chapters": {name: _plain(value) for name, value in self.chapters.items()},
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "version": VERSION,
        }


def tour(
    out: str | Path,
    *,
    data: str | Path | None = None,
    quick: bool = False,
    seed: int = 0,
    on_chapter: OnChapter = unheard,
) -> Tour:
    """Run every chapter and write the page to the folder `out`. The same machine gives the same numbers.

    The pictures are the embedded digits, or the first four classes of `data`, a folder of class folders.

    Raises:
        NoData, Misuse: nothing usable at `data`.
        TooFewExamples: too few pictures in a class.
        OutputExists: something stands at `out`.
        OutputError: it cannot be written.
    """
    out = Path(out)
    check_free(out)
    found, sections, material, seconds = chapters(
        Path(data) if data is not None else None, QUICK if quick else FULL, seed, on_chapter
    )
    n, judged, classes = len(material.features), len(material.judged), len(material.classes)
    about = (
        f"Pictures: {material.name}, {classes} classes ({', '.join(material.classes)}), {n} pictures, of which "
        f"{judged} are for judging only. Network: {material.spec.title} at {material.spec.preprocess.size_px} "
        "pixels, smaller than usual, so that it is quick."
    )
    made = f"headstart {VERSION}, seed {seed}, {seconds['total']:.0f} seconds."
    document = page.page(sections, about=about, quick=quick, made=made)
    with folder_whole(out) as part:
        (part / INDEX).write_text(document, encoding="utf-8", newline="\n")
    told = {
        "name": material.name, "classes": list(material.classes), "n": n, "judged": judged,
        "sizes": list(material.sizes), "size_px": material.spec.preprocess.size_px,
    }  # fmt: skip
    return Tour(out / INDEX, "quick" if quick else "full", told, found, seconds)


def chapters(
    data: Path | None, effort: Effort, seed: int, on_chapter: OnChapter
) -> tuple[dict[str, Any], list[Section], pictures.Material, dict[str, float]]:
    """Every chapter's value and section, the pictures, and the seconds that each took."""
    values: dict[str, Any] = {}
    sections: list[Section] = []
    clock: dict[str, float] = {}
    begin = last = time.perf_counter()

    def tick(name: str) -> None:
        nonlocal last
        clock[name] = time.perf_counter() - last
        last = time.perf_counter()

    with learn.one_thread():
        on_chapter("reading and encoding the pictures")
        material = pictures.gather(data, effort, seed=seed)
        tick("pictures")
        on_chapter("1 convolution")
        values["convolution"] = convolution.measured(material)
        sections.append(convolution.rendered(values["convolution"]))
        tick("convolution")
        on_chapter("2 counting")
        values["counting"] = counting.measured()
        sections.append(counting.rendered(values["counting"]))
        tick("counting")
        on_chapter("3 gradients")
        values["gradients"] = gradients.measured(material, effort, seed=seed)
        sections.append(gradients.rendered(values["gradients"]))
        tick("gradients")
        runs = _runs(material, effort, seed, on_chapter)
        tick("runs")
        values["freezing"] = freezing.measured(runs)
        sections.append(freezing.rendered(values["freezing"]))
        values["starts"] = starts.measured(runs, len(material.classes))
        sections.append(starts.rendered(values["starts"]))
        on_chapter("6 forgetting")
        values["forgetting"] = forgetting.measured(material, effort, seed=seed)
        sections.append(forgetting.rendered(values["forgetting"]))
        tick("forgetting")
        on_chapter("7 layers")
        values["layers"] = layers.measured(material)
        sections.append(layers.rendered(values["layers"]))
        tick("layers")
    clock["total"] = time.perf_counter() - begin
    return values, sections, material, clock


def _runs(
    material: pictures.Material, effort: Effort, seed: int, on_chapter: OnChapter
) -> tuple[learn.Run, ...]:
    """What chapters 4 and 5 show: every way at every number of pictures; the last stages at the largest."""
    found = []
    for size in material.sizes:
        on_chapter(f"4 and 5 learning from {size} pictures per class")
        found += [
            learn.scratch(material, size, effort, seed=seed),
            learn.frozen(material, size, seed=seed)[0],
            learn.tuned(material, size, "all", effort, seed=seed),
        ]
    return (*found, learn.tuned(material, material.sizes[-1], "last", effort, seed=seed))


def _plain(value: Any) -> Any:
    """A frozen value as plain data; its pictures are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: getattr(value, field.name) for field in fields(value)}
        named = [name for name, one in vars(type(value)).items() if isinstance(one, property)]
        own |= {name: getattr(value, name) for name in named}
        return {name: _plain(one) for name, one in own.items() if not _is_picture(one)}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _is_picture(value: Any) -> bool:
    several = isinstance(value, tuple) and bool(value) and isinstance(value[0], np.ndarray)
    return isinstance(value, np.ndarray) or several
