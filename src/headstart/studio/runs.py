"""Finished runs: what a page says of them, what is downloaded, how two of them differ."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.export import get, names
from headstart.model.folder import JSON, REPORT, load
from headstart.model.model import Model
from headstart.studio import folders
from headstart.studio.folders import EXPORTS, PICTURES, RUNS, inside
from headstart.studio.projects import Projects
from headstart.studio.refused import Refused, plain

NAME = re.compile(r"([1-9][0-9]{0,5})-model")


class Runs:
    """The runs of all projects. Models that were looked at are kept until their files change."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects
        self._told: dict[tuple[str, int], dict[str, Any]] = {}

    def folder(self, project: str, run: str) -> Path:
        """Where a run lies.

        Raises:
            Refused: there is none of this name.
        """
        found = inside(self._projects.base(project), RUNS, run)
        if not NAME.fullmatch(run) or not (found / JSON).is_file():
            raise Refused("run-gone", 404, {"name": run})
        return found

    def names(self, project: str) -> list[str]:
        """Finished runs, the last first."""
        base = self._projects.base(project) / RUNS
        found = [
            name for name in folders.names(base) if NAME.fullmatch(name) and (base / name / JSON).is_file()
        ]
        return sorted(found, key=lambda name: -int(name.partition("-")[0]))

    def next_name(self, project: str) -> str:
        """The name for a new run: higher than any that was there, finished or not, deleted or not."""
        base = self._projects.base(project) / RUNS
        there = [int(match[1]) for name in folders.names(base) if (match := NAME.fullmatch(name))]
        rows = self._projects.journal.rows(
            "SELECT json_extract(spec, '$.run') AS run FROM jobs WHERE project = ? AND kind = 'train'",
            project,
        )
        there += [int(match[1]) for row in rows if (match := NAME.fullmatch(row["run"]))]
        return f"{max(there, default=0) + 1}-model"

    def summaries(self, project: str) -> list[dict[str, Any]]:
        """What the page says of each run, the last first; a damaged one with its error."""
        return [self.summary(project, name) for name in self.names(project)]

    def summary(self, project: str, run: str) -> dict[str, Any]:
        """What the page says of one run."""
        folder = self.folder(project, run)
        at = (folder / JSON).stat().st_mtime_ns
        key = (str(folder), at)
        if key not in self._told:
            try:
                found = _summary(load(folder).report)
            except HeadstartError as error:
                found = {"error": plain(error)}
            page = (folder / REPORT).is_file()
            self._told[key] = {"name": run, "at": at / 1e9, "report": page} | found
        return self._told[key] | {"exports": sorted(self.exported(project, run))}

    def zipped(self, project: str, run: str, target: Path) -> None:
        """The model folder as one archive."""
        folder = self.folder(project, run)
        packed(folder, f"{project}-{run}", target)

    def exported(self, project: str, run: str) -> dict[str, Path]:
        """What was exported of a run, by format."""
        base = self._projects.base(project) / EXPORTS
        places = {name: base / f"{run}{get(name).ending}" for name in names()}
        return {name: place for name, place in places.items() if place.exists()}

    def export_place(self, project: str, run: str, to: str) -> Path:
        """Where an export of a run goes."""
        self.folder(project, run)
        if to not in names():
            raise Refused("no-route", 404)
        return inside(self._projects.base(project), EXPORTS, f"{run}{get(to).ending}")

    def difference(self, project: str, a: str, b: str) -> tuple[dict[str, Any], Mapping[str, Path], Model]:
        """The document of `diff --json` for two runs, where the pictures lie, and the first model.

        On the test pictures that both have; where there are none, on pictures that neither has learnt from.

        Raises:
            HeadstartError: there is nothing on which they could be compared.
        """
        from headstart.diff import diff

        models = load(self.folder(project, a)), load(self.folder(project, b))
        data = self._projects.base(project) / PICTURES
        try:
            found = diff(*models)
        except HeadstartError:
            try:
                found = diff(*models, data)
            except HeadstartError as error:
                raise Refused("nothing-to-compare", 409) from error
        files = dict(found.files) or {one.path: data / one.path for one in models[0].manifest}
        return found.to_json(), files, models[0]


def packed(folder: Path, name: str, target: Path) -> None:
    """A folder as an archive in which it is called `name`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink():
                archive.write(file, f"{name}/{file.relative_to(folder).as_posix()}")


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    """The few figures of a report that a card shows."""
    score = report["test_without_leaks"] or report["test"] or report["cv"]
    classes = [
        {"name": name, "recall": one["recall"], "n": one["n"]} for name, one in score["per_class"].items()
    ]
    trust = report["trust"] or {}
    findings = report["data"]["findings"]
    return {
        "n": score["n"],
        "accuracy": score["accuracy"],
        "ci": list(score["accuracy_ci95"]),
        "tested": bool(report["test"]),
        "seen": bool(report["leaked"] and not report["test_without_leaks"]),
        "classes": classes,
        "used": report["data"]["used"],
        "suspects": len(trust["suspects"]["rows"]) if trust else 0,
        "shortcuts": [
            one["message"] for one in findings if one["kind"] == "shortcut" and one["severity"] == "warning"
        ],
        "curve": (trust.get("curve") or {}).get("verdict", ""),
        "confused": _confused(score),
        "seconds": report["seconds"]["total"],
        "backbone": report["backbone"],
        "tune": report["tune"],
    }


def _confused(score: dict[str, Any]) -> list[Any]:
    """The pair that is mistaken most often: truth, answer, how often."""
    names = list(score["per_class"])
    pairs = [
        (count, names[truth], names[said])
        for truth, row in enumerate(score["confusion"])
        for said, count in enumerate(row)
        if truth != said and count
    ]
    if not pairs:
        return []
    count, truth_name, said_name = max(pairs)
    return [truth_name, said_name, count]
