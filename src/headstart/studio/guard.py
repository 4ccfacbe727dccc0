"""Who may talk to the studio: a page that it gave out itself, on this machine, with the token in its cookie.

Another site in the same browser can send requests to 127.0.0.1 and, by rebinding a name of its own to that
address, even read answers. So the name asked for must be an address, localhost or the host's own, the origin
must be ours, and the cookie, which browsers leave out of other sites' requests, must hold the token. Other
ports of this host are the same site to a browser: against those stands the origin.
"""

import hmac
import socket
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headstart.serve.hosts import asked, is_own
from headstart.studio.refused import Refused

LIMIT_BODY = 8 << 20  # of all that is no picture or archive
UPLOADS = (
    "/pictures",
    "/zip",
    "/try",
)  # ends of paths whose bodies are streamed to the disk and counted there
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Guard:
    """Stands before the application.

    `once` opens the page, too, for the first who brings it: a link that other users of the machine can see.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, port: int, once: str | None = None) -> None:
        self._app, self._token, self._port, self._once = app, token, port, once
        self._names = {"localhost", host.casefold(), socket.gethostname().casefold()}
        self.cookie = f"headstart-studio-{port}"  # cookies do not know ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        code, is_new = self._refusal(scope, headers)
        if code is not None:
            await _plain(code)(scope, receive, send)
            return
        limited = receive if scope["path"].endswith(UPLOADS) else _limited(receive)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    found.setdefault(name, value)
                found.setdefault("content-security-policy", POLICY)
                found.setdefault("cache-control", "no-store")
                if is_new:
                    # until the browser ends: every server on this host is shown it, whatever its port
                    cookie = f"{self.cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    found.append("set-cookie", cookie)
            await send(message)

        await self._app(scope, limited, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[str | None, bool]:
        """Why a request is refused, and whether it brought the token in its address."""
        if not self._is_ours(headers.get("host", "")):
            return "wrong-host", False
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers['host']}":
            return "wrong-origin", False
        if headers.get("sec-fetch-site", "none") == "cross-site" and scope["method"] not in ("GET", "HEAD"):
            return "wrong-origin", False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET":
            if self._once is not None and _is_same(given, self._once):
                self._once = None
                return None, True
            if self._is_token(given):
                return None, True
        # as browsers write them: the standard library's reader stops at the first odd one of another program
        held = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return (None, False) if self._is_token(held) else ("no-token", False)

    def _is_ours(self, host: str) -> bool:
        found = asked(host)
        return found is not None and found[1] == self._port and is_own(found[0], self._names)

    def _is_token(self, given: str) -> bool:
        return _is_same(given, self._token)


def _is_same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())


def _limited(receive: Receive) -> Receive:
    """The same body, up to LIMIT_BODY."""
    left = LIMIT_BODY

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413)  # the one exception that FastAPI lets through while it reads a body
        return message

    return counted


def _plain(code: str) -> Response:
    return PlainTextResponse(f"{Refused(code)}\n", 403, {**HEADERS, "cache-control": "no-store"})
