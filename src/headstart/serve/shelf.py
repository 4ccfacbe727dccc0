"""The models that are served, by name, and their replacement while requests are under way.

A request keeps the model with which it began. A new one is read, opened and tried on a picture before it
takes the place of the old one; if anything about it is wrong, the old one stays.
"""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.engines import open_engine
from headstart.errors import DamagedModel, HeadstartError, UnknownName
from headstart.files import digest_file, reason
from headstart.model import folder as model_folder
from headstart.model.model import Model
from headstart.model.predict import Wish, told
from headstart.serve.lanes import Lane, Room
from headstart.serve.logs import say
from headstart.serve.metrics import NOTHING, Counts, Metrics
from headstart.serve.refusals import ModelKept


@dataclass(frozen=True, eq=False)
class Served:
    """A model that answers."""

    name: str
    folder: Path
    digest: str  # SHA-256 of its model.json
    model: Model
    lane: Lane
    loaded: float  # seconds since 1970
    before: Counts  # what was answered under this name by models before it

    @cached_property
    def mix(self) -> dict[str, float]:
        """Share of each class in what it learnt from."""
        counts = Counter(part.label for part in self.model.manifest if part.part == "train")
        total = sum(counts.values())
        return {name: counts[name] / total for name in self.model.classes} if total else {}

    def to_json(self) -> dict[str, Any]:
        """As `GET /model` says it."""
        spec, report = self.model.backbone, self.model.report
        score = report["test"] or report["cv"]
        return {
            "name": self.name,
            "digest": self.digest,
            "loaded": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.loaded)),
            "classes": list(self.model.classes),
            "infos": {name: {"title": one.title, "url": one.url} for name, one in self.model.infos.items()},
            "backbone": {
                "name": spec.name,
                "licence": spec.licence,
                "citation": spec.citation,
                "sha256": spec.weights.sha256,
            },
            "head": self.model.head.name,
            "summary": self.model.summary(),
            "accuracy": score["accuracy"],
            "accuracy_ci95": score["accuracy_ci95"],
            "judged": "held out" if report["test"] else "cross-validated",
            "n": score["n"],
            "unknown_expected": self.model.familiar.false_rejection,
            "precision": self.lane.engine.precision,
            "version": report["version"],
        }


class Shelf:
    """Models by name. Changed in the event loop only; reading happens in a thread."""

    def __init__(
        self, models: tuple[tuple[str, Path], ...], device: str, metrics: Metrics, room: Room
    ) -> None:
        self._folders, self._device, self._metrics, self._room = dict(models), device, metrics, room
        self._lanes: dict[str, Lane] = {}
        self._served: dict[str, Served] = {}
        self._reading = asyncio.Lock()

    def open(self) -> None:
        """Read every model and open its network, once. Blocks.

        Raises:
            Misuse, DamagedModel: there is no model at that place, or it is not whole.
            WeightsError, MissingExtra, StoreError: a network cannot be opened.
        """
        for name in self._folders if not self._served else ():
            self._place(self._read(name))

    def close(self) -> None:
        """Finish what is under way. Blocks."""
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, the one that answers by default first."""
        return tuple(self._folders)

    def get(self, name: str | None = None) -> Served:
        """A model.

        Raises:
            UnknownName: there is none of that name.
        """
        wanted = self.names[0] if name is None else name
        if wanted not in self._served:
            raise UnknownName("model", wanted, self.names)
        return self._served[wanted]

    async def reload(self, name: str) -> Served:
        """Read a model anew and let it answer from now on.

        Raises:
            UnknownName: there is none of that name.
            ModelKept: the new one cannot be used; the message says why, and the old one still answers.
        """
        old = self.get(name)
        async with self._reading:
            try:
                new = await asyncio.to_thread(self._read, name)
            except HeadstartError as error:
                self._metrics.reloads.labels(name, "kept").inc()
                facts = {"model": name, "kept": old.digest, "error": str(error)}
                say("model kept", facts, level=logging.ERROR)
                raise ModelKept(f"{error} The model that was read before still answers.") from error
            left = self._place(new)
            self._metrics.reloads.labels(name, "replaced").inc()
            say("model replaced", {"model": name, "digest": new.digest, "before": old.digest})
            if left is not None:
                await asyncio.to_thread(left.close)
            return new

    async def reload_changed(self) -> None:
        """Read anew every model whose folder has changed. Failures are logged."""
        for name, folder in self._folders.items():
            try:
                if _digest(folder) != self._served[name].digest:
                    await self.reload(name)
            except ModelKept:
                continue  # logged already
            except HeadstartError as error:
                say("model kept", {"model": name, "error": str(error)}, level=logging.ERROR)

    def _read(self, name: str) -> Served:
        folder = self._folders[name]
        # first: a folder replaced meanwhile is then read once more, not never; `load` tells what is no model
        digest = _digest(folder) if (folder / model_folder.JSON).is_file() else ""
        model = model_folder.load(folder)
        engine = open_engine(model.backbone, self._device)
        lane = self._lanes.get(engine.digest)
        engine = lane.engine if lane else engine
        side = model.backbone.preprocess.size_px
        grey = np.full((1, side, side, 3), 128, np.uint8)
        told(model, engine.encode(grey)[0], name, Wish(nearest=1))  # tried, and warm
        before = self._metrics.counts().get(name, NOTHING) if name in self._served else NOTHING
        lane = lane or Lane(engine, self._metrics, self._room)
        return Served(name, folder, digest, model, lane, time.time(), before)

    def _place(self, new: Served) -> Lane | None:
        """Let it answer; the lane that nobody needs any more, if there is one."""
        old = self._served.get(new.name)
        self._served[new.name] = new
        self._lanes[new.lane.engine.digest] = new.lane
        own = self._metrics
        if old is not None:
            own.forget(new.name, old.mix.keys() - new.mix.keys())
        for label, share in new.mix.items():
            own.mix.labels(new.name, label).set(share)
        own.expected.labels(new.name).set(new.model.familiar.false_rejection)
        own.loaded.labels(new.name).set(new.loaded)
        own.unknown.labels(new.name)
        if old is None or old.lane in [one.lane for one in self._served.values()]:
            return None
        return self._lanes.pop(old.lane.engine.digest)


def _digest(folder: Path) -> str:
    try:
        return digest_file(folder / model_folder.JSON)
    except OSError as error:
        raise DamagedModel(f"{folder / model_folder.JSON} cannot be read: {reason(error)}.") from error
