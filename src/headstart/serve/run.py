"""Sockets, signals and processes. Nothing heavy is imported before the processes are made."""

import asyncio
import ctypes
import json
import os
import platform
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from headstart.errors import HeadstartError, MissingExtra, Misuse
from headstart.files import reason
from headstart.serve import logs
from headstart.serve.settings import HEADER_BYTES, PARENT, Settings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # as prometheus_client names it
WATCH_S = 1.0  # between two looks at whether the process that watches over all lives
KEEP_ALIVE_S = 30
STARTING_S = 5.0  # a process that ends sooner did not end by accident: it is not started again
BACKLOG = 512
LARGE_BYTES = 4_000_000  # of a block that goes back to the system when it is let go
STOPS = (signal.SIGINT, signal.SIGTERM)
Ready = Callable[[], None]


def serve(settings: Settings, *, quiet: bool, on_ready: Callable[[str], None]) -> int:
    """Serve until a signal says to stop; the exit code. `on_ready` gets the address once answers are given.

    SIGTERM and SIGINT end gracefully: what is under way is answered. SIGHUP reads anew what has changed.

    Raises:
        Misuse, DamagedModel, WeightsError, StoreError: a model cannot be opened, or the address is taken.
        MissingExtra: the extra `serve` is not installed.
    """
    logs.begin(quiet=quiet)
    with closing(_bound(settings)) as listening:
        host, port = listening.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if settings.workers == 1:
            one(settings, listening, lambda: on_ready(address))
            return 0
        return several(settings, listening, lambda: on_ready(address))


def one(settings: Settings, listening: socket.socket, ready: Ready) -> None:
    """Serve in this process.

    Raises:
        HeadstartError: see `serve`.
    """
    keep_no_memory()
    server, app = server_of(settings)
    asyncio.run(_serving(server, app, listening, ready))


def keep_no_memory() -> None:
    """Have the C library give large blocks back. Left alone, glibc learns to keep them, thread by thread.

    Eight threads that decoded pictures of 50 million pixels one after another held 2 GB afterwards, and with
    this as good as nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mmap_threshold = -3  # as malloc.h names it
        ctypes.CDLL(None).mallopt(mmap_threshold, LARGE_BYTES)


def server_of(settings: Settings) -> "tuple[uvicorn.Server, FastAPI]":
    """The application, and uvicorn set up for it.

    Raises:
        MissingExtra: the extra `serve` is not installed.
    """
    try:
        import uvicorn

        from headstart.serve.api import create_app
        from headstart.serve.protocol import guarded
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("headstart"):
            raise
        raise MissingExtra("headstart serve", "serve") from error

    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=guarded(settings.timeout_s),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.proxy is not None,
        forwarded_allow_ips=settings.proxy,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.timeout_s) + 5,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return uvicorn.Server(config), app


async def _serving(server: "uvicorn.Server", app: "FastAPI", listening: socket.socket, ready: Ready) -> None:
    shelf = app.state.desk.shelf
    await asyncio.to_thread(shelf.open)  # before uvicorn, which would hide why it fails
    reading: set[asyncio.Task[None]] = set()

    def read_anew() -> None:
        task = asyncio.get_running_loop().create_task(shelf.reload_changed())
        reading.add(task)
        task.add_done_callback(reading.discard)

    if os.name == "posix":
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, read_anew)
    for number in STOPS:  # uvicorn has its own, and raises them again at its end
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if server.started:
        logs.say("serving", {"models": list(shelf.names)})
        ready()
    await serving
    logs.say("stopped")


def several(settings: Settings, listening: socket.socket, ready: Ready) -> int:
    """Serve in several processes that share one socket; this one only watches over them.

    A process that dies is replaced, unless it dies at once. The exit code of the first that fails so.

    Raises:
        Misuse: this system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise Misuse("several processes need a system that can fork. Leave out --workers.")
    with tempfile.TemporaryDirectory(prefix="headstart-serve-") as shared:
        os.environ[SHARED], os.environ[PARENT] = shared, str(os.getpid())
        return _Family(settings, listening, Path(shared)).run(ready)


