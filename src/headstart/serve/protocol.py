"""Connections: how many there may be, how long a client may take, and what a broken one is told.

uvicorn gives a client any time for its headers and any number of connections. Both are bounded here; the
time for a body and an answer is kept by the routes, and once more here, should a client not read its answer.
"""

import asyncio
import json
import sys
from asyncio import TimerHandle

HEADERS_S = 10.0  # from the first byte of a request, or from connecting, to the end of its headers
CONNECTIONS = 512
GRACE_S = 10.0  # that a client has to read its answer
LINGER_S = 1.0  # that one whose connection is over has to read why: closing at once might take that from it
TOO_MANY = 503
TOO_SLOW = 408
TOO_LONG = 431  # as h11 hints


def guarded(request_s: float) -> type[asyncio.Protocol]:
    """The protocol of uvicorn and h11 with these bounds; `request_s` for a request and its answer."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Guarded(H11Protocol):
        """One connection."""

        _alarm: TimerHandle | None = None
        _begun: object = None  # the request that the alarm is for
        _is_over = False  # the last word is said

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > 2 * CONNECTIONS:
                transport.abort()
            elif len(self.connections) > CONNECTIONS:
                self._tell(TOO_MANY, "too many connections are open. Try again in a moment.")
            else:
                self._set(HEADERS_S)

        def data_received(self, data: bytes) -> None:
            if not self._is_over:
                super().data_received(data)
                self._look()

        def shutdown(self) -> None:
            if self._is_over:
                self.transport.abort()
            else:
                super().shutdown()

        def on_response_complete(self) -> None:
            self._unset()
            super().on_response_complete()
            self._look()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unset()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            error = sys.exception()
            status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
            if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
                self.transport.abort()
                return
            self._tell(status, "these headers are too large." if status == TOO_LONG else f"{msg} ({error})")

        def _look(self) -> None:
            """Set the alarm that fits: for a request under way, or for headers that are not complete."""
            if self._is_over or self.transport.is_closing():
                return
            under_way = self.cycle is not None and not self.cycle.response_complete
            if under_way and self._begun is not self.cycle:
                self._begun = self.cycle
                self._set(request_s + GRACE_S)
            elif not under_way and self._alarm is None and self.timeout_keep_alive_task is None:
                self._set(HEADERS_S)

        def _set(self, seconds: float) -> None:
            self._unset()
            self._alarm = self.loop.call_later(seconds, self._late)

        def _unset(self) -> None:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

        def _late(self) -> None:
            self._alarm = None
            if not self._is_over and (self.cycle is None or self.cycle.response_complete):
                self._tell(TOO_SLOW, "the headers did not come in time.")
            else:
                self.transport.abort()

        def _tell(self, status: int, message: str) -> None:
            """The last word, whatever the routes may still be waiting for, and the end of the connection."""
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            kinds = {TOO_MANY: "Busy", TOO_SLOW: "TooSlow", TOO_LONG: "HeadersTooLarge"}
            kind = kinds.get(status, "BadRequest")
            body = json.dumps({"error": message, "kind": kind, "request_id": ""}).encode()
            head = (
                f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n"
            )
            self._is_over = True
            self._set(LINGER_S)
            self.transport.write(head.encode("ascii") + body)
            try:
                self.transport.write_eof()
            except OSError:  # the client is gone already
                self.transport.abort()

    return Guarded
