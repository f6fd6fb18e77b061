"""A recipe: a picture's whole editing as data. What undo shortens, a saved picture carries, and a test replays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ganvas.editing.drag import Drag
from ganvas.editing.mix import Mix
from ganvas.editing.move import EDITION, FIRST_EDITION, Move
from ganvas.editing.part_steps import PART_STEPS, PartStep
from ganvas.editing.post_steps import PictureStep, PostStep, Translate, Upscale
from ganvas.editing.regions import InRegion, Region, region_of, regions_of, unwrap_step
from ganvas.editing.step import LatentStep, step_from_dict, step_to_dict
from ganvas.editing.stylise import Stylise
from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.weights.checkpoint import write_atomically

_FORMAT = "ganvas-recipe-1"
MAX_RECIPE_BYTES = 1_000_000
MAX_RECIPE_STEPS = 1_000

# The one place where a name in a recipe becomes code.
STEPS: dict[str, type] = {step.name: step for step in (Drag, Mix, Move, Stylise, Translate, Upscale)}
STEPS |= {step.name: step for step in PART_STEPS}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What was done to a picture, in order.

    `model` is a catalogue name or a path, `fingerprint` the hash of its weights. The picture is either a photo
    (`source`, the hash of its pixels, with the face and the effort of the inversion) or a `seed`.
    """

    steps: tuple[LatentStep, ...] = ()
    model: str = ""
    fingerprint: str = ""
    source: str = ""
    face: int | None = None
    effort: str = "standard"
    seed: int = 0
    truncation_psi: float = 1.0

    def __post_init__(self) -> None:
        if len(self.steps) > MAX_RECIPE_STEPS:
            raise BadConfig(f"a recipe holds {MAX_RECIPE_STEPS} steps at most, got {len(self.steps)}")
        object.__setattr__(self, "steps", tuple(self.steps))
        regions_of(self.steps)  # not too many

    def then(self, step: LatentStep) -> Recipe:
        """This recipe with one more step."""
        return replace(self, steps=(*self.steps, step))

    def with_move(
        self,
        direction: str,
        amount: float,
        *,
        keep: tuple[str, ...] = (),
        region: Region | None = None,
        edition: int = EDITION,
    ) -> Recipe:
        """Set a slider: its move is replaced where it stands, added at the end, or taken out at amount 0.

        A slider that applies in a region is another one than the same everywhere, or in another region.
        """
        move = None if amount == 0 else Move(direction=direction, amount=amount, keep=keep, edition=edition)
        return self._with(move, lambda step: isinstance(step, Move) and step.direction == direction, region)

    def with_mix(self, mix: Mix, *, region: Region | None = None) -> Recipe:
        """Mix a part; the same part's earlier mix is replaced where it stands, or taken out at strength 0."""
        rows = mix.part, mix.layers
        new_step = mix if mix.strength else None
        return self._with(new_step, lambda step: isinstance(step, Mix) and (step.part, step.layers) == rows, region)

    def with_style(self, style: Stylise, *, region: Region | None = None) -> Recipe:
        """Set a style's strength; the step is replaced where it stands, or taken out at strength 0."""
        new_step = style if style.strength else None
        return self._with(new_step, lambda step: isinstance(step, Stylise) and step.style == style.style, region)

    def with_step(self, step: LatentStep, *, region: Region | None = None) -> Recipe:
        """The recipe with a step where it belongs: a slider, a mix, a style or a finish takes the place of what it was
        before (or is taken out where it does nothing), anything else goes to the end.

        Args:
            step: one that names a region of its own keeps it.
            region: where it applies; upscaling and translating are of the whole photo.
        """
        region, inner = region_of(step) or region, unwrap_step(step)
        if isinstance(inner, Move) and inner.layers is None and inner.space is None:
            return self.with_move(inner.direction, inner.amount, keep=inner.keep, region=region, edition=inner.edition)
        if isinstance(inner, Mix):
            return self.with_mix(inner, region=region)
        if isinstance(inner, Stylise):
            return self.with_style(inner, region=region)
        if isinstance(inner, PictureStep):
            where = None if isinstance(inner, (Upscale, Translate)) else region
            slot = inner.slot
            return self._with(
                None if inner.idle else inner, lambda step: isinstance(step, PictureStep) and step.slot == slot, where
            )
        return self.then(inner if region is None else InRegion(inner, region))

    def _with(self, step: LatentStep | None, replaces: Callable[[Any], bool], region: Region | None) -> Recipe:
        """The step where the first of this region stands that it replaces, else at the end; all those go."""
        places = [i for i, old in enumerate(self.steps) if region_of(old) == region and replaces(unwrap_step(old))]
        others = [old for i, old in enumerate(self.steps) if i not in places]
        if step is None:
            return replace(self, steps=tuple(others))
        at = places[0] if places else len(others)
        new_step: LatentStep = step if region is None else InRegion(step, region)
        return replace(self, steps=(*others[:at], new_step, *others[at:]))

    def amount(self, direction: str, *, region: Region | None = None) -> float:
        """Where a slider stands; 0 where it was not moved."""
        return sum(unwrap_step(step).amount for step in self.steps if _moves(step, direction, region))

    def to_json(self) -> str:
        """One line of JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "steps"}
        steps = [step_to_data(step) for step in self.steps]
        return json.dumps({"format": _FORMAT, **plain, "steps": steps}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The recipe that `to_json` wrote; equal to the one it came from.

        Raises:
            BadConfig: not JSON, another format, an unknown step or field, a value that does not fit.
        """
        if len(text) > MAX_RECIPE_BYTES:
            raise BadConfig(f"a recipe is at most {MAX_RECIPE_BYTES:,} characters of JSON, got {len(text):,}")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadConfig(f"this is not a recipe: expected JSON, got {text[:40]!r} ({error})") from error
        if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
            raise BadConfig(f'this is not a ganvas recipe: it should have "format": "{_FORMAT}"')
        steps = data.pop("steps", [])
        if not isinstance(steps, list):
            raise BadConfig("a recipe's steps are a list")
        for key in data:
            check_known(key, _PLAIN, what="field of a recipe")
        _check_types(data)
        return cls(steps=tuple(_step_of_recipe(step) for step in steps[: MAX_RECIPE_STEPS + 1]), **data)

    def save(self, path: Path | str) -> Path:
        """Write the recipe as JSON; atomic."""
        path = Path(path)
        pretty = json.dumps(json.loads(self.to_json()), indent=2, ensure_ascii=False)
        write_atomically(path, lambda part: Path(part).write_text(pretty + "\n", encoding="utf-8"))
        return path

    @classmethod
    def load(cls, path: Path | str) -> Recipe:
        """Read a recipe file.

        Raises:
            BadConfig: the file is missing or holds something else.
        """
        try:
            if Path(path).stat().st_size > MAX_RECIPE_BYTES:
                raise BadConfig(f"{path} is too large for a recipe")
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadConfig(f"{path} cannot be read as a recipe: {error}") from error


