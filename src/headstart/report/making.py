"""The one call with which `train` makes its report."""

from collections.abc import Mapping
from types import MappingProxyType

from headstart.heads._choose import Fitted
from headstart.model.model import Model
from headstart.report.gather import answered, gather, here, most_surprising
from headstart.report.page import render
from headstart.values import Examples, Features, Ints, Split

NONE: Mapping[str, bytes] = MappingProxyType({})


def worst(features: Features, split: Split, fitted: Fitted) -> Ints:
    """Rows of the most surprising mistakes, the worst first: the ones that heat maps are wanted of."""
    found = answered(fitted, features, split)
    return found.rows[most_surprising(features.y[found.rows], found.probabilities)]


def write(
    model: Model,
    features: Features,
    examples: Examples,
    split: Split,
    fitted: Fitted,
    *,
    heats: Mapping[str, bytes] = NONE,
) -> bytes:
    """The report of a model that was just made, to be saved beside it as report.html.

    `model.report` is the document of `train --json`; what stands under `trust` there is shown. `heats` are
    PNGs by path: where the network looked on its worst mistakes.
    """
    found = answered(fitted, features, split)
    return render(gather(model, features, examples, split, found, heats=heats, libraries=here()))
