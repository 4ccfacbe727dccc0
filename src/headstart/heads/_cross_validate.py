"""Cross-validation of the whole choice, for data too small to hold out a test part."""

from collections.abc import Callable

import numpy as np

from headstart.data.split import folds
from headstart.errors import TooFewExamples
from headstart.evaluate import judge_repeats, softmax
from headstart.heads._choose import choose, fold_count
from headstart.values import Doubles, Evaluation, Features, Ints

OUTER_FOLDS = 5
FEW = 250  # pictures below which four repeats steady the estimate; above, two do


Predictor = Callable[[Ints], Doubles]  # probabilities [m, k] of rows


def frozen(train: Features, head: str, seed: int) -> Callable[[Ints], Predictor]:
    """Choosing and fitting a head on some rows, to judge others by."""

    def fit(rows: Ints) -> Predictor:
        fitted = choose(train.take(rows), head=head, seed=seed)
        return lambda mine: softmax(fitted.logits(train.x[mine]), fitted.best.temperature)

    return fit


def cross_validate(
    train: Features, fit: Callable[[Ints], Predictor], seed: int, *, repeats: int | None = None
) -> Evaluation:
    """Every picture judged by models that saw neither it nor its twins; all choices made anew each time."""
    repeats = repeats or (4 if len(train) < FEW else 2)
    dealt = [outer_folds(train, seed + repeat) for repeat in range(repeats)]
    rows = np.flatnonzero(dealt[0] >= 0)
    found = np.zeros((repeats, len(train), len(train.classes)))
    for repeat, fold_of in enumerate(dealt):
        for fold in np.unique(fold_of[rows]):
            mine = np.flatnonzero(fold_of == fold)
            found[repeat, mine] = fit(np.flatnonzero(fold_of != fold))(mine)
    return judge_repeats(train.y[rows], found[:, rows], train.classes, train.groups[rows])


def fold_number(train: Features, seed: int) -> int:
    """How many folds `outer_folds` deals out."""
    return int(outer_folds(train, seed).max()) + 1


def outer_folds(train: Features, seed: int) -> Ints:
    """The fold of each picture [n]; -1 where its class would be gone without it: it is never judged.

    Raises:
        TooFewExamples: nothing can be judged.
    """
    groups_of = [len(np.unique(train.groups[train.y == c])) for c in range(len(train.classes))]
    lonely = [count < 2 for count in groups_of]
    rows = np.flatnonzero(~np.array(lonely)[train.y])
    if not len(rows):
        raise TooFewExamples("no class has two pictures that are not twins, so nothing can be judged.")
    if len(np.unique(train.y[rows])) < 2:
        raise TooFewExamples(
            "only one class has two pictures that are not twins: right on it means nothing. Add pictures."
        )
    wanted = fold_count(groups_of, OUTER_FOLDS)
    if wanted == 2:  # half of two is one, and then nothing could be held out for the choice
        wanted = min(OUTER_FOLDS, len(np.unique(train.groups)))
    found = folds(train.y, train.groups, train.digests, wanted, seed=seed + 1)
    found[np.array(lonely)[train.y]] = -1
    return found
