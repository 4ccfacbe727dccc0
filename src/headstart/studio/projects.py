"""What can be done to projects, classes and pictures: all of it renames, written down before they are done.

A change is a list of moves from one path inside the project to another. Deleting moves to the bin, adding
moves from where a file came in, merging moves file by file. So each change is finished after a kill, and can
be undone: the same moves backwards.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headstart.errors import OutputError
from headstart.files import reason
from headstart.studio import folders, journal
from headstart.studio.folders import BIN, EXPORTS, INCOMING, PICTURES, RUNS, UNLABELLED, inside
from headstart.studio.journal import Journal
from headstart.studio.names import checked, free, parts_of
from headstart.studio.refused import Refused

SHOWN = 60  # changes that a page is told of
Move = tuple[str, str]
Tell = Callable[[dict[str, Any]], None]


class Projects:
    """The projects in one root folder."""

    def __init__(self, root: Path, kept: Journal, tell: Tell) -> None:
        """Finish what a killed studio had begun, and throw away what was on its way in."""
        self.root, self.journal, self.tell = root, kept, tell
        self.is_busy: Callable[[str], bool] = lambda _project: False  # whether a job reads its pictures
        self._recover()

    # -- looking -------------------------------------------------------------------------------------------

    def base(self, project: str) -> Path:
        """The folder of a project that is there.

        Raises:
            Refused: there is none of this name.
        """
        found = inside(self.root, project)
        if not found.is_dir():
            raise Refused("project-gone", 404, {"name": project})
        return found

    def class_folder(self, project: str, name: str) -> Path:
        """The folder of a class that is there; "" is where pictures without a label lie.

        Raises:
            Refused: there is none of this name.
        """
        base = self.base(project)
        if name == "":
            return inside(base, UNLABELLED)
        found = inside(base, PICTURES, name)
        if not found.is_dir():
            raise Refused("class-gone", 404, {"name": name})
        return found

    def file(self, project: str, name: str, picture: str) -> Path:
        """A picture's file.

        Raises:
            Refused: there is none of this name.
        """
        found = inside(self.class_folder(project, name), *parts_of(picture))
        if not found.is_file():
            raise Refused("picture-gone", 404, {"name": picture})
        return found

    def names(self) -> list[str]:
        """Projects, the one changed last first."""
        at = {row["name"]: row["at"] for row in self.journal.rows("SELECT name, at FROM projects")}
        return sorted(folders.names(self.root), key=lambda name: (-at.get(name, 0.0), name))

    def classes(self, project: str) -> list[str]:
        """Classes in the order in which they were made; those made outside the studio last."""
        rows = self.journal.rows("SELECT name, position FROM classes WHERE project = ?", project)
        at = {row["name"]: row["position"] for row in rows}
        found = folders.names(self.root / project / PICTURES)
        return sorted(found, key=lambda name: (at.get(name, 1 << 60), name.casefold(), name))

    def changes(self, project: str) -> list[dict[str, Any]]:
        """What was done to a project, last first."""
        rows = self.journal.rows(
            "SELECT c.*, count(m.id) AS n FROM changes c LEFT JOIN moves m ON m.change = c.id AND "
            "m.state IN ('done', 'reverted') WHERE c.project = ? GROUP BY c.id ORDER BY c.id DESC LIMIT ?",
            project,
            SHOWN,
        )
        return [_change(row) for row in rows]

    # -- projects ------------------------------------------------------------------------------------------

    def create(self, name: str) -> str:
        """A new project with an empty place for pictures."""
        name = checked(name)
        with self.journal.lock:
            self._no_twin(name, folders.names(self.root), "project-there")
            part = self.root / INCOMING / secrets.token_hex(8)
            (part / PICTURES).mkdir(parents=True)
            part.rename(self.root / name)
            journal.sync(self.root)
            with self.journal.write():
                self.journal.bump(name)
        self.tell({"type": "projects"})
        return name

    def rename(self, project: str, name: str) -> str:
        """Another name for a project."""
        name = checked(name)
        with self.journal.lock:
            self.base(project)
            self._quiet(project)
            others = [other for other in folders.names(self.root) if other != project]
            self._no_twin(name, others, "project-there")
            if name != project:
                self._perform("", "project-renamed", {"from": project, "to": name}, [(project, name)])
        return name

    def delete(self, project: str) -> int:
        """Into the root's bin, whole. The number of the change, for undoing it."""
        with self.journal.lock:
            self.base(project)
            self._quiet(project)
            to = f"{BIN}/{secrets.token_hex(4)}/{project}"
            return self._perform("", "project-deleted", {"name": project}, [(project, to)])

    # -- classes -------------------------------------------------------------------------------------------

    def add_class(self, project: str, name: str, *, may_exist: bool = False) -> str:
        """A new, empty class."""
        name = checked(name)
        with self.journal.lock:
            base = self.base(project)
            there = folders.names(base / PICTURES)
            if may_exist and name in there:
                return name
            self._no_twin(name, there, "class-there")
            part = f"{INCOMING}/{secrets.token_hex(8)}"
            (base / part).mkdir(parents=True)
            self._perform(project, "class-added", {"name": name}, [(part, f"{PICTURES}/{name}")], (name,))
        return name

    def rename_class(self, project: str, name: str, new: str, known: int) -> str:
        """Another name for a class that is as the page knows it."""
        new = checked(new)
        with self.journal.lock:
            self.class_folder(project, name)
            self._fresh(project, name, known)
            self._quiet(project)
            others = [one for one in folders.names(self.root / project / PICTURES) if one != name]
            self._no_twin(new, others, "class-there")
            if new != name:
                moves = [(f"{PICTURES}/{name}", f"{PICTURES}/{new}")]
                self._perform(project, "class-renamed", {"from": name, "to": new}, moves, (name, new))
        return new

    def merge_class(self, project: str, name: str, into: str, known: int) -> int:
        """All pictures of one class into another; the empty folder goes to the bin."""
        with self.journal.lock:
            source, target = self.class_folder(project, name), self.class_folder(project, into)
            if name == into or not into or not name:
                raise Refused("merge-itself")
            self._fresh(project, name, known)
            self._quiet(project)
            own = [one.name for one in folders.pictures(source)]
            moves = self._into(own, source, f"{PICTURES}/{name}", target, f"{PICTURES}/{into}")
            moves.append((f"{PICTURES}/{name}", f"{BIN}/{secrets.token_hex(4)}/{name}"))
            said = {"from": name, "to": into, "n": len(own)}
            return self._perform(project, "class-merged", said, moves, (name, into))

    def delete_class(self, project: str, name: str, known: int) -> int:
        """A class and its pictures into the bin."""
        with self.journal.lock:
            folder = self.class_folder(project, name)
            if not name:
                raise Refused("class-gone", 404, {"name": name})
            self._fresh(project, name, known)
            self._quiet(project)
            said = {"name": name, "n": len(folders.pictures(folder))}
            moves = [(f"{PICTURES}/{name}", f"{BIN}/{secrets.token_hex(4)}/{name}")]
            return self._perform(project, "class-deleted", said, moves, (name,))

    # -- pictures ------------------------------------------------------------------------------------------

    def add(
        self, project: str, staged: Sequence[tuple[Path, str, str]], batch: str | None = None
    ) -> list[str]:
        """Files that came in, each with its class and the name that it should have, get their places.

        They lie in the project's INCOMING. Changes of one `batch` are undone together. The names they got.
        """
        with self.journal.lock:
            base = self.base(project)
            moves, made, taken = [], [], set()
            for file, name, picture in staged:
                place = f"{PICTURES}/{name}" if name else UNLABELLED
                if name:
                    inside(base, PICTURES, name)

                def is_taken(own: str, place: str = place) -> bool:
                    return f"{place}/{own}".casefold() in taken or os.path.lexists(base / place / own)

                found = free(picture, is_taken)
                taken.add(f"{place}/{found}".casefold())
                moves.append((file.relative_to(base).as_posix(), f"{place}/{found}"))
                made.append(found)
            names = list(dict.fromkeys(name for _, name, _ in staged))
            self._perform(project, "pictures-added", {"classes": names}, moves, names, batch)
        return made

    def move(self, project: str, chosen: Iterable[tuple[str, str]], to: str | None) -> int:
        """Pictures, each by class and name, into a class, among the unlabelled (""), or into the bin (None).

        Raises:
            Refused: one of them is not there (any more), and none was moved.
        """
        with self.journal.lock:
            base = self.base(project)
            self._quiet(project)
            by_class: dict[str, list[str]] = {}
            for name, picture in dict.fromkeys(chosen):
                self.file(project, name, picture)
                by_class.setdefault(name, []).append(picture)
            bin_place = f"{BIN}/{secrets.token_hex(4)}"
            moves: list[Move] = []
            for name, own in by_class.items():
                if name == to:
                    continue
                place = f"{PICTURES}/{name}" if name else UNLABELLED
                if to is None:
                    moves += [(f"{place}/{one}", f"{bin_place}/{place}/{one}") for one in own]
                else:
                    target = self.class_folder(project, to)
                    goal = f"{PICTURES}/{to}" if to else UNLABELLED
                    taken = [dst for _, dst in moves]
                    moves += self._into(own, base / place, place, target, goal, taken)
            if not moves:
                raise Refused("nothing-chosen")
            kind = "pictures-deleted" if to is None else "pictures-moved"
            said = {
                "n": len(moves),
                "to": to or "",
                "from": next(iter(by_class)) if len(by_class) == 1 else "",
            }
            touched = tuple({*by_class, *([] if to is None else [to])})
            return self._perform(project, kind, said, moves, touched)

    def delete_run(self, project: str, run: str) -> int:
        """A run's model folder, and what was exported of it, into the bin."""
        with self.journal.lock:
            if not inside(self.base(project), RUNS, run).is_dir():
                raise Refused("run-gone", 404, {"name": run})
            place = f"{BIN}/{secrets.token_hex(4)}"
            moves = [(f"{RUNS}/{run}", f"{place}/{run}")]
            exports = self.root / project / EXPORTS
            own = [one.name for one in exports.iterdir()] if exports.is_dir() else []
            moves += [
                (f"{EXPORTS}/{name}", f"{place}/{name}")
                for name in own
                if re.match(rf"{re.escape(run)}[.-]", name)
            ]
            return self._perform(project, "run-deleted", {"name": run}, moves)

    # -- going back ----------------------------------------------------------------------------------------

    def undo(self, change: int) -> str:
        """Take one change back. The project that it belonged to.

        Raises:
            Refused: it is undone already, something later builds on it, or the bin was emptied since.
        """
        with self.journal.lock:
            row = self.journal.one("SELECT * FROM changes WHERE id = ?", change)
            if row is None or row["state"] != "done":
                raise Refused("undo-done", 409)
            project = str(row["project"])
            base = self.base(project) if project else self.root
            moves = self.journal.rows(
                "SELECT * FROM moves WHERE change = ? AND state = 'done' ORDER BY id DESC", change
            )
            for busy in [project] if project else [str(move["dst"]) for move in moves]:
                self._quiet(busy)
            self._nothing_built(row, [str(move["dst"]) for move in moves])
            for move in moves:
                place = base / move["dst"]
                if not os.path.lexists(place):
                    raise Refused("undo-gone", 409)
                if row["kind"] == "class-added" and any(place.iterdir()):
                    raise Refused("undo-filled", 409)
            plan, taken, bin_place = [], set(), secrets.token_hex(4)
            for move in moves:
                back = str(move["src"])
                if back.startswith(
                    f"{INCOMING}/"
                ):  # what was added goes to the bin, under the name it had got
                    back = f"{BIN}/{bin_place}/{move['dst']}"
                parent, _, name = back.rpartition("/")
                before = f"{parent}/" if parent else ""

                place = base / move["dst"]

                def is_taken(own: str, before: str = before, place: Path = place) -> bool:
                    return (before + own).casefold() in taken or _is_other(place, base / (before + own))

                goal = before + free(name, is_taken)
                taken.add(goal.casefold())
                plan.append((goal, move["id"]))
            with self.journal.write():
                self.journal.many("UPDATE moves SET src = ?, state = 'reverting' WHERE id = ?", plan)
                self.journal.run("UPDATE changes SET state = 'undone' WHERE id = ?", change)
            self._carry_out(project)
            with self.journal.write():
                for name in {*_classes_in([goal for goal, _ in plan])}:
                    self._touch(project, name)
                self.journal.bump(project)
        self._told(project)
        return project

    def empty_bin(self, project: str) -> int:
        """Remove what was deleted, for good. Bytes freed."""
        with self.journal.lock:
            base = self.base(project) if project else self.root
            if not (base / BIN).is_dir():
                return 0
            freed = folders.size(base / BIN)
            out = base / INCOMING / secrets.token_hex(8)
            out.parent.mkdir(exist_ok=True)
            (base / BIN).rename(out)
        shutil.rmtree(out, ignore_errors=True)
        self._told(project)
        return freed

    def incoming(self, project: str) -> Path:
        """A fresh folder for what comes in: on the same disk, seen by nobody, removed by whoever asked."""
        found = self.base(project) / INCOMING / secrets.token_hex(8)
        found.mkdir(parents=True)
        return found

    # -- how -----------------------------------------------------------------------------------------------

    def _into(
        self,
        own: Sequence[str],
        source: Path,
        before: str,
        target: Path,
        after: str,
        taken: Iterable[str] = (),
    ) -> list[Move]:
        """Moves of pictures between classes, each to a name that is free there."""
        used = {path.casefold() for path in taken}
        moves = []
        for picture in own:

            def is_taken(name: str) -> bool:
                return f"{after}/{name}".casefold() in used or os.path.lexists(target / name)

            goal = f"{after}/{free(picture.rpartition('/')[2], is_taken)}"
            used.add(goal.casefold())
            if os.path.lexists(source / picture):
                moves.append((f"{before}/{picture}", goal))
        return moves

    def _perform(
        self,
        project: str,
        kind: str,
        said: dict[str, Any],
        moves: Sequence[Move],
        touched: Sequence[str] = (),
        batch: str | None = None,
    ) -> int:
        """Write a change down, carry it out, tell the pages."""
        with self.journal.write():
            change = self._batch(project, kind, said, batch) or self.journal.run(
                "INSERT INTO changes (project, kind, said, batch, state, at) VALUES (?, ?, ?, ?, 'done', ?)",
                project,
                kind,
                journal.told(said),
                batch,
                time.time(),
            )
            self.journal.many(
                "INSERT INTO moves (change, src, dst, state) VALUES (?, ?, ?, 'planned')",
                [(change, src, dst) for src, dst in moves],
            )
            revision = self.journal.bump(project)
            for name in touched:
                self._touch(project, name, revision)
        self._carry_out(project)
        self._told(project)
        return change

    def _batch(self, project: str, kind: str, said: dict[str, Any], batch: str | None) -> int | None:
        """The change that this one continues: the last, of the same batch. What both say is put together."""
        if batch is None:
            return None
        last = self.journal.one("SELECT * FROM changes WHERE project = ? ORDER BY id DESC LIMIT 1", project)
        if last is None or (last["kind"], last["batch"], last["state"]) != (kind, batch, "done"):
            return None
        classes = list(dict.fromkeys([*json.loads(last["said"])["classes"], *said["classes"]]))
        self.journal.run(
            "UPDATE changes SET said = ? WHERE id = ?", journal.told({"classes": classes}), last["id"]
        )
        return int(last["id"])

    def _carry_out(self, project: str) -> None:
        """Do what is written down and not done yet."""
        failed = None
        base = self.root / project if project else self.root
        seen: set[Path] = set()
        done: list[tuple[Any, ...]] = []
        for move in self._open(project):
            forward = move["state"] == "planned"
            src, dst = (move["src"], move["dst"]) if forward else (move["dst"], move["src"])
            try:
                _rename(base / src, base / dst)
                state = "done" if forward else "reverted"
            except OSError as error:
                state, failed = "failed", error
            seen |= {(base / src).parent, (base / dst).parent}
            done.append((state, move["id"], src, dst))
        for folder in seen:
            if folder.is_dir():
                journal.sync(folder)
        with self.journal.write():
            self.journal.many("UPDATE moves SET state = ? WHERE id = ?", [one[:2] for one in done])
            for state, _, src, dst in done:
                if state != "failed":
                    self._follow(project, src, dst)
        if failed is not None:
            raise OutputError(
                f"{failed.filename or self.root} cannot be moved: {reason(failed)}."
            ) from failed

    def _follow(self, project: str, src: str, dst: str) -> None:
        """What is known of a project or class by its name goes along with its folder."""
        if not project:
            self.journal.follow(src, dst)
        elif (old := _class_in(src)) and (new := _class_in(dst)):
            self.journal.run(
                "UPDATE OR REPLACE classes SET name = ? WHERE project = ? AND name = ?", new, project, old
            )

    def _open(self, project: str) -> list[journal.Row]:
        order = "ORDER BY m.state = 'reverting', CASE m.state WHEN 'reverting' THEN -m.id ELSE m.id END"
        return self.journal.rows(
            "SELECT m.* FROM moves m JOIN changes c ON c.id = m.change "  # noqa: S608  our own words
            f"WHERE m.state IN ('planned', 'reverting') AND c.project = ? {order}",
            project,
        )

    def _recover(self) -> None:
        """What a killed studio had written down is done; what had not got its name is thrown away."""
        with suppress(OutputError):  # somebody else moved it meanwhile; the rest is done
            self._carry_out("")
        begun = self.journal.rows(
            "SELECT DISTINCT c.project FROM moves m JOIN changes c ON c.id = m.change "
            "WHERE m.state IN ('planned', 'reverting')"
        )
        for row in begun:
            with suppress(OutputError):
                self._carry_out(str(row["project"]))
        for place in (self.root, *(self.root / name for name in folders.names(self.root))):
            shutil.rmtree(place / INCOMING, ignore_errors=True)

    def _nothing_built(self, row: journal.Row, places: Sequence[str]) -> None:
        later = self.journal.rows(
            "SELECT m.src, m.dst FROM moves m JOIN changes c ON c.id = m.change WHERE c.project = ? "
            "AND c.id > ? AND c.state = 'done' AND m.state = 'done'",
            row["project"],
            row["id"],
        )
        used = set()
        for move in later:
            for path in (str(move["src"]), str(move["dst"])):
                parts = path.split("/")
                used |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
        if used & set(places):
            raise Refused("undo-later", 409)

    def _touch(self, project: str, name: str, revision: int | None = None) -> None:
        if not name:
            return
        at = revision or self.journal.revision(project) + 1
        self.journal.run(
            "INSERT INTO classes VALUES (?, ?, (SELECT coalesce(max(position), 0) + 1 FROM classes "
            "WHERE project = ?), ?) ON CONFLICT (project, name) DO UPDATE SET revision = excluded.revision",
            project,
            name,
            project,
            at,
        )

    def _fresh(self, project: str, name: str, known: int) -> None:
        """Refuse where the class was changed since the page looked at it."""
        row = self.journal.one("SELECT revision FROM classes WHERE project = ? AND name = ?", project, name)
        if row is not None and row["revision"] > known:
            raise Refused("changed-elsewhere", 409, {"name": name})

    def _quiet(self, project: str) -> None:
        if self.is_busy(project):
            raise Refused("busy", 409)

    @staticmethod
    def _no_twin(name: str, others: Iterable[str], code: str) -> None:
        """Names that differ only in capitals are one on many disks."""
        if any(name.casefold() == other.casefold() for other in others):
            raise Refused(code, 409, {"name": name})

    def _told(self, project: str) -> None:
        if project:
            revision = self.journal.revision(project)
            self.tell({"type": "project", "project": project, "revision": revision})
        else:
            self.tell({"type": "projects"})


