"""The ladder of `compare`, kept on this machine until a report of the same pictures shows it."""

import hashlib
import json
from typing import Any

from headstart.files import cache_folder, make_cache_folder, write_whole
from headstart.values import Features

FOLDER = "compared"
READ = {"chosen", "data", "rungs", "left_out"}  # what a report reads of it


def keep(document: dict[str, Any], features: Features) -> None:
    """Keep the document of `compare --json`; of the same pictures and labels the last one.

    Raises:
        StoreError, OutputError: it cannot be written.
    """
    make_cache_folder(FOLDER)
    write_whole(cache_folder() / FOLDER / _name(features), json.dumps(document).encode())


def kept(features: Features) -> dict[str, Any] | None:
    """What was kept of these pictures with these labels, or None; also where another build kept it."""
    try:
        found = json.loads((cache_folder() / FOLDER / _name(features)).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= READ else None


def _name(features: Features) -> str:
    """By content and labels, wherever the files lie and in whatever order."""
    labels = [features.classes[label] for label in features.y]
    told = json.dumps(sorted(zip(features.digests, labels, strict=True)))
    return f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.json"
