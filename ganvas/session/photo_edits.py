"""One photo and all of its faces: each face has a latent and steps of its own, the finish is of the photo.

    edits = PhotoEdits(photo, faces=order_faces(find_faces(photo.img)))
    edits.add(0, open_session(photo, face=edits.faces[0]))
    edits.add(1, open_session(photo, face=edits.faces[1]))
    edits.activate(0).set("smile", 1)
    edits.activate(1).set("age", -1)
    result = edits.render()            # both, in one photo

Every face is painted into the original by itself. What changed is added up, so that the order does not matter; where
the squares of two faces overlap, each place follows the face that it is nearer to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.recipe import Recipe, face_steps_of, post_steps_of
from ganvas.errors import BadConfig
from ganvas.features.faces import Face
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.session.finishing import NetworkLoader, OnFinishStep, apply_post_steps, translate_preview
from ganvas.session.plain_session import PlainSession
from ganvas.session.session import Session
from ganvas.weights.load import load

SAME_FACE = 0.2  # a square's middle is nearer to its face's than this, in sides of the square
NEARNESS = 24.0  # how sharply two faces part where their squares overlap; higher = sharper


def order_faces(faces: Sequence[Face]) -> list[Face]:
    """Faces from left to right, as people count them in a picture."""
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])


class PhotoEdits:
    """See the module.

    `face` is the one that is being edited (its place in `faces`; None = a square of one's own, the whole picture, or
    none yet), `active` its editing. `sessions` has every face that was found in a model so far.

    Args:
        photo: the original.
        faces: those in it, in the order in which they are numbered.
        network: names in finishing steps → networks.
    """

    def __init__(self, photo: Photo, faces: Sequence[Face] = (), *, network: NetworkLoader = load):
        self.photo, self.faces, self.network = photo, tuple(faces), network
        self.sessions: dict[int | None, Session] = {}
        self.plain = PlainSession(photo, network=network)
        self.face: int | None = None
        self.active: Session | PlainSession = self.plain
        self._finished: tuple[tuple[Recipe, ...], Photo] | None = None
        self._others: dict[tuple[object, ...], Tensor] = {}  # what the other faces add to the active one's square

    @property
    def session(self) -> Session | None:
        """The active face's; None while nothing of the photo was found in a model."""
        return self.active if isinstance(self.active, Session) else None

    def add(self, face: int | None, session: Session) -> None:
        """A face that was found in a model. If it had been found before, its steps stay, with their whole history.

        Args:
            face: its place in `faces`.
            session: of it.
        """
        before = self.sessions.get(face)
        same = before is not None and before.recipe.fingerprint == session.recipe.fingerprint
        if before is not None and same and len(session.history) == 1:
            session.take_over(before.history, before.at)
            session.region = before.region
        self.sessions[face] = session
        self.activate(face)

    def activate(self, face: int | None) -> Session:
        """Edit this face from now on. The finish of the photo stays as it is.

        Raises:
            BadConfig: it was not found in a model yet.
        """
        if face not in self.sessions:
            raise BadConfig(f"face {face} was not brought into a model yet; invert it first")
        before, self.active, self.face = self.active, self.sessions[face], face
        if before is not self.active:
            self.active.adopt_finish(post_steps_of(before.recipe))
        self._others.clear()
        return self.sessions[face]

    def name_faces(self, faces: Sequence[Face]) -> None:
        """The faces were found after their editing: a square that was cut around one of them is that face's."""
        self.faces = tuple(faces)
        session = self.sessions.pop(None, None)
        if session is not None:
            middles = [_middle(face) for face in faces]
            near = [math.dist(middle, (session.crop.x, session.crop.y)) / session.crop.side for middle in middles]
            nearest = near.index(min(near)) if near and min(near) < SAME_FACE else None
            self.sessions[nearest] = session
            self.face = nearest

    def copy_to_all(self) -> list[int | None]:
        """The steps of the active face on every other one that was found in the same model.

        Returns:
            The faces that got them.

        Raises:
            BadConfig: no face is active.
        """
        source = self.session
        if source is None:
            raise BadConfig("no face is being edited whose steps could be copied")
        done = []
        for face, session in self.sessions.items():
            if session is not source and session.recipe.fingerprint == source.recipe.fingerprint:
                session.replay(source.recipe)
                done.append(face)
        self._others.clear()
        return done

    # -- pictures

    @property
    def edited(self) -> list[Session]:
        """The faces that were changed, from left to right."""
        order = sorted(self.sessions, key=lambda face: -1 if face is None else face)
        return [self.sessions[face] for face in order if face_steps_of(self.sessions[face].recipe)]

    @property
    def is_changed(self) -> bool:
        """Is there anything to show beside the original?"""
        return self.session is not None or bool(post_steps_of(self.active.recipe))

    def render(self, *, on_step: OnFinishStep | None = None) -> Photo:
        """The whole photo with the changes of all faces and its finish; see `Session.render`."""
        if not self._has_others():
            return self.active.render(on_step=on_step)
        state = self._state()
        if self._finished is not None and self._finished[0] == state:
            return self._finished[1]
        self._finished = None
        for session in self.sessions.values():
            session.warn_of_breakups()
        with torch.no_grad():
            painted = self.photo.with_img(self._add_up_full())
            steps = post_steps_of(self.active.recipe)
            photo = apply_post_steps(painted, steps, self.network, on_step)
        photo = replace(photo, recipe=self.active.recipe.to_json())
        if steps:
            self._finished = state, photo
        return photo

    @torch.no_grad()
    def preview_photo(self, *, longest_px: int) -> Tensor:
        """The whole photo with its changes at the size of a screen, quickly: [1, 3, H, W]."""
        if not self._has_others():
            return self.active.preview_photo(longest_px=longest_px)
        finished = self._finished
        if finished is not None and finished[0] == self._state():
            return _shrink(finished[1].img, longest_px)
        preview = self._add_up_preview(longest_px)
        return translate_preview(preview, post_steps_of(self.active.recipe), self.network)

    @torch.no_grad()
    def preview(
        self,
        *,
        resolution: int,
        recipe: Recipe | None = None,
        share: float | None = None,
        precision: str = "fast",
    ) -> Tensor:
        """The active face's square, quickly, with what the other faces' edits do in it; see `Session.preview`.

        Raises:
            BadConfig: no face is active.
        """
        session = self.session
        if session is None:
            raise BadConfig("no face is being edited")
        img = session.preview(resolution=resolution, recipe=recipe, share=share, precision=precision)
        if not self._has_others():
            return img
        own, others = self._around(resolution)
        photo = session.crop.cut(self.photo.img, resolution=resolution)
        return (photo + own * (img - photo) + others).clamp(-1, 1)

    def _has_others(self) -> bool:
        return any(session is not self.active for session in self.edited)

    def _state(self) -> tuple[Recipe, ...]:
        return (*(session.recipe for session in self.edited), self.active.recipe)

    def _add_up_full(self) -> Tensor:
        painted: Tensor = self.photo.img.clone()
        edited = self.edited
        for session in edited:
            changed = session.renderer.paint(_without_finish(session.recipe)).img
            self._add(painted, self.photo.img, changed, session.crop, [other.crop for other in edited])
        return painted

    def _add_up_preview(self, longest_px: int) -> Tensor:
        scale = min(1.0, longest_px / max(self.photo.size))
        small = _shrink(self.photo.img, longest_px)
        painted, edited = small.clone(), self.edited
        for session in edited:
            changed = session.renderer.preview_photo(_without_finish(session.recipe), longest_px=longest_px)
            crops = [other.crop.rescale(scale) for other in edited]
            self._add(painted, small, changed, session.crop.rescale(scale), crops)
        return painted

    @staticmethod
    def _add(painted: Tensor, before: Tensor, after: Tensor, crop: Crop, crops: Sequence[Crop]) -> None:
        """What one face changed, into the photo; untouched pixels stay the original's, bit for bit."""
        window = crop.window(width=painted.shape[3], height=painted.shape[2])
        change = window.crop(after) - window.crop(before)
        place = window.crop(painted)
        change = change * _weight(crop, crops, window.left, window.top, window.width, window.height)
        place.copy_(torch.where(change != 0, (place + change).clamp(-1, 1), place))

    def _around(self, resolution: int) -> tuple[Tensor, Tensor]:
        """For the active square: the weight of its own change, and what the others add; kept while they stay."""
        session = self.session
        assert session is not None
        others = [other for other in self.edited if other is not session]
        key = (resolution, session.crop, *((other.crop, other.recipe) for other in others))
        if key not in self._others:
            self._others.clear()
            longest_px = min(max(self.photo.size), round(resolution * max(self.photo.size) / session.crop.side) or 1)
            scale, small = longest_px / max(self.photo.size), _shrink(self.photo.img, longest_px)
            crops = [one.crop.rescale(scale) for one in [session, *others]]
            painted = small.clone()
            for other, crop in zip(others, crops[1:], strict=True):
                after = other.renderer.preview_photo(_without_finish(other.recipe), longest_px=longest_px)
                self._add(painted, small, after, crop, crops)
            own = _weight(crops[0], crops, 0, 0, small.shape[3], small.shape[2])
            added = torch.cat([painted - small, own.expand(1, 1, *small.shape[2:])], dim=1)
            cut = crops[0].cut(added, resolution=resolution)
            self._others[key] = cut
        cut = self._others[key]
        return cut[:, 3:], cut[:, :3]


