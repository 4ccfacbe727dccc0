"""Pictures that are the same picture, found with kept features and thumbs: nothing is decoded again.

Candidates come from two sides that miss different copies: features know a picture again when it is cropped,
whole thumbs when it was shrunk and compressed until the network sees something else. Of every picture only
its best few candidates are looked at (`headstart.data.looks`), so that the work grows with the number of
pictures, not of pairs, whatever the set. The numbers below are calibrated by benchmarks/duplicates.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.looks import (
    ROUGH_LIKENESS,
    Looks,
    halves,
    look,
    rough_likeness,
)
from headstart.data.nearest import blocks, directions, later
from headstart.values import Bytes, Doubles, Floats, Halves, Ints

BY_FEATURES, BY_PIXELS = 4, 3  # candidates of each picture, of either kind
LEAST_COSINE = 0.4  # candidates by features have more; strangers of one fine-grained class reach 0.8
LEAST_PIXELS = 0.6  # candidates by pixels have more
FEW = 40  # in sets smaller than this neither the features' mean nor the usual likeness means much
DIMS = 96

SURE = 0.9  # likeness that needs no support; 99 of 100 copies have it
LEAST = 0.82  # likeness that is enough where features agree
AGREED = 0.8  # cosine at which features agree; SURE is asked for at AGREED - 3 x (SURE - LEAST)
SPARSE, SURE_IF_SPARSE = 30.0, 0.96  # a dot on a plain ground: fewer pixels than this carry the likeness

SAMPLED = 64  # pictures from which the usual likeness is learnt
USUAL = (0.4, 0.7, 1.0)  # usual likeness of pictures of one kind, and ...
USUAL_BARS = (LEAST, 0.95, 1.0)  # ... what a copy must then have, to stand out

SHIFTED, SCALED, STRETCHED = 0.02, 0.03, 0.05  # less is within what resizing does (shares of the side)
BRIGHTER, CONTRASTED = 8.0, 0.15  # grey levels; logarithm of the ratio
UNCHANGED = 0.97  # likeness of what was only resized or recompressed

LARGE_GROUP, LARGE_SHARE = 30, 20  # groups larger than this, and than a twentieth, are drawn more strictly
STRICTER = (0.9, 0.95, 0.98, 0.99, np.inf)


@dataclass(frozen=True)
class Twin:
    """Two pictures that are one, and the evidence.

    `cosine`: of the last layer's features, less their mean over all pictures. `likeness`: correlation of the
    pixels' detail when one is laid over the other, at most 1. `how`: what was done, as far as that shows.
    """

    i: int
    j: int  # i < j
    exact: bool
    cosine: float
    likeness: float
    how: str


def find(last: Halves, thumbs: Bytes, digests: Sequence[str]) -> list[Twin]:
    """Pairs that show the same picture, sorted by position.

    Files of equal content are paired with the first of them, and only the first is compared with others.
    In a set whose pictures all look alike (one camera that never moves, scanned forms) only what stands out
    from the usual likeness is reported. A flat picture has no twin but an equal file. The order of the
    pictures makes no difference.

    Args:
        last: The last layer's features, [n, d].
        thumbs: Grey, of the square that the network got, [n, 56, 56].
        digests: Of the files' bytes; "" is not compared.
    """
    first: dict[str, int] = {}
    twins, rows = [], []
    for row, digest in enumerate(digests):
        if digest and digest in first:
            twins.append(Twin(first[digest], row, exact=True, cosine=1.0, likeness=1.0, how="same file"))
        else:
            first[digest] = row
            rows.append(row)
    at = np.array(sorted(rows, key=lambda row: digests[row]), dtype=np.int64)
    if len(at) > 1:
        twins += _near(last, thumbs, at)
    return sorted(twins, key=lambda twin: (twin.i, twin.j))


def groups(n: int, twins: Iterable[Twin], given: Sequence[str]) -> Ints:
    """Which of `n` pictures belong together, [n]: by being twins, or by the user's own names ("": none).

    Numbered in the order of their first members. Twins of twins belong together, but lookalikes must not
    chain a class into one: where more than 30 pictures and a twentieth of all would be one group by likeness
    alone, only its more alike pairs are kept, at 0.9, 0.95, 0.98, 0.99 and then none. Equal files and the
    user's names always hold.
    """
    twins = list(twins)
    exact = [(twin.i, twin.j) for twin in twins if twin.exact]
    near = [twin for twin in twins if not twin.exact]
    most = max(LARGE_GROUP, n // LARGE_SHARE)
    for bar in STRICTER:
        found = joined(n, exact + [(twin.i, twin.j) for twin in near])
        sizes = np.bincount(found, minlength=n)
        near = [twin for twin in near if sizes[found[twin.i]] <= most or twin.likeness >= bar]
    named: dict[str, int] = {}
    same_name = [(named.setdefault(name, row), row) for row, name in enumerate(given) if name]
    return joined(n, [*exact, *((twin.i, twin.j) for twin in near), *same_name])


def joined(n: int, pairs: Iterable[tuple[int, int]]) -> Ints:
    """Connected components, [n], numbered in the order of their first members."""
    parent = list(range(n))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for i, j in pairs:
        one, two = root(i), root(j)
        parent[max(one, two)] = min(one, two)
    numbers: dict[int, int] = defaultdict(lambda: len(numbers))
    return np.array([numbers[root(row)] for row in range(n)], dtype=np.int64)


def _near(last: Halves, thumbs: Bytes, at: Ints) -> list[Twin]:
    mean = last.mean(0, dtype=np.float32)
    turned = directions(last, at, mean, DIMS)
    usual = _usual_likeness(turned, thumbs, at) if len(at) >= FEW else 0.0
    # where a copy must be very like, there is no need to look exactly at what is not even roughly so
    least = 1 - 4 * (1 - np.interp(usual, USUAL, USUAL_BARS))
    pairs, looks = _looked(
        thumbs, _candidates(turned, thumbs, at), float(np.clip(least, ROUGH_LIKENESS, SURE))
    )
    hopeful = np.flatnonzero(looks.likeness >= LEAST)
    cosine = np.ones(len(pairs), np.float32)
    cosine[hopeful] = _cosines(last, mean, pairs[hopeful])
    found = np.flatnonzero(looks.likeness >= bar(cosine, looks.weight, usual)).tolist()
    places = np.sort(pairs[found], axis=1).tolist()
    numbers = zip(cosine[found].tolist(), looks.likeness[found].tolist(), strict=True)
    return [
        Twin(i, j, exact=False, cosine=cos, likeness=like, how=_how(looks, row))
        for (i, j), (cos, like), row in zip(places, numbers, found, strict=True)
    ]


def _cosines(last: Halves, mean: Floats, pairs: Ints) -> Floats:
    """Cosine of the features of each pair, less `mean`, [p]."""
    found = np.empty(len(pairs), np.float32)
    for at in blocks(len(pairs), 4_000):
        one, two = (last[side] - mean for side in pairs[at].T)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        found[at] = np.einsum("pd,pd->p", one, two) / np.maximum(lengths, 1e-12)
    return found


def bar(cosine: Floats, weight: Floats, usual: float) -> Doubles:
    """The likeness that a pair must have to count as twins, [p].

    Args:
        cosine: Of the features, [p].
        weight: How many pixels carry the likeness, [p].
        usual: How alike pictures of one kind are in this set.
    """
    agreed = np.clip(LEAST + (AGREED - cosine.astype(np.float64)) / 3, LEAST, SURE)
    needed = np.where(weight < SPARSE, SURE_IF_SPARSE, agreed)
    found: Doubles = np.maximum(needed, np.interp(usual, USUAL, USUAL_BARS))
    return found


def _candidates(turned: Floats, thumbs: Bytes, at: Ints) -> Ints:
    """For each picture those worth a look, [n, BY_FEATURES + BY_PIXELS], -1 where there is none.

    Of the pictures `at`, whose features are `turned`; each pair is named once.
    """
    by_features, cosine = later(turned, np.zeros((len(at), 0), np.float32), BY_FEATURES)
    by_pixels, likeness = later(*halves(thumbs, at), BY_PIXELS)
    if len(at) >= FEW:
        by_features[cosine < LEAST_COSINE] = -1
    by_pixels[likeness < LEAST_PIXELS] = -1
    by_pixels[(by_pixels[:, :, None] == by_features[:, None, :]).any(2)] = -1
    others = np.concatenate([by_features, by_pixels], 1)
    found = np.full((len(thumbs), others.shape[1]), -1, np.int64)
    found[at] = np.where(others >= 0, at[others], -1)
    return found


def _looked(thumbs: Bytes, others: Ints, least: float = ROUGH_LIKENESS) -> tuple[Ints, Looks]:
    """The pairs that a rough look leaves, [p, 2], and what an exact look makes of them."""
    like, mirrored, frame = rough_likeness(thumbs, others)
    at = np.nonzero(like >= least)
    pairs = np.stack([at[0], others[at]], 1)
    return pairs, look(thumbs, pairs, mirrored[at], frame[at])


def _usual_likeness(turned: Floats, thumbs: Bytes, at: Ints) -> float:
    """How alike two pictures of one kind are, in this set.

    A sample's pictures are laid over neighbours that are too far down the list to be copies (a twentieth of
    the set). The ninth tenth, because a set may hold several kinds.
    """
    n = len(at)
    rows = np.unique(np.linspace(0, n - 1, SAMPLED).astype(np.int64))
    rank = max(8, n // 20)
    others = np.argpartition(-(turned[rows] @ turned.T), rank, axis=1)[:, rank]
    m = len(rows)
    pairs = np.concatenate([m + np.arange(m), np.full(m, -1)])[:, None]
    _, looks = _looked(thumbs[at[np.concatenate([rows, others])]], pairs)
    likeness = np.zeros(m)
    likeness[: len(looks.likeness)] = looks.likeness
    return float(np.quantile(likeness, 0.9))


def _how(looks: Looks, row: int) -> str:
    """What was done to one of the two, as far as it shows."""
    across, right, down, lower = looks.frame[row]
    words = []
    if looks.mirrored[row]:
        words.append("mirrored")
    if max(abs(right), abs(lower)) > SHIFTED or abs(np.log(across * down)) / 2 > SCALED:
        words.append("cropped")
    if abs(np.log(across / down)) > STRETCHED:
        words.append("stretched")
    if abs(looks.brightness[row]) > BRIGHTER or abs(np.log(looks.contrast[row])) > CONTRASTED:
        words.append("brightness changed")
    if looks.likeness[row] < SURE or (not words and looks.likeness[row] < UNCHANGED):
        words.insert(0, "nearly the same picture")
    return ", ".join(words) or "resized or recompressed"
