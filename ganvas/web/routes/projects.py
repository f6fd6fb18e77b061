"""Projects: photos that are kept on the disk with all that was done to them."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from ganvas.errors import GanvasError
from ganvas.session.projects import Project
from ganvas.session.stored_photo import THUMBNAIL
from ganvas.web.answers import DeletedAnswer, OpenedAnswer, ProjectAnswer
from ganvas.web.errors import NotReady, error_as_data
from ganvas.web.openapi import FILE, answer_file, take_form
from ganvas.web.opening import open_stored, start_resuming
from ganvas.web.routes.common import StudioDep, describe_job, run_on_device
from ganvas.web.routes.edits import EDITING_TYPE
from ganvas.web.routes.sessions import RequestBody
from ganvas.web.studio import Studio
from ganvas.web.uploads import reading_form, safe_filename
from ganvas.web.views import build_state

router = APIRouter(prefix="/api/projects", tags=["projects"])


class NameRequest(RequestBody):
    """A name."""

    name: str = Field(min_length=1, max_length=100)


class CopyRequest(RequestBody):
    """A name for the copy; null = "NAME copy"."""

    name: str | None = Field(None, max_length=100)


def get_project(id: str, studio: StudioDep) -> Project:
    """The project named in the path."""
    return studio.projects.find(id)


ProjectDep = Annotated[Project, Depends(get_project)]


@router.get("", response_model=list[ProjectAnswer])
def list_projects(studio: StudioDep) -> list[dict[str, Any]]:
    """All projects, those that were changed last first, with their photos."""
    return [describe_project(project) for project in studio.projects.list()]


@router.post("", response_model=ProjectAnswer)
def create_project(body: NameRequest, studio: StudioDep) -> dict[str, Any]:
    """A new, empty project; photos come in with POST /api/sessions and `project`."""
    return describe_project(studio.projects.create(body.name))


@router.post("/import", response_model=ProjectAnswer, **take_form("file", file=FILE))
async def import_project(request: Request, studio: StudioDep) -> dict[str, Any]:
    """A project from a .ganvas file (form field `file`) that was exported here or on another computer."""
    config = studio.config
    async with reading_form(request, studio.uploads, config, patience=10) as form:
        file = form.stream("file", limit=config.project_bytes)
        project = await run_on_device(
            studio, lambda: studio.projects.import_file(file, upload_bytes=config.upload_bytes)
        )
    return describe_project(project)


@router.get("/{id}", response_model=ProjectAnswer)
def read_project(project: ProjectDep) -> dict[str, Any]:
    """A project with its photos, in order."""
    return describe_project(project)


@router.patch("/{id}", response_model=ProjectAnswer)
def rename_project(body: NameRequest, project: ProjectDep) -> dict[str, Any]:
    """Another name."""
    return describe_project(project.rename(body.name))


@router.post("/{id}/duplicate", response_model=ProjectAnswer)
async def duplicate_project(body: CopyRequest, project: ProjectDep, studio: StudioDep) -> dict[str, Any]:
    """A copy of everything, as it is now."""
    return describe_project(await run_on_device(studio, lambda: project.duplicate(body.name)))


@router.delete("/{id}", response_model=DeletedAnswer)
def delete_project(project: ProjectDep, studio: StudioDep) -> dict[str, Any]:
    """Gone for good, with its photos; those that are open are closed."""
    for open_photo in list(studio.open_photos.values()):
        if open_photo.stored is not None and open_photo.stored.project == project.id:
            studio.close_photo(open_photo)
    project.delete()
    return {"deleted": project.id}


@router.get("/{id}/export.ganvas", **answer_file(EDITING_TYPE))
async def export_project(project: ProjectDep, studio: StudioDep) -> FileResponse:
    """The whole project as one file: originals, what was found of the faces, everything done to them."""
    folder = tempfile.TemporaryDirectory(dir=studio.folder)
    path = Path(folder.name) / "project.ganvas"
    try:
        await run_on_device(studio, lambda: project.export(path))
    except BaseException:
        folder.cleanup()
        raise
    name = f"{safe_filename(project.name)}.ganvas"
    return FileResponse(path, media_type=EDITING_TYPE, filename=name, background=BackgroundTask(folder.cleanup))


@router.post("/{id}/photos/{photo}/open", response_model=OpenedAnswer, response_model_exclude_unset=True)
async def open_photo_again(project: ProjectDep, photo: str, studio: StudioDep) -> dict[str, Any]:
    """Open a photo of a project as a session. Where faces of it were edited, the answer has the `job` that brings them
    back, or a `problem`: why that cannot be done, such as a model that is not here."""
    open_photo = await run_on_device(studio, lambda: open_stored(studio, project.id, photo))
    more: dict[str, Any] = {}
    if open_photo.saved is not None and open_photo.state == "faces":
        try:
            more = {"job": describe_job(start_resuming(studio, open_photo))}
        except NotReady:
            pass
        except (GanvasError, HTTPException) as error:
            more = {"problem": error_as_data(error)}
    return build_state(open_photo) | more


@router.delete("/{id}/photos/{photo}", response_model=ProjectAnswer)
def delete_photo(project: ProjectDep, photo: str, studio: StudioDep) -> dict[str, Any]:
    """Take a photo out of its project for good."""
    stored = project.photo(photo)
    _close_copies(studio, photo)
    stored.delete()
    return describe_project(project)


@router.get("/{id}/photos/{photo}/small.jpg", **answer_file("image/jpeg"))
def view_thumbnail(project: ProjectDep, photo: str) -> FileResponse:
    """How the photo looks now, 320 pixels at most."""
    path = project.photo(photo).folder / THUMBNAIL
    if not path.is_file():
        raise HTTPException(404, "this photo has not been shown yet")
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, no-store"})


def _close_copies(studio: Studio, photo: str) -> None:
    for open_photo in list(studio.open_photos.values()):
        if open_photo.stored is not None and open_photo.stored.id == photo:
            studio.close_photo(open_photo)


def describe_project(project: Project) -> dict[str, Any]:
    """A project as the API has it; times in seconds since 1970."""
    photos = [dataclasses.asdict(photo) for photo in project.summaries()]
    for photo in photos:
        photo["thumbnail"] = (project.folder / photo["id"] / THUMBNAIL).is_file()
    return {
        "id": project.id,
        "name": project.name,
        "created": project.created,
        "changed": project.changed,
        "photos": photos,
    }
