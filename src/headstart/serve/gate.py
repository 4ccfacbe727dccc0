"""Around every request: id, name asked for, API key, how often a client may ask, log line, last resort.

Plain ASGI, and outside of FastAPI's own handling, so that nothing passes by it. A request that is refused
before its body was read has the rest of the body read away, for two seconds at most: a client that is still
sending would otherwise meet a closed connection where the reason should be.
"""

import asyncio
import hmac
import json
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.serve.hosts import asked, is_own
from headstart.serve.logs import say
from headstart.serve.metrics import Metrics
from headstart.serve.refusals import (
    CLOSED,
    Gone,
    HeadersTooLarge,
    Refusal,
    TooOften,
    WrongHost,
    WrongKey,
    document,
    status_of,
)
from headstart.serve.settings import HEADER_BYTES, Settings, digest_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = {"/health", "/health/ready", "/docs", "/openapi.json"}  # without a key
CLIENTS = 10_000  # whose rates are remembered; the one that asked longest ago is forgotten first
DRAIN_S = 2.0
ID = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ERROR = 500


@dataclass(eq=False)
class Seen:
    """What the log line of a request says; routes add to it. It lies in the request's scope."""

    id: str
    route: str = "none"  # the pattern that fits, so that the metrics' labels stay few
    kind: str = ""  # of the error
    facts: dict[str, Any] = field(default_factory=dict)


class Rates:
    """A bucket of tokens per client, filled `rate` times a second, at most with `rate` (or one)."""

    def __init__(self, rate: float) -> None:
        self._rate, self._most = rate, max(1.0, rate)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client: tokens, when

    def take(self, client: str, now: float) -> None:
        """Let one request of this client pass.

        Raises:
            TooOften: its bucket is empty.
        """
        tokens, then = self._left.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._rate)
        passes = tokens >= 1
        self._left[client] = (tokens - passes, now)
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        if not passes:
            raise TooOften(f"this client may ask {self._rate:g} times a second. Wait, then ask again.")


class Gate:
    """The ASGI middleware."""

    def __init__(self, app: "ASGIApp", settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._rates = Rates(settings.rate) if settings.rate is not None else None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        seen = Seen(_id(headers.get(ID)))
        scope["seen"] = seen
        wire = _Wire(receive, send, headers, seen.id)
        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
                raise HeadersTooLarge(f"these headers have more than {HEADER_BYTES:,} bytes.")
            self._admit(scope, headers)
            await self._app(scope, wire.receive, wire.send)
        except Gone:
            wire.status = CLOSED
        except HeadstartError as error:
            await self._refuse(wire, seen, error)
        except Exception as error:  # noqa: BLE001  nobody else would tell the client; the log has it all
            say("request failed", {"id": seen.id}, level=40, error=error)
            if not wire.status:
                await wire.answer(
                    _ERROR,
                    {
                        "error": "this is a fault of the server. Its log has the reason under this id.",
                        "kind": "InternalError",
                        "request_id": seen.id,
                    },
                )
            seen.kind = "InternalError"
        finally:
            self._record(scope, seen, wire, time.perf_counter() - began)

    def _admit(self, scope: "Scope", headers: dict[bytes, bytes]) -> None:
        if self._settings.is_own:  # else whoever knows the key may ask by any name
            host = asked(headers.get(b"host", b"").decode("latin-1"))
            if host is None or not is_own(host[0], {"localhost"}):
                raise WrongHost(
                    "this server is for its own machine: ask for it as localhost or by its address. Where "
                    "others are to ask by a name, give it an API key."
                )
        if self._rates is not None and scope["path"] not in OPEN:
            client = scope.get("client")
            self._rates.take(client[0] if client else "", time.monotonic())
        key = self._settings.key
        if key is None or scope["path"] in OPEN:
            return
        said = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if not said and scheme.lower() == b"bearer":
            said = token
        if not hmac.compare_digest(digest_of(said.strip()), key):
            raise WrongKey(
                "this server wants an API key: send it as Authorization: Bearer KEY, or as X-API-Key."
            )

    async def _refuse(self, wire: "_Wire", seen: Seen, error: HeadstartError) -> None:
        seen.kind = type(error).__name__
        self._metrics.refused.labels(seen.kind).inc()
        status = status_of(error)
        if status >= _ERROR and not isinstance(error, Refusal):
            say("request failed", {"id": seen.id}, level=40, error=error)
        if not wire.status:
            retry = error.retry_s if isinstance(error, Refusal) else None
            await wire.answer(status, document(error, seen.id), retry)

    def _record(self, scope: "Scope", seen: Seen, wire: "_Wire", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or seen.route
        self._metrics.requests.labels(route, str(wire.status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        client = scope.get("client")
        facts = {
            "id": seen.id,
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": wire.status,
            "ms": round(1000 * seconds, 1),
        }
        say("request", facts | ({"kind": seen.kind} if seen.kind else {}) | seen.facts)


class _Wire:
    """A request's own receive and send: knows what was read and what was said."""

    def __init__(self, receive: "Receive", send: "Send", headers: dict[bytes, bytes], id: str) -> None:
        self._receive, self._send, self._id = receive, send, id.encode()
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        self._is_read, self._waits = not has_body, b"expect" in headers
        self.status = 0

    async def receive(self) -> "Message":
        """As ASGI says."""
        message = await self._receive()
        self._waits = False
        if not message.get("more_body", False):
            self._is_read = True
        return message

    async def send(self, message: "Message") -> None:
        """As ASGI says, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            more = [(ID, self._id), (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
            if not await self._drained():
                more.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await self._send(message)

    async def answer(self, status: int, said: dict[str, Any], retry_s: int | None = None) -> None:
        """A whole answer in JSON."""
        body = json.dumps(said).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if retry_s is not None:
            headers.append((b"retry-after", str(retry_s).encode()))
        if status == WrongKey.status:
            headers.append((b"www-authenticate", b"Bearer"))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _drained(self) -> bool:
        """Whether nothing of the body is left, after reading some of it away."""
        if self._waits:  # for leave to send the body: it does not get it
            return self._is_read
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self._is_read:
                    await self.receive()
        except TimeoutError:
            return False
        return self._is_read


def _id(asked: bytes | None) -> str:
    """The request's id: the client's where it can stand in a log and a header, else one of our own."""
    if asked is not None and _ID.fullmatch(asked):
        return asked.decode("ascii")
    return secrets.token_hex(8)
