"""From a fitted head to a model: thresholds, references and the manifest of parts."""

from typing import Any

import numpy as np

from headstart.evaluate import neighbour_distance, reference_rows, unknown_threshold
from headstart.heads._choose import Fitted
from headstart.model.model import Model, Part
from headstart.values import Doubles, Examples, Features, Halves, Spec, Split

FALSE_REJECTION = 0.02  # share of pictures of known classes that may be called unknown


def build(  # noqa: PLR0913  the parts of a model
    fitted: Fitted,
    features: Features,
    examples: Examples,
    split: Split,
    spec: Spec,
    report: dict[str, Any],
    *,
    strangeness: Doubles | None = None,
) -> Model:
    """The model that answers with `fitted`; its thresholds come from the training part.

    A network that was trained on pictures finds them closer together than new ones: then `strangeness` tells
    the distances [m] of pictures that it had not seen.
    """
    references, threshold = _familiar(features.take(split.rows("train")), strangeness)
    truth = fitted.held_out[np.arange(len(fitted.truth)), fitted.truth]
    manifest = tuple(
        Part(path, digest, examples.classes[label], str(group), part)
        for path, digest, label, group, part in zip(
            examples.paths, examples.digests, features.y, features.groups, split.parts, strict=True
        )
    )
    return Model(
        classes=examples.classes,
        infos=dict(examples.infos),
        backbone=spec,
        features=features.backbone,
        inputs=fitted.inputs,
        head=fitted.head,
        temperature=fitted.best.temperature,
        set_scores=np.sort(1 - truth).astype(np.float32),
        references=references,
        unknown_threshold=threshold,
        report=report,
        manifest=manifest,
    )


def _familiar(train: Features, distances: Doubles | None) -> tuple[Halves, float]:
    """What to compare new pictures with, and the distance beyond which one is called unknown."""
    own = train.take(reference_rows(train.digests))
    wide: Doubles = own.last().astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = (wide / np.where(length > 0, length, 1)).astype(np.float16)
    if distances is None:
        distances = neighbour_distance(unit, unit, groups=(own.groups, own.groups))
    return unit, unknown_threshold(distances, FALSE_REJECTION)