def _rename(src: Path, dst: Path) -> None:
    """Move, if it is not done yet; nothing is ever written over."""
    if not os.path.lexists(src):
        if os.path.lexists(dst):
            return
        raise FileNotFoundError(2, os.strerror(2), str(src))
    if _is_other(src, dst):
        raise FileExistsError(17, os.strerror(17), str(dst))
    dst.parent.mkdir(parents=True, exist_ok=True)
    src.rename(dst)


def _is_other(src: Path, dst: Path) -> bool:
    """Whether something else than `src` lies at `dst`: many disks find a name in other capitals, too."""
    if not os.path.lexists(dst):
        return False
    is_twin = src.parent == dst.parent and src.name.casefold() == dst.name.casefold()
    return not (is_twin and os.path.samestat(src.lstat(), dst.lstat()))


def _class_in(path: str) -> str | None:
    """The class whose folder this is."""
    parts = path.split("/")
    return parts[1] if len(parts) == 2 and parts[0] == PICTURES else None


def _classes_in(paths: Iterable[str]) -> list[str]:
    """The classes in which these lie."""
    return [path.split("/")[1] for path in paths if path.startswith(f"{PICTURES}/")]


def _change(row: journal.Row) -> dict[str, Any]:
    return {
        "id": row["id"], "kind": row["kind"], "said": {"n": row["n"]} | json.loads(row["said"]),
        "state": row["state"], "at": row["at"],
    }  # fmt: skip
