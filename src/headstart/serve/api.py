"""The routes. Each takes a request apart, asks, and answers in JSON; what goes wrong is told by `gate`."""

import asyncio
import json
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from headstart.errors import HeadstartError, Misuse, UnreadablePicture
from headstart.heads import one_thread_each
from headstart.serve.drift import Drift, drift_of
from headstart.serve.gate import OPEN, Gate, Seen
from headstart.serve.lanes import Job, Lane, Room
from headstart.serve.metrics import Metrics
from headstart.serve.refusals import BadRequest, Busy, NoSuchRoute, NotAllowed, TooLate, TooSlow, document
from headstart.serve.schemas import (
    Described,
    Drifts,
    Health,
    NamedOptions,
    Options,
    Predictions,
    Problem,
    Reloaded,
    Shelved,
)
from headstart.serve.settings import PARENT, Settings
from headstart.serve.shelf import Served, Shelf
from headstart.serve.upload import FORM, Picture, Share, Store, pictures
from headstart.version import VERSION

TITLE = "headstart"
ABOUT = (
    "Answers of trained models for pictures: the same as those of headstart predict. Several pictures may "
    "be sent in one request; their answers come in the same order, and a picture that cannot be read has an "
    "error in its place. Where none of them can be read the status is 422."
)
# FastAPI reports to OpenTelemetry where its variables ask for that: not from here. Older ones pass this over.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
_PICTURE = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {"schema": {"type": "object", "properties": {"files": _FILES}, "required": ["files"]}},
            "image/jpeg": _PICTURE,
            "image/png": _PICTURE,
            "application/octet-stream": _PICTURE,
        },
    }
}
_SAID = {
    400: "The body is not what its headers say.",
    401: "No API key, or not the right one.",
    403: "This server does not do that.",
    404: "There is no model of that name.",
    408: "The body did not come in time.",
    409: "The new model cannot be used; the one before still answers.",
    413: "Too many bytes or too many pictures.",
    415: "Neither a picture nor a form with pictures.",
    421: "Asked by another name than localhost or an address.",
    422: "An option that cannot be, or no picture that can be read.",
    429: "This client asks too often.",
    503: "Too many pictures wait, or the answer was not ready in time. Ask again after Retry-After seconds.",
}


