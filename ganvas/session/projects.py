"""Projects on disk: photos with all that was done to them, written as they are edited.

    projects = Projects()                                   # in the user's data folder
    project = projects.create("Wedding")
    stored = project.add(record_edits(edits, name="us.jpg", original=data))
    stored.save(edits)                                      # after every change; quick
    project.export("wedding.ganvas")

A folder of projects is

    index.sqlite3                    names, order, faces, every recipe of every face
    <project>/<photo>/original       the photo's file as it came, byte by byte
    <project>/<photo>/*.safetensors  what was found of each face
    <project>/<photo>/small.jpg      how it looks now

A file is written under another name, forced to the disk and renamed before the index speaks of it, and the index
changes in transactions: whoever is killed at any moment leaves the last state that was saved, and no half file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import platformdirs

from ganvas.errors import BadConfig
from ganvas.session.project_file import parse_project_file, write_project_file
from ganvas.session.project_index import ProjectIndex, UnknownProject
from ganvas.session.records import PhotoRecord
from ganvas.session.stored_photo import (
    MAX_NAME,
    ORIGINAL,
    THUMBNAIL,
    PhotoSummary,
    StoredPhoto,
    summarize_photo,
)
from ganvas.weights.checkpoint import write_atomically

SWEPT_AFTER_SEC = 600.0  # files without an entry may be on their way in another process; older ones are leftovers


def projects_folder() -> Path:
    """Where projects are kept: below $GANVAS_HOME, or else the user's data folder."""
    chosen = os.environ.get("GANVAS_HOME")
    base = Path(chosen).expanduser().absolute() if chosen else Path(platformdirs.user_data_dir("ganvas", False))
    return base / "projects"


