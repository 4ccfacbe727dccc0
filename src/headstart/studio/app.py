"""The routes. Each parses, calls one function, answers."""

import asyncio
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from headstart.errors import HeadstartError, UnreadablePicture
from headstart.files import reason, remove_stale
from headstart.model.folder import REPORT
from headstart.report.compared import compared
from headstart.report.page import style
from headstart.report.thumbs import thumbs
from headstart.studio import folders, intake, state
from headstart.studio.events import Events
from headstart.studio.folders import BIN, PICTURES, UNLABELLED
from headstart.studio.guard import LIMIT_BODY
from headstart.studio.jobs import Jobs
from headstart.studio.journal import Journal
from headstart.studio.picker import Picker
from headstart.studio.projects import MOST, SHOWN, Projects, Sent
from headstart.studio.refused import Refused, asset, plain
from headstart.studio.runs import Runs, packed
from headstart.studio.thumbs import SIDES, Thumbs
from headstart.studio.tryout import Tryout
from headstart.version import VERSION

ASSETS = {
    "app.js", "api.js", "camera.js", "check.js", "dom.js", "drop.js", "home.js", "next.js", "pictures.js",
    "talk.js", "train.js", "try.js", "studio.css", "texts.en.json", "icon.svg",
}  # fmt: skip
TYPES = {"js": "text/javascript", "css": "text/css", "json": "application/json", "svg": "image/svg+xml"}
PAGE_POLICY = (
    "sandbox allow-scripts; frame-ancestors 'self'"  # a report runs its script and can reach nothing
)
BUDGET_S = 600.0  # for training stages, where the user asked for it
PICKS = 12
Key = Annotated[str | None, Query(max_length=64)]
Name = Annotated[str, Query(max_length=1000)]
# FastAPI reports to OpenTelemetry where its variables ask for that: not from here. Older ones pass this over.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


