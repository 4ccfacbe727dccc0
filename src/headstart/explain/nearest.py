"""The training pictures that a picture is most like, as the unknown score sees likeness."""

from dataclasses import dataclass

import numpy as np

from headstart.errors import DamagedModel
from headstart.evaluate import reference_rows
from headstart.model.model import NEIGHBOURS, Model, Part
from headstart.values import Halves


@dataclass(frozen=True)
class Near:
    """A training picture, and how alike its last layer's features are: cosine, -1 to 1."""

    part: Part
    likeness: float


def nearest(model: Model, x: Halves, k: int = NEIGHBOURS) -> list[tuple[Near, ...]]:
    """The `k` nearest of the pictures that the model keeps, nearest first, for features [n, all depths].

    Raises:
        DamagedModel: the kept features are not those of the pictures in split.csv.
    """
    train = [part for part in model.manifest if part.part == "train"]
    kept = [train[row] for row in reference_rows([part.digest for part in train])]
    if len(kept) != len(model.references):
        raise DamagedModel(
            f"the model keeps features of {len(model.references)} training pictures, "
            f"and split.csv names {len(kept)} for them. Train again."
        )
    last = model.backbone.depths[-1]
    known = model.references.astype(np.float32)
    found = []
    for row in x[:, last.start : last.stop].astype(np.float32):
        cosine = known @ (row / max(float(np.linalg.norm(row)), 1e-12))
        order = np.argsort(-cosine, kind="stable")[:k]
        found.append(tuple(Near(kept[at], float(cosine[at])) for at in order))
    return found
