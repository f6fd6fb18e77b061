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
from ganvas.editing.finish import Translate, Upscale
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, FetchError
from ganvas.features.faces import choose_face
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.framing import is_aligned
from ganvas.inversion.optimise import invert
from ganvas.inversion.result import Inversion
from ganvas.ops.shrink import shrunk
from ganvas.session import Session, open_seed, open_session
from ganvas.web.config import StudioConfig
from ganvas.web.desk import Desk, own_folder, recipe_as_data
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job, Jobs
from ganvas.web.keepsake import ZIP_START, Keepsake, read_keepsake, without_keepsake
from ganvas.web.shelf import Shelf
from ganvas.web.trainers import Trainers
from ganvas.web.uploads import Uploads

PREVIEW_PX = 256
PREVIEW_EVERY = 4  # steps of an inversion between two pictures
FORGOTTEN_SEC = 60.0  # without a request; a desk that is older may have to go when all are taken


class Studio:
    """Everything a running studio has; one a server."""

    def __init__(self, config: StudioConfig):
        self.config = config
        self.jobs = Jobs(waiting=config.waiting_jobs)
        self.shelf = Shelf(runs=config.runs, own=config.model)
        self.trainers = Trainers(data_root=config.data_root, runs=config.runs)
        self.desks: dict[str, Desk] = {}
        self.samples: OrderedDict[tuple[str, int, int], torch.Tensor] = OrderedDict()  # model, seed, size → picture
        self.searches: OrderedDict[str, tuple[str, list[Direction]]] = OrderedDict()  # job → model, what was found
        self.uploads = Uploads(config.uploads)
        self._folder = own_folder()
        self._tidying = False

    @property
    def folder(self) -> Path:
        """The studio's own files."""
        return Path(self._folder.name)

    def close(self) -> None:
        """Stop everything and leave nothing behind."""
        self.jobs.close()
        for desk in list(self.desks.values()):
            self.leave(desk)
        self._folder.cleanup()

    # -- desks

    def find(self, id: str) -> Desk:
        """A desk by its id, which is known to its user alone.

        Raises:
            HTTPException: 404.
        """
        desk = self.desks.get(id)
        if desk is None:
            raise HTTPException(404, "there is no such session, or it was closed: open the photo again")
        desk.seen_sec = time.monotonic()
        return desk

    def check_room(self) -> None:
        """Is there a desk for one more photo?

        Raises:
            HTTPException: 429.
        """
        if len(self.desks) < self.config.sessions:
            return
        oldest = min(self.desks.values(), key=lambda desk: desk.seen_sec)
        if time.monotonic() - oldest.seen_sec < FORGOTTEN_SEC or oldest.watchers:
            raise HTTPException(
                429, f"{len(self.desks)} photos are open, which is all this studio takes; close one, or try again later"
            )
        self.leave(oldest)

    def enter(self, desk: Desk) -> Desk:
        """A new desk, if its photo still fits beside the others.

        Raises:
            HTTPException: 429.
        """
        self.check_room()
        if sum(one.pixels for one in self.desks.values()) + desk.pixels > self.config.pixels_in_all:
            raise HTTPException(
                429, "the photos that are open fill this studio's memory; close one, or try again later"
            )
        self.desks[desk.id] = desk
        return desk

    def leave(self, desk: Desk) -> None:
        """Close a desk: its jobs are stopped, its memory goes back."""
        self.desks.pop(desk.id, None)
        self.jobs.cancel_of(desk.id)
        self.jobs.forget_of(desk.id)
        desk.close()
        self._tidy()

    def _tidy(self) -> None:
        """Hand memory back, soon, and once for all that was closed meanwhile."""
        if not self._tidying:
            self._tidying = True
            with contextlib.suppress(HTTPException):
                self.jobs.ask(self._give_back)
                return
            self._tidying = False

    def _give_back(self) -> None:
        self._tidying = False
        give_back()

    def sweep(self) -> None:
        """Close what nobody came back to, stop the jobs of those who vanished."""
        now = time.monotonic()
        for desk in list(self.desks.values()):
            last_sec = max(desk.left_sec, desk.seen_sec)  # calls without a connection count as well
            gone_sec = now - last_sec if desk.watched and not desk.watchers else 0.0
            if not desk.watchers and now - desk.seen_sec > self.config.idle_sec:
                self.leave(desk)
            elif gone_sec > self.config.vanish_sec:
                self.jobs.cancel_of(desk.id)

    # -- opening; on the device's thread

    def open_photo(self, data: bytes, *, name: str, model: str | None) -> Desk:
        """A photo from its bytes, with the faces in it.

        Raises:
            BadImage, BadConfig, HTTPException: see `read_image`, `Shelf.find`, `enter`.
        """
        kept = read_keepsake(data, upload_bytes=self.config.upload_bytes)
        if kept is not None and data.startswith(ZIP_START):  # a session's file: there is no picture but the original
            if kept.original is None:
                return self._open_kept_seed(kept)
            data, name = kept.original, kept.name
        photo = read_image(data, max_pixels=self.config.upload_pixels)
        chosen = self._generator_name(model)
        faces, needs_face = self._faces(photo, chosen)
        desk = Desk(photo, model=chosen or "", faces=faces, needs_face=needs_face)
        desk.name, desk.recipe, desk.kept = name, recipe_as_data(photo.recipe), kept
        if kept is not None and desk.recipe is None:
            desk.recipe = recipe_as_data(kept.recipe.to_json())
        self.enter(desk)
        self._keep_original(desk, data)
        return desk

    def _keep_original(self, desk: Desk, data: bytes) -> None:
        desk.original = self.folder / f"{desk.id}.original"
        desk.original.write_bytes(without_keepsake(data))

    def _open_kept_seed(self, kept: Keepsake) -> Desk:
        desk = self.open_seed(kept.recipe.seed, model=kept.recipe.model, truncation_psi=kept.recipe.truncation_psi)
        try:
            desk.ready().restore(kept.history, kept.at)
        except BaseException:
            self.leave(desk)
            raise
        desk.name = kept.name
        return desk

    def open_seed(self, seed: int, *, model: str | None, truncation_psi: float) -> Desk:
        """A picture of the generator's own; ready at once.

        Raises:
            BadConfig: an unknown model or seed. FetchError: the model is not here.
        """
        chosen = self._generator_name(model)
        if chosen is None:
            raise FetchError("there is no generator on this computer yet: fetch one first, such as 'faces'")
        G = self.shelf.get(chosen, task="generate")
        session = open_seed(seed, model=G, name=chosen, truncation_psi=truncation_psi)
        desk = Desk(session.photo, model=chosen)
        session.network = self.network
        desk.name, desk.session, desk.state = f"seed-{seed}", session, "ready"
        return self.enter(desk)

    def _generator_name(self, model: str | None) -> str | None:
        if model is None:
            return self.shelf.first()
        known = self.shelf.find(model, task="generate")
        if not known.here:
            raise FetchError(f"the model {model!r} is not on this computer yet: fetch it first")
        return known.name

    def _faces(self, photo: Photo, model: str | None) -> tuple[list[Any], bool]:
        """The faces, and whether the model needs one."""
        needed = model is not None and bool(self.shelf.facts(self.shelf.find(model))["faces"])
        finder = self.shelf.finder() if needed else None
        return (finder.find(photo.img) if finder is not None else []), needed

    # -- bringing a photo into the model

    def start_inversion(
        self, desk: Desk, *, face: int | None, effort: str, crop: Crop | None, model: str | None, recipe: Recipe | None
    ) -> Job:
        """Queue the search; the desk is ready when its job is done.

        Raises:
            NotReady: it is being searched already. BadConfig, NoFace, FetchError: what is asked for is not there.
        """
        if desk.state == "inverting":
            raise NotReady("this photo is being brought into the model already: cancel that job first")
        if model is not None:
            desk.model = self._generator_name(model) or ""
        if not desk.model:
            raise FetchError("there is no generator on this computer yet: fetch one first, such as 'faces'")
        if face is not None and not 0 <= face < len(desk.faces):
            raise BadConfig(f"this photo has {len(desk.faces)} faces, counted from 0; there is no face {face}")

        def work(job: Job) -> dict[str, Any]:
            try:
                desk.session = self._search(desk, job, face=face, effort=effort, crop=crop)
                if recipe is not None:
                    desk.session.replay(recipe)
            finally:
                desk.state = "ready" if desk.session is not None else "faces"
                desk.changed()
            return {"fidelity": desk.session.inversion.figures}

        return self._start_opening(desk, Job("invert", work, owner=desk.id, tell=lambda job: _tell_opening(desk, job)))

    def _start_opening(self, desk: Desk, job: Job) -> Job:
        before, desk.state = desk.state, "inverting"
        try:
            return self.jobs.start(job)
        except HTTPException:
            desk.state = before
            raise

    def start_resuming(self, desk: Desk) -> Job:
        """Queue taking up the editing that the opened file carries: nothing is searched, the photo is the original.

        Raises:
            NotReady: it carries none, or is being opened already. FetchError, BadConfig: its model is not here.
        """
        kept = desk.kept
        if kept is None or desk.state == "inverting":
            raise NotReady("this file carries no editing that could be taken up, or it is being opened already")
        name = self._model_of(kept)

        def work(job: Job) -> dict[str, Any]:
            try:
                self._resume(desk, kept, name)
            finally:
                desk.state = "ready" if desk.session is not None else "faces"
                desk.changed()
            return {"fidelity": kept.inversion.figures}

        return self._start_opening(desk, Job("resume", work, owner=desk.id, tell=lambda job: _tell_opening(desk, job)))

    def _model_of(self, kept: Keepsake) -> str:
        """By the name in its recipe; whether it is the same model is told by the fingerprint when it is read."""
        known = self.shelf.known()
        name = kept.recipe.model if kept.recipe.model in known else self.shelf.first()
        if name is None or not known[name].here:
            raise FetchError(f"this was edited with the model {kept.recipe.model[:80]!r}: fetch it first")
        return name

    def _resume(self, desk: Desk, kept: Keepsake, name: str) -> None:
        G, eyes = self.shelf.get(name, task="generate"), self.shelf.eyes()
        if kept.original is None:
            session: Session = open_seed(
                kept.recipe.seed, model=G, name=name, truncation_psi=kept.recipe.truncation_psi
            )
        else:
            photo = read_image(kept.original, max_pixels=self.config.upload_pixels)
            check_ws(kept.inversion.ws, who="this editing", num_ws=G.num_ws, w_dim=G.w_dim)
            first = kept.history[0]
            session = open_session(photo, model=G, effort=first.effort, inversion=kept.inversion, eyes=eyes)
        session.network = self.network
        session.restore(kept.history, kept.at)
        desk.faces, desk.needs_face = tuple(self._faces(session.photo, name)[0]), kept.face is not None
        desk.face = kept.face if kept.face is not None and kept.face < len(desk.faces) else None
        desk.photo, desk.session, desk.kept, desk.model, desk.name = session.photo, session, None, name, kept.name
        if desk.original is not None:
            desk.original.unlink(missing_ok=True)
            desk.original = None
        if kept.original is not None:
            self._keep_original(desk, kept.original)

    def _search(self, desk: Desk, job: Job, *, face: int | None, effort: str, crop: Crop | None) -> Session:
        photo = desk.opened()
        job.message = "reading the model"
        G, eyes = self.shelf.get(desk.model, task="generate"), self.shelf.eyes()
        chosen = None
        if crop is None and is_aligned(G, "auto"):
            faces = list(desk.faces)
            if not faces and self.shelf.finder() is None:
                raise FetchError("finding faces needs the model 'mtcnn': fetch it first, or draw the square yourself")
            chosen = choose_face(faces, None if face is None else face + 1)
        if crop is None:
            middle = Crop(x=photo.width / 2, y=photo.height / 2, side=min(photo.size))
            crop = middle if chosen is None else Crop.from_landmarks(chosen.points)
        job.message = "finding the face in the model" if chosen is not None else "finding the picture in the model"
        desk.crop = crop
        desk.tell_state()  # from now on the page knows where previews belong
        found = self._inverted(desk, job, G, crop, effort=effort, eyes=eyes)
        desk.face = None if chosen is None else desk.faces.index(chosen)
        session = open_session(
            photo, model=G, effort=effort, face=None if desk.face is None else desk.face + 1, inversion=found, eyes=eyes
        )
        session.named(desk.model)
        session.face, session.network, desk.share = chosen, self.network, None
        return session

    def network(self, name: str) -> Any:
        """An upscaler or translator for a finishing step; what a recipe names is looked up, never opened as a path."""
        return self.shelf.get(name, task=self.shelf.find(name).task)

    def _inverted(self, desk: Desk, job: Job, G: Any, crop: Crop, *, effort: str, eyes: Any) -> Inversion:
        target = crop.cut(desk.opened().img, resolution=G.img_resolution)
        target = target if G.img_channels == 3 else target.mean(dim=1, keepdim=True)

        def on_step(step: int, total: int, img: torch.Tensor) -> None:
            if step % PREVIEW_EVERY == 0:
                desk.tell_preview(shrunk(img, min(PREVIEW_PX, img.shape[3])), job=job.id)
            job.step(step, total)

        found = invert(target, G, effort=effort, eyes=eyes, on_step=on_step)
        return replace(found, crop=(crop.x, crop.y, crop.side, crop.angle_deg))


def _tell_opening(desk: Desk, job: Job) -> None:
    """A job that was cancelled before it began leaves the desk as it was."""
    if job.state == "cancelled" and desk.state == "inverting":
        desk.state = "ready" if desk.session is not None else "faces"
        if desk.photo is not None:
            desk.tell_state()
    desk.tell_job(job)


def finish(desk: Desk, step: Upscale | Translate, job: Job, *, most_pixels: int) -> dict[str, Any]:
    """A finishing step with its work done at once: what is saved later is at hand. Stopped half-way, nothing was done.

    Raises:
        BadConfig: no such model, or too large a result. Stopped: cancelled.
    """
    session = desk.ready()
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
    desk.changed()
    return {"width": width, "height": height}


def give_back() -> None:
    """Hand memory that nobody uses back to the system, where its C library can."""
    gc.collect()
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):  # not glibc
            pass
