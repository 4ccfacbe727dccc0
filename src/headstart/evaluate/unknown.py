"""Is a picture like anything that was learnt? Distance to the nearest training pictures in feature space.

Follows Sun et al. 2022 (arXiv:2204.06507): normalised features and nearest neighbours, no assumption on their
distribution; the mean over k neighbours in place of the k-th, which is steadier when classes are small.
"""

from collections.abc import Sequence

import numpy as np

from headstart.evaluate.sets import upper_quantile
from headstart.values import Doubles, Floats, Halves, Ints

REFERENCES = 2000  # training pictures that a model keeps for telling the unknown
FARTHEST = 2.0  # opposite vectors
BLOCK = 2048  # rows at a time on either side: 16 MB of similarities


def neighbour_distance(
    x: Halves | Floats,
    reference: Halves | Floats,
    *,
    k: int = 5,
    groups: tuple[Ints, Ints] | None = None,
) -> Doubles:
    """How strange each row of `x` [n, d] is: 1 - mean cosine to its `k` nearest rows of `reference` [m, d].

    0 (the same direction) to 2 (opposite). With fewer than k rows to compare with, the mean of those there
    are; with none, or for a vector of zeros, 1: like nothing. `groups`, the numbers of x [n] and of
    reference [m], keeps rows of the same group from being neighbours: that is how training pictures are
    scored among themselves, own twins left out. Lengths do not matter; vectors are not centred. Memory is
    that of a few blocks, whatever n and m.

    >>> x = np.array([[2.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    >>> neighbour_distance(x, np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), k=1)
    array([0., 1.])
    """
    found = np.empty(len(x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        unit = _unit(x[rows])
        nearest = np.full((len(unit), k), -np.inf, dtype=np.float32)
        for begin in range(0, len(reference), BLOCK):
            there = slice(begin, begin + BLOCK)
            cosine = unit @ _unit(reference[there]).T
            if groups is not None:
                cosine[groups[0][rows, None] == groups[1][None, there]] = -np.inf
            both = np.concatenate([nearest, cosine], axis=1)
            nearest = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
        found[rows] = _mean_distance(np.sort(nearest, axis=1).astype(np.float64))
    return found


def reference_rows(digests: Sequence[str]) -> Ints:
    """Which of the training pictures are kept to compare new ones with: REFERENCES of them, by content."""
    return np.sort(np.argsort(np.array(digests))[:REFERENCES])


def unknown_threshold(distances: Doubles, false_rejection: float = 0.05) -> float:
    """The distance above which a picture counts as unknown.

    A new picture of the known classes exceeds it with a chance of at most `false_rejection`, going by the
    `distances` [n] of known ones. With too few of them (below 19 for 0.05) nothing is ever unknown: 2.

    Raises:
        Misuse: `false_rejection` is below 0, or 1 and more.
    """
    return upper_quantile(distances, 1 - false_rejection, beyond=FARTHEST)


def _unit(x: Halves | Floats) -> Floats:
    """Rows of length one; zeros stay zeros."""
    wide = x.astype(np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(length > 0, length, 1)
    return wide


def _mean_distance(cosine: Doubles) -> Doubles:
    """One minus the mean over the finite cosines of each row; 1 where there are none."""
    real = np.isfinite(cosine)
    total = np.where(real, cosine, 0).sum(axis=1)
    distance: Doubles = np.clip(1 - total / np.maximum(real.sum(axis=1), 1), 0, FARTHEST)
    return distance
