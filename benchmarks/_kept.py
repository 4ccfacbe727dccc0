"""What benchmarks on kept features share: each set encoded once, and its parts."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _harness
import numpy as np
from _harness import Options

SETS = ("hymenoptera", "flowers12", "alien_predator", "caltech101_small", "cifar10_small")


@contextmanager
def looks(asked: Options, names: Sequence[str] = SETS) -> Iterator[dict[str, Any]]:
    """Each set as `headstart check` sees it, in a cache of its own that holds as long as this does."""
    import headstart

    folders = {name: _harness.picture_set(asked, name) for name in names}
    with _harness.workplace() as place:
        os.environ["HEADSTART_CACHE"] = str(_harness.with_network(place / "cache"))
        if asked.quick:
            folders = {name: _harness.some(own, place / name, 12) for name, own in folders.items()}
        yield {name: headstart.check(folder) for name, folder in folders.items()}


def rows(look: Any, part: str) -> Any:
    """Positions of the pictures of a part."""
    return np.flatnonzero(np.array(look.examples.parts) == part)


def encoded(files: Sequence[Path]) -> Any:
    """Features [n, d] of these files by the default network."""
    from headstart import backbones
    from headstart.engines import open_engine
    from headstart.features.extract import extract

    spec = backbones.spec(backbones.DEFAULT)
    return extract(files, spec, open_engine(spec, "cpu")).x
