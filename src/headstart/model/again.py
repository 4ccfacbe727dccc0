"""Whether a model that stands there already is what the same command would make again, or goes on from."""

import os
from pathlib import Path
from typing import Any

from headstart.data.scan import Scan
from headstart.data.walk import shown
from headstart.errors import DamagedModel, UnreadablePicture
from headstart.features.pipeline import read
from headstart.files import digest_file
from headstart.finetune.wish import NEVER
from headstart.modalities.image import decode
from headstart.model.folder import JSON, load
from headstart.model.model import Model
from headstart.version import VERSION


def _is_readable(file: Path, model: Model) -> bool:
    try:
        decode(read(file), model.backbone.preprocess, limit_px=model.report["options"]["limit_px"])
    except UnreadablePicture:
        return False
    return True


def is_finished(report: dict[str, Any]) -> bool:
    """Whether a model with this report is what was asked for: its network is not still to be trained."""
    trained = report["tuning"] is not None and not report.get("interrupted")
    return trained or report["options"]["tune"][0] == NEVER


def is_whole(report: dict[str, Any]) -> bool:
    """Whether the report says all that this build reads. `0.1.0` wrote less before it was finished."""
    if "command" not in report:
        return False
    score = report["test"] or report["cv"]
    return all("recall_ci95" in one for one in score["per_class"].values())


def same(folder: Path, found: Scan, options: dict[str, Any]) -> Model | None:
    """The model at `folder`, if this version made it from these very files with these options, else None.

    A run that was killed after its model was complete, or was simply made twice, then ends well at once. If
    the model is not finished, the same command may replace it.
    """
    if not os.path.isfile(folder / JSON):  # noqa: PTH113  never raises
        return None
    try:
        model = load(folder)
    except DamagedModel:
        return None
    if model.report["options"] != options or model.report["version"] != VERSION or not is_whole(model.report):
        return None
    unreadable = {one["path"] for one in model.report["data"]["findings"] if one["kind"] == "corrupt"}
    kept = {(part.path, part.label): part.digest for part in model.manifest}
    examples = found.examples
    for path, label, file in zip(examples.paths, examples.labels, examples.files(), strict=True):
        digest = kept.pop((path, examples.classes[label]), None)
        if digest is None and shown(path) in unreadable and not _is_readable(file, model):
            continue
        try:
            if digest is None or digest_file(file) != digest:
                return None
        except OSError:
            return None
    return None if kept else model
