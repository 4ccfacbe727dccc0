"""Which classes were taken for which, and what follows from that table."""

import numpy as np

from headstart.evaluate.intervals import wilson
from headstart.values import Ints, PerClass


def confusion(y: Ints, predicted: Ints, k: int) -> Ints:
    """How often truth `y` [n] met prediction `predicted` [n]: counts [k, k], truth down, prediction across.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(y * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64)


def per_class(table: Ints) -> tuple[PerClass, ...]:
    """Precision, recall, F1 and n of each class of a `confusion` table. 0/0 counts as 0.

    The interval of recall is `wilson`: a table knows nothing of groups.

    >>> found = per_class(np.array([[1, 1], [0, 1]]))[1]
    >>> found.precision, found.recall, found.n
    (0.5, 1.0, 1)
    """
    right, true, said = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    precision = right / np.maximum(said, 1)
    recall = right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + said, 1)
    return tuple(
        PerClass(
            float(precision[c]),
            float(recall[c]),
            wilson(float(right[c]), float(true[c])),
            float(f1[c]),
            int(true[c]),
        )
        for c in range(len(table))
    )


def macro_f1(table: Ints) -> float:
    """Mean F1 of a `confusion` table over the classes that occur, as a truth or as a prediction.

    A class that is neither has no F1, and leaves the mean alone; one that is predicted but never true,
    or true but never predicted, counts with F1 = 0. Of an empty table: 0.

    >>> round(macro_f1(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]])), 4)
    0.6667
    """
    occurs = table.sum(axis=0) + table.sum(axis=1) > 0
    scores = [one.f1 for one, counts in zip(per_class(table), occurs, strict=True) if counts]
    return sum(scores) / len(scores) if scores else 0.0
