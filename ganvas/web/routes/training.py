"""Training: choose a folder and a preset, start, watch, stop."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import FileResponse

from ganvas.editing.recipe import STEPS
from ganvas.fields import form_of
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.web.routes.common import StudioDep
from ganvas.web.routes.sessions import RequestBody

router = APIRouter(prefix="/api", tags=["training"])


class TrainRequest(RequestBody):
    """A training run: data, preset, length, name."""

    data: str
    preset: str | None = None
    minutes: float | None = Field(None, gt=0, le=1_000_000)
    name: str | None = None
    settings: dict[str, Any] = {}  # of `GET /api/forms`: those that shall differ from the preset's


@router.get("/presets")
def presets() -> list[dict[str, Any]]:
    """Training presets."""
    return [
        {
            "name": name,
            "about": one.about,
            "result": one.result,
            "resolution": one.config.resolution,
            "settings": one.config.to_json(),
        }
        for name, one in GENERATOR_PRESETS.items()
        if not one.transfer_only
    ]


@router.get("/forms")
def forms() -> dict[str, Any]:
    """The fields of every edit step and of a training run, as declared by the classes."""
    steps = {name: {"help": inspect.getdoc(step) or "", "fields": form_of(step)} for name, step in STEPS.items()}
    return {"steps": steps, "training": form_of(TrainConfig)}


@router.get("/folders")
def folders(studio: StudioDep, under: str = "") -> dict[str, Any]:
    """Folders below the data root."""
    return studio.training_runs.folders(under)


@router.post("/train")
def train(body: TrainRequest, studio: StudioDep) -> dict[str, Any]:
    """Start a run in a separate process, or resume the run of that name."""
    return {"run": studio.training_runs.start(**body.model_dump())}


@router.get("/runs")
def runs(studio: StudioDep) -> list[dict[str, Any]]:
    """All runs, the latest first."""
    return studio.training_runs.all()


@router.get("/runs/{name}")
def run(name: str, studio: StudioDep) -> dict[str, Any]:
    """One run: its state, last metrics and output lines."""
    return studio.training_runs.one(name)


@router.post("/runs/{name}/stop")
def stop(name: str, studio: StudioDep) -> dict[str, Any]:
    """Save and stop the run; the same request resumes it later."""
    studio.training_runs.stop(name)
    return {"stopping": name}


@router.get("/runs/{name}/fakes.jpg")
def fakes(name: str, studio: StudioDep) -> FileResponse:
    """The latest sheet of samples of a run."""
    return FileResponse(studio.training_runs.picture(name, "fakes"), media_type="image/jpeg")


@router.get("/runs/{name}/curves.png")
def curves(name: str, studio: StudioDep) -> FileResponse:
    """The curves of a run."""
    return FileResponse(studio.training_runs.picture(name, "curves"), media_type="image/png")
