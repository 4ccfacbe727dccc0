"""The one call with which `train` makes its report."""

from collections.abc import Mapping
from types import MappingProxyType

from headstart.heads._choose import Fitted
from headstart.model.model import Model
from headstart.report.gather import answered, gather, here
from headstart.report.page import render
from headstart.values import Examples, Features, Split

NONE: Mapping[str, bytes] = MappingProxyType({})


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
