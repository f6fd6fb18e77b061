"""One photo that a user has opened: its session, its pictures for the screen, and who watches it."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from torch import Tensor

from ganvas.editing.recipe import Recipe
from ganvas.features.faces import Face
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.session.project_file import ProjectFile, build_project_file, strip_project_file
from ganvas.session.session import Session
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job
from ganvas.web.pictures import downscale_to_fit, encode_jpeg
from ganvas.web.watchers import EventQueue

MAX_CACHED_VIEWS = 4


class ShownPreview(NamedTuple):
    """What was shown last while a slider moved."""

    recipe: Recipe
    size: int
    share: float  # of the tuning
    seq: Any


class OpenPhoto:
    """What belongs to one session id.

    `state` is "faces" (a face is to be chosen), "inverting" or "ready". `photo` is what was opened; `original` keeps
    its file, in the studio's own folder, for pictures that are saved with their editing.
    """

    def __init__(
        self,
        photo: Photo,
        *,
        model: str,
        name: str = "photo",
        faces: Sequence[Face] = (),
        needs_face: bool = False,
    ):
        self.id = secrets.token_urlsafe(24)
        self.photo: Photo | None = photo
        self.model, self.name, self.faces, self.needs_face = model, name, tuple(faces), needs_face
        self.original: Path | None = None
        self.session: Session | None = None
        self.state = "faces"
        self.face: int | None = None
        self.crop: Crop | None = None  # of the search that runs
        self.recipe: dict[str, Any] | None = None  # that the opened file carried
        self.project: ProjectFile | None = None  # the editing that it carried
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

    def require_photo(self) -> Photo:
        """The photo.

        Raises:
            HTTPException: 404, the session was closed meanwhile.
        """
        if self.photo is None:
            raise HTTPException(404, "this session was closed")
        return self.photo

    def close(self) -> None:
        """Let go of everything."""
        self.photo = self.session = self.result = self.pending_slide = self.project = self.last_preview = None
        self._views.clear()
        if self.original is not None:
            self.original.unlink(missing_ok=True)
        for queue in list(self.listeners):
            queue.send(({"type": "closed"}, None))

    def keep_original(self, folder: Path, data: bytes | None) -> None:
        """Write the photo's file, for pictures that are saved with their editing; None = there is no such file."""
        if self.original is not None:
            self.original.unlink(missing_ok=True)
        self.original = None if data is None else folder / f"{self.id}.original"
        if self.original is not None and data is not None:
            self.original.write_bytes(strip_project_file(data))

    def to_project_file(self) -> bytes:
        """The session as a file; see project_file.py."""
        original = None if self.original is None else self.original.read_bytes()
        return build_project_file(self.require_session(), original=original, name=self.name, face=self.face)

    # -- what it shows

    def view(self, which: str, size: int) -> bytes:
        """The whole photo for the screen, as JPEG: "before", or "after" with its changes. On the device's thread."""
        photo = self.require_photo()
        key = (which, size, self.version if which == "after" else 0)
        if key not in self._views:
            edited = which == "after" and self.session is not None
            img = (
                self.session.preview_photo(longest_px=size) if edited else downscale_to_fit(photo.img, longest_px=size)
            )
            self._views[key] = encode_jpeg(img)
            while len(self._views) > MAX_CACHED_VIEWS:
                self._views.popitem(last=False)
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


def make_temp_folder() -> tempfile.TemporaryDirectory[str]:
    """A private folder for this studio's files, deleted when it closes."""
    return tempfile.TemporaryDirectory(prefix="ganvas-studio-")
