"""How a photo gets into the studio: from a file or a seed; then into the model, or resumed as it was saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from ganvas.session.photo_edits import PhotoEdits, order_faces
from ganvas.session.project_file import ZIP_START, read_project_file, strip_project_file
from ganvas.session.records import PhotoRecord, edits_of_session, restore_edits
from ganvas.session.session import Session
from ganvas.session.stored_photo import StoredPhoto
from ganvas.session.variants import VariantList
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.studio import Studio
from ganvas.web.views import mark_changed, recipe_as_data, send_state

_PREVIEW_PX = 256
PREVIEW_EVERY = 4  # steps of an inversion between two pictures


# -- opening; on the device's thread


def open_upload(studio: Studio, data: bytes, *, name: str, model: str | None, project: str | None = None) -> OpenPhoto:
    """A photo from its bytes, with the faces in it.

    Args:
        studio: that it is opened in.
        data: its file.
        name: of the file.
        model: the generator to edit it with; None = the default one.
        project: the id of the project that keeps it; None = it is forgotten when it is closed.

    Raises:
        BadImage, BadConfig, HTTPException: see `read_image`, `ModelRegistry.find`, `Studio.add`.
    """
    saved = _saved_edits(data, studio)
    if saved is not None and data.startswith(ZIP_START):  # a session's file: there is no picture but the original
        original = saved.read_original()
        if original is None:
            return _open_seed_record(studio, saved, project=project)
        data, name = original, saved.name
    photo = read_image(data, max_pixels=studio.config.upload_pixels)
    chosen = _generator_name(studio, model)
    faces, needs_face = _faces(studio, photo, chosen)
    open_photo = OpenPhoto(
        photo, model=chosen or "", name=name, faces=faces, needs_face=needs_face, network=studio.network
    )
    open_photo.recipe, open_photo.saved = recipe_as_data(photo.recipe), saved
    if saved is not None and saved.recipe is not None and open_photo.recipe is None:
        open_photo.recipe = recipe_as_data(saved.recipe.to_json())
    studio.add(open_photo)
    _keep(studio, open_photo, project, data)
    return open_photo


def _saved_edits(data: bytes, studio: Studio) -> PhotoRecord | None:
    file = read_project_file(data, upload_bytes=studio.config.upload_bytes)
    if file is None:
        return None
    if len(file.photos) > 1:
        raise BadConfig(f"this file is a project of {len(file.photos)} photos: import it (POST /api/projects/import)")
    return file.photos[0]


def _keep(studio: Studio, open_photo: OpenPhoto, project: str | None, data: bytes | None) -> None:
    """Write a new photo to its project, or its file to the studio's folder."""
    if project is not None:
        original = None if data is None else strip_project_file(data)
        record = replace(open_photo.to_record(), original=original)
        photo = open_photo.require_edits().photo
        open_photo.stored = studio.projects.find(project).add(record, size=photo.size)
        open_photo.save()
    open_photo.keep_original(studio.folder, data)


def open_generated(
    studio: Studio, seed: int, *, model: str | None, truncation_psi: float, project: str | None = None
) -> OpenPhoto:
    """A picture of the generator's own; ready at once.

    Raises:
        BadConfig: an unknown model or seed. FetchError: the model is not here.
    """
    chosen = _require_generator(_generator_name(studio, model))
    G = studio.registry.get(chosen, task="generate")
    session = open_seed(seed, model=G, name=chosen, truncation_psi=truncation_psi, network=studio.network)
    return _add_seed(studio, edits_of_session(session), name=f"seed-{seed}", project=project)


def open_stored(studio: Studio, project: str, photo: str) -> OpenPhoto:
    """A photo of a project; the same as before where it is open already. Its editing follows with `start_resuming`.

    Raises:
        UnknownProject: it was deleted. FetchError: a picture from a seed, and its model is not here.
    """
    stored = studio.projects.find(project).photo(photo)
    for one in studio.open_photos.values():
        if one.stored is not None and one.stored.id == photo:
            return one
    record = stored.record()
    original = record.read_original()
    if original is None:
        return _open_seed_record(studio, record, stored=stored)
    img = read_image(original, max_pixels=studio.config.upload_pixels)
    faces, needs_face = list(record.faces or ()), record.needs_face
    if not faces:
        faces, needs_face = _faces(studio, img, _generator_name(studio, None))
    open_photo = OpenPhoto(
        img, model=record.model, name=record.name, faces=faces, needs_face=needs_face, network=studio.network
    )
    open_photo.stored, open_photo.original = stored, stored.original
    open_photo.variants = VariantList(record.variants)
    if any(layer.inversion is not None for layer in record.layers):
        open_photo.saved = record
    else:
        for layer in record.layers:  # finishing steps alone
            open_photo.require_edits().plain.restore(layer.history, layer.at)
    return studio.add(open_photo)


def _open_seed_record(
    studio: Studio, record: PhotoRecord, *, project: str | None = None, stored: StoredPhoto | None = None
) -> OpenPhoto:
    edits = restore_edits(record, lambda name: _generator(studio, name), max_pixels=0, network=studio.network)
    return _add_seed(studio, edits, name=record.name, project=project, stored=stored, record=record)


