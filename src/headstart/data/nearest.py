"""Which rows are most alike: all pairs are compared, few are remembered.

Every pair of rows is looked at once, from its earlier row, in blocks that stay in the processor's cache.
Of each row's later rows only the best few are kept, so time is quadratic with a very small constant
(a multiply-add per dimension) and memory is linear, whatever the data look like.
"""

import numpy as np

from headstart.values import Floats, Halves, Ints

BLOCK_NUMBERS = 4_000_000  # similarities held at once: 16 MB
MOST_ROWS = 512  # rows compared at once, and an eighth of it the fewest
SPAN = 64  # rows of one group in the knock-out below
EXACT_ROWS = 1_000  # more rows than this are projected before they are compared
SAMPLE_ROWS = 4_000  # rows that the projection is learnt from


def unit(x: Floats) -> Floats:
    """The rows of `x` scaled to length one; a row of zeros stays one."""
    length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    found: Floats = x / np.maximum(length, 1e-12)
    return found


def directions(x: Halves, rows: Ints, mean: Floats, dims: int) -> Floats:
    """These `rows` of `x` less `mean`, at length one, in the subspace of most variance, [len(rows), dims].

    One step of subspace iteration from fixed random directions, on a sample of the rows (Halko, Martinsson
    and Tropp 2011, arXiv:0909.4061). Where there are few rows or columns, nothing is left out: [.., d].
    """
    n, d = len(rows), x.shape[1]
    if n <= EXACT_ROWS or d <= dims:
        return unit(x[rows] - mean)
    sample = x[rows[:: -(-n // SAMPLE_ROWS)]] - mean
    start = np.random.default_rng(0).standard_normal((d, dims), dtype=np.float32)
    spanned = sample.T @ (sample @ start)
    # an orthonormal basis from the small Gram matrix: LAPACK's QR of the tall one took ten times as long
    power, turn = np.linalg.eigh(spanned.T.astype(np.float64) @ spanned)
    basis = (spanned @ (turn / np.sqrt(np.maximum(power, 1e-10 * power[-1])))).astype(np.float32)
    found = np.empty((n, dims), np.float32)
    for at in blocks(n, SAMPLE_ROWS):
        found[at] = unit((x[rows[at]] - mean) @ basis)
    return found


def blocks(n: int, size: int) -> list[slice]:
    """`n` rows in pieces of `size`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def later(even: Floats, odd: Floats, best: int) -> tuple[Ints, Floats]:
    """For each row i the `best` rows j > i with the largest `even_i · even_j + |odd_i · odd_j|`.

    Args:
        even: What does not change when a picture is mirrored, [n, d].
        odd: What changes its sign, [n, e]; e may be 0.
        best: How many to keep.

    Returns:
        Rows [n, best] and their similarities [n, best], in no order; -1 and -inf where there are fewer.
    """
    n = len(even)
    rows, similar = np.full((n, best), -1, np.int64), np.full((n, best), -np.inf, np.float32)
    even_columns, odd_columns = np.ascontiguousarray(even.T), np.ascontiguousarray(odd.T)
    height = min(max(1, n), max(MOST_ROWS // 8, min(MOST_ROWS, BLOCK_NUMBERS // max(1, n))))
    space, mirrored_space = np.empty((2, height * n), np.float32)
    for first in range(0, n - 1, height):
        end = min(first + height, n)
        shape = (end - first, n - first)
        found = space[: shape[0] * shape[1]].reshape(shape)
        np.matmul(even[first:end], even_columns[:, first:], out=found)
        if odd.shape[1]:
            mirrored = mirrored_space[: found.size].reshape(shape)
            np.matmul(odd[first:end], odd_columns[:, first:], out=mirrored)
            found += np.abs(mirrored, out=mirrored)
        found[:, : shape[0]][np.tri(shape[0], dtype=np.bool_)] = -np.inf
        places, similar[first:end] = _largest(found, best)
        rows[first:end] = places + first
    rows[similar == -np.inf] = -1
    return rows, similar


def _largest(found: Floats, best: int) -> tuple[Ints, Floats]:
    """Places and values of the `best` largest of each row.

    A knock-out: the columns are dealt to groups, the groups with the best winners are kept, and only their
    members are ranked. Whoever is among the best has at most `best` - 1 groups before his.
    """
    n, columns = found.shape
    groups = columns // SPAN
    if groups <= 4 * best:
        return _ranked(found, np.broadcast_to(np.arange(columns), found.shape), best)
    dealt = groups * SPAN
    winners = found[:, :dealt].reshape(n, SPAN, groups).max(1)
    kept = np.argpartition(winners, groups - best, axis=1)[:, groups - best :]
    members = (kept[:, :, None] + groups * np.arange(SPAN)).reshape(n, -1)
    rest = np.broadcast_to(np.arange(dealt, columns), (n, columns - dealt))
    members = np.concatenate([members, rest], 1)
    return _ranked(np.take_along_axis(found, members, 1), members, best)


def _ranked(found: Floats, places: Ints, best: int) -> tuple[Ints, Floats]:
    n, columns = found.shape
    rows, similar = np.full((n, best), -1, np.int64), np.full((n, best), -np.inf, np.float32)
    if columns > best:
        order = np.argpartition(found, columns - best, axis=1)[:, columns - best :]
    else:
        order = np.broadcast_to(np.arange(columns), (n, columns))
    width = order.shape[1]
    rows[:, :width] = np.take_along_axis(places, order, 1)
    similar[:, :width] = np.take_along_axis(found, order, 1)
    return rows, similar
