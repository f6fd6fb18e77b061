"""Variants: states of a photo under names, beside one another. A variant is data: a recipe for each face.

variants = VariantList()
kept = variants.keep(edits, "calm")
for amount in (0.5, 1, 1.5):
    variants.keep(edits, f"smile {amount}", recipes=try_step(edits, Move(direction="smile", amount=amount)))
picture = show_variant(edits, kept).preview_photo(longest_px=800)
apply_variant(edits, kept)
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ganvas.editing.mix import Mix
from ganvas.editing.move import Move
from ganvas.editing.post_steps import Translate, Upscale
from ganvas.editing.recipe import Recipe
from ganvas.editing.step import LatentStep
from ganvas.errors import BadConfig
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.session import Session

MAX_VARIANTS = 48  # of one photo
MAX_MADE_AT_ONCE = 9  # as many as are compared
MAX_VARIANT_NAME = 60
_PLAIN = "photo"  # key of the finish of a photo without a face


@dataclass(frozen=True, kw_only=True)
class PhotoVariant:
    """A state of a photo; `recipes` by face (None = a square of one's own), of those that were found."""

    id: str
    name: str
    face: int | None
    recipes: Mapping[int | str | None, Recipe]

    def to_json(self) -> str:
        """For the disk."""
        recipes = [[face, json.loads(recipe.to_json())] for face, recipe in self.recipes.items()]
        return json.dumps({"id": self.id, "name": self.name, "face": self.face, "recipes": recipes})

    @classmethod
    def from_json(cls, text: str) -> PhotoVariant:
        """What `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError, BadConfig: it is something else.
        """
        data = json.loads(text)
        recipes = {face: Recipe.from_json(json.dumps(recipe)) for face, recipe in data["recipes"]}
        return cls(id=str(data["id"]), name=str(data["name"])[:MAX_VARIANT_NAME], face=data["face"], recipes=recipes)


class VariantList:
    """The variants of a photo, in order.

    Args:
        variants: those that it has.
    """

    def __init__(self, variants: Iterable[PhotoVariant] = ()):
        self._variants = {variant.id: variant for variant in variants}

    def __iter__(self) -> Any:
        return iter(list(self._variants.values()))

    def __len__(self) -> int:
        return len(self._variants)

    def find(self, id: str) -> PhotoVariant:
        """One of them.

        Raises:
            BadConfig: there is none of that id.
        """
        if id not in self._variants:
            raise BadConfig("there is no such variant, or it was deleted")
        return self._variants[id]

    def keep(
        self, edits: PhotoEdits, name: str, *, recipes: Mapping[int | str | None, Recipe] | None = None
    ) -> PhotoVariant:
        """The photo as it is now, or with other recipes, as a new variant.

        Args:
            edits: of the photo.
            name: what it is called.
            recipes: by face; None = what is in force.

        Raises:
            BadConfig: a bad name, or too many variants.
        """
        if len(self) >= MAX_VARIANTS:
            raise BadConfig(f"a photo has {MAX_VARIANTS} variants at most; delete some")
        variant = PhotoVariant(
            id=secrets.token_hex(6),
            name=_check_variant_name(name),
            face=edits.face,
            recipes=present_recipes(edits) if recipes is None else recipes,
        )
        self._variants[variant.id] = variant
        return variant

    def rename(self, id: str, name: str) -> PhotoVariant:
        """The same under another name; errors as `keep` and `find`."""
        self._variants[id] = replace(self.find(id), name=_check_variant_name(name))
        return self._variants[id]

    def delete(self, id: str) -> None:
        """Forget one; errors as `find`."""
        self.find(id)
        del self._variants[id]


def present_recipes(edits: PhotoEdits) -> dict[int | str | None, Recipe]:
    """What is in force, of every face that was found; of the photo alone where there is none."""
    recipes: dict[int | str | None, Recipe] = {face: session.recipe for face, session in edits.sessions.items()}
    return recipes or {_PLAIN: edits.plain.recipe}


def try_step(edits: PhotoEdits, step: LatentStep) -> dict[int | str | None, Recipe]:
    """The recipes with one step more on what is being edited; nothing is changed.

    Raises:
        BadConfig, BadLatent: it does not fit.
    """
    session, recipes = edits.session, present_recipes(edits)
    if session is not None:
        recipes[edits.face] = session.with_step(step)
    else:
        recipe = edits.plain.recipe.with_step(step)
        edits.plain.renderer.check(recipe)
        recipes[_PLAIN] = recipe
    return recipes


def preview_step(edits: PhotoEdits, step: LatentStep, *, longest_px: int) -> Tensor:
    """How one step more would look, small; nothing is changed.

    Args:
        edits: of the photo.
        step: any; it takes the place of one of its kind, as when it is done.
        longest_px: of the picture, at most.

    Returns:
        [1, 3, H, W]: for a step of the face its square, for one of the finish the whole photo.

    Raises:
        BadConfig, BadLatent: it does not fit.
    """
    recipes = try_step(edits, step)
    session = edits.session
    if session is not None and not isinstance(step, (Upscale, Translate)):
        size = min(longest_px, session.generator.img_resolution)
        return edits.preview(resolution=size, recipe=recipes[edits.face])
    tried = PhotoVariant(id="", name="", face=edits.face, recipes=recipes)
    return show_variant(edits, tried).preview_photo(longest_px=longest_px)


def show_variant(edits: PhotoEdits, variant: PhotoVariant) -> PhotoEdits:
    """The photo as a variant has it, for its pictures; the editing itself stays as it is.

    Raises:
        BadConfig: a face was found in another model since.
    """
    state = PhotoEdits(edits.photo, edits.faces, network=edits.network)
    for face, session in edits.sessions.items():
        recipe = variant.recipes.get(face, session.history[0])
        state.sessions[face] = _with_recipe(session, recipe)
    if _PLAIN in variant.recipes and not state.sessions:
        state.plain.restore([edits.plain.history[0], variant.recipes[_PLAIN]], 1)
    elif state.sessions:
        state.face = variant.face if variant.face in state.sessions else next(iter(state.sessions))
        state.active = state.sessions[state.face]
    return state


def apply_variant(edits: PhotoEdits, variant: PhotoVariant) -> None:
    """Go on from a variant: one entry in the history of each face that differs.

    Raises:
        BadConfig: a face was found in another model since.
    """
    if not edits.sessions:
        edits.plain.replay(variant.recipes.get(_PLAIN, edits.plain.history[0]))
        return
    for face, session in edits.sessions.items():
        recipe = variant.recipes.get(face)
        if recipe is not None and recipe.steps != session.recipe.steps:
            session.replay(recipe)
    if variant.face in edits.sessions:
        edits.face, edits.active = variant.face, edits.sessions[variant.face]


def _with_recipe(session: Session, recipe: Recipe) -> Session:
    twin = copy.copy(session)  # the renderer and its caches are shared; the history is not
    first = replace(session.history[0], steps=())
    twin.restore([first, replace(first, steps=recipe.steps)], 1)
    return twin


def steps_of_amounts(direction: str, amounts: Sequence[float]) -> list[tuple[str, LatentStep]]:
    """(name, step) for several amounts of a dial."""
    return [(f"{direction} {amount:+.2g}", Move(direction=direction, amount=amount)) for amount in amounts]


def steps_of_seeds(
    seeds: Sequence[int], *, part: str = "colour", strength: float = 0.7
) -> list[tuple[str, LatentStep]]:
    """(name, step) for the colours, shape or all of several seeds."""
    return [(f"{part} {seed}", Mix(seed=seed, part=part, strength=strength)) for seed in seeds]


def steps_of_upscalers(models: Sequence[str], *, scale: float = 2.0) -> list[tuple[str, LatentStep]]:
    """(name, step) for several upscalers."""
    return [(f"{model} {scale:g}x", Upscale(model=model, scale=scale)) for model in models]


def _check_variant_name(name: str) -> str:
    plain = "".join(c for c in name.strip() if c.isprintable())
    if not 0 < len(plain) <= MAX_VARIANT_NAME:
        raise BadConfig(f"a variant's name has 1 to {MAX_VARIANT_NAME} characters, got {name!r:.80}")
    return plain
