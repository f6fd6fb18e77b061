"""One recipe over many photos: a job, and a zip at its end."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganvas.editing.recipe import Recipe
from ganvas.errors import GanvasError, Stopped
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.session.chosen_faces import FaceChoice, FacePicker, replay_on_faces
from ganvas.session.open import open_session
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.plan import check_recipe
from ganvas.session.session import Session
from ganvas.web.errors import error_as_data
from ganvas.web.jobs import Job
from ganvas.web.studio import Studio

OUTPUT_FORMATS = {"JPEG": ("JPEG", ".jpg"), "WEBP": ("WEBP", ".webp")}  # all else becomes PNG
RESULT = "result.zip"


def batch_folder(studio: Studio, id: str) -> Path:
    """Where a batch's photos and its result lie."""
    return studio.folder / f"batch-{id}"


def run_batch(
    studio: Studio,
    job: Job,
    photos: Sequence[tuple[str, Path]],
    recipe: Recipe,
    *,
    effort: str,
    quality: int,
    disclose: bool,
    face: FaceChoice | None = None,
) -> dict[str, Any]:
    """Every photo through the recipe; one that fails is named and does not stop the rest.

    `face` says whose faces in each photo; None = as the recipe has it.

    Returns:
        `done`: names in the zip; `failed`: name and error of each other.
    """
    name = recipe.model if recipe.model in studio.registry.models() else studio.registry.default_generator()
    G, extractor = studio.registry.get(name or "faces", task="generate"), studio.registry.extractor()
    check_recipe(recipe, G, model=name or "faces", network=studio.network)
    finder = studio.registry.finder()
    face = face or FaceChoice(number=None if finder is None else recipe.face)
    picker = None if face.is_plain else FacePicker(face, G, finder=finder)
    options: dict[str, Any] = {"model": G, "name": name, "effort": effort, "extractor": extractor}
    options |= {"finder": finder, "network": studio.network}
    done: list[str] = []
    failed: list[dict[str, Any]] = []
    folder = batch_folder(studio, job.id)
    with zipfile.ZipFile(folder / f".{RESULT}", "w", zipfile.ZIP_STORED) as archive:
        for at, (title, path) in enumerate(photos):
            job.message = f"{title} ({at + 1}/{len(photos)})"

            def on_step(step: float, total: float, *_: object, at: int = at) -> None:
                job.step(at + step / max(total, 1), len(photos))

            try:
                photo = read_image(path.read_bytes(), max_pixels=studio.config.upload_pixels)
                edits: PhotoEdits | Session
                if picker is not None:
                    edits = replay_on_faces(photo, recipe, picker.pick(photo), on_step=on_step, **options)
                else:
                    edits = open_session(photo, face=face.number, on_step=on_step, **options)
                    edits.replay(recipe)
                kind, suffix = OUTPUT_FORMATS.get(photo.format or "", ("PNG", ".png"))
                edited = edits.render(on_step=on_step)
                data = encode_image(
                    replace(edited, path=None),
                    kind,
                    quality=quality,
                    background=_background_for(kind),
                    disclose=disclose,
                )
                done.append(_unique_name(f"{Path(title).stem}-ganvas{suffix}", done))
                archive.writestr(done[-1], data)
            except Stopped:
                raise
            except (GanvasError, MemoryError) as error:
                failed.append({"name": title, "error": error_as_data(error)})
            finally:
                path.unlink(missing_ok=True)
        archive.writestr("recipe.json", json.dumps(json.loads(recipe.to_json()), indent=2, ensure_ascii=False))
    (folder / f".{RESULT}").replace(folder / RESULT)
    return {"done": done, "failed": failed}


def _background_for(kind: str) -> str | None:
    return "white" if kind == "JPEG" else None


def _unique_name(name: str, used: Sequence[str]) -> str:
    """Two photos of one name do not overwrite each other."""
    stem, suffix = Path(name).stem, Path(name).suffix
    return next(n for n in (name, *(f"{stem}-{i}{suffix}" for i in range(2, len(used) + 3))) if n not in used)


def sweep_batches(studio: Studio) -> None:
    """Delete unfetched results after the idle time of sessions."""
    for folder in studio.folder.glob("batch-*"):
        if time.time() - folder.stat().st_mtime > studio.config.idle_sec:
            shutil.rmtree(folder, ignore_errors=True)