def _moves(step: Any, direction: str, region: Region | None) -> bool:
    inner = unwrap_step(step)
    return isinstance(inner, Move) and inner.direction == direction and region_of(step) == region


def step_to_data(step: Any) -> dict[str, Any]:
    """A step's own fields, and the region it is limited to under "within"."""
    region = region_of(step)
    return {**step_to_dict(unwrap_step(step)), **({} if region is None else {"within": region.to_dict()})}


def step_from_data(data: Any) -> LatentStep:
    """The step that `step_to_data` wrote; see `ganvas.editing.step.step_from_dict`."""
    if not isinstance(data, dict) or "within" not in data:
        return step_from_dict(data, STEPS)
    inner = {key: value for key, value in data.items() if key != "within"}
    return InRegion(step_from_dict(inner, STEPS), Region.from_dict(data["within"]))


def _step_of_recipe(data: Any) -> LatentStep:
    """A step of a recipe; a move that does not say its edition is from before there were any."""
    if isinstance(data, dict) and data.get("step") == Move.name:
        data = {"edition": FIRST_EDITION, **data}
    return step_from_data(data)


_PLAIN = {field.name: field for field in dataclasses.fields(Recipe) if field.name != "steps"}
_TYPES: dict[str, tuple[type, ...]] = {"seed": (int,), "face": (int, type(None)), "truncation_psi": (int, float)}


def _check_types(data: dict[str, Any]) -> None:
    for key, value in data.items():
        wanted = _TYPES.get(key, (str,))
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise BadConfig(f"a recipe's {key} should be {wanted[0].__name__}, got {value!r}")


def post_steps_of(recipe: Recipe) -> list[PostStep]:
    """The finish of a recipe: steps of the whole photo, which come last.

    Raises:
        BadConfig: one that is limited to a region.
    """
    steps = [step for step in recipe.steps if isinstance(unwrap_step(step), (Upscale, Translate))]
    if any(region_of(step) is not None for step in steps):
        raise BadConfig("upscale and translate apply to the whole photo: remove the region from that step")
    return [unwrap_step(step) for step in steps]


def part_steps_of(recipe: Recipe) -> list[PartStep | InRegion]:
    """The steps of a recipe that change parts of the painted face; some in a region."""
    return [cast("PartStep | InRegion", step) for step in recipe.steps if isinstance(unwrap_step(step), PartStep)]


def latent_steps_of(recipe: Recipe) -> list[LatentStep]:
    """The steps of a recipe that are painted."""
    return [step for step in recipe.steps if not isinstance(unwrap_step(step), PictureStep)]


def face_steps_of(recipe: Recipe) -> list[LatentStep]:
    """The steps of a recipe that belong to its face: all but `post_steps_of`."""
    return [step for step in recipe.steps if not isinstance(unwrap_step(step), (Upscale, Translate))]
