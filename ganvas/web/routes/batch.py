"""Several photos at once: apply one recipe to all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from ganvas.editing.recipe import Recipe
from ganvas.session.chosen_faces import FaceChoice, parse_face_number
from ganvas.web.answers import JobAnswer
from ganvas.web.batch import RESULT, batch_folder, run_batch
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.openapi import FILE, NUMBER, TEXT, answer_file, take_form
from ganvas.web.routes.common import EFFORT_NAMES, StudioDep, describe_job
from ganvas.web.uploads import reading_form

router = APIRouter(prefix="/api/batch", tags=["batch"])
MAX_BATCHES = 3
BATCH_FORM = take_form(
    "photos",
    "recipe",
    photos={"type": "array", "items": FILE},
    recipe=TEXT | {"description": "JSON"},
    effort={"type": "string", "enum": list(EFFORT_NAMES)},
    quality=NUMBER,
    disclose={"type": "string", "enum": ["0", "1"]},
    face=TEXT | {"description": "2 (by size), or all; none = as in the recipe"},
    example=FILE | {"description": "a photo of somebody: in each photo the face that looks most like this one"},
)


@router.post("", response_model=JobAnswer, **BATCH_FORM)
async def start_batch(request: Request, studio: StudioDep) -> dict[str, Any]:
    """Form: `photos` (several), `recipe` (JSON), `effort`, `quality`, `disclose` (0 = not in the XMP), `face` (a
    number, or all) or `example` (a photo of the one whose face is meant). A job; its result names what failed."""
    if len(list(studio.folder.glob("batch-*"))) >= MAX_BATCHES:
        raise HTTPException(429, f"{MAX_BATCHES} batches are already stored: download their results, or wait")
    most = studio.config.batch_photos
    async with reading_form(request, studio.uploads, studio.config, files=most + 1, patience=10) as form:
        data = form.json("recipe")
        if data is None:
            raise HTTPException(400, "a recipe is required in the form field 'recipe'")
        recipe = Recipe.from_json(json.dumps(data))
        effort, quality = form.text("effort") or recipe.effort, int(form.number("quality", 95) or 95)
        if effort not in EFFORT_NAMES:
            raise HTTPException(422, f"effort must be one of {', '.join(EFFORT_NAMES)}, got {effort[:20]!r}")
        field = "photos" if "photos" in form.data else "photos[]"
        disclose = form.number("disclose", 1) != 0

        def work(job: Job) -> dict[str, Any]:
            how: dict[str, Any] = {"effort": effort, "quality": quality, "disclose": disclose}
            return run_batch(studio, job, saved, recipe, face=chosen, **how)

        chosen = None if not (text := form.text("face")) else parse_face_number(text)
        job = Job("batch", work)
        folder = batch_folder(studio, job.id)
        folder.mkdir()
        try:
            saved: list[tuple[str, Path]] = []
            if form.has_file("example"):
                chosen = FaceChoice(like=folder / "example.photo")
                (folder / "example.photo").write_bytes(await form.file("example", limit=studio.config.upload_bytes))
            async for name, photo in form.each(field, limit=studio.config.upload_bytes, most=most):
                saved.append((name, folder / f"{len(saved)}.photo"))
                saved[-1][1].write_bytes(photo)
            return describe_job(studio.jobs.start(job))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@router.get("/{id}/result.zip", **answer_file("application/zip"))
def download_batch(id: str, studio: StudioDep) -> FileResponse:
    """The edited photos and the recipe."""
    job = studio.jobs.find(id)
    file = batch_folder(studio, job.id) / RESULT
    if job.kind != "batch" or not file.is_file():
        raise NotReady("this batch is not finished")
    return FileResponse(file, media_type="application/zip", filename="ganvas-batch.zip")
