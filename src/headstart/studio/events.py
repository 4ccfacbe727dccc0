"""What every open page is told at once: short JSON objects, as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from threading import Lock
from typing import Any

WAITING = 200  # messages that a slow page may be behind; then it is told to look at everything anew
BEAT_S = 15.0  # a word now and then shows that the line stands


class Events:
    """Tells; from whatever thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pages: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}
        self._closed = False

    def tell(self, event: dict[str, Any]) -> None:
        """Tell all pages."""
        said = f"data: {json.dumps(event)}\n\n"
        with self._lock:
            pages = list(self._pages.items())
        for queue, loop in pages:
            try:
                loop.call_soon_threadsafe(_put, queue, said)
            except RuntimeError:  # its loop has ended
                continue

    async def listen(self, first: dict[str, Any]) -> AsyncIterator[str]:
        """What one page gets, until it leaves or the studio ends; `first` at once."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        with self._lock:
            if self._closed:
                return
            self._pages[queue] = asyncio.get_running_loop()
        try:
            yield f"retry: 1000\ndata: {json.dumps(first)}\n\n"
            while True:
                try:
                    said = await asyncio.wait_for(queue.get(), BEAT_S)
                except TimeoutError:
                    said = ": \n\n"
                if said is None:
                    return
                yield said
        finally:
            with self._lock:
                self._pages.pop(queue, None)

    def close(self) -> None:
        """Let all pages go."""
        with self._lock:
            self._closed = True
            pages = list(self._pages.items())
        for queue, loop in pages:
            try:
                loop.call_soon_threadsafe(_end, queue)
            except RuntimeError:
                continue


def _put(queue: "asyncio.Queue[str | None]", said: str) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        said = 'data: {"type": "everything"}\n\n'
    queue.put_nowait(said)


def _end(queue: "asyncio.Queue[str | None]") -> None:
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)
