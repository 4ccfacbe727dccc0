"""A contact sheet of views as training makes them: a row for each picture, a column for each view."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.features.pipeline import read
from headstart.finetune.augment import looks
from headstart.finetune.wish import Policy
from headstart.modalities.image import LIMIT_PX
from headstart.values import Preprocess

ROWS, COLUMNS, SIDE_PX, GAP_PX = 8, 4, 112, 4  # as many columns as training makes views


def drawn(
    files: Sequence[Path],
    digests: Sequence[str],
    preprocess: Preprocess,
    policy: Policy,
    *,
    mirror: bool,
    limit_px: int = LIMIT_PX,
) -> bytes:
    """A PNG of at most eight pictures; the first column is the whole picture as it is classified.

    Pictures are taken in the order of their content, so that it is not always the first class.

    Raises:
        UnreadablePicture: a file cannot be read any more.
    """
    some = sorted(range(len(files)), key=lambda at: digests[at])[:ROWS]
    step = SIDE_PX + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * step + 2 * GAP_PX, len(some) * step + GAP_PX), (255, 255, 255))
    for row, at in enumerate(some):
        seen = looks(
            read(files[at]), digests[at], preprocess, policy, COLUMNS, mirror=mirror, limit_px=limit_px
        )
        for column, pixels in enumerate(np.asarray(seen)):
            small = Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
            apart = GAP_PX * (1 + (column > 0))
            sheet.paste(small, (column * step + apart, row * step + GAP_PX))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()