class _Body(BaseModel):
    """What a page sends: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Named(_Body):
    """A new project or class."""

    name: str = Field(max_length=1000)
    may_exist: bool = False


class Renamed(_Body):
    """Another name for a class, or the class that takes its pictures."""

    name: str
    to: str = Field(max_length=1000)
    revision: int = 0


class Moved(_Body):
    """Pictures as pairs of class and name, and where they go: None is the bin, "" has no label."""

    pictures: list[tuple[str, str]] = Field(max_length=50_000)
    to: str | None


class Arriving(_Body):
    """A picture on its way in, with its class, or the folder that it lay in and that names one."""

    name: str = Field(max_length=1000)
    label: str | None = Field(None, max_length=1000)
    folder: str | None = Field(None, max_length=1000)
    batch: str | None = Field(None, max_length=64)
    key: str | None = Field(None, max_length=64)


class Imported(_Body):
    """A folder of this machine, and the class for its pictures: None is one class for each folder."""

    path: str
    into: str | None


class Trained(_Body):
    """How to train."""

    tune: bool = False


class Exported(_Body):
    """The format for other programs."""

    to: str


class Asked(_Body):
    """Which run looks at the unlabelled pictures."""

    run: str


class Studio:
    """The parts behind the routes."""

    def __init__(self, root: Path, data: Path | None) -> None:
        """Open a root folder.

        Raises:
            Misuse, OutputError: it cannot be had.
        """
        self.events = Events()
        self.journal = Journal(root)
        self.projects = Projects(root, self.journal, self.events.tell)
        self.jobs = Jobs(root, self.journal, self.events.tell)
        self.projects.is_busy, self.projects.is_used = self.jobs.is_reading, self.jobs.is_using
        self.runs, self.thumbs, self.tryout = Runs(self.projects), Thumbs(), Tryout()
        self.picker = Picker(data) if data is not None else None
        self.boot = secrets.token_hex(4)

    def close(self) -> None:
        """End what is at work and let go of the folder."""
        self.events.close()
        self.jobs.close()
        self.journal.close()


def create(studio: Studio) -> FastAPI:
    """The application. Who may use it is for `guard` to say."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(studio.close)

    app = FastAPI(
        title="headstart studio",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=life,
        telemetry=NO_TELEMETRY,
    )
    _errors(app)
    for routes in (_page, _projects, _pictures, _work, _runs):
        routes(app, studio)
    return app


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HeadstartError)
    async def refused(_request: Request, error: HeadstartError) -> JSONResponse:
        if isinstance(error, Refused):
            return _error(error.status, error.code, str(error))
        return _error(400, "headstart", plain(error))

    @app.exception_handler(OSError)
    @app.exception_handler(sqlite3.Error)
    async def disk(_request: Request, error: Exception) -> JSONResponse:
        why = reason(error) if isinstance(error, OSError) else str(error)
        return _error(507, "disk", str(Refused("disk", 507, {"why": why})))

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, _why: RequestValidationError) -> JSONResponse:
        return _error(422, "invalid", str(Refused("invalid")))

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 413:
            return _error(413, "too-large", str(Refused("too-large", 413, {"most": LIMIT_BODY >> 20})))
        return _error(error.status_code, "no-route", str(Refused("no-route")))

    @app.exception_handler(Exception)
    async def broken(_request: Request, _why: Exception) -> JSONResponse:
        return _error(500, "broken", str(Refused("broken")))


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def _page(app: FastAPI, studio: Studio) -> None:
    @app.get("/")
    def index() -> Response:
        return Response(asset("index.html"), media_type="text/html; charset=utf-8")

    @app.get("/assets/report.css")
    def report_css() -> Response:
        return Response(style(), media_type="text/css")

    @app.get("/assets/{name}")
    def assets(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(asset(name), media_type=TYPES[name.rpartition(".")[2]])

    @app.get("/api/state")
    def everything() -> dict[str, Any]:
        return {
            "version": VERSION,
            "root": str(studio.projects.root),
            "projects": state.shelf(studio.projects, studio.runs),
            "deleted": studio.projects.deleted(),
            "bin": folders.size(studio.projects.root / BIN),
            "job": studio.jobs.now(),
            "folders": studio.picker is not None,
            "limits": {"picture": intake.LIMIT_BYTES, "zip": intake.LIMIT_ZIP, "most": MOST},
        }

    @app.get("/api/events")
    async def events() -> StreamingResponse:
        first = {"type": "hello", "boot": studio.boot, "job": studio.jobs.now()}
        return StreamingResponse(studio.events.listen(first), media_type="text/event-stream")


def _projects(app: FastAPI, studio: Studio) -> None:
    projects = studio.projects

    @app.post("/api/projects")
    def create_project(body: Named) -> dict[str, Any]:
        return {"name": projects.create(body.name)}

    @app.get("/api/projects/{project}")
    def one(project: str, changes: Annotated[int, Query(ge=1)] = SHOWN) -> dict[str, Any]:
        return state.whole(projects, studio.runs, studio.jobs, project, changes=changes)

    @app.post("/api/projects/{project}/rename")
    def rename(project: str, body: Named) -> dict[str, Any]:
        return {"name": projects.rename(project, body.name)}

    @app.post("/api/projects/{project}/delete")
    def delete(project: str) -> dict[str, Any]:
        return {"change": projects.delete(project)}

    @app.post("/api/projects/{project}/classes")
    def add_class(project: str, body: Named) -> dict[str, Any]:
        return {"name": projects.add_class(project, body.name, may_exist=body.may_exist)}

    @app.post("/api/projects/{project}/classes/rename")
    def rename_class(project: str, body: Renamed) -> dict[str, Any]:
        return {"name": projects.rename_class(project, body.name, body.to, body.revision)}

    @app.post("/api/projects/{project}/classes/merge")
    def merge_class(project: str, body: Renamed) -> dict[str, Any]:
        return {"change": projects.merge_class(project, body.name, body.to, body.revision)}

    @app.post("/api/projects/{project}/classes/delete")
    def delete_class(project: str, body: Renamed) -> dict[str, Any]:
        return {"change": projects.delete_class(project, body.name, body.revision)}

    @app.post("/api/projects/{project}/move")
    def move(project: str, body: Moved) -> dict[str, Any]:
        return {"change": projects.move(project, body.pictures, body.to)}

    @app.post("/api/changes/{change}/undo")
    def undo(change: int) -> dict[str, Any]:
        return {"project": projects.undo(change)}

    @app.post("/api/projects/{project}/bin/empty")
    def empty(project: str) -> dict[str, Any]:
        return {"freed": projects.empty_bin(project)}

    @app.post("/api/bin/empty")
    def empty_root() -> dict[str, Any]:
        return {"freed": projects.empty_bin("")}


def _pictures(app: FastAPI, studio: Studio) -> None:
    projects = studio.projects

    @app.get("/thumb")
    def thumb(project: Name, label: Name, name: Name, side: int = SIDES[0]) -> Response:
        if side not in SIDES:
            raise HTTPException(404)
        try:
            found = studio.thumbs.of(projects.file(project, label, name), side)
        except (OSError, UnreadablePicture) as error:
            if isinstance(error, Refused):
                raise
            raise Refused("unreadable", 415, {"why": str(error)}) from error
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    @app.post("/api/projects/{project}/pictures")
    async def add(request: Request, project: str, asked: Annotated[Arriving, Query()]) -> dict[str, Any]:
        sent = Sent(asked.batch, asked.key)

        def settle(file: Path) -> list[str]:
            if there := projects.received(sent):
                return there
            intake.label_of(projects, project, asked.label, asked.folder)  # said before all else
            intake.flush(file)
            name = intake.checked_picture(file, asked.name)
            with projects.journal.lock:  # from looking to adding, the class stays
                label = intake.label_of(projects, project, asked.label, asked.folder)
                return projects.add(project, [(file, label, name)], sent)

        place = await run_in_threadpool(projects.incoming, project)
        try:
            file = await _received(request, place / "0", intake.LIMIT_BYTES)
            (made,) = await run_in_threadpool(settle, file)
        finally:
            await run_in_threadpool(shutil.rmtree, place, ignore_errors=True)
        return {"name": made}

    @app.post("/api/projects/{project}/zip")
    async def unpack(
        request: Request, project: str, label: str | None = None, batch: Key = None, key: Key = None
    ) -> dict[str, Any]:
        place = await run_in_threadpool(projects.incoming, project)
        sent = Sent(batch, key)
        try:
            file = await _received(request, place / "zip", intake.LIMIT_ZIP)
            added, skipped = await run_in_threadpool(intake.from_zip, projects, project, file, label, sent)
        finally:
            await run_in_threadpool(shutil.rmtree, place, ignore_errors=True)
        return {"added": added, "skipped": skipped}

    @app.get("/api/folders")
    def look(path: str = "") -> dict[str, Any]:
        return _picker(studio).look(path)

    @app.post("/api/projects/{project}/import")
    def bring(project: str, body: Imported) -> dict[str, Any]:
        source = _picker(studio).folder(body.path)
        added, skipped = intake.from_folder(projects, project, source, body.into)
        return {"added": added, "skipped": skipped}


def _work(app: FastAPI, studio: Studio) -> None:
    projects, jobs = studio.projects, studio.jobs

    @app.post("/api/projects/{project}/train")
    def train(project: str, body: Trained) -> dict[str, Any]:
        base = projects.base(project)
        folders.all_shown(base / PICTURES)
        run = studio.runs.next_name(project)
        out = base / "runs" / run
        out.parent.mkdir(exist_ok=True)
        remove_stale(out)
        spec = {
            "data": str(base / PICTURES), "out": str(out), "run": run,
            "tune": "auto" if body.tune else "never", "budget_s": BUDGET_S if body.tune else None,
        }  # fmt: skip
        return {"job": jobs.begin(project, "train", spec), "run": run}

    @app.post("/api/projects/{project}/check")
    def check(project: str) -> dict[str, Any]:
        data = projects.base(project) / PICTURES
        folders.all_shown(data)
        return {"job": jobs.begin(project, "check", {"data": str(data)})}

    @app.post("/api/projects/{project}/next")
    def ask(project: str, body: Asked) -> dict[str, Any]:
        folder = projects.base(project) / UNLABELLED
        folders.all_shown(folder)
        spec = {
            "model": str(studio.runs.folder(project, body.run)), "run": body.run, "n": PICKS,
            "folder": str(folder),
        }  # fmt: skip
        return {"job": jobs.begin(project, "next", spec)}

    @app.post("/api/projects/{project}/runs/{run}/export")
    def export(project: str, run: str, body: Exported) -> dict[str, Any]:
        out = studio.runs.export_place(project, run, body.to)
        out.parent.mkdir(exist_ok=True)
        spec = {
            "model": str(studio.runs.folder(project, run)), "run": run, "to": body.to, "out": str(out),
            "data": str(projects.base(project) / PICTURES),
        }  # fmt: skip
        return {"job": jobs.begin(project, "export", spec)}

    @app.post("/api/jobs/{number}/cancel")
    def cancel(number: int) -> dict[str, Any]:
        jobs.cancel(number)
        return {}


def _runs(app: FastAPI, studio: Studio) -> None:
    projects, runs = studio.projects, studio.runs

    @app.get("/runs/{project}/{run}/report.html")
    def report(project: str, run: str) -> Response:
        page = runs.folder(project, run) / REPORT
        if not page.is_file():
            raise Refused("no-report", 404)
        return FileResponse(page, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})

    @app.get("/runs/{project}/{run}/model.zip")
    def download(project: str, run: str) -> Response:
        return _download(f"{project}-{run}.zip", lambda file: runs.zipped(project, run, file))

    @app.get("/runs/{project}/{run}/export/{to}")
    def exported(project: str, run: str, to: str) -> Response:
        place = runs.export_place(project, run, to)
        if place.is_dir():
            return _download(f"{project}-{place.name}.zip", lambda file: packed(place, place.name, file))
        if not place.is_file():
            raise Refused("no-export", 404)
        return FileResponse(place, filename=f"{project}-{place.name}", media_type="application/octet-stream")

    @app.post("/api/projects/{project}/runs/{run}/delete")
    def delete(project: str, run: str) -> dict[str, Any]:
        studio.tryout.forget()
        return {"change": projects.delete_run(project, run)}

    @app.post("/api/projects/{project}/runs/{run}/try")
    async def try_out(request: Request, project: str, run: str, full: int = 1) -> dict[str, Any]:
        folder = await run_in_threadpool(runs.folder, project, run)
        with tempfile.TemporaryDirectory(prefix="headstart-studio-") as place:
            file = await _received(request, Path(place) / "picture", intake.LIMIT_BYTES)
            try:
                return await run_in_threadpool(studio.tryout.answer, folder, file, full=bool(full))
            except UnreadablePicture as error:
                raise Refused("unreadable", 415, {"why": str(error).replace(str(file), "it")}) from error

    @app.get("/api/projects/{project}/compare")
    def compare(project: str, a: Name, b: Name) -> dict[str, Any]:
        return runs.difference(project, a, b)[0]

    @app.get("/runs/{project}/compare.html")
    def compare_page(project: str, a: Name, b: Name) -> Response:
        document, files, model = runs.difference(project, a, b)
        changed = [one["path"] for one in document["changes"]]
        page = compared(document, thumbs(changed, files, model.backbone.preprocess))
        return Response(page, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})


def _picker(studio: Studio) -> Picker:
    if studio.picker is None:
        raise Refused("no-folders", 404)
    return studio.picker


def _download(name: str, write: Callable[[Path], None]) -> Response:
    """A file that is made for this answer and removed after it."""
    place = Path(tempfile.mkdtemp(prefix="headstart-studio-"))
    try:
        write(place / "file")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    gone = BackgroundTask(shutil.rmtree, place, ignore_errors=True)
    return FileResponse(place / "file", filename=name, media_type="application/zip", background=gone)


async def _received(request: Request, file: Path, limit: int) -> Path:
    """The body of a request as a file.

    Raises:
        Refused: it is larger than allowed, or who sent it went away.
    """
    size = 0
    try:
        with file.open("xb") as target:
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise Refused("too-large", 413, {"most": limit >> 20})
                target.write(piece)
                await asyncio.sleep(0)  # others have their turn
    except ClientDisconnect as error:
        raise Refused("cut-short") from error
    return file