class Desk:
    """What the routes share: the models, the store of uploads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.shelf = Shelf(settings.models, settings.device, self.metrics, Room(settings.max_px))
        self.store = Store(settings.held_bytes)

    async def predict(self, request: Request, name: str | None, options: Options) -> Response:
        """Answer a request for predictions.

        Raises:
            Refusal, UnknownName: see `refusals`.
        """
        deadline = time.perf_counter() + self.settings.timeout_s
        seen: Seen = request.scope["seen"]
        lane = self.shelf.get(name).lane
        if lane.waiting >= self.settings.queue:  # before the body, which would be read in vain
            raise self._busy(lane)
        with Share(self.store) as share:
            try:
                async with asyncio.timeout(self.settings.timeout_s):
                    found = await pictures(request.headers, request.receive, self.settings, share)
            except TimeoutError as error:
                raise TooSlow(f"the body did not come within {self.settings.timeout_s:g} seconds.") from error
            served = self.shelf.get(name)  # the model of this moment answers
            seen.facts |= {"model": served.name, "pictures": len(found), "bytes": share.held}
            answers = await self._answers(found, served, options, deadline)
        self._count(served, answers)
        return self._said(answers, seen)

    async def _answers(
        self, found: list[Picture], served: Served, options: Options, deadline: float
    ) -> list[dict[str, Any]]:
        lane = served.lane
        if lane.waiting + len(found) > self.settings.queue:
            raise self._busy(lane)
        wait_s = lane.wait_s(lane.waiting + len(found) - 1)
        if lane.waiting and wait_s > self.settings.timeout_s:  # with nobody before it, it is tried
            raise Busy("what waits already would take all the time that this request has. Try again later.")
        loop, ask, now = asyncio.get_running_loop(), options.ask(), time.perf_counter()
        left = partial(self._wait, lane, -1)
        jobs = [Job(one.name, one.data, served.model, ask, loop.create_future(), left, now) for one in found]
        self._wait(lane, len(jobs))
        for job in jobs:
            lane.put(job)
        try:
            async with asyncio.timeout(max(0.0, deadline - now)):
                return [await job.answer for job in jobs]
        except TimeoutError as error:
            self.metrics.pictures.labels("dropped").inc(len(jobs))
            raise TooLate(
                f"the answer was not ready within {self.settings.timeout_s:g} seconds. Try again, or ask "
                "with fewer pictures."
            ) from error
        finally:
            for job in jobs:
                job.drop()

    def _wait(self, lane: Lane, count: int) -> None:
        lane.waiting += count
        self.metrics.queue.inc(count)

    def _busy(self, lane: Lane) -> Busy:
        return Busy(
            f"{lane.waiting} pictures wait already, and {self.settings.queue} may. Try again in a moment."
        )

    @property
    def is_full(self) -> bool:
        """Whether no model takes another picture."""
        served = [self.shelf.get(name) for name in self.shelf.names]
        return all(one.lane.waiting >= self.settings.queue for one in served)

    def _count(self, served: Served, answers: list[dict[str, Any]]) -> None:
        for one in answers:
            readable = "error" not in one
            self.metrics.pictures.labels("answered" if readable else "unreadable").inc()
            if readable:
                self.metrics.answers.labels(served.name, one["label"]).inc()
                self.metrics.unknown.labels(served.name).inc(one["unknown"])

    def _said(self, answers: list[dict[str, Any]], seen: Seen) -> Response:
        if any("error" not in one for one in answers):
            return _json({"predictions": answers})
        first = f"{answers[0]['path']}: {answers[0]['error']}"
        rest = f", and {len(answers) - 1} more" if len(answers) > 1 else ""
        error = UnreadablePicture(f"none of these pictures can be read: {first}{rest}.")
        seen.kind = type(error).__name__
        self.metrics.refused.labels(seen.kind).inc()
        return _json(document(error, seen.id) | {"predictions": answers}, 422)


def create_app(settings: Settings) -> FastAPI:
    """The whole server as an ASGI application. Models are opened when it starts."""
    desk = Desk(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            stack.enter_context(one_thread_each())  # lanes are the threads; BLAS adds none of its own
            await asyncio.to_thread(desk.shelf.open)
            stack.callback(desk.shelf.close)
            yield

    app = FastAPI(
        title=TITLE,
        description=ABOUT,
        version=VERSION,
        docs_url=None,  # theirs load scripts from elsewhere
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        lifespan=lifespan,
        responses={code: {"model": Problem, "description": _SAID[code]} for code in _common(settings)},
    )
    app.state.desk = desk
    app.include_router(_asking(desk))
    app.include_router(_watching(desk, app))
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _told)
    if settings.key is not None:
        _say_keys(app.openapi())
    app.add_middleware(Gate, settings=settings, metrics=desk.metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app


def _say_keys(openapi: dict[str, Any]) -> None:
    """Put the API key into the description, which FastAPI makes once and keeps."""
    openapi["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in openapi["paths"].items():
        for operation in methods.values() if path not in OPEN else ():
            operation["security"] = [{"bearer": []}, {"header": []}]


def _common(settings: Settings) -> list[int]:
    return [401] * (settings.key is not None) + [421] * settings.is_own + [429] * (settings.rate is not None)


def _asking(desk: Desk) -> APIRouter:
    """What models say."""
    router = APIRouter()
    answers = _answers(Predictions, 400, 404, 408, 413, 415, 422, 503)

    @router.post(
        "/predict", responses=answers, openapi_extra=_BODY,
        summary="Classify pictures",
    )  # fmt: skip
    async def predict(request: Request, options: Annotated[NamedOptions, Query()]) -> Response:
        """Classify the pictures of the body, by the model that is named, or else the first."""
        return await desk.predict(request, options.model, options)

    @router.post(
        "/models/{name}/predict", responses=answers, openapi_extra=_BODY,
        summary="Classify pictures by one of several models",
    )  # fmt: skip
    async def predict_by(name: str, request: Request, options: Annotated[Options, Query()]) -> Response:
        """Classify the pictures of the body, by this model."""
        return await desk.predict(request, name, options)

    @router.post("/models/{name}/reload", responses=_answers(Reloaded, 401, 403, 404, 409, 422))
    async def reload(name: str) -> Response:
        """Read a model's folder anew. Requests under way keep the model with which they began.

        Only where the server has an API key; else send the process a SIGHUP.
        """
        if desk.settings.key is None:
            raise NotAllowed(
                "a server without an API key reads models anew on a signal only: send SIGHUP to its process."
            )
        before = desk.shelf.get(name).digest
        new = await desk.shelf.reload(name)
        _tell_others(desk.settings)
        return _json({"name": name, "digest": new.digest, "before": before})

    return router


def _tell_others(settings: Settings) -> None:
    """Have the other processes of this server read what has changed."""
    parent = int(os.environ.get(PARENT, "0"))
    if settings.workers > 1 and os.getppid() == parent:
        os.kill(parent, signal.SIGHUP)


def _watching(desk: Desk, app: FastAPI) -> APIRouter:
    """What can be known of the server."""
    router = APIRouter()

    @router.head("/health", include_in_schema=False)
    @router.get("/health", responses=_answers(Health))
    async def health() -> Response:
        """The process is alive."""
        return _json({"status": "alive"})

    @router.get("/health/ready", responses=_answers(Health, 503))
    async def ready() -> Response:
        """Every model is open, and there is room in the queue of at least one."""
        if desk.is_full:
            raise Busy("as many pictures wait as may wait.")
        return _json({"status": "ready"})

    @router.get("/model", responses=_answers(Described))
    async def model() -> Response:
        """The model that answers where none is named."""
        return _json(desk.shelf.get().to_json() | {"limits": desk.settings.to_json()})

    @router.get("/models", responses=_answers(Shelved))
    async def models() -> Response:
        """Every model, the one that answers by default first."""
        found = [desk.shelf.get(name).to_json() for name in desk.shelf.names]
        return _json({"models": found, "limits": desk.settings.to_json()})

    @router.get("/models/{name}", responses=_answers(Described, 404, 422))
    async def model_of(name: str) -> Response:
        """One model."""
        return _json(desk.shelf.get(name).to_json())

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}, "description": "Answered."}},
        response_class=Response,
    )
    async def metrics() -> Response:
        """Counts, latencies, batch sizes, queue, unknowns and drift, for Prometheus."""
        for one in _drifts():  # not a number until there are answers, also after a reload
            desk.metrics.drift.labels(one.model).set(math.nan if one.distance is None else one.distance)
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/drift", response_class=HTMLResponse)
    async def drift_page() -> HTMLResponse:
        """Unknowns and classes since each model was read, against training: a page."""
        from headstart.serve import page  # with all of the report behind it

        return HTMLResponse(page.drift(_drifts()))

    @router.get("/drift.json", responses=_answers(Drifts))
    async def drift_json() -> Response:
        """The same for programs."""
        return _json({"models": [one.to_json() for one in _drifts()]})

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        from headstart.serve import page

        return HTMLResponse(page.docs(app.openapi()))

    @router.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("docs")

    def _drifts() -> list[Drift]:
        counts = desk.metrics.counts()
        return [drift_of(desk.shelf.get(name), counts) for name in desk.shelf.names]

    return router


def _answers(model: type[BaseModel], *codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route says when all is well, and what may go wrong."""
    found: dict[int | str, dict[str, Any]] = {200: {"model": model, "description": "Answered."}}
    return found | {code: {"model": Problem, "description": _SAID[code]} for code in codes}


async def _told(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals, in our words."""
    seen: Seen = request.scope["seen"]
    found: HeadstartError = BadRequest(str(error))
    status = 422
    headers = {}
    if isinstance(error, RequestValidationError):
        said = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()]
        found = Misuse("; ".join(said)[:1000] + ".")
    elif isinstance(error, HTTPException):
        status, headers = error.status_code, dict(error.headers or {})
        found = NoSuchRoute(f"{error.detail}: {request.method} {request.url.path[:200]}. See /docs.")
    seen.kind = type(found).__name__
    return _json(document(found, seen.id), status, headers)


def _json(found: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(found), status, headers, "application/json")
