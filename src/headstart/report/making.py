"""The one call with which `train` makes its report."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from headstart.engines import Engine
from headstart.explain.quick import overlays
from headstart.heads import one_thread_each
from headstart.heads._choose import Fitted
from headstart.modalities.image import LIMIT_PX
from headstart.model.model import Model
from headstart.report.gather import answered, gather, here, surest_wrong
from headstart.report.material import Answered
from headstart.report.page import render
from headstart.values import Examples, Features, Halves, Ints, Spec, Split


def write(  # noqa: PLR0913  all that `train` has at its end
    model: Model,
    engine: Engine,
    features: Features,
    examples: Examples,
    split: Split,
    fitted: Fitted,
    leaked: Ints,
    *,
    source: tuple[Spec, Halves],
    limit_px: int = LIMIT_PX,
) -> bytes:
    """The report of a model that was just made, to be saved beside it as report.html.

    `model.report` is the document of `train --json`; what stands under `trust` there is shown. `features` and
    `fitted` are those of the model's own network, `engine` runs it. Rows that have `leaked` are not judged.
    `source` is the network as it was before any training, with the features that its last layer gave.

    Raises:
        WeightsError, MissingExtra, StoreError: the network cannot be opened.
    """
    found = replace(answered(fitted, features, split, leaked), source=source)
    return made(model, engine, features, examples, split, found, libraries=here(), limit_px=limit_px)


def made(  # noqa: PLR0913  all that a report is made of
    model: Model,
    engine: Engine,
    features: Features,
    examples: Examples,
    split: Split,
    found: Answered,
    *,
    libraries: Mapping[str, str],
    limit_px: int,
) -> bytes:
    """The page. The network looks at the worst mistakes while small pictures and the map are made."""
    with one_thread_each(), ThreadPoolExecutor(1) as beside:
        looking = beside.submit(seen_wrong, model, engine, features, examples, found, limit_px=limit_px)
        material = gather(model, features, examples, split, found, limit_px=limit_px, libraries=libraries)
        return render(replace(material, heats=looking.result()))


def seen_wrong(
    model: Model,
    engine: Engine,
    features: Features,
    examples: Examples,
    found: Answered,
    *,
    limit_px: int,
) -> dict[str, bytes]:
    """Where the network looked on its surest mistakes: PNGs by path, of what speaks for the wrong class."""
    worst = surest_wrong(features.y[found.rows], found.probabilities)
    rows, said = found.rows[worst], found.probabilities[worst].argmax(1)
    if not len(rows):
        return {}
    files = examples.take(rows).files()
    # by path: a file that stands under two labels is seen once, and has one answer
    asked = {
        examples.paths[int(row)]: (file, model.classes[int(label)])
        for row, file, label in zip(rows, files, said, strict=True)
    }
    return overlays(model, engine, asked, limit_px=limit_px)