def _middle(face: Face) -> tuple[float, float]:
    left, top, right, bottom = face.box
    return (left + right) / 2, (top + bottom) / 2


def _without_finish(recipe: Recipe) -> Recipe:
    return replace(recipe, steps=tuple(face_steps_of(recipe)))


def _weight(crop: Crop, crops: Sequence[Crop], left: int, top: int, width: int, height: int) -> Tensor:
    """How much of a place follows this face, [1, 1, height, width]: 1 where no other square reaches.

    Nearness falls off as a bell around the middle of each square, in units of its side, and ends at the square's edge.
    """
    if len(crops) == 1:
        return torch.ones(1, 1, 1, 1)
    y, x = torch.meshgrid(torch.arange(height) + (top + 0.5), torch.arange(width) + (left + 0.5), indexing="ij")
    own = _nearness(crop, x, y)
    whole = sum((_nearness(one, x, y) for one in crops if one != crop), own.clone())
    return (own / whole.clamp_min(1e-12))[None, None]


def _nearness(crop: Crop, x: Tensor, y: Tensor) -> Tensor:
    distance = ((x - crop.x) / crop.side).square() + ((y - crop.y) / crop.side).square()
    edge = (1 - torch.maximum((x - crop.x).abs(), (y - crop.y).abs()) / (0.75 * crop.side)).clamp(0, 1)
    return torch.exp(-NEARNESS * distance) * edge


def _shrink(img: Tensor, longest_px: int) -> Tensor:
    share = min(1.0, longest_px / max(img.shape[2:]))
    if share == 1:
        return img
    return F.interpolate(img, [max(1, round(side * share)) for side in img.shape[2:]], mode="area")
