"""Finishing steps: img → img, once the picture is painted and back in its photo. As data they are steps like others.

What does the work (an upscaler, a translator) lies in other rooms; the session calls it with what is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from torch import Tensor

from ganvas.fields import check_settings, setting

if TYPE_CHECKING:
    from ganvas.editing.step import EditContext

MAX_POST_SCALE = 8.0
RESAMPLE_ONLY = "lanczos"  # resampling, in place of an upscaler's name
_NAME = r"[\w+-][\w.+-]{0,99}(/[\w+-][\w.+-]{0,99})?"  # of a model: never a path that leads elsewhere
_NAME_RULE = "a model's name, such as realesr-animevideov3 or vintage"


@dataclass(frozen=True, kw_only=True)
class PictureStep:
    """What is done to a picture once it is painted; before that, nothing."""

    name: ClassVar[str]

    @property
    def slot(self) -> tuple[str, ...]:
        """A step takes the place of an earlier one with the same slot."""
        return (self.name,)

    @property
    def idle(self) -> bool:
        """True where the step does nothing: it is taken out of the recipe then."""
        return False

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """Nothing before the picture is painted."""
        return ws


@dataclass(frozen=True, kw_only=True)
class Upscale(PictureStep):
    """Make the finished photo larger: `scale` times as wide and high, with an upscaler; `model` "lanczos" = none.

    `strength` goes from 0 (resampling alone) to 1 (the network's picture).
    """

    name: ClassVar[str] = "upscale"
    model: str = setting(pattern=_NAME, expected=_NAME_RULE, help="an upscaler, or lanczos")
    scale: float = setting(2.0, ge=1, le=MAX_POST_SCALE, help="times as wide and high")
    strength: float = setting(1.0, ge=0, le=1, help="0 = resampling alone, 1 = the network's picture")

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    @property
    def idle(self) -> bool:
        """Nothing at scale 1."""
        return self.scale == 1


@dataclass(frozen=True, kw_only=True)
class Translate(PictureStep):
    """Show the finished photo in another domain, with the translator `model`.

    `strength` goes from 0 (the photo as it was) to 1 (the network's picture). `direction` is "AtoB" or "BtoA" where the
    model is one of a pair.
    """

    name: ClassVar[str] = "translate"
    model: str = setting(pattern=_NAME, expected=_NAME_RULE, help="a translator")
    strength: float = setting(1.0, ge=0, le=1, help="0 = the photo as it was, 1 = the network's picture")
    direction: str | None = setting(None, choices=("AtoB", "BtoA"), help="where the model is one of a pair")

    def __post_init__(self) -> None:
        check_settings(self, who=self.name)

    @property
    def idle(self) -> bool:
        """Nothing at strength 0."""
        return self.strength == 0


PostStep: TypeAlias = "Upscale | Translate"  # a finish of the whole photo, after all of its faces
