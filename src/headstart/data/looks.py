"""The second look: do two pictures show the same pixels, apart from what copying does to them?

A copy may be resized, recompressed, brightened, mirrored, cropped or stretched a little. Small grey thumbs
are laid over each other, first roughly (a patch from the middle of one over many places and sizes of the
other), then exactly (Gauss-Newton on two scales and two shifts, with gain and offset solved along: Lucas and
Kanade 1981; Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd). What then counts is the
*detail*: the correlation of what a blur takes away. Flowers of one kind or two film stills of one scene
agree in their rough distribution of light and dark and differ in their detail; copies agree in both.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from headstart.data.nearest import blocks, unit
from headstart.values import Bytes, Floats, Ints

SIDE = 28  # pixels of the square on which pictures are laid over each other
PATCH = 8  # samples across the patch of the rough look, two and a half pixels apart
PATCH_SHARE = 0.7  # part of the picture that the patch covers
RATIOS = (0.8, 0.9, 1.0, 1.11, 1.25)  # sizes tried roughly; the exact look goes on from there
STEP = 0.06  # distance of the places tried, as a share of the side; a Gauss-Newton step bridges half of it
REACH = 0.16  # how far from the middle places are tried
ROUND_BLUR = 4.0  # pixels; takes away shading, leaves enough to slide on
FINE_BLUR = 2.0  # pixels; leaves outlines and texture
ROUGH_LIKENESS = 0.6  # less in the rough look is not looked at exactly
HOPE = (0.45, 0.62, 0.7)  # less after so many exact steps is given up, at half the side ...
FINE_HOPE = (0.7, 0.74, 0.75)  # ... and then at the whole
LEAST_COVER = 0.4  # overlap, as a share of the picture, that a likeness must rest on
LEAST_DETAIL = 1.0  # grey levels; flatter pictures show nothing to recognise
BLOCK = 256  # pictures or pairs worked on at once: what fits the processor's cache


@dataclass(frozen=True, eq=False)
class Looks:
    """What laying each pair over each other gave, one row per pair."""

    likeness: Floats  # [p] correlation of the detail, -1..1
    mirrored: NDArray[np.bool_]  # [p]
    frame: Floats  # [p, 4] of the second in the first: scale and shift (in sides) across, then down
    brightness: Floats  # [p] mean of the second less mean of the first, in grey levels, where they overlap
    contrast: Floats  # [p] spread of the second over spread of the first, where they overlap
    weight: Floats  # [p] how many of the pixels carry the likeness: few where there is only a dot


def reduced(thumbs: Bytes) -> Floats:
    """Thumbs averaged down to SIDE x SIDE."""
    n, side, _ = thumbs.shape
    step = side // SIDE
    pairs = thumbs.reshape(n, SIDE, step, SIDE, step)
    found: Floats = np.zeros((n, SIDE, SIDE), np.float32)
    for row in range(step):
        for column in range(step):
            found += pairs[:, :, row, :, column]
    found /= step**2
    return found


def detail(grey: Floats, blur: float) -> Floats:
    """What a Gaussian blur of so many pixels takes away."""
    kernel = _blur(grey.shape[-1], blur)
    blurred: Floats = np.matmul(kernel @ grey, kernel.T)
    return grey - blurred


def halves(thumbs: Bytes, rows: Ints) -> tuple[Floats, Floats]:
    """Descriptors of the whole pictures `rows` whose inner products are the correlations of coarse detail.

    The first half is what mirroring leaves, [n, 28], the second what it turns round, [n, 21]: the sum of the
    two inner products compares two pictures, their difference compares one with the other mirrored.
    """
    n = len(rows)
    even, odd = np.empty((n, 28), np.float32), np.empty((n, 21), np.float32)
    half = np.float32(np.sqrt(0.5))
    for at in blocks(n, BLOCK):
        rough = detail(reduced(thumbs[rows[at]]), ROUND_BLUR)
        cells: Floats = rough.reshape(len(rough), 7, 4, 7, 4).mean((2, 4))
        length = np.sqrt((cells**2).sum((1, 2), keepdims=True))
        # a flat picture is like no other
        cells *= (length > 7 * LEAST_DETAIL) / np.maximum(length, 1e-6)
        left, middle, right = cells[:, :, :3], cells[:, :, 3], cells[:, :, :3:-1]
        even[at] = np.concatenate([(half * (left + right)).reshape(len(rough), -1), middle], 1)
        odd[at] = (half * (left - right)).reshape(len(rough), -1)
    return even, odd


def rough_likeness(thumbs: Bytes, others: Ints) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """For each picture and each of its `others` (-1: none): how like, mirrored or not, laid how.

    Args:
        thumbs: Grey, [n, 56, 56].
        others: Positions, [n, m].

    Returns:
        Correlation of the best place [n, m] (-1 where there is no other), whether the other is to be
        mirrored [n, m], and the frame to start from [n, m, 4].
    """
    n, m = others.shape
    operators, frames, unfolded = _places()
    patches = np.empty((n, PATCH, PATCH), np.float32)
    for at in blocks(n, BLOCK):
        patches[at] = _middles(detail(reduced(thumbs[at]), ROUND_BLUR))
    like = np.full((n, m), -1, np.float32)
    mirrored = np.zeros((n, m), np.bool_)
    frame = np.zeros((n, m, 4), np.float32)
    asked = np.flatnonzero((others >= 0).any(1))
    for block in blocks(len(asked), BLOCK):
        rows = asked[block]
        rough = detail(reduced(thumbs[rows]), ROUND_BLUR)
        views = np.empty((len(rows), len(frames), PATCH, PATCH), np.float32)
        first = 0
        for operator in operators:
            k = len(operator) // PATCH
            seen = ((operator @ rough) @ operator.T).reshape(len(rows), k, PATCH, k, PATCH)
            views[:, first : first + k * k].reshape(len(rows), k, k, PATCH, PATCH)[:] = seen.swapaxes(2, 3)
            first += k * k
        bank = views.reshape(len(rows), len(frames), PATCH * PATCH)
        spread = np.einsum("rvp,rvp->rv", bank, bank) - (bank @ unfolded) ** 2
        wanted = patches[others[rows]]
        either = np.concatenate([wanted, wanted[..., ::-1]], 1).reshape(len(rows), 2 * m, -1)
        # the patches have no mean, so that of the views makes no difference to the products
        scores = bank @ either.swapaxes(1, 2) / np.sqrt(np.maximum(spread, LEAST_DETAIL))[:, :, None]
        place, score = scores.argmax(1), scores.max(1)
        turned = score[:, m:] > score[:, :m]
        like[rows] = np.where(others[rows] >= 0, np.where(turned, score[:, m:], score[:, :m]), -1)
        mirrored[rows] = turned
        frame[rows] = frames[np.where(turned, place[:, m:], place[:, :m])]
    return like, mirrored, frame


def look(thumbs: Bytes, pairs: Ints, mirrored: NDArray[np.bool_], frame: Floats) -> Looks:
    """Lay the second of each pair over the first, exactly, starting from `frame`.

    Args:
        thumbs: Grey, [n, 56, 56].
        pairs: Positions, [p, 2].
        mirrored: Whether the second is to be mirrored first, [p].
        frame: Where to start, as `rough_likeness` gives it, [p, 4].
    """
    found = [
        _look(reduced(thumbs[pairs[at, 0]]), reduced(thumbs[pairs[at, 1]]), mirrored[at], frame[at])
        for at in blocks(max(1, len(pairs)), BLOCK)
    ]
    return Looks(*(np.concatenate([getattr(one, field.name) for one in found]) for field in fields(Looks)))


def _middles(rough: Floats) -> Floats:
    """The patch from the middle of each, less its mean and at length one, [n, PATCH, PATCH]."""
    operator = _sampling(PATCH_SHARE, 0.5)
    patches = (operator @ rough @ operator.T).reshape(len(rough), -1)
    return unit(patches - patches.mean(1, keepdims=True)).reshape(-1, PATCH, PATCH)


def _look(first: Floats, second: Floats, mirrored: NDArray[np.bool_], frame: Floats) -> Looks:
    second = np.where(mirrored[:, None, None], second[:, :, ::-1], second)
    one, two = detail(first, ROUND_BLUR), detail(second, ROUND_BLUR)
    like, frame = _fitted(_halved(one), _halved(two), frame, HOPE)
    live = np.flatnonzero(like >= HOPE[-1])
    frame[live] = _fitted(one[live], two[live], frame[live], FINE_HOPE)[1]
    likeness, brightness, contrast, weight = np.repeat(
        np.array([[-1], [0], [1], [0]], np.float32), len(first), 1
    )
    first, (laid, seen) = first[live], _laid(second[live], frame[live])
    fine, fine_laid = detail(first, FINE_BLUR), detail(laid, FINE_BLUR)
    like, spread, spread_laid = _correlation(fine, fine_laid, seen)
    judged = (seen.mean((1, 2)) >= LEAST_COVER) & (np.minimum(spread, spread_laid) >= LEAST_DETAIL)
    likeness[live] = np.where(judged, like, -1)
    brightness[live] = ((laid - first) * seen).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1)
    _, grey_spread, grey_spread_laid = _correlation(first, laid, seen)
    contrast[live] = np.maximum(grey_spread_laid, 1) / np.maximum(grey_spread, 1)
    # participation ratio: the number of equal shares that would be as uneven
    share = np.abs(fine * fine_laid) * seen
    weight[live] = share.sum((1, 2)) ** 2 / np.maximum((share**2).sum((1, 2)), 1e-12)
    return Looks(likeness, mirrored, frame, brightness, contrast, weight)


def _halved(grey: Floats) -> Floats:
    across = grey[:, :, 0::2] + grey[:, :, 1::2]
    return (across[:, 0::2] + across[:, 1::2]) * np.float32(0.25)


def _fitted(first: Floats, second: Floats, frame: Floats, hope: tuple[float, ...]) -> tuple[Floats, Floats]:
    """The frame under which `second`, times a gain and plus an offset, is nearest to `first`.

    As many steps are made as `hope` has numbers; pairs that have not come that far by then are given up.

    Returns:
        The correlation reached [p], and the frame [p, 4].
    """
    side = first.shape[-1]
    at = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    best, best_frame = np.full(len(first), -1, np.float32), frame.copy()
    frame = frame.copy()
    live = np.arange(len(first))
    for step in range(len(hope) + 1):
        one = first[live]
        laid, seen = _laid(second[live], frame[live])
        like = _correlation(one, laid, seen)[0]
        better = (like > best[live]) & (seen.mean((1, 2)) >= LEAST_COVER)
        best[live[better]], best_frame[live[better]] = like[better], frame[live[better]]
        if step == len(hope):
            break
        hopeful = best[live] >= hope[step]
        live, one, laid, seen = live[hopeful], one[hopeful], laid[hopeful], seen[hopeful]
        if not len(live):
            break
        down, across = np.gradient(laid, 1 / side, axis=(1, 2))
        terms = np.stack([laid, np.ones_like(laid), across * at, across, down * at[:, None], down], 1)
        terms = (terms * seen[:, None]).reshape(len(live), 6, -1)
        normal = terms @ terms.transpose(0, 2, 1)
        # a little ridge keeps flat overlaps solvable
        diagonal = np.einsum("pii->pi", normal)
        diagonal += 1e-3 * diagonal + 1e-3
        gain, _, *moves = np.linalg.solve(normal, terms @ (one * seen).reshape(len(live), -1, 1))[:, :, 0].T
        safe = np.where(np.abs(gain) < 0.05, np.inf, gain)
        wider, right, taller, lower = (np.clip(move / safe, -0.1, 0.1) for move in moves)
        moved = frame[live]
        moved[:, 1] += moved[:, 0] * right
        moved[:, 3] += moved[:, 2] * lower
        moved[:, 0] *= 1 + wider
        moved[:, 2] *= 1 + taller
        frame[live] = np.clip(moved, [0.6, -0.3, 0.6, -0.3], [1.67, 0.3, 1.67, 0.3])
    return best, best_frame


def _laid(grey: Floats, frame: Floats) -> tuple[Floats, Floats]:
    """`grey` seen through `frame` (bilinear), and where there was something to see (0 or 1)."""
    across, seen_across = _interpolation(frame[:, 0:1], frame[:, 1:2], grey.shape[-1])
    down, seen_down = _interpolation(frame[:, 2:3], frame[:, 3:4], grey.shape[-1])
    seen = seen_down[:, :, None] & seen_across[:, None, :]
    laid: Floats = np.matmul(down @ grey, across.transpose(0, 2, 1))
    return laid, seen.astype(np.float32)


def _interpolation(scale: Floats, shift: Floats, side: int) -> tuple[Floats, NDArray[np.bool_]]:
    at, middle = np.arange(side, dtype=np.float32), np.float32((side - 1) / 2)
    place = scale * (at - middle) + side * shift + middle
    seen = (place > -0.5) & (place < side - 0.5)
    # a tent around each place holds the weights of its two neighbours
    weights = np.abs(np.clip(place, 0, side - 1)[:, :, None] - at)
    np.subtract(1, weights, out=weights)
    return np.maximum(weights, 0, out=weights), seen


def _correlation(first: Floats, second: Floats, seen: Floats) -> tuple[Floats, Floats, Floats]:
    """Correlation where `seen`, and the spread (root mean square) of either there."""
    count = np.maximum(seen.sum((1, 2)), 1)[:, None, None]
    one = (first - (first * seen).sum((1, 2), keepdims=True) / count) * seen
    two = (second - (second * seen).sum((1, 2), keepdims=True) / count) * seen
    one_power, two_power = np.einsum("pij,pij->p", one, one), np.einsum("pij,pij->p", two, two)
    both = np.einsum("pij,pij->p", one, two)
    count = count[:, 0, 0]
    spreads = np.sqrt(one_power / count), np.sqrt(two_power / count)
    return both / np.sqrt(np.maximum(one_power * two_power, 1e-6)), *spreads


@cache
def _blur(side: int, blur: float) -> Floats:
    """One-dimensional Gaussian blur, cut at the border and weighted up there, [side, side]."""
    at = np.arange(side)
    kernel = np.exp(-((at[:, None] - at) ** 2) / (2 * blur**2))
    found: Floats = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return found


@cache
def _places() -> tuple[tuple[Floats, ...], Floats, Floats]:
    """Sampling operators of the rough look, one per ratio, and the frame that each view stands for."""
    operators, frames = [], []
    for ratio in RATIOS:
        share = PATCH_SHARE * ratio
        free = (1 - share) / 2
        reach = min(REACH, free)
        count = 2 * round(reach / STEP) + 1
        shifts = np.linspace(-reach, reach, count)
        operators.append(np.concatenate([_sampling(share, 0.5 + shift) for shift in shifts]))
        # a place x of the first shows what the second has at (x - shift) / ratio
        for down in shifts:
            for across in shifts:
                frames.append([1 / ratio, -across / ratio, 1 / ratio, -down / ratio])
    return tuple(operators), np.array(frames, np.float32), np.full(PATCH**2, 1 / PATCH, np.float32)


@cache
def _sampling(share: float, middle: float) -> Floats:
    """Averages over PATCH equal stretches of the part `share` around `middle` (0..1), [PATCH, SIDE]."""
    edges = SIDE * (middle - share / 2 + share * np.arange(PATCH + 1) / PATCH)
    at = np.arange(SIDE)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    weights = np.maximum(overlap, 0)
    found: Floats = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found
