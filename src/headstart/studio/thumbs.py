"""Small pictures for the page: the square that the network gets, as in the report, kept in memory."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock, Semaphore

from headstart.features.pipeline import read
from headstart.files import cores
from headstart.modalities.image import LIMIT_PX
from headstart.report.thumbs import jpeg
from headstart.values import Preprocess

SIDES = (160, 640)
KEPT_BYTES = 64 << 20


class Thumbs:
    """JPEGs by file, version and side; the least used go first when there are too many."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._bytes, self._most = 0, kept_bytes
        self._lock, self._decoding = Lock(), Semaphore(cores())

    def of(self, file: Path, side: int) -> bytes:
        """This picture, `side` pixels across.

        Raises:
            UnreadablePicture: it cannot be read.
            OSError: it is gone.
        """
        facts = file.stat()
        key = (str(file), f"{facts.st_mtime_ns}-{facts.st_size}", side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoding:  # decoding takes memory: not more at a time than cores
            made = jpeg(read(file), _square(side), LIMIT_PX)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
            while self._bytes > self._most and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)
        return made


def _square(side: int) -> Preprocess:
    """How the page shows a picture: its central square."""
    zero, one = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Preprocess(side, side, "bicubic", zero, one, (255, 255, 255))
