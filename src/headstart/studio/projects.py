"""What can be done to projects, classes and pictures: all of it renames, written down before they are done.

A change is a list of moves from one path inside the project to another. Deleting moves to the bin, adding
moves from where a file came in, merging moves file by file. So each change is finished after a kill, and can
be undone: the same moves backwards. Where one of its moves fails, those before it are taken back.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.files import reason
from headstart.studio import folders, journal
from headstart.studio.folders import BIN, EXPORTS, INCOMING, PICTURES, RUNS, UNLABELLED, inside
from headstart.studio.journal import Journal
from headstart.studio.names import checked, free, parts_of
from headstart.studio.refused import Refused

SHOWN = 60  # changes that a page is told of, unless it asks for more
MOST = 20_000  # pictures at once
MOST_CLASSES = 500  # that they may be for
Move = tuple[str, str]
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Sent:
    """How a page calls what it sends. What has one `batch` is one step; what has one `key` comes in once."""

    batch: str | None = None
    key: str | None = None


UNNAMED = Sent()


class Projects:
    """The projects in one root folder."""

    def __init__(self, root: Path, kept: Journal, tell: Tell) -> None:
        """Finish what a killed studio had begun, and throw away what was on its way in."""
        self.root, self.journal, self.tell = root, kept, tell
        self.is_busy: Callable[[str], bool] = lambda _project: False  # whether a job reads its pictures
        # whether a job is at work in a project, or with one run of it
        self.is_used: Callable[[str, str | None], bool] = lambda _project, _run: False
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

    def changes(self, project: str, most: int = SHOWN) -> list[dict[str, Any]]:
        """What was done to a project, last first. Classes that came with pictures do not count among them."""
        rows = self.journal.rows(
            "SELECT c.*, count(m.id) AS n FROM changes c LEFT JOIN moves m ON m.change = c.id AND "
            "m.state IN ('done', 'reverted') AND (c.kind != 'pictures-added' OR m.dst LIKE '%/%/%' "
            "OR m.dst LIKE 'unlabelled/%') WHERE c.project = ? AND c.state != 'failed' "
            "GROUP BY c.id ORDER BY c.id DESC LIMIT ?",
            project,
            most,
        )
        return [_change(row) for row in rows]

    def deleted(self) -> list[dict[str, Any]]:
        """Projects in the root's bin, the one deleted last first; undoing its change brings one back."""
        rows = self.journal.rows(
            "SELECT c.id, c.said, c.at, m.dst FROM changes c JOIN moves m ON m.change = c.id "
            "WHERE c.project = '' AND c.kind = 'project-deleted' AND c.state = 'done' ORDER BY c.id DESC"
        )
        return [
            {"id": row["id"], "name": json.loads(row["said"])["name"], "at": row["at"]}
            for row in rows
            if (self.root / row["dst"]).is_dir()
        ]

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
            self._unused(project)
            others = [other for other in folders.names(self.root) if other != project]
            self._no_twin(name, others, "project-there")
            if name != project:
                self._perform("", "project-renamed", {"from": project, "to": name}, [(project, name)])
        return name

    def delete(self, project: str) -> int:
        """Into the root's bin, whole. The number of the change, for undoing it."""
        with self.journal.lock:
            self.base(project)
            self._unused(project)
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
            moves = [(self._empty(base), f"{PICTURES}/{name}")]
            self._perform(project, "class-added", {"name": name}, moves, (name,))
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

    def add(self, project: str, staged: Sequence[tuple[Path, str, str]], sent: Sent = UNNAMED) -> list[str]:
        """Files that came in, each with its class and the name that it should have, get their places.

        They lie in the project's INCOMING. Classes that are not there are made. The names they got.

        Raises:
            Refused: there are too many in this batch, or a class of it has been renamed or deleted since.
        """
        with self.journal.lock:
            base = self.base(project)
            if there := self.received(sent):
                return there
            batch = self._of_batch(project, sent.batch)
            if len(staged) + sum(len(one) for one in batch.values()) > MOST:
                raise Refused("too-many", 413, {"most": f"{MOST:,}"})
            labels = {name.casefold() for name in (*batch, *(label for _, label, _ in staged)) if name}
            if len(labels) > MOST_CLASSES:
                raise Refused("too-many-classes", 413, {"most": MOST_CLASSES})
            known = {name.casefold(): name for name in folders.names(base / PICTURES)}
            moves: list[Move] = []
            made: list[str] = []
            names: list[str] = []
            taken: set[str] = set()
            for file, label, picture in staged:
                name = known.get(label.casefold(), label)
                place = f"{PICTURES}/{name}" if name else UNLABELLED
                if name and name.casefold() not in known:
                    if name in batch:
                        raise Refused("class-gone", 404, {"name": name})
                    inside(base, PICTURES, name)
                    moves.append((self._empty(base), place))
                    known[name.casefold()] = name

                def is_taken(own: str, place: str = place) -> bool:
                    return f"{place}/{own}".casefold() in taken or os.path.lexists(base / place / own)

                found = free(picture, is_taken)
                taken.add(f"{place}/{found}".casefold())
                moves.append((file.relative_to(base).as_posix(), f"{place}/{found}"))
                made.append(found)
                names.append(name)
            names = list(dict.fromkeys(names))
            self._perform(project, "pictures-added", {"classes": names}, moves, names, sent)
        return made

    def received(self, sent: Sent) -> list[str]:
        """The names that the pictures of this key got when they came in before; none where they did not."""
        if sent.key is None:
            return []
        rows = self.journal.rows(
            "SELECT dst FROM moves WHERE key = ? AND state != 'failed' ORDER BY id", sent.key
        )
        return [row["dst"].rpartition("/")[2] for row in rows if _class_in(row["dst"]) is None]

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
            self._unused(project, run)
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
            if project:
                self._quiet(project)
            else:
                for move in moves:
                    self._unused(str(move["dst"]))
            later = self._later(row)
            if row["kind"] == "pictures-added":  # a class that came with pictures, and was used since, stays
                used = later | {str(move["dst"]) for move in moves}
                moves = [move for move in moves if not _is_kept(base, str(move["dst"]), later, used)]
            _nothing_built(moves, later)
            for move in moves:
                place = base / move["dst"]
                if not os.path.lexists(place):
                    raise Refused("undo-gone", 409)
                if row["kind"] == "class-added" and any(place.iterdir()):
                    raise Refused("undo-filled", 409)
            plan, taken, bin_place = [], set(), secrets.token_hex(4)
            for move in moves:
                back, place = str(move["src"]), base / move["dst"]
                if back.startswith(f"{INCOMING}/"):
                    # what was added goes to the bin, under the name it had got; an empty folder beside it
                    beside = secrets.token_hex(4) if _class_in(str(move["dst"])) else bin_place
                    back = f"{BIN}/{beside}/{move['dst']}"
                parent, _, name = back.rpartition("/")
                before = f"{parent}/" if parent else ""

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
        sent: Sent = UNNAMED,
    ) -> int:
        """Write a change down, carry it out, tell the pages."""
        with self.journal.write():
            change = self._continued(project, kind, said, sent.batch) or self.journal.run(
                "INSERT INTO changes (project, kind, said, batch, state, at) VALUES (?, ?, ?, ?, 'done', ?)",
                project,
                kind,
                journal.told(said),
                sent.batch,
                time.time(),
            )
            self.journal.many(
                "INSERT INTO moves (change, src, dst, state, key) VALUES (?, ?, ?, 'planned', ?)",
                [(change, src, dst, sent.key) for src, dst in moves],
            )
            revision = self.journal.bump(project)
            for name in touched:
                self._touch(project, name, revision)
        self._carry_out(project)
        self._told(project)
        return change

    def _continued(self, project: str, kind: str, said: dict[str, Any], batch: str | None) -> int | None:
        """The change of the same batch that this one continues. What both say is put together.

        Only where nothing but adding was done since: a change that goes on across another one could not be
        undone after it, nor before it.
        """
        if batch is None:
            return None
        last = self.journal.one(
            "SELECT * FROM changes WHERE project = ? AND kind = ? AND batch = ? AND state = 'done' AND "
            "NOT EXISTS (SELECT 1 FROM changes c WHERE c.project = changes.project AND c.id > changes.id "
            "AND c.state != 'failed' AND c.kind NOT IN ('pictures-added', 'class-added')) "
            "ORDER BY id DESC LIMIT 1",
            project,
            kind,
            batch,
        )
        if last is None:
            return None
        classes = list(dict.fromkeys([*json.loads(last["said"])["classes"], *said["classes"]]))
        self.journal.run(
            "UPDATE changes SET said = ? WHERE id = ?", journal.told({"classes": classes}), last["id"]
        )
        return int(last["id"])

    def _of_batch(self, project: str, batch: str | None) -> dict[str, list[str]]:
        """What came in with this batch before, by class, wherever it is now."""
        rows = self.journal.rows(
            "SELECT m.dst FROM moves m JOIN changes c ON c.id = m.change WHERE c.project = ? AND c.batch = ? "
            "AND m.state != 'failed'",
            project,
            batch,
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            if _class_in(row["dst"]) is None:
                parts = row["dst"].split("/")
                found.setdefault(parts[1] if parts[0] == PICTURES else "", []).append(row["dst"])
        return found

    @staticmethod
    def _empty(base: Path) -> str:
        """An empty folder that can become a class, as a path inside the project."""
        part = f"{INCOMING}/{secrets.token_hex(8)}"
        (base / part).mkdir(parents=True)
        return part

    def _carry_out(self, project: str) -> None:
        """Do what is written down and not done yet: each change, or each undoing, whole or not at all.

        Raises:
            Refused: a move failed; those before it were taken back.
        """
        base = self.root / project if project else self.root
        failed: Refused | None = None
        for change in self._begun(project):
            moves = self._open(change)
            done, error = _renamed(base, moves)
            if error is None:
                self._settle(project, moves)
            else:
                failed = self._take_back(project, moves, done, error)
        if failed is not None:
            raise failed

    def _take_back(self, project: str, moves: Sequence[journal.Row], done: int, error: OSError) -> Refused:
        """Undo the first moves of those that could not all be done. What to say of it."""
        base = self.root / project if project else self.root
        change, forward = moves[0]["change"], moves[0]["state"] == "planned"
        here, there = ("failed", "reverting") if forward else ("done", "planned")
        with self.journal.write():  # written down before it is done: a kill must not leave a half
            self.journal.many(
                "UPDATE moves SET state = ? WHERE id = ?", [(here, m["id"]) for m in moves[done:]]
            )
            self.journal.many(
                "UPDATE moves SET state = ? WHERE id = ?", [(there, m["id"]) for m in moves[:done]]
            )
            self._judge(change)
        back: list[journal.Row] = []
        stuck: list[journal.Row] = []
        for move in self._open(change):
            (back if _renamed(base, [move])[1] is None else stuck).append(move)
        self._settle(project, back, "failed" if forward else "done")
        with self.journal.write():
            stays = "done" if forward else "reverted"
            self.journal.many("UPDATE moves SET state = ? WHERE id = ?", [(stays, m["id"]) for m in stuck])
            self._judge(change)
        said = {"name": Path(error.filename or base).name, "why": reason(error), "n": len(stuck)}
        return Refused("half-moved", 507, said) if stuck else Refused("not-moved", 507, said)

    def _judge(self, change: int) -> None:
        """A change of which a move is done stands, and can be undone; else it never was."""
        self.journal.run(
            "UPDATE changes SET state = CASE WHEN EXISTS (SELECT 1 FROM moves WHERE change = changes.id "
            "AND state = 'done') THEN 'done' ELSE 'failed' END WHERE id = ?",
            change,
        )

    def _settle(self, project: str, moves: Sequence[journal.Row], state: str | None = None) -> None:
        """Moves that have been done are on the disk, and are known to be."""
        base = self.root / project if project else self.root
        ways = [_way(move) for move in moves]
        for folder in {(base / path).parent for way in ways for path in way}:
            if folder.is_dir():
                journal.sync(folder)
        with self.journal.write():
            for move, (src, dst) in zip(moves, ways, strict=True):
                is_done = state or ("done" if move["state"] == "planned" else "reverted")
                self.journal.run("UPDATE moves SET state = ? WHERE id = ?", is_done, move["id"])
                self._follow(project, src, dst)

    def _follow(self, project: str, src: str, dst: str) -> None:
        """What is known of a project or class by its name goes along with its folder."""
        if not project:
            self.journal.follow(src, dst)
        elif (old := _class_in(src)) and (new := _class_in(dst)):
            self.journal.run(
                "UPDATE OR REPLACE classes SET name = ? WHERE project = ? AND name = ?", new, project, old
            )

    def _begun(self, project: str) -> list[int]:
        rows = self.journal.rows(
            "SELECT DISTINCT c.id FROM moves m JOIN changes c ON c.id = m.change "
            "WHERE m.state IN ('planned', 'reverting') AND c.project = ? ORDER BY c.id",
            project,
        )
        return [row["id"] for row in rows]

    def _open(self, change: int) -> list[journal.Row]:
        """Moves of a change that are not done yet, in the order in which they are to be done."""
        return self.journal.rows(
            "SELECT * FROM moves WHERE change = ? AND state IN ('planned', 'reverting') "
            "ORDER BY CASE state WHEN 'reverting' THEN -id ELSE id END",
            change,
        )

    def _recover(self) -> None:
        """What a killed studio had written down is done; what had not got its name is thrown away."""
        with suppress(Refused):  # somebody else moved it meanwhile; the rest is done
            self._carry_out("")
        begun = self.journal.rows(
            "SELECT DISTINCT c.project FROM moves m JOIN changes c ON c.id = m.change "
            "WHERE m.state IN ('planned', 'reverting')"
        )
        for row in begun:
            with suppress(Refused):
                self._carry_out(str(row["project"]))
        for place in (self.root, *(self.root / name for name in folders.names(self.root))):
            shutil.rmtree(place / INCOMING, ignore_errors=True)

    def _later(self, row: journal.Row) -> set[str]:
        """From where and to where something was moved after a change, and stayed."""
        found = self.journal.rows(
            "SELECT m.src, m.dst FROM moves m JOIN changes c ON c.id = m.change WHERE c.project = ? "
            "AND c.id > ? AND c.state = 'done' AND m.state = 'done'",
            row["project"],
            row["id"],
        )
        return {str(path) for move in found for path in (move["src"], move["dst"])}

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

    def _unused(self, project: str, run: str | None = None) -> None:
        if self.is_used(project, run):
            raise Refused("in-use", 409)

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


def _way(move: journal.Row) -> Move:
    """From where to where a move goes now."""
    src, dst = str(move["src"]), str(move["dst"])
    return (src, dst) if move["state"] == "planned" else (dst, src)


def _renamed(base: Path, moves: Sequence[journal.Row]) -> tuple[int, OSError | None]:
    """Do moves up to the first that fails. How many were done, and why no more."""
    for done, move in enumerate(moves):
        src, dst = _way(move)
        try:
            _rename(base / src, base / dst)
        except OSError as error:
            return done, error
    return len(moves), None


def _above(path: str) -> list[str]:
    """The folders that a path lies in."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _is_kept(base: Path, folder: str, later: set[str], known: set[str]) -> bool:
    """Whether this is a class in which something was done later, or lies what is not `known`."""
    if _class_in(folder) is None:
        return False
    place = base / folder
    others = (f"{folder}/{entry.name}" not in known for entry in place.iterdir()) if place.is_dir() else ()
    return any(path.startswith(f"{folder}/") for path in later) or any(others)


def _nothing_built(moves: Sequence[journal.Row], later: set[str]) -> None:
    """Refuse where something later lies in, or moved, what these would move, or where that would go."""
    used = later | {above for path in later for above in _above(path)}
    for move in moves:
        src, dst = str(move["src"]), str(move["dst"])
        if dst in used or not later.isdisjoint([*_above(src), *_above(dst)]):
            raise Refused("undo-later", 409)


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
