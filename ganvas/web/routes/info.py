"""Information: versions, limits, models, jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from ganvas import __version__
from ganvas.web.answers import InfoAnswer, JobAnswer, ModelAnswer, QueuedAnswer, StoppingAnswer
from ganvas.web.batch import RESULT, batch_folder
from ganvas.web.jobs import OPEN_STATES, Job
from ganvas.web.model_registry import ModelRegistry, RegisteredModel
from ganvas.web.openapi import answer_file
from ganvas.web.routes.common import StudioDep, describe_job
from ganvas.web.studio import Studio
from ganvas.weights.catalogue import catalogue

router = APIRouter(prefix="/api")
MAX_WAIT_SEC = 60.0
SAMPLE = Path(__file__).parents[2] / "samples" / "astronaut.jpg"


@router.get("/info", tags=["studio"], response_model=InfoAnswer)
def describe_studio(studio: StudioDep) -> dict[str, Any]:
    """Version, device, limits, generators on this computer, and which one a photo is opened with by default."""
    config = studio.config
    registry = studio.registry
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
        "models": [
            _summarize_model(registry, one) for one in registry.models().values() if one.here and one.task == "generate"
        ],
        "missing": [name for name in ("faces", "mtcnn", "efficientnet-lite0") if not catalogue.find_entry(name).here],
        "default_model": registry.default_generator(),
        "sessions_open": len(studio.open_photos),
    }


@router.get("/sample.jpg", tags=["studio"], **answer_file("image/jpeg"))
def download_sample() -> FileResponse:
    """A sample photo; see ganvas/samples/README.md for its source."""
    return FileResponse(SAMPLE, media_type="image/jpeg", filename="astronaut.jpg", content_disposition_type="inline")


@router.get("/models", tags=["models"], response_model=list[ModelAnswer])
def list_models(studio: StudioDep) -> list[dict[str, Any]]:
    """The whole catalogue, and what was trained here: licences, sizes, whether it is on this computer."""
    return [_describe_model(studio.registry, one) for one in studio.registry.models().values()]


@router.post("/models/{name:path}/get", tags=["models"], response_model=JobAnswer)
def fetch_model(name: str, studio: StudioDep, accept_licence: bool = Body(embed=True, default=False)) -> dict[str, Any]:
    """Download a model of the catalogue; a restricted one only if its licence is accepted. Returns a job."""
    model = studio.registry.find(name)
    if model.entry is None:
        raise HTTPException(409, f"{name} is already downloaded")
    if model.entry.restricted and not accept_licence:
        raise HTTPException(422, f"{name} is restricted ({model.licence}). {catalogue.terms(model.entry)}")

    def work(job: Job) -> dict[str, Any]:
        job.message = f"fetching {name}"
        catalogue.get(name, accept=accept_licence, on_progress=job.step)
        return {"model": name}

    return describe_job(studio.jobs.start_aside(Job("fetch", work, title=name)))


@router.get("/jobs", tags=["jobs"], response_model=list[QueuedAnswer])
def list_jobs(studio: StudioDep, recent: bool = False) -> list[dict[str, Any]]:
    """Everything that waits or runs in this studio, in order, training runs as well; with `recent` also what has ended
    of late. A batch that is done has the address of its `zip`."""
    queued = [_describe_queued(studio, one) for one in studio.jobs.all() if recent or one.state in OPEN_STATES]
    return queued + [_describe_run(run) for run in studio.training_runs.all() if run["state"] == "running"]


def _describe_queued(studio: Studio, job: Job) -> dict[str, Any]:
    file = batch_folder(studio, job.id) / RESULT
    return job.as_data() | {"zip": f"/api/batch/{job.id}/result.zip" if file.is_file() else None}


def _describe_run(run: dict[str, Any]) -> dict[str, Any]:
    """A training run as a job; DELETE /api/jobs/run/NAME saves and stops it."""
    goal, eta_sec = run.get("total_kimg"), run.get("eta_sec")
    progress = min(1.0, run.get("kimg", 0.0) / goal) if goal else 0.0
    job = {"id": f"run/{run['name']}", "kind": "train", "title": run["name"], "state": "running", "progress": progress}
    return job | {"eta_sec": eta_sec, "message": "", "result": None, "error": None, "zip": None}


@router.delete("/jobs/run/{name}", tags=["jobs"], response_model=StoppingAnswer)
def stop_queued_run(name: str, studio: StudioDep) -> dict[str, Any]:
    """Save and stop a training run, as POST /api/runs/NAME/stop."""
    studio.training_runs.stop(name)
    return {"stopping": name}


@router.get("/jobs/{id}", tags=["jobs"], response_model=JobAnswer)
async def read_job(
    id: str, studio: StudioDep, wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SEC)] = 0
) -> dict[str, Any]:
    """State of a job; with `wait`, once it has ended, or after so many seconds."""
    target = studio.jobs.find(id)
    if wait:
        await target.wait_for_end(wait)
    if target.owner in studio.open_photos:
        studio.find(target.owner)  # whoever asks has not vanished
    return target.as_data()


@router.delete("/jobs/{id}", tags=["jobs"], response_model=JobAnswer)
def cancel_job(id: str, studio: StudioDep) -> dict[str, Any]:
    """Stop a job at its next step."""
    target = studio.jobs.find(id)
    studio.jobs.cancel(target)
    return target.as_data()


def _summarize_model(registry: ModelRegistry, model: RegisteredModel) -> dict[str, Any]:
    return {"name": model.name, "licence": model.licence, "about": model.about, **registry.facts(model)}


def _describe_model(registry: ModelRegistry, model: RegisteredModel) -> dict[str, Any]:
    entry = model.entry
    pedigree = {}
    if entry is not None:
        origin = entry.pedigree
        pedigree = {"package": origin.package, "weights": origin.weights, "data": origin.data, "parent": origin.parent}
    return {
        "name": model.name,
        "task": model.task,
        "about": model.about,
        "licence": model.licence,
        "pedigree": pedigree,
        "restricted": entry is not None and entry.restricted,
        "size_bytes": None if entry is None else entry.size_bytes,
        "here": model.here,
        "fetchable": entry is not None and not model.here,
        "checked": None if entry is None else entry.checked,
        **registry.facts(model),
    }
