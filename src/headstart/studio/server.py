"""Running the studio: one process, on loopback unless told otherwise, and a link that holds the token."""

import errno
import os
import secrets
import socket
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from headstart.errors import MissingExtra, Misuse, OutputError
from headstart.files import reason
from headstart.studio import folders
from headstart.studio.intake import has_picture_suffix
from headstart.studio.journal import FILE

PORT = 8765
_TAKEN = (errno.EADDRINUSE, errno.EACCES)
TRIES = 20  # ports after PORT that are tried where none was asked for


def run(
    root: Path,
    *,
    data: Path | None,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the studio on `root` until it is interrupted. `on_ready` gets the link once it can be opened.

    `data` is a folder that the page may copy pictures from. Without `port` the first free one from PORT on.

    Raises:
        Misuse: another studio has this folder, or the port is taken.
        MissingExtra: FastAPI or uvicorn are not installed.
        OutputError: the folder cannot be written.
    """
    try:
        import uvicorn

        from headstart.studio.app import Studio, create
        from headstart.studio.guard import Guard
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "starlette", "uvicorn", "pydantic"):
            raise
        raise MissingExtra("the studio", "serve") from error
    root = _made(root)
    if data is not None and not data.is_dir():
        raise Misuse(f"there is no folder at {data} to bring pictures from.")
    listening = _listening(host, port)
    number = listening.getsockname()[1]
    try:
        studio = Studio(root, data.resolve() if data is not None else None)
    except BaseException:
        listening.close()
        raise
    # a browser is started with its link, which every user of the machine can see: that one is good for once
    once = secrets.token_urlsafe(32) if browser else None
    app: Any = Guard(create(studio), token=studio.journal.token, host=host, port=number, once=once)
    shown = f"[{host}]" if ":" in host else host
    site = f"http://{shown}:{number}"
    settings = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
    )

    class Server(uvicorn.Server):
        """Lets the pages that listen go first: it would wait for them."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            studio.events.close()
            await super().shutdown(sockets)

    server = Server(settings)

    def ready() -> None:
        on_ready(f"{site}/?token={studio.journal.token}")
        if once is not None:
            webbrowser.open(f"{site}/?token={once}")

    Thread(target=_when_started, args=(server, ready), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()


def _when_started(server: Any, ready: Callable[[], None]) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    ready()


def _made(root: Path) -> Path:
    if root.is_dir() and not (root / FILE).exists():
        for name in folders.names(root):
            if any(has_picture_suffix(entry.name) for entry in (root / name).iterdir()):
                raise Misuse(
                    f"{root} holds pictures, and a studio keeps projects in its folder. Bring the pictures "
                    f"into a project instead: headstart studio --data {root}"
                )
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{root} cannot be made: {reason(error)}. Choose another folder.") from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputError(f"{root} cannot be written to. Choose another folder.")
    return root.resolve()


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens on the port asked for, or on the first free one from PORT on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(PORT, PORT + TRIES) if port is None else [port]:
        found = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
        except OSError as error:
            found.close()
            if port is not None or error.errno not in _TAKEN:
                raise Misuse(
                    f"the studio cannot listen on {host}, port {number}: {reason(error)}. "
                    "Choose others with --host and --port."
                ) from error
            continue
        found.set_inheritable(False)
        return found
    raise Misuse(f"ports {PORT} to {PORT + TRIES - 1} are taken. Name another with --port.")
