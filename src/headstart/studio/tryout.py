"""Answers for pictures that a page holds up: label, probabilities, set, unknown, the nearest, a heat map."""

import base64
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from headstart.engines import Engine, open_engine
from headstart.errors import UnknownFamily, UnreadablePicture
from headstart.explain.colour import jpeg, painted
from headstart.explain.heat import Heat, heats
from headstart.explain.quick import heat
from headstart.model.folder import JSON, load
from headstart.model.model import Model
from headstart.model.predict import predict

KEPT = 2  # models that stay open
NEAREST = 6


@dataclass
class _Open:
    """A model with its network, and how to see where that looks; found out when it is first asked for."""

    model: Model
    engine: Engine
    lock: Lock
    see: Callable[[Path, str], Heat] | None = None


class Tryout:
    """Models that are tried."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: OrderedDict[tuple[str, int], _Open] = OrderedDict()

    def answer(self, folder: Path, file: Path, *, full: bool) -> dict[str, Any]:
        """What the model in `folder` says of a picture. `full`: with nearest pictures and a heat map.

        Raises:
            UnreadablePicture: it cannot be read.
        """
        opened = self._opened(folder)
        (said,) = predict(opened.model, [file], opened.engine, nearest=NEAREST if full else 0)
        if said.error is not None:
            raise UnreadablePicture(said.error)
        found = said.to_json()
        del found["path"]
        if full:
            with opened.lock:  # the network with maps runs one picture at a time
                map_of = self._see(opened)(file, said.label)
            found["heat"] = f"data:image/jpeg;base64,{base64.b64encode(jpeg(painted(map_of))).decode()}"
            found["seen"] = f"data:image/jpeg;base64,{base64.b64encode(jpeg(map_of.pixels)).decode()}"
        return found

    def forget(self) -> None:
        """Close all models."""
        with self._lock:
            self._open.clear()

    def _opened(self, folder: Path) -> _Open:
        key = (str(folder), (folder / JSON).stat().st_mtime_ns)
        with self._lock:
            if key not in self._open:
                model = load(folder)
                self._open[key] = _Open(model, open_engine(model.backbone), Lock())
            self._open.move_to_end(key)
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return self._open[key]

    @staticmethod
    def _see(opened: _Open) -> Callable[[Path, str], Heat]:
        """As in the report: by the engine that predicts, or by PyTorch where that has no maps."""
        if opened.see is None:
            model = opened.model
            try:
                maps = opened.engine.maps()
            except UnknownFamily:
                opened.see = lambda file, label: heats(model, [file], labels=[label])[0]
            else:
                opened.see = lambda file, label: heat(model, maps, file, label)
        return opened.see
