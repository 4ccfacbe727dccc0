"""Folders of this machine that a page may look into and copy from: those below one folder, no others."""

import os
from pathlib import Path
from typing import Any

from headstart.studio import folders
from headstart.studio.folders import inside
from headstart.studio.intake import has_picture_suffix
from headstart.studio.refused import Refused

LOOKED_AT = 5_000  # files that are counted below a folder


class Picker:
    """Looks below `root`. Nothing there is ever changed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, path: str) -> Path:
        """The folder at a path with forward slashes below the root; "" is the root.

        Raises:
            Refused: it is not there, or lies elsewhere.
        """
        found = inside(self._root, *path.split("/")) if path else self._root
        if not found.is_dir():
            raise Refused("folder-gone", 404, {"path": path})
        return found

    def look(self, path: str) -> dict[str, Any]:
        """What lies in a folder: folders with pictures in them, and pictures.

        Raises:
            Refused: as in `folder`; or it may not be read.
        """
        here = self.folder(path)
        try:
            below = folders.names(here)
            own = _count(here, deep=False)
        except OSError as error:
            raise Refused("folder-closed", 403, {"path": path}) from error
        return {
            "path": path,
            "root": str(self._root),
            "pictures": own,
            "folders": [{"name": name, "pictures": _count(here / name, deep=True)} for name in below],
        }


def _count(folder: Path, *, deep: bool) -> int:
    """Files whose names say picture, up to LOOKED_AT files."""
    seen = found = 0
    for _, below, files in os.walk(folder):
        below[:] = [name for name in below if name[0] != "."] if deep else []
        found += sum(has_picture_suffix(name) for name in files)
        seen += len(files)
        if not deep or seen > LOOKED_AT:
            break
    return found
