"""What an export says of itself: all that a program needs beside the arithmetic, as one JSON document."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart.evaluate.sets import upper_quantile
from headstart.files import digest_file
from headstart.model.folder import JSON
from headstart.model.model import Model
from headstart.version import VERSION

FORMAT = 1  # of the document; a change of what its keys mean is a new number
KEY = "headstart"  # under which a file carries it
COVERAGES = (0.9, 0.95, 0.99)
HOW = (
    "Turn the picture upright by its EXIF orientation. Put it on the background where it is transparent, "
    "as RGB of 8 bits. Resize the central square of min(width, height) * size_px / resize_px pixels to "
    "size_px x size_px with Pillow: resize(box=..., reducing_gap=3.0) and the interpolation named, with "
    "antialiasing. A JPEG is first decoded at 1/2, 1/4 or 1/8 of its size: draft(None, (2 * resize_px, "
    "2 * resize_px)). mean and std are inside the network: give it the bytes, [n, size_px, size_px, 3]."
)


def document(model: Model, folder: Path, parity: dict[str, Any] | None) -> dict[str, Any]:
    """What the file carries under KEY. `parity` is what was compared, once it was."""
    spec = model.backbone
    scores = model.set_scores.astype(np.float64)
    return {
        "version": VERSION,
        "format": FORMAT,
        "classes": list(model.classes),
        "infos": {name: asdict(info) for name, info in model.infos.items()},
        "preprocess": asdict(spec.preprocess),
        "preprocess_how": HOW,
        "temperature": model.temperature,
        "set_scores_quantile": {
            f"{coverage:g}": upper_quantile(scores, coverage, beyond=1.0) for coverage in COVERAGES
        },
        "unknown": {"threshold": model.unknown_threshold},
        "backbone": {
            "name": spec.name,
            "licence": spec.licence,
            "citation": spec.citation,
            "sha256": spec.weights.sha256,
        },
        "model": digest_file(folder / JSON),
        "parity": parity,
    }


def text(found: dict[str, Any]) -> str:
    """The document in ASCII, so that no format has to know more."""
    return json.dumps(found)
