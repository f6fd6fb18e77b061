"""A studio: its open photos, its models, its jobs and its folder."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from starlette.exceptions import HTTPException

from ganvas.editing.directions import Direction
from ganvas.errors import BadConfig
from ganvas.session.projects import Projects, projects_folder
from ganvas.web.config import StudioConfig
from ganvas.web.jobs import Jobs
from ganvas.web.meter import Meter
from ganvas.web.model_registry import ModelRegistry
from ganvas.web.open_photo import OpenPhoto
from ganvas.web.temp_folder import TempFolder, sweep_temp_folders
from ganvas.web.training_runs import TrainingRuns
from ganvas.web.uploads import Uploads

_log = logging.getLogger("ganvas.web")
EVICTABLE_AFTER_SEC = 60.0  # without a request; a photo that waits longer may be closed when there are too many


class Studio:
    """Everything a running studio has; one a server."""

    def __init__(self, config: StudioConfig):
        self.config = config
        self.meter = Meter()
        self.jobs = Jobs(waiting=config.waiting_jobs, on_end=self.meter.count_job)
        self.registry = ModelRegistry(runs=config.runs, own=config.model)
        self.training_runs = TrainingRuns(data_root=config.data_root, runs=config.runs)
        self.open_photos: dict[str, OpenPhoto] = {}
        self.samples: OrderedDict[tuple[str, int, int], torch.Tensor] = OrderedDict()  # model, seed, size → picture
        self.searches: OrderedDict[str, tuple[str, list[Direction]]] = OrderedDict()  # job → model, what was found
        self.uploads = Uploads(config.uploads)
        self._folder = TempFolder()
        self._tidying = False
        threading.Thread(target=self._sweep_leftovers, name="ganvas-sweep", daemon=True).start()

    @functools.cached_property
    def projects(self) -> Projects:
        """What is kept on the disk; where the user's own folder cannot be written, until the studio closes.

        Raises:
            BadConfig: see `Projects`.
        """
        try:
            return Projects(self.config.projects)
        except BadConfig as error:
            if self.config.projects is not None or error.__cause__ is None:
                raise
            _log.warning("%s: only until this studio is closed; --projects DIR chooses another folder", error)
            return Projects(self.folder / "projects")

    def _sweep_leftovers(self) -> None:
        """What servers that were killed have left."""
        sweep_temp_folders()
        if (self.config.projects or projects_folder()).is_dir():
            try:
                self.projects.sweep()
            except Exception:
                _log.warning("leftovers of the projects could not be deleted", exc_info=True)

    @property
    def folder(self) -> Path:
        """The studio's own files."""
        return self._folder.path

    def close(self) -> None:
        """Stop everything and leave nothing behind."""
        self.jobs.close()
        for open_photo in list(self.open_photos.values()):
            self.close_photo(open_photo)
        if "projects" in self.__dict__:
            self.projects.close()
        self._folder.close()

    # -- open photos

    def find(self, id: str) -> OpenPhoto:
        """An open photo by its id, which is known to its user alone.

        Raises:
            HTTPException: 404.
        """
        open_photo = self.open_photos.get(id)
        if open_photo is None:
            raise HTTPException(404, "there is no such session, or it was closed: open the photo again")
        open_photo.last_request_sec = time.monotonic()
        return open_photo

    def ensure_capacity(self) -> None:
        """Make room for one more photo by closing the oldest idle one.

        Raises:
            HTTPException: 429.
        """
        self._close_kept(lambda: len(self.open_photos) < self.config.sessions)
        if len(self.open_photos) < self.config.sessions:
            return
        oldest = min(self.open_photos.values(), key=lambda open_photo: open_photo.last_request_sec)
        if time.monotonic() - oldest.last_request_sec < EVICTABLE_AFTER_SEC or oldest.listeners:
            raise HTTPException(
                429,
                f"{len(self.open_photos)} photos are open, the limit of this server; close one, or try again later",
            )
        self.close_photo(oldest)

    def _close_kept(self, enough: Callable[[], bool]) -> None:
        """Photos of projects that nobody looks at can go from memory at any time: they are on the disk."""
        idle = [one for one in self.open_photos.values() if one.stored is not None and not one.listeners]
        for one in sorted(idle, key=lambda open_photo: open_photo.last_request_sec):
            if enough():
                return
            if not self.jobs.open_jobs(one.id):
                self.close_photo(one)

    def add(self, open_photo: OpenPhoto) -> OpenPhoto:
        """A new one, if it still fits beside the others.

        Raises:
            HTTPException: 429.
        """
        self.ensure_capacity()
        self._close_kept(lambda: self._fits(open_photo))
        if not self._fits(open_photo):
            raise HTTPException(429, "the open photos use all of the studio's memory; close one, or try again later")
        self.open_photos[open_photo.id] = open_photo
        return open_photo

    def _fits(self, open_photo: OpenPhoto) -> bool:
        return sum(one.pixels for one in self.open_photos.values()) + open_photo.pixels <= self.config.pixels_in_all

    def close_photo(self, open_photo: OpenPhoto) -> None:
        """Close a photo: its jobs are stopped, its memory goes back."""
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
        """Close idle photos, and stop the jobs of disconnected pages."""
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

    def network(self, name: str) -> Any:
        """An upscaler or translator for a finishing step; what a recipe names is looked up, never opened as a path."""
        return self.registry.get(name, task=self.registry.find(name).task)


def release_memory() -> None:
    """Return unused memory to the system, if the C library supports it."""
    gc.collect()
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):  # not glibc
            pass
