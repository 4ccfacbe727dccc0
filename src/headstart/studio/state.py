"""What a page shows, as JSON: read from the folders each time, so that it is what is there."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from headstart.data.check import SHOWN
from headstart.export import names
from headstart.studio import folders
from headstart.studio.folders import BIN, UNLABELLED, Picture
from headstart.studio.jobs import Jobs
from headstart.studio.projects import Projects
from headstart.studio.runs import Runs

COVER = 4  # pictures on a project's card


def shelf(projects: Projects, runs: Runs) -> list[dict[str, Any]]:
    """All projects, for the first page."""
    return [_card(projects, runs, name) for name in projects.names()]


def _card(projects: Projects, runs: Runs, project: str) -> dict[str, Any]:
    held: dict[str, list[Picture]] = {}
    last: list[str] = []
    with suppress(PermissionError):  # its page says what may not be read; the other projects are to be had
        held = _held(projects, project)
        last = runs.names(project)
    full = [(name, own) for name, own in held.items() if own]
    cover = [
        {"class": name, "name": own[at].name, "v": own[at].version}
        for at in range(COVER)
        for name, own in full
        if at < len(own)
    ]
    return {
        "name": project,
        "revision": projects.journal.revision(project),
        "classes": list(held),
        "pictures": sum(map(len, held.values())),
        "cover": cover[:COVER],
        "runs": len(last),
        "last": runs.summary(project, last[0]) if last else None,
    }


def whole(projects: Projects, runs: Runs, jobs: Jobs, project: str, *, changes: int) -> dict[str, Any]:
    """One project, for its page, with the last so many changes."""
    base = projects.base(project)
    revision = projects.journal.revision(project)  # read first: what is read later is at least as new
    held = _held(projects, project)
    audit = jobs.document(project, "check")
    done = projects.changes(project, changes + 1)
    return {
        "name": project,
        "revision": revision,
        "folder": str(base),
        "classes": [{"name": name, "pictures": _told(own)} for name, own in held.items()],
        "unlabelled": _told(folders.pictures(base / UNLABELLED, open_only=True)),
        "runs": runs.summaries(project),
        "changes": done[:changes],
        "earlier": len(done) > changes,
        "bin": folders.size(base / BIN),
        "job": jobs.now(),
        "last": {kind: jobs.last(project, kind) for kind in ("train", "check", "next", "export")},
        "audit": audit and _still_there(audit, held),
        "next": jobs.document(project, "next"),
        "exported": jobs.document(project, "export"),
        "formats": names(),
    }


def _held(projects: Projects, project: str) -> dict[str, list[Picture]]:
    base = projects.base(project)
    return {
        name: folders.pictures(base / folders.PICTURES / name, open_only=True)
        for name in projects.classes(project)
    }


def _told(own: list[Picture]) -> list[list[str]]:
    return [[one.name, one.version] for one in own]


def _still_there(audit: dict[str, Any], held: Mapping[str, list[Picture]]) -> dict[str, Any]:
    """The findings whose pictures are still where they were found, of the others only those that are left."""
    there = {f"{name}/{one.name}" for name, own in held.items() for one in own}
    kept = []
    for finding in audit["findings"]:
        others = finding.get("others", [])
        more = {"more": True} if len(others) >= SHOWN else {}
        is_file = "/" in finding["path"]
        left = [path for path in others if path in there] if is_file else others
        if is_file and finding["path"] not in there:
            continue
        if is_file and others and not left:
            continue  # a twin that has no twin any more
        kept.append(finding | more | ({"others": left} if others else {}))
    return {"findings": kept, "at": audit["at"], "data": audit["data"], "suggested": audit["suggested"]}
