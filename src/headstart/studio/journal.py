"""The one SQLite file: what the folders cannot say of themselves, and what is about to be done to them.

One connection holds the file for itself: a second studio on the same folder is refused, and the system lets
go of it when the process ends, however it ends. Can be opened by hand when no studio runs.
"""

import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from headstart.errors import Misuse, OutputError
from headstart.files import reason

FILE = ".studio.sqlite"
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE projects (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, at REAL NOT NULL);
    CREATE TABLE classes (project TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL,
        revision INTEGER NOT NULL, PRIMARY KEY (project, name));
    CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, kind TEXT NOT NULL,
        said TEXT NOT NULL, batch TEXT, state TEXT NOT NULL, at REAL NOT NULL);
    CREATE INDEX changes_of ON changes (project, id);
    CREATE TABLE moves (id INTEGER PRIMARY KEY AUTOINCREMENT, change INTEGER NOT NULL, src TEXT NOT NULL,
        dst TEXT NOT NULL, state TEXT NOT NULL);
    CREATE INDEX moves_of ON moves (change);
    CREATE INDEX moves_open ON moves (state) WHERE state IN ('planned', 'reverting');
    CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, kind TEXT NOT NULL,
        spec TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL, document TEXT NOT NULL,
        begun REAL NOT NULL, ended REAL);
    CREATE INDEX jobs_of ON jobs (project, id);
    """,
    """
    ALTER TABLE moves ADD COLUMN key TEXT;
    CREATE INDEX moves_of_key ON moves (key) WHERE key IS NOT NULL;
    """,
)
OF_PROJECT = ("projects", "classes", "changes", "jobs")  # tables that name a project

Row = sqlite3.Row


class Journal:
    """The open file. Every method may be called from several threads."""

    def __init__(self, root: Path) -> None:
        """Open it, or make it.

        Raises:
            Misuse: another studio has it.
            OutputError: it cannot be written, or was written by a later version.
        """
        self.lock = RLock()
        try:
            with suppress(FileExistsError):  # one that is there is not opened: closing it would end locks
                (root / FILE).touch(0o600, exist_ok=False)  # the token will stand in it
            self._db = sqlite3.connect(
                root / FILE, timeout=0.5, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("BEGIN EXCLUSIVE")
            self._migrate(root)
            self._db.execute("COMMIT")
            (root / FILE).chmod(0o600)  # it may have come from elsewhere
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Misuse(
                    f"a studio is open on {root} already. Use its page, or end it first; another folder can "
                    "have a studio of its own: headstart studio FOLDER"
                ) from error
            raise OutputError(f"{root / FILE} cannot be used: {error}. Choose another folder.") from error
        except OSError as error:
            raise OutputError(
                f"{root / FILE} cannot be used: {reason(error)}. Choose another folder."
            ) from error
        except sqlite3.DatabaseError as error:
            raise OutputError(f"{root / FILE} is damaged: {error}. Move it away; pictures stay.") from error

    def _migrate(self, root: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise OutputError(f"{root / FILE} was written by a later headstart. Install that one.")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in script.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {number}")
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('token', ?)", (secrets.token_urlsafe(32),))

    @contextmanager
    def write(self) -> Iterator[None]:
        """What is done inside is kept whole, on the disk, or not at all."""
        with self.lock:
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it, or have refused to keep it
                    self._db.execute("ROLLBACK")
                raise

    def run(self, statement: str, *values: Any) -> int:
        """Carry out one statement; the id of a new row."""
        with self.lock:
            return self._db.execute(statement, values).lastrowid or 0

    def many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Carry out one statement for each row."""
        with self.lock:
            self._db.executemany(statement, rows)

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """What a question brings."""
        with self.lock:
            return self._db.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Any) -> Row | None:
        """The first row, if there is any."""
        found = self.rows(statement, *values)
        return found[0] if found else None

    @property
    def token(self) -> str:
        """What opens the page: the same after a restart, so that an open page goes on."""
        found = self.one("SELECT value FROM meta WHERE key = 'token'")
        return str(found["value"]) if found else ""

    def bump(self, project: str) -> int:
        """One more revision of a project; made known if it was not."""
        self.run(
            "INSERT INTO projects VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET revision = revision + 1",
            project,
            time.time(),
        )
        return self.revision(project)

    def revision(self, project: str) -> int:
        """How often a project was changed by a studio."""
        found = self.one("SELECT revision FROM projects WHERE name = ?", project)
        return int(found["revision"]) if found else 0

    def follow(self, project: str, new: str) -> None:
        """A project's folder has a new place; all that is known of it goes along."""
        for table in OF_PROJECT:
            column = "name" if table == "projects" else "project"
            self.run(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?", new, project)  # noqa: S608

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._db.close()


def sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def told(values: dict[str, Any]) -> str:
    """Values as they are kept."""
    return json.dumps(values, ensure_ascii=True)
