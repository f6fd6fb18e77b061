"""Steps that change a part of the finished photo: its colour, teeth, skin, eyes, what is behind the person, the lean of
the head.

They come after painting and work on the photo itself, at its full size and depth. As data they are steps like others;
what they do to pixels is in ganvas/editing/part_effects.py, where the parts are is found anew in every photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ganvas.editing.post_steps import PictureStep
from ganvas.errors import BadConfig
from ganvas.features.parts import expand_parts
from ganvas.fields import check_settings, setting

_COLOUR = r"#[0-9a-fA-F]{6}"
_COLOUR_RULE = "a colour such as #7a3b1e"
BACKDROPS = ("blur", "plain", "transparent")


@dataclass(frozen=True, kw_only=True)
class PartStep(PictureStep):
    """A step of a part of the photo, more or less of it."""

    amount: float = setting(0.5, ge=0, le=1, help="0 = as it was, 1 = as much as looks natural")

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    @property
    def idle(self) -> bool:
        """Nothing at amount 0."""
        return self.amount == 0


@dataclass(frozen=True, kw_only=True)
class Colour(PartStep):
    """Give a part another colour: hair, lips, iris, skin, brows, clothes; light, shade and single hairs stay.

    At amount 1 the part's mean colour is the one that was picked.
    """

    name: ClassVar[str] = "colour"
    part: str = setting("hair", pattern=r"[a-z]+(\+[a-z]+)*", expected="parts: hair or skin+lips", help="what of it")
    colour: str = setting("#7a3b1e", pattern=_COLOUR, expected=_COLOUR_RULE, help="the new colour")
    amount: float = setting(1.0, ge=0, le=1, help="0 = as it was, 1 = the new colour")

    def __post_init__(self) -> None:
        super().__post_init__()
        if "background" in expand_parts(self.part.split("+")):
            raise BadConfig("colour is for parts of a person; the step background has a colour of its own")

    @property
    def slot(self) -> tuple[str, ...]:
        """One colour for each choice of parts."""
        return self.name, self.part


@dataclass(frozen=True, kw_only=True)
class TeethWhitening(PartStep):
    """Make teeth whiter: less yellow, a little lighter; gums and lips stay."""

    name: ClassVar[str] = "teeth"


@dataclass(frozen=True, kw_only=True)
class SkinSmoothing(PartStep):
    """Make skin smoother: blotches and fine lines fade, pores and edges stay."""

    name: ClassVar[str] = "smooth_skin"


@dataclass(frozen=True, kw_only=True)
class EyeBrightening(PartStep):
    """Make eyes brighter: whites lighter and less red, the iris clearer."""

    name: ClassVar[str] = "bright_eyes"


@dataclass(frozen=True, kw_only=True)
class Blush(PartStep):
    """Put colour on the cheeks."""

    name: ClassVar[str] = "blush"
    colour: str = setting("#d0566a", pattern=_COLOUR, expected=_COLOUR_RULE, help="of the blush")


@dataclass(frozen=True, kw_only=True)
class Backdrop(PartStep):
    """Change what is behind the person: blurred, one plain colour, or transparent."""

    name: ClassVar[str] = "background"
    kind: str = setting("blur", choices=BACKDROPS, help="what becomes of it")
    amount: float = setting(0.5, ge=0, le=1, help="0 = as it was; of a blur: how wide")
    colour: str = setting("#e8e4dc", pattern=_COLOUR, expected=_COLOUR_RULE, help="of a plain background")


@dataclass(frozen=True, kw_only=True)
class HeadRoll(PartStep):
    """Lean the head to a side: it turns about the neck, and what is behind it gives way."""

    name: ClassVar[str] = "roll"
    amount: float = setting(5.0, ge=-15, le=15, unit="degrees", help="clockwise as one sees it; - the other way")


PART_STEPS: tuple[type[PartStep], ...] = (
    Colour,
    TeethWhitening,
    SkinSmoothing,
    EyeBrightening,
    Blush,
    Backdrop,
    HeadRoll,
)
