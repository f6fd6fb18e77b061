"""The index of a folder of projects: names, order, faces and recipes, in SQLite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, BadInput

FORMAT_NUMBER = 2  # of the index; kept in the database itself
BUSY_SEC = 10.0  # another process may be writing
_SCHEMA = """
CREATE TABLE project (id TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL);
CREATE TABLE photo (
    id TEXT PRIMARY KEY, project TEXT NOT NULL REFERENCES project ON DELETE CASCADE, position INTEGER NOT NULL,
    name TEXT NOT NULL, card TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL);
CREATE TABLE layer (
    id INTEGER PRIMARY KEY, photo TEXT NOT NULL REFERENCES photo ON DELETE CASCADE, face INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, current INTEGER NOT NULL, at INTEGER NOT NULL, latents TEXT NOT NULL,
    facts TEXT NOT NULL, region TEXT NOT NULL, UNIQUE (photo, face, fingerprint));
CREATE TABLE entry (
    layer INTEGER NOT NULL REFERENCES layer ON DELETE CASCADE, position INTEGER NOT NULL, recipe TEXT NOT NULL,
    PRIMARY KEY (layer, position)) WITHOUT ROWID;
CREATE INDEX photo_of_project ON photo (project, position);
"""

_VARIANTS = """
CREATE TABLE variant (
    photo TEXT NOT NULL REFERENCES photo ON DELETE CASCADE, position INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (photo, position)) WITHOUT ROWID;
"""


class UnknownProject(BadInput):
    """There is no such project or photo, or it was deleted."""


class ProjectIndex:
    """The database; safe for several threads and processes.

    Args:
        folder: where it is; made if it is not there.

    Raises:
        BadConfig: the folder cannot be written, or a later version of ganvas has written it.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                folder / "index.sqlite3", timeout=BUSY_SEC, isolation_level=None, check_same_thread=False
            )
            for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {setting}")
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise BadConfig(f"projects cannot be kept in {folder}: {error}") from error

    def _prepare(self) -> None:
        with self.writing() as db:
            number = db.execute("PRAGMA user_version").fetchone()[0]
            if number > FORMAT_NUMBER:
                raise BadConfig(f"the projects in {self.folder} are of a later ganvas (format {number}); update ganvas")
            for later, schema in enumerate((_SCHEMA, _VARIANTS), start=1):  # each format adds to the one before
                for statement in filter(str.strip, schema.split(";")) if number < later else ():
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={FORMAT_NUMBER}")

    def close(self) -> None:
        """Let go of the index."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def read(self, query: str, *values: Any) -> list[Any]:
        """Rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()
