"""The recipes of an editing one after another, and which of them is in force: undo, redo, replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ganvas.editing.recipe import Recipe, post_steps_of
from ganvas.errors import BadConfig
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
            BadConfig: it was made with another generator.
        """
        if recipe.fingerprint:
            self._check_generator(recipe, "this recipe was made with")
        for step in post_steps_of(recipe):
            self.renderer.check_post_step(step)
        self._apply(replace(self.recipe, steps=recipe.steps))

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
