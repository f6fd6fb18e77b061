"""One photo at one user's desk: the session, who watches it, and what it says about itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import secrets
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from torch import Tensor

from ganvas.editing.recipe import Recipe, step_to_data
from ganvas.editing.regions import region_of, unwrap_step
from ganvas.editing.step import Move, step_to_dict
from ganvas.features.faces import Face
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.session.project_file import ProjectFile, build_project_file
from ganvas.session.session import AUTO_TARGETS, Session
from ganvas.web.errors import NotReady
from ganvas.web.jobs import Job, json_safe
from ganvas.web.pictures import downscale_to_fit, encode_jpeg

MAX_QUEUED_EVENTS = 64  # of one watcher; one that does not read loses the oldest previews
MAX_CACHED_VIEWS = 4

Event = tuple[dict[str, Any], bytes | None]


class EventQueue:
    """One connection that listens to a desk: events wait in a queue of its loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def send(self, event: Event) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._put, event)
        except RuntimeError:  # the loop has ended
            pass

    async def next(self) -> Event:
        """The oldest event; waits for one."""
        return await self._events.get()

    def _put(self, event: Event) -> None:
        if self._events.qsize() < MAX_QUEUED_EVENTS or event[1] is None:
            self._events.put_nowait(event)


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

    def __init__(self, photo: Photo, *, model: str, faces: Sequence[Face] = (), needs_face: bool = False):
        self.id = secrets.token_urlsafe(24)
        self.photo: Photo | None = photo
        self.model, self.faces, self.needs_face = model, tuple(faces), needs_face
        self.name = "photo"
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
            raise NotReady(
                "this photo has not been brought into the model yet: POST invert first, and wait for its job"
            )
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

    def to_project_file(self) -> bytes:
        """The session as a file; see keepsake.py."""
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
        """A job of this desk moved on."""
        self.send({"type": "job", **job.as_data()})

    def send_state(self) -> None:
        """What `build_state` says now."""
        if self.listeners:
            self.send({"type": "state", **build_state(self)})

    def send_preview(self, img: Tensor, *, job: str | None = None, seq: int | None = None, **more: Any) -> None:
        """A picture while something moves."""
        if self.listeners:
            head = {"type": "preview", "w": img.shape[3], "h": img.shape[2], "job": job, "seq": seq, **more}
            self.send(head, encode_jpeg(img.detach().float().clamp(-1, 1)))

    def mark_changed(self) -> None:
        """What "after" shows is another picture now."""
        self.version += 1
        self.result = None
        self.send_state()


def build_state(open_photo: OpenPhoto) -> dict[str, Any]:
    """A desk as the API has it."""
    photo, session = open_photo.require_photo(), open_photo.session
    plain = {
        "id": open_photo.id,
        "state": open_photo.state,
        "version": open_photo.version,
        "width": photo.width,
        "height": photo.height,
        "name": open_photo.name,
        "faces": [face_as_data(face) for face in open_photo.faces],
        "needs_face": open_photo.needs_face,
        "face": open_photo.face,
        "model": open_photo.model,
        "recipe": open_photo.recipe,
        "resumable": open_photo.project is not None,
    }
    return plain | (_empty_session_state(open_photo.crop) if session is None else _session_state(session))


def _empty_session_state(crop: Crop | None) -> dict[str, Any]:
    return {
        "crop": None if crop is None else crop_as_data(crop),
        "fidelity": None, "directions": [], "steps": [], "history": [], "at": 0, "can_undo": False,
        "can_redo": False, "region": None, "result": None,
    }  # fmt: skip


def _session_state(session: Session) -> dict[str, Any]:
    crop = session.crop
    return {
        "crop": crop_as_data(crop),
        "fidelity": {name: _round_value(value) for name, value in session.inversion.figures.items()},
        "directions": [_direction(session, name) for name in session.directions],
        "steps": [{"index": i, "label": format_step(s), **step_to_data(s)} for i, s in enumerate(session.recipe.steps)],
        "history": build_history(session),
        "at": session.at,
        "can_undo": session.at > 0,
        "can_redo": session.at < len(session.history) - 1,
        "result": {"width": session.result_size[0], "height": session.result_size[1]},
        "region": None if session.region is None else {"feather_px": round(session.region.feather * crop.side, 1)},
    }


def _round_value(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else json_safe(value)


def _direction(session: Session, name: str) -> dict[str, Any]:
    direction = session.directions[name]
    here = [unwrap_step(s) for s in session.recipe.steps if region_of(s) == session.region]
    moves = [step for step in here if isinstance(step, Move) and step.direction == name]
    return {
        "name": name,
        "group": direction.group,
        "low": direction.low,
        "high": direction.high,
        "amount": session.amount(name),
        "auto": session.aligned and name in AUTO_TARGETS,
        "keep": list(moves[-1].keep) if moves else [],
        "space": direction.space,
        "r2": direction.facts.get("r2"),
    }


def build_history(session: Session) -> list[dict[str, Any]]:
    """What was done, entry by entry; entry 0 is the photo as it was opened."""
    first = {"at": 0, "step": "open", "label": ""}
    return [
        first,
        *(_describe_change(a, b, at) for at, (a, b) in enumerate(itertools.pairwise(session.history), start=1)),
    ]


def _describe_change(before: Recipe, after: Recipe, at: int) -> dict[str, Any]:
    """What turned one recipe into the next."""
    gone = [step for step in before.steps if step not in after.steps]
    new = [step for step in after.steps if step not in before.steps]
    if len(gone) <= 1 and len(new) <= 1 and (new or gone):
        step = unwrap_step((new or gone)[0])
        if isinstance(step, Move):
            amount = step.amount if new else 0.0
            label = f"{step.direction} {amount:+.2g}" if amount else f"{step.direction} 0"
            return {"at": at, "step": "set", "direction": step.direction, "amount": amount, "label": label}
        if new:
            fields = {key: getattr(step, key) for key in ("part", "style", "model", "scale") if hasattr(step, key)}
            return {"at": at, "step": step.name, "label": format_step(step), **fields}
    return {"at": at, "step": "recipe", "label": f"recipe, {len(after.steps)} steps"}


def format_step(step: Any) -> str:
    """A step in few words."""
    step = unwrap_step(step)
    if isinstance(step, Move):
        return f"{step.direction} {step.amount:+.2g}"
    fields = {key: value for key, value in step_to_dict(step).items() if key != "step"}
    words = [str(value) for value in fields.values() if isinstance(value, (str, int, float)) and str(value) != ""]
    return " ".join([step.name, *(word for word in words[:2] if len(word) <= 24)])


def crop_as_data(crop: Crop) -> dict[str, float]:
    """A square in the photo."""
    return {"x": crop.x, "y": crop.y, "side": crop.side, "angle_deg": crop.angle_deg}


def face_as_data(face: Face) -> dict[str, Any]:
    """A found face, in pixels of the photo."""
    left, top, right, bottom = face.box
    return {
        "box": [round(v, 2) for v in (left, top, right - left, bottom - top)],
        "points": [[round(x, 2), round(y, 2)] for x, y in face.points.tolist()],
        "score": round(face.score, 4),
    }


def recipe_as_data(text: str | None) -> dict[str, Any] | None:
    """A recipe that a file carried, as far as it is one."""
    try:
        return None if text is None else json.loads(Recipe.from_json(text).to_json())
    except ValueError:
        return None


def make_temp_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for this studio's files, readable by nobody else, gone when it closes."""
    return tempfile.TemporaryDirectory(prefix="ganvas-studio-")
