"""One photo that a user has opened: its session, its pictures for the screen, and who watches it."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from torch import Tensor

from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig
from ganvas.features.faces import Face
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.session.finishing import NetworkLoader
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.plain_session import PlainSession
from ganvas.session.project_file import build_project_file, strip_project_file
from ganvas.session.records import PhotoRecord, record_edits
from ganvas.session.session import Session
from ganvas.session.stored_photo import StoredPhoto
from ganvas.session.variants import VariantList
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.pictures import downscale_to_fit, encode_jpeg, lay_on_checkerboard
from ganvas.web.watchers import EventQueue

MAX_CACHED_VIEWS = 4
THUMBNAIL_PX = 320


class ShownPreview(NamedTuple):
    """What was shown last while a slider moved."""

    recipe: Recipe
    size: int
    share: float  # of the tuning
    seq: Any


class OpenPhoto:
    """What belongs to one session id.

    `state` is "faces" (a face is to be chosen), "inverting" or "ready". `edits` has the photo and all of its faces.
    `original` keeps its file, for pictures that are saved with their editing: in the project where there is one
    (`stored`), else in the studio's own folder.
    """

    def __init__(
        self,
        photo: Photo,
        *,
        model: str,
        name: str = "photo",
        faces: Sequence[Face] = (),
        needs_face: bool = False,
        network: NetworkLoader | None = None,
    ):
        self.id = secrets.token_urlsafe(24)
        more = {} if network is None else {"network": network}
        self.edits: PhotoEdits | None = PhotoEdits(photo, faces, **more)
        self.model, self.name, self.needs_face = model, name, needs_face
        self.stored: StoredPhoto | None = None
        self.variants = VariantList()
        self.variant_views: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self.original: Path | None = None
        self.state = "faces"
        self.crop: Crop | None = None  # of the search that runs
        self.recipe: dict[str, Any] | None = None  # that the opened file carried
        self.saved: PhotoRecord | None = None  # the editing that it carried, or that its project has
        self.version = 0
        self.result: tuple[bytes, str, str] | None = None  # what was rendered last: bytes, type, name
        self.share: float | None = None  # of the tuning, as the guard found it for what was slid last
        self.last_preview: ShownPreview | None = None
        self.slide_count = 0  # asked for so far
        self.pending_slide: dict[str, Any] | None = None  # the latest that was asked for and not painted yet
        self.listeners: set[EventQueue] = set()
        self.had_listener = False
        self.last_request_sec = self.disconnected_sec = time.monotonic()
        self._views: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()

    @property
    def photo(self) -> Photo | None:
        """What was opened; None = it was closed."""
        return None if self.edits is None else self.edits.photo

    @property
    def session(self) -> Session | None:
        """Of the face that is being edited."""
        return None if self.edits is None else self.edits.session

    @property
    def faces(self) -> tuple[Face, ...]:
        """In the photo, from left to right."""
        return () if self.edits is None else self.edits.faces

    @property
    def face(self) -> int | None:
        """The one that is being edited."""
        return None if self.edits is None else self.edits.face

    @property
    def pixels(self) -> int:
        """Of the open photo."""
        return 0 if self.photo is None else self.photo.width * self.photo.height

    def require_session(self) -> Session:
        """The session.

        Raises:
            NotReady: the photo is not in the model yet.
        """
        if self.session is None:
            raise NotReady("this photo has not been inverted yet: POST invert first, and wait for its job")
        return self.session

    def require_edits(self) -> PhotoEdits:
        """The photo and its faces.

        Raises:
            HTTPException: 404, the session was closed meanwhile.
        """
        if self.edits is None:
            raise HTTPException(404, "this session was closed")
        return self.edits

    def require_editing(self) -> Session | PlainSession:
        """What undo, the finish and saving are about: the face that is being edited, or the photo alone.

        Raises:
            NotReady: it is being brought into the model. HTTPException: as `require_edits`.
        """
        if self.state == "inverting":
            raise NotReady("this photo is being brought into the model: wait for that job, or cancel it")
        return self.require_edits().active

    def save(self) -> None:
        """Write to the project what has changed, where the photo is in one.

        Raises:
            BadConfig: it could not be written.
        """
        if self.stored is None or self.edits is None:
            return
        try:
            self.stored.save(self.edits, model=self.model, needs_face=self.needs_face)
            self.stored.save_variants(self.variants)
        except (OSError, sqlite3.Error) as error:
            raise BadConfig(f"this change could not be saved on the disk: {error}") from error

    def close(self) -> None:
        """Let go of everything."""
        self.edits = self.result = self.pending_slide = self.saved = self.last_preview = None
        self._views.clear()
        self.variant_views.clear()
        if self.original is not None and self.stored is None:
            self.original.unlink(missing_ok=True)
        for queue in list(self.listeners):
            queue.send(({"type": "closed"}, None))

    def keep_original(self, folder: Path, data: bytes | None) -> None:
        """Write the photo's file, for pictures that are saved with their editing; None = there is no such file."""
        if self.stored is not None:
            self.original = self.stored.original
            return
        if self.original is not None:
            self.original.unlink(missing_ok=True)
        self.original = None if data is None else folder / f"{self.id}.original"
        if self.original is not None and data is not None:
            self.original.write_bytes(strip_project_file(data))

    def to_project_file(self) -> bytes:
        """The photo with all its faces as a file; see project_file.py."""
        return build_project_file([self.to_record()], name=self.name)

    def to_record(self) -> PhotoRecord:
        """The photo with all its faces as data."""
        return record_edits(
            self.require_edits(),
            name=self.name,
            original=self.original,
            model=self.model,
            needs_face=self.needs_face,
            variants=self.variants,
        )

    # -- what it shows

    def view(self, which: str, size: int) -> bytes:
        """The whole photo for the screen, as JPEG: "before", or "after" with its changes. On the device's thread."""
        edits = self.require_edits()
        key = (which, size, self.version if which == "after" else 0)
        if key not in self._views:
            edited = which == "after" and edits.is_changed
            photo = edits.photo.img
            img = edits.preview_photo(longest_px=size) if edited else downscale_to_fit(photo, longest_px=size)
            img = img if edits.photo.alpha is None else lay_on_checkerboard(img, edits.photo.alpha)
            self._views[key] = encode_jpeg(img)
            while len(self._views) > MAX_CACHED_VIEWS:
                self._views.popitem(last=False)
            if self.stored is not None and edited == edits.is_changed:
                self.stored.save_thumbnail(encode_jpeg(downscale_to_fit(img, longest_px=THUMBNAIL_PX)))
        return self._views[key]

    # -- events

    def send(self, message: dict[str, Any], picture: bytes | None = None) -> None:
        """To everybody who watches, from any thread."""
        for queue in list(self.listeners):
            queue.send((message, picture))

    def send_job(self, job: Job) -> None:
        """A job of this photo moved on."""
        self.send({"type": "job", **job.as_data()})

    def send_preview(self, img: Tensor, *, job: str | None = None, seq: int | None = None, **more: Any) -> None:
        """A picture while something moves."""
        if self.listeners:
            head = {"type": "preview", "w": img.shape[3], "h": img.shape[2], "job": job, "seq": seq, **more}
            self.send(head, encode_jpeg(img.detach().float().clamp(-1, 1)))
