"""A photo that was not searched for in any model: it can be finished (enlarged, translated) and saved all the same."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.editing.recipe import Recipe, face_steps_of, post_steps_of
from ganvas.editing.step import LatentStep
from ganvas.errors import BadConfig
from ganvas.images.photo import Photo
from ganvas.session.finishing import NetworkLoader
from ganvas.session.history import EditHistory
from ganvas.session.photo_parts import PhotoParts
from ganvas.session.renderer import Renderer, resize_by_area
from ganvas.weights.load import load


class PlainRenderer(Renderer):
    """A photo without a generator: only finishing steps fit.

    Args:
        photo: the original.
        network: names in finishing steps → networks.
    """

    def __init__(self, photo: Photo, *, network: NetworkLoader = load):
        self.photo, self.network, self.directions, self.model = photo, network, {}, ""
        self._finished, self.aligned = None, False

    @property
    def parts(self) -> PhotoParts:
        """None is known: no face was looked for."""
        return PhotoParts((), lambda: torch.zeros(1, 0, 1, 1))

    def check(self, recipe: Recipe) -> None:
        """Are all of its steps finishes?

        Raises:
            BadConfig: one changes a face, and none was looked for.
        """
        post_steps_of(recipe)
        if face_steps_of(recipe):
            raise BadConfig(
                "this step edits a face: bring the photo into a model first; enlarge and translate need none"
            )

    def _paint(self, recipe: Recipe) -> Photo:
        """The photo as it is."""
        return self.photo.with_img(self.photo.img)

    def _paint_preview(self, recipe: Recipe, longest_px: int) -> Tensor:
        return resize_by_area(self.photo.img, min(1.0, longest_px / max(self.photo.size)))


class PlainSession(EditHistory):
    """The finishing of a photo, with its history; `Session` is the same for a photo that was found in a model.

    Args:
        photo: the original.
        network: names in finishing steps → networks.
    """

    def __init__(self, photo: Photo, *, network: NetworkLoader = load):
        super().__init__(PlainRenderer(photo, network=network), Recipe())
        self.photo = photo

    def put(self, step: LatentStep) -> None:
        """A finishing step in the place of what it was before; one that does nothing takes it out.

        Raises:
            BadConfig: another kind of step, or its network is not there.
        """
        recipe = self.recipe.with_step(step)
        self.renderer.check(recipe)
        for one in post_steps_of(recipe):
            self.renderer.check_post_step(one)
        self._push(recipe)
