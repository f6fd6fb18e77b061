"""A studio: its desks, its models, its jobs, its folder, and what happens at a desk."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from starlette.exceptions import HTTPException

from ganvas.checks import check_ws
from ganvas.editing.directions import Direction
from ganvas.editing.post_steps import Translate, Upscale
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, FetchError
from ganvas.features.faces import choose_face
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import is_aligned
from ganvas.inversion.optimise import invert
from ganvas.inversion.result import Inversion
from ganvas.ops.resample import downscale
from ganvas.session.open import open_seed, open_session
from ganvas.session.project_file import ZIP_START, ProjectFile, read_project_file, strip_project_file
from ganvas.session.session import Session
from ganvas.web.config import StudioConfig
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job, Jobs
from ganvas.web.model_registry import ModelRegistry
from ganvas.web.open_photo import OpenPhoto, make_temp_folder
from ganvas.web.training_runs import TrainingRuns
from ganvas.web.uploads import Uploads
from ganvas.web.views import recipe_as_data

_PREVIEW_PX = 256
PREVIEW_EVERY = 4  # steps of an inversion between two pictures
EVICTABLE_AFTER_SEC = 60.0  # without a request; a desk that is older may have to go when all are taken


class Studio:
    """Everything a running studio has; one a server."""

    def __init__(self, config: StudioConfig):
        self.config = config
        self.jobs = Jobs(waiting=config.waiting_jobs)
        self.registry = ModelRegistry(runs=config.runs, own=config.model)
        self.training_runs = TrainingRuns(data_root=config.data_root, runs=config.runs)
        self.open_photos: dict[str, OpenPhoto] = {}
        self.samples: OrderedDict[tuple[str, int, int], torch.Tensor] = OrderedDict()  # model, seed, size → picture
        self.searches: OrderedDict[str, tuple[str, list[Direction]]] = OrderedDict()  # job → model, what was found
        self.uploads = Uploads(config.uploads)
        self._folder = make_temp_folder()
        self._tidying = False

    @property
    def folder(self) -> Path:
        """The studio's own files."""
        return Path(self._folder.name)

    def close(self) -> None:
        """Stop everything and leave nothing behind."""
        self.jobs.close()
        for open_photo in list(self.open_photos.values()):
            self.close_photo(open_photo)
        self._folder.cleanup()

    # -- desks

    def find(self, id: str) -> OpenPhoto:
        """A desk by its id, which is known to its user alone.

        Raises:
            HTTPException: 404.
        """
        open_photo = self.open_photos.get(id)
        if open_photo is None:
            raise HTTPException(404, "there is no such session, or it was closed: open the photo again")
        open_photo.last_request_sec = time.monotonic()
        return open_photo

    def ensure_capacity(self) -> None:
        """Is there a desk for one more photo?

        Raises:
            HTTPException: 429.
        """
        if len(self.open_photos) < self.config.sessions:
            return
        oldest = min(self.open_photos.values(), key=lambda open_photo: open_photo.last_request_sec)
        if time.monotonic() - oldest.last_request_sec < EVICTABLE_AFTER_SEC or oldest.listeners:
            raise HTTPException(
                429,
                f"{len(self.open_photos)} photos are open, which is all this studio takes; close one, or try "
                f"again later",
            )
        self.close_photo(oldest)

    def add(self, open_photo: OpenPhoto) -> OpenPhoto:
        """A new desk, if its photo still fits beside the others.

        Raises:
            HTTPException: 429.
        """
        self.ensure_capacity()
        if sum(one.pixels for one in self.open_photos.values()) + open_photo.pixels > self.config.pixels_in_all:
            raise HTTPException(
                429, "the photos that are open fill this studio's memory; close one, or try again later"
            )
        self.open_photos[open_photo.id] = open_photo
        return open_photo

    def close_photo(self, open_photo: OpenPhoto) -> None:
        """Close a desk: its jobs are stopped, its memory goes back."""
        self.open_photos.pop(open_photo.id, None)
        self.jobs.cancel_owned(open_photo.id)
        self.jobs.forget_owned(open_photo.id)
        open_photo.close()
        self._tidy()

    def _tidy(self) -> None:
        """Hand memory back, soon, and once for all that was closed meanwhile."""
        if not self._tidying:
            self._tidying = True
            with contextlib.suppress(HTTPException):
                self.jobs.submit(self._release_memory)
                return
            self._tidying = False

    def _release_memory(self) -> None:
        self._tidying = False
        release_memory()

    def sweep(self) -> None:
        """Close what nobody came back to, stop the jobs of those who vanished."""
        now = time.monotonic()
        for open_photo in list(self.open_photos.values()):
            last_sec = max(
                open_photo.disconnected_sec, open_photo.last_request_sec
            )  # calls without a connection count as well
            gone_sec = now - last_sec if open_photo.had_listener and not open_photo.listeners else 0.0
            if not open_photo.listeners and now - open_photo.last_request_sec > self.config.idle_sec:
                self.close_photo(open_photo)
            elif gone_sec > self.config.vanish_sec:
                self.jobs.cancel_owned(open_photo.id)

    # -- opening; on the device's thread

    def open_photo(self, data: bytes, *, name: str, model: str | None) -> OpenPhoto:
        """A photo from its bytes, with the faces in it.

        Raises:
            BadImage, BadConfig, HTTPException: see `read_image`, `ModelRegistry.find`, `add`.
        """
        project = read_project_file(data, upload_bytes=self.config.upload_bytes)
        if project is not None and data.startswith(ZIP_START):  # a session's file: there is no picture but the original
            if project.original is None:
                return self._open_seed_project(project)
            data, name = project.original, project.name
        photo = read_image(data, max_pixels=self.config.upload_pixels)
        chosen = self._generator_name(model)
        faces, needs_face = self._faces(photo, chosen)
        open_photo = OpenPhoto(photo, model=chosen or "", faces=faces, needs_face=needs_face)
        open_photo.name, open_photo.recipe, open_photo.project = name, recipe_as_data(photo.recipe), project
        if project is not None and open_photo.recipe is None:
            open_photo.recipe = recipe_as_data(project.recipe.to_json())
        self.add(open_photo)
        self._keep_original(open_photo, data)
        return open_photo

    def _keep_original(self, open_photo: OpenPhoto, data: bytes) -> None:
        open_photo.original = self.folder / f"{open_photo.id}.original"
        open_photo.original.write_bytes(strip_project_file(data))

    def _open_seed_project(self, project: ProjectFile) -> OpenPhoto:
        open_photo = self.open_seed(
            project.recipe.seed, model=project.recipe.model, truncation_psi=project.recipe.truncation_psi
        )
        try:
            open_photo.require_session().restore(project.history, project.at)
        except BaseException:
            self.close_photo(open_photo)
            raise
        open_photo.name = project.name
        return open_photo

    def open_seed(self, seed: int, *, model: str | None, truncation_psi: float) -> OpenPhoto:
        """A picture of the generator's own; ready at once.

        Raises:
            BadConfig: an unknown model or seed. FetchError: the model is not here.
        """
        chosen = self._generator_name(model)
        if chosen is None:
            raise FetchError("there is no generator on this computer yet: fetch one first, such as 'faces'")
        G = self.registry.get(chosen, task="generate")
        session = open_seed(seed, model=G, name=chosen, truncation_psi=truncation_psi)
        open_photo = OpenPhoto(session.photo, model=chosen)
        session.network = self.network
        open_photo.name, open_photo.session, open_photo.state = f"seed-{seed}", session, "ready"
        return self.add(open_photo)

    def _generator_name(self, model: str | None) -> str | None:
        if model is None:
            return self.registry.default_generator()
        known = self.registry.find(model, task="generate")
        if not known.here:
            raise FetchError(f"the model {model!r} is not on this computer yet: fetch it first")
        return known.name

    def _faces(self, photo: Photo, model: str | None) -> tuple[list[Any], bool]:
        """The faces, and whether the model needs one."""
        needed = model is not None and bool(self.registry.facts(self.registry.find(model))["faces"])
        finder = self.registry.finder() if needed else None
        return (finder.find(photo.img) if finder is not None else []), needed

    # -- bringing a photo into the model

    def start_inversion(
        self,
        open_photo: OpenPhoto,
        *,
        face: int | None,
        effort: str,
        crop: Crop | None,
        model: str | None,
        recipe: Recipe | None,
    ) -> Job:
        """Queue the search; the desk is ready when its job is done.

        Raises:
            NotReady: it is being searched already. BadConfig, NoFace, FetchError: what is asked for is not there.
        """
        if open_photo.state == "inverting":
            raise NotReady("this photo is being brought into the model already: cancel that job first")
        if model is not None:
            open_photo.model = self._generator_name(model) or ""
        if not open_photo.model:
            raise FetchError("there is no generator on this computer yet: fetch one first, such as 'faces'")
        if face is not None and not 0 <= face < len(open_photo.faces):
            raise BadConfig(f"this photo has {len(open_photo.faces)} faces, counted from 0; there is no face {face}")

        def work(job: Job) -> dict[str, Any]:
            try:
                open_photo.session = self._invert_photo(open_photo, job, face=face, effort=effort, crop=crop)
                if recipe is not None:
                    open_photo.session.replay(recipe)
            finally:
                open_photo.state = "ready" if open_photo.session is not None else "faces"
                open_photo.mark_changed()
            return {"fidelity": open_photo.session.inversion.figures}

        return self._start_opening(
            open_photo, Job("invert", work, owner=open_photo.id, on_update=lambda job: _report_opening(open_photo, job))
        )

    def _start_opening(self, open_photo: OpenPhoto, job: Job) -> Job:
        before, open_photo.state = open_photo.state, "inverting"
        try:
            return self.jobs.start(job)
        except HTTPException:
            open_photo.state = before
            raise

    def start_resuming(self, open_photo: OpenPhoto) -> Job:
        """Queue taking up the editing that the opened file carries: nothing is searched, the photo is the original.

        Raises:
            NotReady: it carries none, or is being opened already. FetchError, BadConfig: its model is not here.
        """
        project = open_photo.project
        if project is None or open_photo.state == "inverting":
            raise NotReady("this file carries no editing that could be taken up, or it is being opened already")
        name = self._generator_of(project)

        def work(job: Job) -> dict[str, Any]:
            try:
                self._resume(open_photo, project, name)
            finally:
                open_photo.state = "ready" if open_photo.session is not None else "faces"
                open_photo.mark_changed()
            return {"fidelity": project.inversion.figures}

        return self._start_opening(
            open_photo, Job("resume", work, owner=open_photo.id, on_update=lambda job: _report_opening(open_photo, job))
        )

    def _generator_of(self, project: ProjectFile) -> str:
        """By the name in its recipe; whether it is the same model is told by the fingerprint when it is read."""
        known = self.registry.models()
        name = project.recipe.model if project.recipe.model in known else self.registry.default_generator()
        if name is None or not known[name].here:
            raise FetchError(f"this was edited with the model {project.recipe.model[:80]!r}: fetch it first")
        return name

    def _resume(self, open_photo: OpenPhoto, project: ProjectFile, name: str) -> None:
        G, extractor = self.registry.get(name, task="generate"), self.registry.extractor()
        if project.original is None:
            session: Session = open_seed(
                project.recipe.seed, model=G, name=name, truncation_psi=project.recipe.truncation_psi
            )
        else:
            photo = read_image(project.original, max_pixels=self.config.upload_pixels)
            check_ws(project.inversion.ws, who="this editing", num_ws=G.num_ws, w_dim=G.w_dim)
            first = project.history[0]
            session = open_session(
                photo, model=G, effort=first.effort, inversion=project.inversion, extractor=extractor
            )
        session.network = self.network
        session.restore(project.history, project.at)
        open_photo.faces, open_photo.needs_face = tuple(self._faces(session.photo, name)[0]), project.face is not None
        open_photo.face = project.face if project.face is not None and project.face < len(open_photo.faces) else None
        open_photo.photo, open_photo.session, open_photo.project, open_photo.model, open_photo.name = (
            session.photo,
            session,
            None,
            name,
            project.name,
        )
        if open_photo.original is not None:
            open_photo.original.unlink(missing_ok=True)
            open_photo.original = None
        if project.original is not None:
            self._keep_original(open_photo, project.original)

    def _invert_photo(
        self, open_photo: OpenPhoto, job: Job, *, face: int | None, effort: str, crop: Crop | None
    ) -> Session:
        photo = open_photo.require_photo()
        job.message = "reading the model"
        G, extractor = self.registry.get(open_photo.model, task="generate"), self.registry.extractor()
        chosen = None
        if crop is None and is_aligned(G, "auto"):
            faces = list(open_photo.faces)
            if not faces and self.registry.finder() is None:
                raise FetchError("finding faces needs the model 'mtcnn': fetch it first, or draw the square yourself")
            chosen = choose_face(faces, None if face is None else face + 1)
        if crop is None:
            middle = Crop(x=photo.width / 2, y=photo.height / 2, side=min(photo.size))
            crop = middle if chosen is None else Crop.from_landmarks(chosen.points)
        job.message = "finding the face in the model" if chosen is not None else "finding the picture in the model"
        open_photo.crop = crop
        open_photo.send_state()  # from now on the page knows where previews belong
        inversion = self._run_inversion(open_photo, job, G, crop, effort=effort, extractor=extractor)
        open_photo.face = None if chosen is None else open_photo.faces.index(chosen)
        session = open_session(
            photo,
            model=G,
            effort=effort,
            face=None if open_photo.face is None else open_photo.face + 1,
            inversion=inversion,
            extractor=extractor,
        )
        session.set_model_name(open_photo.model)
        session.face, session.network, open_photo.share = chosen, self.network, None
        return session

    def network(self, name: str) -> Any:
        """An upscaler or translator for a finishing step; what a recipe names is looked up, never opened as a path."""
        return self.registry.get(name, task=self.registry.find(name).task)

    def _run_inversion(
        self, open_photo: OpenPhoto, job: Job, G: Any, crop: Crop, *, effort: str, extractor: Any
    ) -> Inversion:
        target = crop.cut(open_photo.require_photo().img, resolution=G.img_resolution)
        target = target if G.img_channels == 3 else target.mean(dim=1, keepdim=True)

        def on_step(step: int, total: int, img: torch.Tensor) -> None:
            if step % PREVIEW_EVERY == 0:
                open_photo.send_preview(downscale(img, min(_PREVIEW_PX, img.shape[3])), job=job.id)
            job.step(step, total)

        inversion = invert(target, G, effort=effort, extractor=extractor, on_step=on_step)
        return replace(inversion, crop=(crop.x, crop.y, crop.side, crop.angle_deg))


def _report_opening(open_photo: OpenPhoto, job: Job) -> None:
    """A job that was cancelled before it began leaves the desk as it was."""
    if job.state == "cancelled" and open_photo.state == "inverting":
        open_photo.state = "ready" if open_photo.session is not None else "faces"
        if open_photo.photo is not None:
            open_photo.send_state()
    open_photo.send_job(job)


def finish(open_photo: OpenPhoto, step: Upscale | Translate, job: Job, *, most_pixels: int) -> dict[str, Any]:
    """A finishing step with its work done at once: what is saved later is at hand. Stopped half-way, nothing was done.

    Raises:
        BadConfig: no such model, or too large a result. Stopped: cancelled.
    """
    session = open_photo.require_session()
    before = session.history, session.at
    session.put(step)
    try:
        width, height = session.result_size
        if width * height > most_pixels:
            raise BadConfig(f"the result would have {width} x {height} pixels; up to {most_pixels:,} are made here")
        session.render(on_step=job.step)
    except BaseException:
        session.restore(*before)
        raise
    open_photo.mark_changed()
    return {"width": width, "height": height}


def release_memory() -> None:
    """Hand memory that nobody uses back to the system, where its C library can."""
    gc.collect()
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):  # not glibc
            pass
