"""Are heat maps true? Deletion and insertion against random maps and maps of the centre, on 100 pictures.

Pictures of four sets that were not learnt from, 25 each, evenly through the list of their names; the class
is the model's own answer, also where that is wrong. Positive differences are in the maps' favour. The maps
are those of `explain`; in the details their two halves as well: parts, which the report shows, and effect.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Bound, Options, Result

SETS = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small")
EACH = 25  # pictures of a set
OTHERS = ("random", "centre")
HALVES = ("parts", "effect")  # of our map


def measure(asked: Options) -> Iterator[Result]:
    """One line for each curve and each kind of map to be beaten."""
    folders = {name: _harness.picture_set(asked, name) for name in SETS}
    each = 3 if asked.quick else EACH
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        areas = {name: judged(trained(folder, place), folder, each) for name, folder in folders.items()}
    rows = np.concatenate(list(areas.values()))  # [pictures, maps, deletion and insertion]
    for at, curve in enumerate(("deletion", "insertion")):
        sign = (-1, 1)[at]
        for other, name in enumerate(OTHERS, 1):
            gain = sign * (rows[:, 0, at] - rows[:, other, at])
            low, high = interval(gain)
            yield Result(
                f"area of the {curve} curve by which heat maps beat {name} maps (lower end of the interval)",
                low,
                "",
                Bound(">", 0),
                len(rows),
                1,
                (low, high),
                {
                    "interval_is": "95 % over pictures, of the mean difference",
                    "mean": float(gain.mean()),
                    "maps": float(rows[:, 0, at].mean()),
                    name: float(rows[:, other, at].mean()),
                    **{
                        half: float(rows[:, own, at].mean())
                        for own, half in enumerate(HALVES, 1 + len(OTHERS))
                    },
                    "sets": {
                        own: float((sign * (part[:, 0, at] - part[:, other, at])).mean())
                        for own, part in areas.items()
                    },
                },
            )


def trained(folder: Path, place: Path) -> Any:
    """The model that `train` makes of this folder."""
    import headstart

    return headstart.train(folder, out=place / folder.name)


def judged(model: Any, folder: Path, each: int) -> Any:
    """Areas [pictures, maps, 2]: our map, a random one, the centre, our map's halves; deletion, insertion."""
    from headstart.engines import open_engine
    from headstart.explain.effect import with_effects
    from headstart.explain.faithful import answering, centre_map, course, random_map
    from headstart.explain.heat import heats
    from headstart.explain.lens import open_lens, see

    parts = [part.path for part in model.manifest if part.part != "train"]
    files = [folder / parts[at] for at in np.linspace(0, len(parts) - 1, each).astype(int)]
    answer, lens = answering(model, open_engine(model.backbone)), open_lens(model)
    found = []
    for seed, parts_only in enumerate(heats(model, files)):
        (one,) = with_effects(lens, see(lens, parts_only.pixels[None]), [parts_only])
        assert one.effect is not None
        column, side = model.classes.index(one.label), one.pixels.shape[0]
        maps = [one.map, random_map(side, seed), centre_map(side), one.parts, one.effect]
        curves = [course(answer, one.pixels, own).of(column) for own in maps]
        found.append([(own.deleted, own.inserted) for own in curves])
    return np.array(found)


def interval(values: Any) -> tuple[float, float]:
    """95 % for the mean, by 10,000 draws of pictures with replacement."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (10_000, len(values)))].mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    _harness.main(measure, __doc__)
