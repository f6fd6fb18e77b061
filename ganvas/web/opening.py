"""How a photo gets into the studio: from a file or a seed; then into the model, or resumed as it was saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from starlette.exceptions import HTTPException

from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, FetchError
from ganvas.features.faces import Face, choose_face, find_faces
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop, is_aligned
from ganvas.ops.resample import downscale
from ganvas.session.open import open_seed, open_session
from ganvas.session.project_file import ZIP_START, ProjectFile, read_project_file, resume_project
from ganvas.session.session import Session
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.studio import Studio
from ganvas.web.views import mark_changed, recipe_as_data, send_state

_PREVIEW_PX = 256
PREVIEW_EVERY = 4  # steps of an inversion between two pictures


# -- opening; on the device's thread


def open_upload(studio: Studio, data: bytes, *, name: str, model: str | None) -> OpenPhoto:
    """A photo from its bytes, with the faces in it.

    Raises:
        BadImage, BadConfig, HTTPException: see `read_image`, `ModelRegistry.find`, `Studio.add`.
    """
    project = read_project_file(data, upload_bytes=studio.config.upload_bytes)
    if project is not None and data.startswith(ZIP_START):  # a session's file: there is no picture but the original
        if project.original is None:
            return _open_seed_project(studio, project)
        data, name = project.original, project.name
    photo = read_image(data, max_pixels=studio.config.upload_pixels)
    chosen = _generator_name(studio, model)
    faces, needs_face = _faces(studio, photo, chosen)
    open_photo = OpenPhoto(photo, model=chosen or "", name=name, faces=faces, needs_face=needs_face)
    open_photo.recipe, open_photo.project = recipe_as_data(photo.recipe), project
    if project is not None and open_photo.recipe is None:
        open_photo.recipe = recipe_as_data(project.recipe.to_json())
    studio.add(open_photo)
    open_photo.keep_original(studio.folder, data)
    return open_photo


def open_generated(studio: Studio, seed: int, *, model: str | None, truncation_psi: float) -> OpenPhoto:
    """A picture of the generator's own; ready at once.

    Raises:
        BadConfig: an unknown model or seed. FetchError: the model is not here.
    """
    chosen = _require_generator(_generator_name(studio, model))
    G = studio.registry.get(chosen, task="generate")
    session = open_seed(seed, model=G, name=chosen, truncation_psi=truncation_psi, network=studio.network)
    return _add_seed(studio, session, name=f"seed-{seed}")


def _open_seed_project(studio: Studio, project: ProjectFile) -> OpenPhoto:
    chosen = _require_generator(_generator_name(studio, project.recipe.model))
    return _add_seed(studio, _resume(studio, project, chosen), name=project.name)


def _add_seed(studio: Studio, session: Session, *, name: str) -> OpenPhoto:
    open_photo = OpenPhoto(session.photo, model=session.recipe.model, name=name)
    open_photo.session, open_photo.state = session, "ready"
    return studio.add(open_photo)


def _generator_name(studio: Studio, model: str | None) -> str | None:
    if model is None:
        return studio.registry.default_generator()
    known = studio.registry.find(model, task="generate")
    if not known.here:
        raise FetchError(f"the model {model!r} is not on this computer yet: fetch it first")
    return known.name


def _require_generator(name: str | None) -> str:
    if not name:
        raise FetchError("there is no generator on this computer yet: fetch one first, such as 'faces'")
    return name


def _faces(studio: Studio, photo: Photo, model: str | None) -> tuple[list[Face], bool]:
    """The faces, and whether the model needs one."""
    needed = model is not None and bool(studio.registry.facts(studio.registry.find(model))["faces"])
    finder = studio.registry.finder() if needed else None
    return (find_faces(photo.img, finder=finder) if finder is not None else []), needed


# -- bringing it into the model; jobs


def start_inversion(
    studio: Studio,
    open_photo: OpenPhoto,
    *,
    face: int | None,
    effort: str,
    crop: Crop | None,
    model: str | None,
    recipe: Recipe | None,
) -> Job:
    """Queue the search; the photo is ready when its job is done.

    Raises:
        NotReady: it is being searched already. BadConfig, NoFace, FetchError: what is asked for is not there.
    """
    if open_photo.state == "inverting":
        raise NotReady("this photo is being brought into the model already: cancel that job first")
    if model is not None:
        open_photo.model = _generator_name(studio, model) or ""
    _require_generator(open_photo.model)
    if face is not None and not 0 <= face < len(open_photo.faces):
        raise BadConfig(f"this photo has {len(open_photo.faces)} faces, counted from 0; there is no face {face}")

    def work(job: Job) -> None:
        open_photo.session = _invert_upload(studio, open_photo, job, face=face, effort=effort, crop=crop)
        if recipe is not None:
            open_photo.session.replay(recipe)

    return _start(studio, open_photo, "invert", work)


def start_resuming(studio: Studio, open_photo: OpenPhoto) -> Job:
    """Queue resuming the editing that the opened file carries: nothing is searched, the photo is the original.

    Raises:
        NotReady: it carries none, or is being opened already. FetchError, BadConfig: its model is not here.
    """
    project = open_photo.project
    if project is None or open_photo.state == "inverting":
        raise NotReady("this file contains no saved edits, or it is being opened already")
    name = _generator_of(studio, project)

    def work(job: Job) -> None:
        session = _resume(studio, project, name)
        faces, _ = _faces(studio, session.photo, name)
        open_photo.faces, open_photo.needs_face = tuple(faces), project.face is not None
        open_photo.face = project.face if project.face is not None and project.face < len(faces) else None
        open_photo.photo, open_photo.session, open_photo.project = session.photo, session, None
        open_photo.model, open_photo.name = name, project.name
        open_photo.keep_original(studio.folder, project.original)

    return _start(studio, open_photo, "resume", work)


def _start(studio: Studio, open_photo: OpenPhoto, kind: str, work: Callable[[Job], None]) -> Job:
    """A job that gives the photo its session."""

    def work_and_tell(job: Job) -> dict[str, Any]:
        try:
            work(job)
        finally:
            open_photo.state = "ready" if open_photo.session is not None else "faces"
            mark_changed(open_photo)
        return {"fidelity": open_photo.require_session().inversion.figures}

    job = Job(kind, work_and_tell, owner=open_photo.id, on_update=lambda job: _report(open_photo, job))
    before, open_photo.state = open_photo.state, "inverting"
    try:
        return studio.jobs.start(job)
    except HTTPException:
        open_photo.state = before
        raise


def _report(open_photo: OpenPhoto, job: Job) -> None:
    """A job that was cancelled before it began leaves the photo as it was."""
    if job.state == "cancelled" and open_photo.state == "inverting":
        open_photo.state = "ready" if open_photo.session is not None else "faces"
        if open_photo.photo is not None:
            send_state(open_photo)
    open_photo.send_job(job)


def _invert_upload(
    studio: Studio, open_photo: OpenPhoto, job: Job, *, face: int | None, effort: str, crop: Crop | None
) -> Session:
    photo = open_photo.require_photo()
    job.message = "reading the model"
    G, extractor = studio.registry.get(open_photo.model, task="generate"), studio.registry.extractor()
    chosen = _choose_face(studio, open_photo, face) if crop is None and is_aligned(G, "auto") else None
    crop, _ = align_crop(photo, aligned=chosen is not None, crop=crop, face=chosen)
    job.message = "finding the face in the model" if chosen is not None else "finding the picture in the model"
    open_photo.crop = crop
    send_state(open_photo)  # from now on the page knows where previews belong

    def on_step(step: int, total: int, img: torch.Tensor) -> None:
        if step % PREVIEW_EVERY == 0:
            open_photo.send_preview(downscale(img, min(_PREVIEW_PX, img.shape[3])), job=job.id)
        job.step(step, total)

    session = open_session(
        photo,
        model=G,
        name=open_photo.model,
        effort=effort,
        face=chosen,
        crop=crop,
        extractor=extractor,
        network=studio.network,
        on_step=on_step,
    )
    open_photo.face = None if chosen is None else open_photo.faces.index(chosen)
    open_photo.share = None
    return session


def _choose_face(studio: Studio, open_photo: OpenPhoto, face: int | None) -> Face:
    faces = list(open_photo.faces)
    if not faces and studio.registry.finder() is None:
        raise FetchError("finding faces needs the model 'mtcnn': fetch it first, or draw the square yourself")
    return choose_face(faces, None if face is None else face + 1)


def _generator_of(studio: Studio, project: ProjectFile) -> str:
    """By the name in its recipe; the fingerprint says whether it is the same model when it is read."""
    known = studio.registry.models()
    name = project.recipe.model if project.recipe.model in known else studio.registry.default_generator()
    if name is None or not known[name].here:
        raise FetchError(f"this was edited with the model {project.recipe.model[:80]!r}: fetch it first")
    return name


def _resume(studio: Studio, project: ProjectFile, name: str) -> Session:
    return resume_project(
        project,
        studio.registry.get(name, task="generate"),
        name=name,
        max_pixels=studio.config.upload_pixels,
        extractor=studio.registry.extractor(),
        network=studio.network,
    )