class _Family:
    """The processes of one server."""

    def __init__(self, settings: Settings, listening: socket.socket, shared: Path) -> None:
        self._settings, self._listening, self._shared = settings, listening, shared
        self._born: dict[int, float] = {}  # process: when it was started
        self._failed = shared / "failed"  # made by the first that cannot start
        self._stopping, self._code = False, 0
        self._heard, self._told = os.pipe()

    def run(self, ready: Ready) -> int:
        """Start them, say when all answer, and replace who dies until it is time to stop."""
        for number in STOPS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        for _ in range(self._settings.workers):
            self._start()
        answering = 0
        while answering < self._settings.workers and self._born:
            if select.select([self._heard], [], [], 0.05)[0]:
                answering += len(os.read(self._heard, self._settings.workers))
            self._mourn(os.WNOHANG)
        if self._born and not self._stopping:
            ready()
        while self._born:
            self._mourn(0)
        return self._code

    def _start(self) -> None:
        heard = {*STOPS, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, heard)  # a child must not take its parent's part, ever
        if self._stopping:  # a signal came between the decision and here, and found no such child to tell
            signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
            return
        process = os.fork()
        if process:
            self._born[process] = time.monotonic()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
            return
        code = 1
        try:
            for number in STOPS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
            Thread(target=_end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
            one(self._settings, self._listening, self._answers)
            code = 0
        except HeadstartError as error:
            code = error.exit_code
            with suppress(FileExistsError), self._failed.open("x"):  # said once, not by each
                sys.stderr.write(f"headstart: {error}\n")
        except BaseException as error:  # noqa: BLE001  a child must never run on into its parent's code
            logs.say("process failed", level=40, error=error)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _answers(self) -> None:
        """In a child: tell the parent that it answers."""
        os.write(self._told, b"1")

    def _mourn(self, how: int) -> None:
        """Wait for one that died, and replace it where that makes sense."""
        try:
            process, status = os.waitpid(-1, how)
        except ChildProcessError:
            self._born.clear()
            return
        if process not in self._born:
            return
        lived = time.monotonic() - self._born.pop(process)
        for file in self._shared.glob(f"gauge_live*_{process}.db"):  # what it alone knew is over
            file.unlink(missing_ok=True)
        if self._stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        logs.say("process died", {"died": process, "code": code}, level=40)
        if lived < STARTING_S or self._failed.exists():  # on a busy machine it may take its time to fail
            self._code = self._code or max(code, 1)
            self._stop()
        else:
            self._start()

    def _stop(self, *_: object) -> None:
        if self._stopping:  # asked twice: at once
            self._send(signal.SIGKILL)
        self._stopping = True
        self._send(signal.SIGTERM)

    def _pass_on(self, *_: object) -> None:
        self._send(signal.SIGHUP)

    def _send(self, number: int) -> None:
        for process in self._born:
            with suppress(ProcessLookupError):  # it died, and was not mourned yet
                os.kill(process, number)


def _end_with(parent: int) -> None:
    """Stop this process once `parent` is gone: killed, it could not say so, and the port would stay taken."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _bound(settings: Settings) -> socket.socket:
    """A socket at the address.

    Raises:
        Misuse: it is taken, or is none of this machine's.
    """
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
    except OSError as error:
        raise Misuse(
            f"cannot listen at {settings.host}, port {settings.port}: {reason(error)}. "
            "Choose another with --host or --port (0: any that is free)."
        ) from error
    return found


def told(address: str, settings: Settings) -> str:
    """One JSON document about what is served."""
    names = [name for name, _ in settings.models]
    return json.dumps(
        {"url": address, "models": names, "docs": f"{address}/docs", "key": settings.key is not None}
    )
