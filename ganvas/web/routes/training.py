"""Training: choose a folder and a preset, start, watch, stop."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import FileResponse

from ganvas.training.presets import PRESETS
from ganvas.web.forms import step_forms, training_form
from ganvas.web.routes.common import AStudio
from ganvas.web.routes.sessions import Body

router = APIRouter(prefix="/api", tags=["training"])


class Training(Body):
    """A run: pictures, how, how long, under which name."""

    data: str
    preset: str | None = None
    minutes: float | None = Field(None, gt=0, le=1_000_000)
    name: str | None = None


@router.get("/presets")
def presets() -> list[dict[str, Any]]:
    """Runs that are known to work."""
    return [
        {"name": name, "about": one.about, "result": one.result, "resolution": one.config.resolution}
        for name, one in PRESETS.items()
        if not one.transfer_only
    ]


@router.get("/forms")
def forms() -> dict[str, Any]:
    """The fields of every edit step and of a training run, as the classes themselves have them."""
    return {"steps": step_forms(), "training": training_form()}


@router.get("/folders")
def folders(studio: AStudio, under: str = "") -> dict[str, Any]:
    """Folders below the one the studio was started with."""
    return studio.trainers.folders(under)


@router.post("/train")
def train(asked: Training, studio: AStudio) -> dict[str, Any]:
    """Begin a run in a process of its own, or go on with the one of that name."""
    run = studio.trainers.start(data=asked.data, preset=asked.preset, minutes=asked.minutes, name=asked.name)
    return {"run": run}


@router.get("/runs")
def runs(studio: AStudio) -> list[dict[str, Any]]:
    """All runs, the latest first."""
    return studio.trainers.all()


@router.get("/runs/{name}")
def run(name: str, studio: AStudio) -> dict[str, Any]:
    """One run: how it stands, its last figures and lines."""
    return studio.trainers.one(name)


@router.post("/runs/{name}/stop")
def stop(name: str, studio: AStudio) -> dict[str, Any]:
    """Let it save and stop; the same request goes on later."""
    studio.trainers.stop(name)
    return {"stopping": name}


@router.get("/runs/{name}/fakes.jpg")
def fakes(name: str, studio: AStudio) -> FileResponse:
    """Its latest sheet of pictures."""
    return FileResponse(studio.trainers.picture(name, "fakes"), media_type="image/jpeg")


@router.get("/runs/{name}/curves.png")
def curves(name: str, studio: AStudio) -> FileResponse:
    """Its curves."""
    return FileResponse(studio.trainers.picture(name, "curves"), media_type="image/png")
