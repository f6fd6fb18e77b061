"""The recipes of an editing one after another, and which of them is in force: undo, redo, replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ganvas.editing.post_steps import PostStep
from ganvas.editing.recipe import Recipe, face_steps_of, post_steps_of
from ganvas.errors import BadConfig
from ganvas.images.photo import Photo
from ganvas.session.finishing import OnFinishStep
from ganvas.session.renderer import Renderer


class EditHistory:
    """At least one recipe, the untouched one first; every one of them fits the renderer.

    Args:
        renderer: paints them.
        recipe: the untouched one, without steps.
    """

    def __init__(self, renderer: Renderer, recipe: Recipe):
        self.renderer = renderer
        self._history: tuple[Recipe, ...] = (recipe,)
        self._at = 0

    @property
    def recipe(self) -> Recipe:
        """What has been done so far."""
        return self._history[self._at]

    @property
    def history(self) -> tuple[Recipe, ...]:
        """Every recipe there was, the untouched one first; what was taken back stands behind `at`."""
        return self._history

    @property
    def at(self) -> int:
        """Which entry of `history` is in force."""
        return self._at

    def undo(self) -> bool:
        """Take the last change back; False if there is none."""
        moved = self._at > 0
        self._at -= moved
        return moved

    def redo(self) -> bool:
        """Do again what was taken back; False if there is nothing."""
        moved = self._at < len(self._history) - 1
        self._at += moved
        return moved

    def goto(self, at: int) -> None:
        """Go to any entry of `history`: many undos or redos at once.

        Raises:
            BadConfig: there is no such entry.
        """
        if not 0 <= at < len(self._history):
            raise BadConfig(f"this session's history has entries 0 to {len(self._history) - 1}, got {at}")
        self._at = at

    def restore(self, history: Sequence[Recipe], at: int) -> None:
        """Resume an editing that was saved: all its recipes, the untouched one first, and where in it we are.

        Raises:
            BadConfig: of another generator, or no such entry. BadLatent and others: a step that does not fit.
        """
        for recipe in history:
            self._check_generator(recipe, "these edits were made with")
            self.renderer.check(recipe)
        if not 0 <= at < len(history):
            raise BadConfig(f"these edits have entries 0 to {len(history) - 1}, got {at}")
        self._history, self._at = tuple(history), at

    def replay(self, recipe: Recipe) -> None:
        """Apply another recipe's steps to this photo.

        Raises:
            BadConfig: it was made with another generator, or for parts that this photo does not have.
        """
        if recipe.fingerprint:
            self._check_generator(recipe, "this recipe was made with")
        for step in post_steps_of(recipe):
            self.renderer.check_post_step(step)
        self._apply(replace(self.recipe, steps=self.renderer.renew_parts(recipe.steps)))

    def take_over(self, history: Sequence[Recipe], at: int) -> None:
        """The steps of an earlier editing of the same picture, all of its history, on what this one starts from.

        Raises:
            BadConfig, BadLatent: a step that does not fit, or no such entry.
        """
        first = self._history[0]
        recipes = [replace(first, steps=recipe.steps) for recipe in history]
        self.restore(recipes, at)

    def adopt_finish(self, steps: Sequence[PostStep]) -> None:
        """Finishing steps are of the whole photo: what another face's editing has of them holds here, too.

        Where they differ, every entry gets them, so that undoing a step of this face does not undo a finish.
        """
        if list(steps) != post_steps_of(self.recipe):
            self._history = tuple(replace(recipe, steps=(*face_steps_of(recipe), *steps)) for recipe in self._history)

    # -- pictures

    def render(self, *, on_step: OnFinishStep | None = None) -> Photo:
        """The whole photo with its changes; pixels that no change reaches are the original's, bit for bit.

        Args:
            on_step: called with (steps done, steps in all) while a finish (upscaling, translation) runs; what it raises
                stops the work.

        Returns:
            A photo of the original's size (larger where the recipe says so), depth and metadata, with its recipe.
        """
        return self.renderer.render(self.recipe, on_step=on_step)

    def preview_photo(self, *, longest_px: int) -> Tensor:
        """The whole photo with its changes at the size of a screen, quickly: [1, 3, H, W].

        Args:
            longest_px: of the longer side; a smaller photo stays as it is.
        """
        return self.renderer.preview_photo(self.recipe, longest_px=longest_px)

    @property
    def result_size(self) -> tuple[int, int]:
        """(width, height) of what `render` gives."""
        return self.renderer.result_size(self.recipe)

    def _check_generator(self, recipe: Recipe, what: str) -> None:
        ours = self.recipe
        if recipe.fingerprint != ours.fingerprint:
            raise BadConfig(
                f"{what} {recipe.model!r} ({recipe.fingerprint[:12]}), the session uses "
                f"{ours.model!r} ({ours.fingerprint[:12]})"
            )

    def _apply(self, recipe: Recipe) -> None:
        self.renderer.check(recipe)  # what does not fit says so now, not at the next render
        self._push(recipe)

    def _push(self, recipe: Recipe) -> None:
        self._history = (*self._history[: self._at + 1], recipe)
        self._at += 1
