"""Twins that were found once: the same pictures, seen by the same engine, have the same twins.

Comparing pictures takes longer than all else when a folder is trained on again. What was found is kept as one
small file for each list of contents; any other list is compared anew.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple

from headstart.data.duplicates import Twin
from headstart.files import cache_folder, make_cache_folder, write_whole
from headstart.version import VERSION

FOLDER = "twins"
RULES = 1  # of what a twin is; a change of `data.duplicates` is a new number


def known_or(engine: str, digests: Sequence[str], find: Callable[[], list[Twin]]) -> list[Twin]:
    """What `find` gives for pictures of these content `digests`, in this order; asked at most once.

    `engine` is the digest under which the features are kept. A damaged file is as good as none.

    Raises:
        StoreError, OutputError: the result cannot be kept.
    """
    facts = "\n".join([VERSION, str(RULES), engine, *digests])
    name = f"{hashlib.sha256(facts.encode()).hexdigest()}.json"
    kept = _read(name, len(digests))
    if kept is None:
        kept = find()
        body = json.dumps([astuple(twin) for twin in kept]).encode()
        folder = make_cache_folder(FOLDER)
        write_whole(folder / name, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return kept


def _read(name: str, n: int) -> list[Twin] | None:
    """The twins in a kept file among `n` pictures, None where it is absent or not what was written."""
    try:
        digest, _, body = (cache_folder() / FOLDER / name).read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    found = [Twin(*fields) for fields in json.loads(body)]
    return found if all(twin.j < n for twin in found) else None
