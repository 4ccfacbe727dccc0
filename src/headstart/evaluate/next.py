"""Which pictures to label next: those that would change the head most, and differ from one another.

Were picture i labelled, the slope of its log-loss on a linear head would be (p_i - e_c) x_i' for the true
class c; taking the likeliest c gives a vector whose length says how unsure the answer is and whose direction
what would be learnt (BADGE: Ash et al. 2020, arXiv:1906.03671). Pictures are drawn one by one with a chance
in proportion to the square of their distance from those drawn before (k-means++: Arthur and Vassilvitskii
2007). The vectors are never written down: their inner products are those of p - e times those of x.
"""

import numpy as np
from numpy.typing import NDArray

from headstart.values import Doubles, Floats, Ints

GREEDY = 4  # candidates drawn for each place, of which the farthest is taken


def to_label(
    probabilities: Doubles, x: Floats, wanted: int, *, seed: int = 0, allowed: NDArray[np.bool_] | None = None
) -> Ints:
    """Rows of `probabilities` [n, k] and vectors x [n, d] to label next, at most `wanted`, in order.

    Only `allowed` rows [n] are drawn. No row is drawn twice, and none that equals one drawn before while
    others are left.

    >>> p = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.6, 0.4]])
    >>> to_label(p, np.float32([[1, 0], [1, 0], [1, 0], [0, 1]]), 2).tolist()
    [1, 3]
    """
    rng = np.random.default_rng(seed)
    slopes = probabilities.copy()
    slopes[np.arange(len(slopes)), slopes.argmax(1)] -= 1
    norms = (slopes**2).sum(1) * np.einsum("nd,nd->n", x, x, dtype=np.float64)
    left = np.ones(len(x), bool) if allowed is None else allowed.copy()
    near = np.full(len(x), np.inf)
    found: list[int] = []
    for _ in range(min(wanted, int(left.sum()))):
        if found:
            last = found[-1]
            products = (slopes @ slopes[last]) * (x @ x[last]).astype(np.float64)
            near = np.minimum(near, np.maximum(norms + norms[last] - 2 * products, 0))
            chances = np.where(left, near, 0)
        else:
            chances = np.where(left, norms, 0)
        if not found or chances.sum() <= 1e-12:
            row = int(np.where(left, norms, -1).argmax())
        else:
            drawn = rng.choice(len(x), GREEDY, p=chances / chances.sum())
            row = int(drawn[chances[drawn].argmax()])
        found.append(row)
        left[row] = False
    return np.array(found, dtype=np.int64)