class Projects:
    """All projects of a folder; safe for several threads and processes.

    Args:
        folder: of the projects; None = `projects_folder()`.

    Raises:
        BadConfig: the folder cannot be written, or a later version of ganvas has written it.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder or projects_folder()
        self.index = ProjectIndex(self.folder)

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()

    def list(self) -> list[Project]:
        """Every project, those that were changed last first."""
        rows = self.index.read("SELECT id, name, created, changed FROM project ORDER BY changed DESC, id")
        return [Project(self, *row) for row in rows]

    def create(self, name: str) -> Project:
        """A new, empty project.

        Raises:
            BadConfig: a name that is empty or too long.
        """
        id, now = secrets.token_hex(8), time.time()
        name = _check_name(name)
        with self.index.writing() as db:
            db.execute("INSERT INTO project VALUES (?, ?, ?, ?)", (id, name, now, now))
        return Project(self, id, name, now, now)

    def find(self, id: str) -> Project:
        """A project by its id.

        Raises:
            UnknownProject: there is none.
        """
        rows = self.index.read("SELECT id, name, created, changed FROM project WHERE id = ?", id)
        if not rows:
            raise UnknownProject("there is no such project, or it was deleted")
        return Project(self, *rows[0])

    def import_file(self, file: IO[bytes] | Path, *, upload_bytes: int = 2**30) -> Project:
        """A project from a .ganvas file, of this format or an earlier one.

        Args:
            file: open for reading, or its path.
            upload_bytes: each original may have so many.

        Raises:
            BadImage: it is damaged, or something else.
        """
        data = parse_project_file(file, upload_bytes=upload_bytes)
        project = self.create(data.name or "project")
        try:
            for photo in data.photos:
                project.add(photo)
        except BaseException:
            project.delete()
            raise
        return project

    def sweep(self) -> int:
        """Delete what killed processes have left: folders and files that the index does not know.

        Returns:
            How many were deleted.
        """
        known: set[tuple[str, ...]] = set(self.index.read("SELECT project, id FROM photo"))
        known |= {row[:1] for row in known} | set(self.index.read("SELECT id FROM project"))
        latents: dict[str, set[str]] = {}
        for photo, name in self.index.read("SELECT photo, latents FROM layer"):
            latents.setdefault(photo, {ORIGINAL, THUMBNAIL}).add(name)
        gone = 0
        for folder in [*self.folder.glob("*/*/"), *self.folder.glob("*/")]:
            if not folder.is_dir():
                continue
            where = folder.relative_to(self.folder).parts
            if where not in known:
                gone += _remove_old(folder)
            elif len(where) == 2:
                keep = latents.get(where[1], {ORIGINAL, THUMBNAIL})
                gone += sum(_remove_old(file) for file in folder.iterdir() if file.name not in keep)
        return gone


@dataclass(frozen=True, eq=False)
class Project:
    """Some photos under one name; see `Projects`."""

    store: Projects
    id: str
    name: str
    created: float  # seconds since 1970
    changed: float

    @property
    def folder(self) -> Path:
        """Its files."""
        return self.store.folder / self.id

    def photos(self) -> list[StoredPhoto]:
        """Its photos, in order."""
        rows = self.store.index.read("SELECT id FROM photo WHERE project = ? ORDER BY position, created", self.id)
        return [StoredPhoto(self.store.index, self.id, id) for (id,) in rows]

    def photo(self, id: str) -> StoredPhoto:
        """A photo by its id.

        Raises:
            UnknownProject: there is none.
        """
        if not self.store.index.read("SELECT 1 FROM photo WHERE project = ? AND id = ?", self.id, id):
            raise UnknownProject("there is no such photo in this project, or it was deleted")
        return StoredPhoto(self.store.index, self.id, id)

    def summaries(self) -> list[PhotoSummary]:
        """What a list shows of its photos, without opening them."""
        rows = self.store.index.read(
            "SELECT photo.id, photo.name, card, photo.changed, coalesce(sum(layer.at * layer.current), 0) FROM photo "
            "LEFT JOIN layer ON layer.photo = photo.id WHERE project = ? GROUP BY photo.id ORDER BY position, created",
            self.id,
        )
        return [summarize_photo(*row) for row in rows]

    def add(self, record: PhotoRecord, *, size: tuple[int, int] = (0, 0)) -> StoredPhoto:
        """One more photo, with whatever was done to it already.

        Args:
            record: of it.
            size: (width, height) in pixels, where known.
        """
        return StoredPhoto.create(self.store.index, self.id, record, size)

    def rename(self, name: str) -> Project:
        """The project under another name.

        Raises:
            BadConfig: a name that is empty or too long.
        """
        name = _check_name(name)
        with self.store.index.writing() as db:
            db.execute("UPDATE project SET name = ? WHERE id = ?", (name, self.id))
        return replace(self, name=name)

    def duplicate(self, name: str | None = None) -> Project:
        """A copy of everything, as it is now.

        Args:
            name: None = "NAME copy".
        """
        copy = self.store.create(name or f"{self.name[: MAX_NAME - 5]} copy")
        try:
            for photo in self.photos():
                twin = copy.add(photo.record(), size=photo.size)
                if (photo.folder / THUMBNAIL).is_file():
                    twin.save_thumbnail((photo.folder / THUMBNAIL).read_bytes())
        except BaseException:
            copy.delete()
            raise
        return copy

    def delete(self) -> None:
        """Gone for good, with all its photos."""
        with self.store.index.writing() as db:
            db.execute("DELETE FROM project WHERE id = ?", (self.id,))
        shutil.rmtree(self.folder, ignore_errors=True)

    def export(self, path: Path | str) -> Path:
        """Write the whole project as one .ganvas file, for another computer; atomic.

        Raises:
            BadConfig: the folder is not there or cannot be written; or there is no photo in it.
        """
        path, photos = Path(path), self.photos()
        if not photos:
            raise BadConfig(f"the project {self.name!r} has no photos yet")

        def write(part: str) -> None:
            with open(part, "wb") as file:
                write_project_file(file, [photo.record() for photo in photos], name=self.name)

        write_atomically(path, write)
        return path


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME:
        raise BadConfig(f"a project's name has 1 to {MAX_NAME} characters, got {name!r:.120}")
    return "".join(c for c in name.strip() if c.isprintable())


def _remove_old(path: Path) -> int:
    """Delete a leftover; 1 if it was old enough and is gone."""
    try:
        if time.time() - path.stat().st_mtime < SWEPT_AFTER_SEC:
            return 0
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError:
        return 0
    return 1
