"""The same heat maps without PyTorch, where features are means and maxima of maps: for the report of `train`.

The engine that predicts gives the maps behind its features (`engines.Maps`), and the rest is NumPy: a dozen
pictures in a fraction of a second. `heat.heats` does the same for every network, and is the reference.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.engines import Engine, Maps, Pool
from headstart.errors import UnknownFamily, UnreadablePicture
from headstart.explain.colour import overlay
from headstart.explain.heat import CELLS, OTHERS, Heat, average, heats, pull_of
from headstart.explain.lens import pixels_of
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.values import Bytes, Floats


def overlays(
    model: Model,
    engine: Engine,
    asked: Mapping[str, tuple[Path, str]],
    *,
    limit_px: int = LIMIT_PX,
) -> dict[str, bytes]:
    """Small PNGs by name: what speaks in a file for a class. What cannot be read is left out.

    Raises:
        WeightsError, MissingExtra, StoreError: the network cannot be opened.
    """
    see = _seer(model, engine, limit_px)
    found = {}
    for name, (file, label) in asked.items():
        try:
            found[name] = overlay(see(file, label))
        except UnreadablePicture:
            continue
    return found


def _seer(model: Model, engine: Engine, limit_px: int) -> Callable[[Path, str], Heat]:
    """How to look at a file for a class; by PyTorch where the engine has no maps."""
    try:
        maps = engine.maps()
    except UnknownFamily:
        return lambda file, label: heats(model, [file], labels=[label], limit_px=limit_px)[0]
    return lambda file, label: heat(model, maps, file, label, limit_px=limit_px)


def heat(model: Model, maps: Maps, file: Path, label: str, *, limit_px: int = LIMIT_PX) -> Heat:
    """What speaks for `label`, held against the average of all other classes.

    Raises:
        UnreadablePicture: it is no picture; the message names it.
        Misuse: the model has no class `label`.
    """
    return heat_of(model, maps, pixels_of(file, model, limit_px=limit_px), str(file), label)


def heat_of(model: Model, maps: Maps, pixels: Bytes, name: str, label: str) -> Heat:
    """The same for pixels [s, s, 3] as `decode` gives them; `name` is only passed on.

    Raises:
        Misuse: the model has no class `label`.
    """
    blocks = [one[0] for one in maps.of(pixels[None])]
    pooled = [
        b.mean((1, 2)) if p.kind == "mean" else b.max((1, 2)) for p, b in zip(maps.pools, blocks, strict=True)
    ]
    x = np.concatenate(pooled).astype(np.float32)
    pull, (constant,) = pull_of(model, x[None], [label], [OTHERS])
    middle = average(model)
    total = np.zeros(pixels.shape[:2], np.float32)
    added, placed = [], []
    for depth in model.backbone.depths:
        if depth.stop <= model.inputs.start or depth.start >= model.inputs.stop:
            continue
        own = slice(depth.start, depth.stop)
        parts = [
            _parts(pool, block, pull[0], middle)
            for pool, block in zip(maps.pools, blocks, strict=True)
            if depth.start <= pool.start < depth.stop
        ]
        grid: Floats = np.stack(parts).sum(0)
        total += _upsampled(grid, len(pixels))
        added.append((depth.name, float((pull[0, own] * (x[own] - middle[own])).sum(dtype=np.float64))))
        placed.append((depth.name, grid))
    logit = constant + sum(value for _, value in added)
    return Heat(
        name, label, OTHERS, total, pixels, logit, constant, tuple(added), tuple(placed), unplaced=0.0
    )


def _parts(pool: Pool, block: Floats, pull: Floats, middle: Floats) -> Floats:
    """What each position [h, w] adds by these features. A maximum belongs to the positions that have it."""
    own, level = pull[pool.start : pool.stop], middle[pool.start : pool.stop]
    if pool.kind == "mean":
        places = block.shape[1] * block.shape[2]
        return (np.tensordot(own, block, 1) - own @ level).astype(np.float32) / np.float32(places)
    top = block.max((1, 2), keepdims=True)
    at_top = block == top
    worth = own * (top[:, 0, 0] - level) / at_top.sum((1, 2))
    return np.tensordot(worth, at_top, 1).astype(np.float32)


def _upsampled(grid: Floats, side: int) -> Floats:
    """The same parts, [h, w] to [side, side], fine maps by way of CELLS across: see `heat`."""
    large = grid * np.float32(grid.size / side**2)
    if grid.shape[0] > CELLS:
        large = _coarser(_coarser(large).T).T
    image = Image.fromarray(np.ascontiguousarray(large, np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def _coarser(grid: Floats) -> Floats:
    """Means of CELLS stretches of rows, which overlap where the rows cannot be shared out evenly."""
    rows = len(grid)
    ends = [(at * rows // CELLS, -(-(at + 1) * rows // CELLS)) for at in range(CELLS)]
    return np.stack([grid[low:high].mean(0) for low, high in ends]).astype(np.float32)
