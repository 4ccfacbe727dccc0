"""Where pictures lie in two dimensions: neighbours in the features stay neighbours on the map."""

import numpy as np

from headstart.values import Doubles, Floats, Halves

PERPLEXITY = 20.0  # about how many neighbours count
STEPS, EXAGGERATED, MORE = (
    260,
    80,
    8.0,
)  # steps in all, steps in which neighbours pull harder, how much harder
WIDE = 50  # directions of the features that are kept


def layout(x: Halves) -> Doubles:
    """Coordinates [n, 2] within 0..1 of features [n, dim]. No drawing of lots: the same rows, the same map.

    t-SNE (van der Maaten and Hinton 2008) on unit vectors, begun from the two main directions. Distances
    between far groups mean nothing; closeness does. Below four pictures: the main directions.
    """
    wide = x.astype(np.float32)
    wide = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    main = _main_directions(wide)
    if len(x) < 4:
        return _into_unit(main[:, :2])
    wanted = _affinities(main)
    y = main[:, :2] / max(float(main[:, 0].std()), 1e-12) * np.float32(1e-2)
    speed, gains = np.zeros_like(y), np.ones_like(y)
    rate = max(len(x) / MORE, 20.0)
    for step in range(STEPS):
        squares = (y * y).sum(1)
        near = 1 / (1 + np.maximum(squares[:, None] + squares[None] - 2 * (y @ y.T), 0))
        np.fill_diagonal(near, 0)
        pull = (wanted * (MORE if step < EXAGGERATED else 1.0) - near / near.sum()) * near
        slope = 4 * (pull.sum(1)[:, None] * y - pull @ y)
        gains = np.maximum(np.where(np.sign(slope) != np.sign(speed), gains + 0.2, gains * 0.8), 0.01)
        speed = (0.5 if step < EXAGGERATED else 0.8) * speed - rate * gains * slope
        y = y + speed
    return _into_unit(y)


def _main_directions(x: Floats) -> Floats:
    """The rows along their main directions, [n, at most WIDE], widest first; signs are fixed by the rows."""
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(-values)[:WIDE]
    found = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    if found.shape[1] < 2:
        found = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
    signs = np.sign(found[np.abs(found).argmax(0), np.arange(found.shape[1])])
    turned: Floats = (found * np.where(signs == 0, 1, signs)).astype(np.float32)
    return turned


def _affinities(x: Floats) -> Floats:
    """How much each pair belongs together, [n, n], summing to one: widths found by halving, row by row."""
    squares = (x * x).sum(1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * (x @ x.T), 0)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(1, keepdims=True)
    wanted = np.log(min(PERPLEXITY, (len(x) - 1) / 3 + 1))
    low, high = np.full((len(x), 1), 1e-4), np.full((len(x), 1), 1e6)
    for _ in range(30):
        sharp = np.sqrt(low * high)
        odds = np.exp(-(distances - nearest) * sharp)
        odds /= odds.sum(1, keepdims=True)
        entropy = -(odds * np.log(np.maximum(odds, 1e-12))).sum(1, keepdims=True)
        low, high = np.where(entropy > wanted, sharp, low), np.where(entropy > wanted, high, sharp)
    both = (odds + odds.T) / (2 * len(x))
    found: Floats = both.astype(np.float32)
    return found


def _into_unit(y: Floats) -> Doubles:
    low, span = y.min(0), np.maximum(np.ptp(y, axis=0), 1e-12)
    found: Doubles = ((y - low) / span).astype(np.float64)
    return found
