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
from ganvas.web.answers import (
    FolderAnswer,
    FormsAnswer,
    PresetAnswer,
    RunAnswer,
    StartedAnswer,
    StoppingAnswer,
)
from ganvas.web.openapi import answer_file
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


@router.get("/presets", response_model=list[PresetAnswer])
def list_presets() -> list[dict[str, Any]]:
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


@router.get("/forms", response_model=FormsAnswer)
def list_forms() -> dict[str, Any]:
    """The fields of every edit step and of a training run, as declared by the classes."""
    steps = {name: {"help": inspect.getdoc(step) or "", "fields": form_of(step)} for name, step in STEPS.items()}
    return {"steps": steps, "training": form_of(TrainConfig)}


@router.get("/folders", response_model=FolderAnswer)
def list_folder(studio: StudioDep, under: str = "") -> dict[str, Any]:
    """Folders below the data root."""
    return studio.training_runs.folders(under)


@router.post("/train", response_model=StartedAnswer)
def start_training(body: TrainRequest, studio: StudioDep) -> dict[str, Any]:
    """Start a run in a separate process, or resume the run of that name."""
    return {"run": studio.training_runs.start(**body.model_dump())}


@router.get("/runs", response_model=list[RunAnswer])
def list_all_runs(studio: StudioDep) -> list[dict[str, Any]]:
    """All runs, the latest first."""
    return studio.training_runs.all()


@router.get("/runs/{name}", response_model=RunAnswer)
def read_run(name: str, studio: StudioDep) -> dict[str, Any]:
    """One run: its state, last metrics and output lines."""
    return studio.training_runs.one(name)


@router.post("/runs/{name}/stop", response_model=StoppingAnswer)
def stop_training(name: str, studio: StudioDep) -> dict[str, Any]:
    """Save and stop the run; the same request resumes it later."""
    studio.training_runs.stop(name)
    return {"stopping": name}


@router.get("/runs/{name}/fakes.jpg", **answer_file("image/jpeg"))
def view_fakes(name: str, studio: StudioDep) -> FileResponse:
    """The latest sheet of samples of a run."""
    return FileResponse(studio.training_runs.picture(name, "fakes"), media_type="image/jpeg")


@router.get("/runs/{name}/curves.png", **answer_file("image/png"))
def view_curves(name: str, studio: StudioDep) -> FileResponse:
    """The curves of a run."""
    return FileResponse(studio.training_runs.picture(name, "curves"), media_type="image/png")
