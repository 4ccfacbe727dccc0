"""Long work in a child process: begun, followed, cancelled, and known to be unfinished after a kill.

One at a time: two would only take the cores from each other. The child ends by itself when this process does
(see `work`), so that no process of an earlier studio has to be found and ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import RLock, Thread
from typing import Any

from headstart.errors import DamagedModel, Misuse
from headstart.model.again import is_finished
from headstart.model.folder import load
from headstart.studio import journal
from headstart.studio.folders import RUNS
from headstart.studio.journal import Journal
from headstart.studio.projects import Tell
from headstart.studio.refused import Refused

GRACE_S = 5.0  # that a cancelled job has for ending by itself
READS = {"train", "check", "export"}  # kinds during which pictures must stay where they are


class Jobs:
    """The work of one studio."""

    def __init__(self, root: Path, kept: Journal, tell: Tell) -> None:
        """Jobs that a killed studio left are found to be done, or interrupted."""
        self.root, self._journal, self._tell = root, kept, tell
        self._lock = RLock()
        self._child: subprocess.Popen[str] | None = None
        self._now: dict[str, Any] | None = None
        self._progress: dict[str, Any] = {}
        self._cancelled = False
        self._follower: Thread | None = None
        for row in kept.rows("SELECT * FROM jobs WHERE state = 'running'"):
            spec = json.loads(row["spec"])
            is_there = row["kind"] == "train" and _is_made(self.root / row["project"] / RUNS / spec["run"])
            self._ended(row["id"], "done" if is_there else "interrupted", "", {})

    def begin(self, project: str, kind: str, spec: dict[str, Any]) -> int:
        """Start a job.

        Raises:
            Refused: another one is at work.
        """
        with self._lock:
            if self._now is not None:
                raise Refused("job-there", 409, {"project": self._now["project"]})
            try:
                with self._journal.write():
                    number = self._journal.run(
                        "INSERT INTO jobs (project, kind, spec, state, message, document, begun) "
                        "VALUES (?, ?, ?, 'running', '', '{}', ?)",
                        project,
                        kind,
                        journal.told(spec),
                        time.time(),
                    )
                    self._cancelled, self._progress = False, {"phase": "open"}
                    # known before the journal is let go, so that whoever moves pictures next sees it
                    self._now = {"id": number, "project": project, "kind": kind, "run": spec.get("run", "")}
                child = subprocess.Popen(
                    # -P: a file in the folder where the studio was started must not pass for a library
                    [sys.executable, "-P", "-m", "headstart.studio.work"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    errors="replace",  # a library may print anything
                    start_new_session=True,  # Ctrl-C on the terminal is for the studio
                )
            except BaseException:
                self._now = None
                raise
            self._child = child
            assert child.stdin is not None  # noqa: S101  asked for above
            with suppress(BrokenPipeError):  # then its end tells why
                child.stdin.write(json.dumps({"kind": kind} | spec) + "\n")
                child.stdin.flush()
            self._follower = Thread(target=self._follow, args=(child, number), daemon=True)
            self._follower.start()
        self._say()
        return number

    def now(self) -> dict[str, Any] | None:
        """The job at work and how far it is. Waits for nobody: the page's event loop asks, too."""
        now, more = self._now, self._progress
        return None if now is None else {**now, "state": "running", **more}

    def last(self, project: str, kind: str) -> dict[str, Any] | None:
        """The last job of a kind that has ended, with what it found."""
        row = self._journal.one(
            "SELECT * FROM jobs WHERE project = ? AND kind = ? AND state != 'running' "
            "ORDER BY id DESC LIMIT 1",
            project,
            kind,
        )
        if row is None:
            return None
        return {
            "id": row["id"], "kind": kind, "state": row["state"], "message": row["message"],
            "run": json.loads(row["spec"]).get("run", ""), "ended": row["ended"], "begun": row["begun"],
        }  # fmt: skip

    def document(self, project: str, kind: str) -> dict[str, Any] | None:
        """What the last job of a kind that succeeded found."""
        row = self._journal.one(
            "SELECT document, ended FROM jobs WHERE project = ? AND kind = ? AND state = 'done' "
            "ORDER BY id DESC LIMIT 1",
            project,
            kind,
        )
        return None if row is None else {"at": row["ended"], **json.loads(row["document"])}

    def is_reading(self, project: str) -> bool:
        """Whether a job is at work on the pictures of this project.

        Takes no lock: who asks holds the journal, and who holds the lock here may be waiting for that.
        """
        now = self._now
        return now is not None and now["project"] == project and now["kind"] in READS

    def is_using(self, project: str, run: str | None) -> bool:
        """Whether a job of any kind is at work in this project, or with this run. Takes no lock, either."""
        now = self._now
        return now is not None and now["project"] == project and run in (None, now["run"])

    def cancel(self, number: int) -> None:
        """End a job; what it has encoded stays known."""
        with self._lock:
            if self._now is None or self._now["id"] != number or self._child is None:
                raise Refused("job-gone", 409)
            self._cancelled = True
            child = self._child
        Thread(target=_end, args=(child,), daemon=True).start()

    def close(self) -> None:
        """End what is at work; it will be known as interrupted."""
        with self._lock:
            child = self._child
        if child is not None:
            _end(child)
        if self._follower is not None:
            self._follower.join(GRACE_S)  # it writes down what became of the job

    def _follow(self, child: "subprocess.Popen[str]", number: int) -> None:
        """Read what the child tells until it ends, and write down what became of it."""
        try:
            last = self._last_of(child)
            code = child.wait()
            with self._lock:
                if "done" in last:
                    self._ended(number, "done", "", last["done"])
                elif self._cancelled:
                    self._ended(number, "cancelled", "", {})
                elif "failed" in last:
                    self._ended(number, "failed", last["failed"], {})
                else:
                    said = str(Refused("job-died", values={"code": code}))
                    self._ended(number, "interrupted" if code == 130 else "failed", said, {})
        finally:  # on a full disk, too: else no job could begin any more
            child.kill()  # does nothing to one that has ended
            if child.stdin is not None:
                with suppress(OSError):
                    child.stdin.close()
            with self._lock:
                now, self._now, self._child = self._now, None, None
            if now:
                self._tell({"type": "job", "job": None, "project": now["project"], "ended": number})

    def _last_of(self, child: "subprocess.Popen[str]") -> dict[str, Any]:
        """The last thing that a child told; the pages are told each step."""
        last: dict[str, Any] = {}
        assert child.stdout is not None  # noqa: S101  asked for when it was started
        with child.stdout as lines:
            for line in lines:
                try:
                    found = json.loads(line)
                except ValueError:  # a library printed something
                    continue
                if not isinstance(found, dict):  # a number or a word of a library's is JSON, too
                    continue
                last = found
                if "phase" in last:
                    with self._lock:
                        self._progress = last
                    self._say()
        return last

    def _ended(self, number: int, state: str, message: str, document: dict[str, Any]) -> None:
        with self._journal.write():
            self._journal.run(
                "UPDATE jobs SET state = ?, message = ?, document = ?, ended = ? WHERE id = ?",
                state,
                message,
                journal.told(document),
                time.time(),
                number,
            )

    def _say(self) -> None:
        if job := self.now():
            self._tell({"type": "job", "job": job, "project": job["project"]})


def _is_made(folder: Path) -> bool:
    """Whether a finished model stands there, and not the frozen one from which training starts."""
    try:
        return is_finished(load(folder).report)
    except Misuse:
        return False
    except DamagedModel:  # it is there; what is wrong with it is told where it is shown
        return True


def _end(child: "subprocess.Popen[str]") -> None:
    """Ask it to end, then close its stdin, at which it ends at once; a child that is stuck is killed."""
    steps: list[Callable[[], None]] = [
        lambda: child.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM),
        lambda: child.stdin.close() if child.stdin else None,
        child.kill,
    ]
    for step in steps:
        with suppress(OSError, ValueError):
            step()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            continue
        return