def _add_seed(
    studio: Studio,
    edits: PhotoEdits,
    *,
    name: str,
    project: str | None = None,
    stored: StoredPhoto | None = None,
    record: PhotoRecord | None = None,
) -> OpenPhoto:
    assert edits.session is not None
    open_photo = OpenPhoto(edits.photo, model=edits.session.recipe.model, name=name)
    open_photo.edits, open_photo.state, open_photo.stored = edits, "ready", stored
    open_photo.variants = VariantList() if record is None else VariantList(record.variants)
    studio.add(open_photo)
    if project is not None:
        _keep(studio, open_photo, project, None)
    return open_photo


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
    """The faces from left to right, and whether the model needs one."""
    needed = model is not None and bool(studio.registry.facts(studio.registry.find(model))["faces"])
    finder = studio.registry.finder() if needed else None
    return (order_faces(find_faces(photo.img, finder=finder)) if finder is not None else []), needed


def look_for_faces(studio: Studio, open_photo: OpenPhoto, *, model: str | None = None) -> None:
    """Again, since there is a model now that there was not when the photo was opened. On the device's thread.

    Raises:
        BadConfig, FetchError: see `_generator_name`.
    """
    edits = open_photo.require_edits()
    open_photo.model = _generator_name(studio, model or open_photo.model or None) or ""
    if not edits.sessions and not edits.faces:
        faces, open_photo.needs_face = _faces(studio, edits.photo, open_photo.model or None)
        edits.faces = tuple(faces)


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
    if model is not None or not open_photo.model:  # a model may have been fetched since the photo was opened
        open_photo.model = _generator_name(studio, model) or ""
    _require_generator(open_photo.model)
    if face is not None and not 0 <= face < len(open_photo.faces):
        raise BadConfig(f"this photo has {len(open_photo.faces)} faces, counted from 0; there is no face {face}")

    def work(job: Job) -> None:
        look_for_faces(studio, open_photo)
        session, place = _invert_upload(studio, open_photo, job, face=face, effort=effort, crop=crop)
        edits = open_photo.require_edits()
        earlier = None if open_photo.stored is None else open_photo.stored.earlier(place, session.recipe.fingerprint)
        if earlier is not None and place not in edits.sessions:
            session.take_over(earlier.history, earlier.at)
        edits.add(place, session)
        if recipe is not None:
            session.replay(recipe)

    return _start(studio, open_photo, "invert", work)


def start_resuming(studio: Studio, open_photo: OpenPhoto) -> Job:
    """Queue resuming the editing that the opened file carries: nothing is searched, the photo is the original.

    Raises:
        NotReady: it carries none, or is being opened already. FetchError, BadConfig: its model is not here.
    """
    record = open_photo.saved
    if record is None or open_photo.state == "inverting":
        raise NotReady("this file contains no saved edits, or it is being opened already")
    for layer in record.layers:
        if layer.inversion is not None:
            _resolve_generator(studio, layer.history[0].model)

    def work(job: Job) -> None:
        job.message = "reading the model"
        edits = restore_edits(
            record,
            lambda name: _generator(studio, name),
            max_pixels=studio.config.upload_pixels,
            extractor=studio.registry.extractor(),
            network=studio.network,
        )
        assert edits.session is not None
        model = _resolve_generator(studio, edits.session.recipe.model)
        if record.faces is None:  # a file of format 1
            faces, _ = _faces(studio, edits.photo, model)
            edits.name_faces(faces)
        open_photo.edits, open_photo.saved, open_photo.variants = edits, None, VariantList(record.variants)
        open_photo.model, open_photo.name, open_photo.needs_face = model, record.name, record.needs_face
        _replace_original(studio, open_photo, record)

    return _start(studio, open_photo, "resume", work)


def _replace_original(studio: Studio, open_photo: OpenPhoto, record: PhotoRecord) -> None:
    """What was opened was the edited picture; from now on the photo is the original."""
    stored, data = open_photo.stored, record.read_original()
    if stored is not None and record.original == stored.original:
        return
    if stored is not None:
        open_photo.stored = None
        _keep(studio, open_photo, stored.project, data)
        stored.delete()
    else:
        open_photo.keep_original(studio.folder, data)


def _start(studio: Studio, open_photo: OpenPhoto, kind: str, work: Callable[[Job], None]) -> Job:
    """A job that gives the photo its session."""

    def work_and_tell(job: Job) -> dict[str, Any]:
        try:
            work(job)
        finally:
            open_photo.state, open_photo.share = "ready" if open_photo.session is not None else "faces", None
            mark_changed(open_photo)
        return {"fidelity": open_photo.require_session().inversion.figures}

    job = Job(
        kind,
        work_and_tell,
        owner=open_photo.id,
        title=open_photo.name,
        on_update=lambda job: _report(open_photo, job),
    )
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
        if open_photo.edits is not None:
            send_state(open_photo)
    open_photo.send_job(job)


def _invert_upload(
    studio: Studio, open_photo: OpenPhoto, job: Job, *, face: int | None, effort: str, crop: Crop | None
) -> tuple[Session, int | None]:
    photo = open_photo.require_edits().photo
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
    return session, None if chosen is None else open_photo.faces.index(chosen)


def _choose_face(studio: Studio, open_photo: OpenPhoto, face: int | None) -> Face:
    faces = open_photo.faces
    if not faces and studio.registry.finder() is None:
        raise FetchError("finding faces needs the model 'mtcnn': fetch it first, or draw the square yourself")
    if face is not None and faces:
        return faces[face]
    return choose_face(sorted(faces, key=lambda one: one.number or 0))


def _resolve_generator(studio: Studio, model: str) -> str:
    """By the name in a recipe; the fingerprint says whether it is the same model when it is read."""
    known = studio.registry.models()
    name = model if model in known else studio.registry.default_generator()
    if name is None or not known[name].here:
        raise FetchError(f"this was edited with the model {model[:80]!r}: fetch it first")
    return name


def _generator(studio: Studio, model: str) -> Any:
    return studio.registry.get(_resolve_generator(studio, model), task="generate")
