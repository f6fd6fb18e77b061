"""What this studio is and has: versions, limits, models, jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Body
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from ganvas import __version__
from ganvas.web.jobs import Job
from ganvas.web.routes.common import AStudio, started
from ganvas.web.shelf import Known, Shelf
from ganvas.weights import catalogue

router = APIRouter(prefix="/api")
SAMPLE = Path(__file__).parents[2] / "samples" / "astronaut.jpg"


@router.get("/info", tags=["studio"])
def info(studio: AStudio) -> dict[str, Any]:
    """Version, device, limits, generators on this computer, and which one a photo is opened with by default."""
    config = studio.config
    shelf = studio.shelf
    return {
        "version": __version__,
        "device": "cpu",  # of the networks here: `load` reads them to the CPU
        "languages": ["en", "ko"],
        "limits": {
            "upload_bytes": config.upload_bytes,
            "upload_pixels": config.upload_pixels,
            "sessions": config.sessions,
            "idle_sec": config.idle_sec,
            "batch_photos": config.batch_photos,
        },
        "models": [_brief(shelf, one) for one in shelf.known().values() if one.here and one.task == "generate"],
        "missing": [name for name in ("faces", "mtcnn", "efficientnet-lite0") if not catalogue.find(name).here],
        "default_model": shelf.first(),
        "sessions_open": len(studio.desks),
    }


@router.get("/sample.jpg", tags=["studio"])
def sample() -> FileResponse:
    """A photo to try things on; see ganvas/samples/README.md for whose it is."""
    return FileResponse(SAMPLE, media_type="image/jpeg", filename="astronaut.jpg", content_disposition_type="inline")


@router.get("/models", tags=["models"])
def models(studio: AStudio) -> list[dict[str, Any]]:
    """The whole catalogue, and what was trained here: licences, sizes, whether it is on this computer."""
    return [_whole(studio.shelf, one) for one in studio.shelf.known().values()]


@router.post("/models/{name:path}/get", tags=["models"])
def get_model(name: str, studio: AStudio, accept_licence: bool = Body(embed=True, default=False)) -> dict[str, Any]:
    """Fetch a model of the catalogue; a restricted one only with its licence accepted. A job."""
    known = studio.shelf.find(name)
    if known.entry is None:
        raise HTTPException(409, f"{name} is on this computer already")
    if known.entry.restricted and not accept_licence:
        raise HTTPException(422, f"{name} is restricted ({known.licence}). {catalogue.terms(known.entry)}")

    def work(job: Job) -> dict[str, Any]:
        job.message = f"fetching {name}"
        catalogue.get(name, accept=accept_licence, on_progress=job.step)
        return {"model": name}

    return started(studio.jobs.start_aside(Job("fetch", work)))


@router.get("/jobs/{id}", tags=["jobs"])
def job(id: str, studio: AStudio) -> dict[str, Any]:
    """How a job stands."""
    found = studio.jobs.find(id)
    if found.owner in studio.desks:
        studio.find(found.owner)  # whoever asks has not vanished
    return found.as_data()


@router.delete("/jobs/{id}", tags=["jobs"])
def cancel(id: str, studio: AStudio) -> dict[str, Any]:
    """Stop a job at its next step."""
    found = studio.jobs.find(id)
    studio.jobs.cancel(found)
    return found.as_data()


def _brief(shelf: Shelf, known: Known) -> dict[str, Any]:
    return {"name": known.name, "licence": known.licence, "about": known.about, **shelf.facts(known)}


def _whole(shelf: Shelf, known: Known) -> dict[str, Any]:
    entry = known.entry
    pedigree = {}
    if entry is not None:
        told = entry.pedigree
        pedigree = {"package": told.package, "weights": told.weights, "data": told.data, "parent": told.parent}
    return {
        "name": known.name,
        "task": known.task,
        "about": known.about,
        "licence": known.licence,
        "pedigree": pedigree,
        "restricted": entry is not None and entry.restricted,
        "size_bytes": None if entry is None else entry.size_bytes,
        "here": known.here,
        "fetchable": entry is not None and not known.here,
        "checked": None if entry is None else entry.checked,
        **shelf.facts(known),
    }
