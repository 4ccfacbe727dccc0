"""The way of a picture: a bounded queue, then a thread that decodes it, runs the network and says the answer.

As in `features.pipeline` each thread takes a picture through all steps by itself, and there are as many as
the engine wants. An engine that gains from batches (a GPU) gets those that are waiting, and a thread waits
for more for `PATIENCE_S` at most. With one picture per call, as on CPUs, nobody waits for anybody.
"""

import base64
import time
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from queue import Empty, SimpleQueue
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.engines import Engine, Maps
from headstart.errors import HeadstartError, UnknownFamily
from headstart.modalities.image import Decoded, decode
from headstart.model.model import Model
from headstart.model.predict import Prediction, Wish, refused, told

if TYPE_CHECKING:
    from headstart.serve.metrics import Metrics

PATIENCE_S = 0.005  # that a picture waits for others to share a batch with
MEMORY = 0.1  # weight of the newest picture in what one takes on average


@dataclass(frozen=True)
class Ask:
    """What is wanted of each picture of a request."""

    wish: Wish
    top: int | None = None  # so many of the likeliest classes; None: all
    heat: bool = False


@dataclass(eq=False)
class Job:
    """One picture on its way. It counts as such until its lane is done with it, whoever still waits."""

    name: str
    data: bytes
    model: Model
    ask: Ask
    answer: "Future[dict[str, Any]]"
    left: Callable[[], None]  # called in the event loop when the lane is done with it
    begun: float  # time.perf_counter()
    dropped: bool = False

    def done(self, found: dict[str, Any] | BaseException) -> None:
        """Hand the answer to the loop that waits for it. Called from the lane's threads."""
        self.data = b""
        self.answer.get_loop().call_soon_threadsafe(self._settle, found)

    def drop(self) -> None:
        """Nobody waits for this picture any more: it is passed over, and its bytes are let go."""
        self.dropped, self.data = True, b""

    def _settle(self, found: dict[str, Any] | BaseException) -> None:
        self.left()
        if self.answer.done():
            return
        if isinstance(found, BaseException):
            self.answer.set_exception(found)
            self.answer.exception()  # looked at: whoever asked may have left with another picture's error
        else:
            self.answer.set_result(found)


class Room:
    """How many pixels may be under decoding at a time: of one picture, and in all lanes together.

    A picture of small bytes can be one of many pixels, and each core has a thread that decodes: without this
    the memory would grow with the number of cores.
    """

    def __init__(self, most_px: int) -> None:
        self.most_px, self.held_px = most_px, 0
        self._turn, self._changed = Lock(), Condition()

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """What one picture takes, given back at the end: the function that takes it.

        It waits for room, for ever where one picture alone has more pixels than there may be. Whoever came
        first is first, so that a large picture is not passed by again and again.
        """
        own = 0

        def take(pixels: int) -> None:
            nonlocal own
            with self._turn, self._changed:
                self._changed.wait_for(lambda: self.held_px + pixels <= self.most_px)
                self.held_px, own = self.held_px + pixels, own + pixels

        try:
            yield take
        finally:
            with self._changed:
                self.held_px -= own
                self._changed.notify()


class Lane:
    """An engine with its threads. Several models of the same backbone share one."""

    def __init__(self, engine: Engine, metrics: "Metrics", room: Room) -> None:
        self.engine = engine
        self._room = room
        self.waiting = 0  # pictures that wait or are under way; changed in the event loop only
        self.pace_s = 0.0  # what a picture takes a thread, on a running average
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._mapping = Lock()
        steps = {name: metrics.steps.labels(name) for name in ("wait", "decode", "network", "answer")}
        self._took: dict[str, Callable[[float], None]] = {name: own.observe for name, own in steps.items()}
        self._together: Callable[[float], None] = metrics.batches.observe
        self._threads = [
            Thread(target=self._work, name=f"lane-{at}", daemon=True) for at in range(engine.workers)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> None:
        """Line up. Never waits: whoever calls has counted first."""
        self._jobs.put(job)

    def close(self) -> None:
        """Finish what is in the queue, then end the threads. Blocks until they have ended."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def wait_s(self, ahead: int) -> float:
        """How long a picture will be on its way behind so many others, as things go."""
        return self.pace_s * (ahead / self.engine.workers + 1)

    def _work(self) -> None:
        running = True
        while running:
            job = self._jobs.get()
            if job is None:
                return
            began = time.perf_counter()
            batch: list[tuple[Job, Decoded]] = []
            self._look(job, batch)
            until = time.perf_counter() + PATIENCE_S
            while len(batch) < self.engine.batch and self.engine.batch > 1:
                try:
                    job = self._jobs.get(timeout=max(0.0, until - time.perf_counter()))
                except Empty:
                    break
                if job is None:
                    running = False
                    break
                self._look(job, batch)
            self._encode(batch)
            if batch:
                took = (time.perf_counter() - began) / len(batch)
                self.pace_s += (took - self.pace_s) * (MEMORY if self.pace_s else 1.0)

    def _look(self, job: Job, batch: list[tuple[Job, Decoded]]) -> None:
        began = time.perf_counter()
        self._took["wait"](began - job.begun)
        if job.dropped:
            job.done(refused(job.name, "nobody waits for this answer any more").to_json())
            return
        how = job.model.backbone.preprocess
        try:
            with self._room.share() as take:
                batch.append((job, decode(job.data, how, limit_px=self._room.most_px, before=take)))
        except HeadstartError as error:
            job.done(refused(job.name, str(error)).to_json())
        except BaseException as error:  # noqa: BLE001  whoever asked is told, and the thread goes on
            job.done(error)
        self._took["decode"](time.perf_counter() - began)

    def _encode(self, batch: list[tuple[Job, Decoded]]) -> None:
        if not batch:
            return
        began = time.perf_counter()
        try:
            features = self.engine.encode(np.stack([picture.pixels for _, picture in batch]))
        except BaseException as error:  # noqa: BLE001  as above
            for job, _ in batch:
                job.done(error)
            return
        middle = time.perf_counter()
        self._took["network"](middle - began)
        self._together(len(batch))
        for (job, picture), x in zip(batch, features, strict=True):
            try:
                job.done(self._said(job, picture, told(job.model, x, job.name, job.ask.wish)))
            except BaseException as error:  # noqa: BLE001  as above
                job.done(error)
        self._took["answer"](time.perf_counter() - middle)

    def _said(self, job: Job, picture: Decoded, found: Prediction) -> dict[str, Any]:
        document = found.to_json()
        if job.ask.top is not None:
            ranked = sorted(found.probabilities.items(), key=lambda item: -item[1])[: job.ask.top]
            document["probabilities"] = dict(ranked)
        if job.ask.heat:
            document |= self._heat(job.model, picture, found.label)
        return document

    def _heat(self, model: Model, picture: Decoded, label: str) -> dict[str, Any]:
        """A heat map as a data: address, or null with the reason."""
        from headstart.explain.colour import overlay
        from headstart.explain.quick import heat_of

        with self._mapping:  # one request of the network's belongs to the maps
            try:
                found = heat_of(model, self._maps, picture.pixels.copy(), "", label)
            except UnknownFamily as error:
                return {"heat": None, "heat_missing": f"{error} `headstart explain` can."}
        image = base64.b64encode(overlay(found)).decode("ascii")
        return {"heat": f"data:image/png;base64,{image}"}

    @cached_property
    def _maps(self) -> Maps:
        return self.engine.maps()
