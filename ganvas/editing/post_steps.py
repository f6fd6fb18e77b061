"""Finishing steps: img → img, once the picture is painted and back in its photo. As data they are steps like others.

What does the work (an upscaler, a translator) lies in other rooms; the session calls it with what is written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from torch import Tensor

from ganvas.errors import BadConfig

if TYPE_CHECKING:
    from ganvas.editing.step import EditContext

MAX_POST_SCALE = 8.0
RESAMPLE_ONLY = "lanczos"  # resampling, in place of an upscaler's name
_NAME = re.compile(r"[\w+-][\w.+-]{0,99}(/[\w+-][\w.+-]{0,99})?")  # of a model: never a path that leads elsewhere


@dataclass(frozen=True, kw_only=True)
class Upscale:
    """Make the finished photo larger: `scale` times as wide and high, with an upscaler; `model` "lanczos" = none.

    `strength` goes from 0 (resampling alone) to 1 (the network's picture).
    """

    name: ClassVar[str] = "upscale"
    model: str
    scale: float = 2.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_model(self.name, self.model)
        for field, low, high in (("scale", 1, MAX_POST_SCALE), ("strength", 0, 1)):
            _set_number(self, field, low, high)

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """Nothing before the picture is painted."""
        return ws


@dataclass(frozen=True, kw_only=True)
class Translate:
    """Show the finished photo in another domain, with the translator `model`.

    `strength` goes from 0 (the photo as it was) to 1 (the network's picture). `direction` is "AtoB" or "BtoA" where the
    model is one of a pair.
    """

    name: ClassVar[str] = "translate"
    model: str
    strength: float = 1.0
    direction: str | None = None

    def __post_init__(self) -> None:
        _check_model(self.name, self.model)
        _set_number(self, "strength", 0, 1)
        if self.direction not in (None, "AtoB", "BtoA"):
            raise BadConfig(f"translate's direction is AtoB, BtoA or none, got {str(self.direction)[:40]!r}")

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """Nothing before the picture is painted."""
        return ws


PostStep: TypeAlias = "Upscale | Translate"


def _check_model(step: str, model: Any) -> None:
    if not isinstance(model, str) or not _NAME.fullmatch(model):
        raise BadConfig(f"{step}'s model is a name, such as realesr-animevideov3 or vintage, got {str(model)[:80]!r}")


def _set_number(step: Any, field: str, low: float, high: float) -> None:
    value = getattr(step, field)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadConfig(f"{step.name}'s {field} is a number from {low} to {high:g}, got {value!r}")
    object.__setattr__(step, field, float(value))
