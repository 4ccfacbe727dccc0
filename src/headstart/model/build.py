"""From a fitted head to a model: thresholds, references and the manifest of parts."""

import numpy as np

from headstart.evaluate import Strangeness
from headstart.heads._choose import Fitted
from headstart.model.model import Model, Part
from headstart.model.unknown import familiar
from headstart.values import Examples, Features, Spec, Split


def build(
    fitted: Fitted,
    features: Features,
    examples: Examples,
    split: Split,
    spec: Spec,
    *,
    unseen: Strangeness | None = None,
) -> Model:
    """The model that answers with `fitted`, without a report; its thresholds come from the training part.

    A network that was trained on pictures finds them closer together than new ones: then `unseen` tells how
    strange pictures are that it had not seen, and by which method.
    """
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
        familiar=familiar(features, split.rows("train"), unseen),
        report={},
        manifest=manifest,
    )
