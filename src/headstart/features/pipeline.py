"""The one inference loop: read, decode, encode, in threads, in order, in bounded memory.

Each worker takes a picture through all three steps by itself. The engine runs one picture per request,
so a core is never without work and no picture waits in a queue between steps; on two cores this beat
separate threads for decoding.
"""

import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread, current_thread

import numpy as np

from headstart.engines import Engine
from headstart.errors import UnreadablePicture
from headstart.files import digest_bytes, reason
from headstart.modalities.image import LIMIT_PX, Decoded, decode
from headstart.values import Kept, Preprocess

LIMIT_BYTES = 512 * 1024 * 1024
AHEAD = 8  # pictures per worker that may be under way or waiting for an earlier one


@dataclass(frozen=True, eq=False)
class Item:
    """What became of one file: features, or the reason why there are none, or neither when passed over."""

    at: int  # position in what was asked
    digest: str  # of the content; "" where the file could not be opened
    kept: Kept | None
    error: str | None


def run(
    files: Iterable[Path],
    engine: Engine,
    preprocess: Preprocess,
    *,
    passes: Callable[[str], bool] = lambda _digest: False,
    limit_px: int = LIMIT_PX,
) -> Generator[Item, None, None]:
    """One Item per file, in the order of `files`, which may be endless.

    A file whose content `passes` (asked by one thread at a time) is hashed and not decoded.
    Closing the iterator, or an exception in the consumer, stops the workers.
    """
    found: SimpleQueue[Item | BaseException | None] = SimpleQueue()
    slots, stop = Semaphore(engine.workers * max(AHEAD, 2 * engine.batch)), Event()
    turn, judging = Lock(), Lock()  # two: asking for the next file may take as long as somebody types
    asking: set[Thread] = set()
    numbered = enumerate(files)

    def work() -> None:
        waiting: list[tuple[int, str, Decoded]] = []
        try:
            while not stop.is_set():
                if not slots.acquire(blocking=False):
                    encode(waiting)  # others may be waiting for what this worker still holds
                    slots.acquire()
                if not turn.acquire(blocking=False):
                    encode(waiting)  # the next file may be long in coming
                    asking.add(current_thread())
                    turn.acquire()
                try:
                    asking.add(current_thread())
                    at, file = (-1, None) if stop.is_set() else next(numbered, (-1, None))
                finally:
                    asking.discard(current_thread())
                    turn.release()
                if file is None or stop.is_set():
                    break
                item = look(at, file, waiting)
                if item is not None:
                    found.put(item)
                if len(waiting) >= engine.batch:
                    encode(waiting)
            if not stop.is_set():
                encode(waiting)
        except BaseException as error:  # noqa: BLE001  handed to the consumer, which raises it
            found.put(error)
        finally:
            found.put(None)

    def look(at: int, file: Path, waiting: list[tuple[int, str, Decoded]]) -> Item | None:
        digest = ""
        try:
            data = read(file)
            digest = digest_bytes(data)
            with judging:
                passed = passes(digest)
            if passed:
                return Item(at, digest, None, None)
            waiting.append((at, digest, decode(data, preprocess, limit_px=limit_px)))
        except UnreadablePicture as error:
            return Item(at, digest, None, str(error))
        return None

    def encode(waiting: list[tuple[int, str, Decoded]]) -> None:
        if not waiting:
            return
        features = engine.encode(np.stack([picture.pixels for _, _, picture in waiting]))
        for (at, digest, picture), x in zip(waiting, features, strict=True):
            kept = Kept(
                digest, x, picture.width, picture.height, picture.format, picture.thumb, picture.colours
            )
            found.put(Item(at, digest, kept, None))
        waiting.clear()

    workers = [Thread(target=work, daemon=True) for _ in range(engine.workers)]
    for worker in workers:
        worker.start()
    try:
        yield from _in_order(found, slots, len(workers))
    finally:
        stop.set()
        for _ in workers:
            slots.release()
        for worker in workers:  # but for who waits for a next file, which may never come
            while worker.is_alive() and worker not in asking:
                worker.join(0.05)


def _in_order(
    found: SimpleQueue[Item | BaseException | None], slots: Semaphore, running: int
) -> Iterator[Item]:
    early: dict[int, Item] = {}
    wanted = 0
    while running or early:
        item = found.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            running -= 1
            continue
        early[item.at] = item
        while wanted in early:
            yield early.pop(wanted)
            slots.release()
            wanted += 1


def read(file: Path) -> bytes:
    """The bytes of a regular file of at most LIMIT_BYTES.

    Raises:
        UnreadablePicture: it cannot be opened, is no regular file, or is too large.
    """
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadablePicture("not a file" if stat.S_ISDIR(facts.st_mode) else "not a regular file")
        if facts.st_size > LIMIT_BYTES:
            raise UnreadablePicture(f"larger than {LIMIT_BYTES >> 20} MB")
        return file.read_bytes()
    except UnreadablePicture:
        raise
    except OSError as error:
        raise UnreadablePicture(f"cannot be opened: {reason(error)}") from error
    except ValueError as error:  # a name with a NUL in it
        raise UnreadablePicture(f"cannot be opened: {error}") from error
