"""Broken faces made on purpose, for teaching and testing the critic of faces (learn_critic.py), a function each.

Some are made in the generator: latents too far out, sliders far beyond their ends, fog, two sliders at once, a tuning
that is too strong for the edit. Others in any aligned picture: a ghost, a second nose, a mouth over another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.directions import Direction, apply_direction
from ganvas.editing.style_space import synthesize_with_shift
from ganvas.inversion.latent_space import LatentSpace
from ganvas.inversion.pivotal import with_delta
from ganvas.inversion.result import Inversion

FOGGY_ENDS = ("anger", "sadness", "glasses")  # whose low ends are fog in nearly every face (looked at)
MOUTHS = ("smile", "mouth_open")
PX = 256
FIRST_COLOUR_ROW = 8  # of ws, in `faces`


def move_far(ws: Tensor, steps: Mapping[str, float], directions: Mapping[str, Direction], generator: Any) -> Tensor:
    """The picture of latents after sliders by name, [1, 3, PX, PX]; amounts may lie beyond their ends."""
    shift: Tensor | None = None
    for name, amount in steps.items():
        ws, more = apply_direction(ws, directions[name], amount, generator)
        shift = more if shift is None or more is None else shift + more
    if shift is None:
        return generator.synthesize_downscaled(ws, PX, precision="fast").float().clamp(-1, 1)
    img = synthesize_with_shift(generator, ws, shift).float().clamp(-1, 1)
    return F.interpolate(img, (PX, PX), mode="area")


class LatentBreaks:
    """Breaks of one latent.

    Args:
        generator: that paints.
        directions: its sliders, by name.
        space: of its latents.
        random: draws all amounts.
    """

    def __init__(self, generator: Any, directions: Mapping[str, Direction], space: LatentSpace, random: Random):
        self.generator, self.directions, self.space, self.random = generator, directions, space, random

    def _end(self, share: float, names: tuple[str, ...] = ()) -> tuple[str, float]:
        """A slider, and a share of its range to one side."""
        name = self.random.choice(names or [n for n, d in sorted(self.directions.items()) if _bends(d)])
        direction = self.directions[name]
        return name, share * self.random.choice((direction.low, direction.high))

    def mild(self, ws: Tensor) -> Tensor:
        """Whole: a third of a slider's range at most."""
        name, amount = self._end(self.random.uniform(0.1, 0.35))
        return move_far(ws, {name: amount}, self.directions, self.generator)

    def end(self, ws: Tensor) -> Tensor:
        """Whole, but far: half of a slider's range or more, to a side that does not lead into fog."""
        name, amount = self._end(self.random.uniform(0.5, 1.0), tuple(sorted(self.directions)))
        while name in FOGGY_ENDS and amount < 0:
            name, amount = self._end(self.random.uniform(0.5, 1.0), tuple(sorted(self.directions)))
        return move_far(ws, {name: amount}, self.directions, self.generator)

    def fog(self, ws: Tensor) -> Tensor:
        """The low end of a slider that leads into fog."""
        name = self.random.choice(FOGGY_ENDS)
        amount = self.directions[name].low * self.random.uniform(1.0, 1.7)
        return move_far(ws, {name: amount}, self.directions, self.generator)

    def far_end(self, ws: Tensor) -> Tensor:
        """One slider at twice its range or more."""
        return move_far(ws, dict([self._end(self.random.uniform(2, 3))]), self.directions, self.generator)

    def pair(self, ws: Tensor) -> Tensor:
        """Two sliders, each beyond its end."""
        ends = dict([self._end(self.random.uniform(1.2, 1.8)), self._end(self.random.uniform(1.2, 1.8))])
        return move_far(ws, ends, self.directions, self.generator)

    def far_latent(self, ws: Tensor) -> Tensor:
        """A latent pushed out of the ball of natural ones, any way."""
        v = self.space.from_ws(ws)
        way = torch.randn(1, 1, v.shape[2], generator=torch.Generator().manual_seed(self.random.randrange(2**31)))
        far = self.space.to_ws(v + self.random.uniform(1.7, 2.5) * way)
        return move_far(far.expand_as(ws), {}, self.directions, self.generator)

    def overshoot(self, inversion: Inversion) -> Tensor:
        """An edit of the mouth under a tuning that is up to twice too strong."""
        factor = self.random.uniform(1.2, 2)
        tuned = with_delta(self.generator, {name: factor * change for name, change in inversion.delta.items()})
        steps = dict([self._end(self.random.uniform(0.8, 1.2), MOUTHS)])
        return move_far(inversion.ws, steps, self.directions, tuned)


def _bends(direction: Direction) -> bool:
    """Does a slider change shapes? Those of colours only lead to odd light, not to breaks."""
    return direction.layers is None or min(direction.layers) < FIRST_COLOUR_ROW


def _soft_spot(x: float, y: float, width: float, height: float) -> Tensor:
    """[1, 1, PX, PX]: 1 within an ellipse (centre and half axes in shares of the picture), fading to 0 around it."""
    down, across = torch.meshgrid(*[(torch.arange(PX) + 0.5) / PX] * 2, indexing="ij")
    radius = (((across - x) / width).square() + ((down - y) / height).square()).sqrt()
    return ((1.35 - radius) / 0.35).clamp(0, 1)[None, None]


def _shift(img: Tensor, across: int, down: int) -> Tensor:
    return img.roll((down, across), dims=(2, 3))


def ghost(img: Tensor, other: Tensor, random: Random) -> Tensor:
    """A face with itself or another one beside it, half transparent."""
    over = img if random.random() < 0.6 else other
    over = _shift(over, random.choice((-1, 1)) * random.randint(5, 16), random.randint(-10, 10))
    return img.lerp(over, random.uniform(0.3, 0.5))


def second_nose(img: Tensor, other: Tensor, random: Random) -> Tensor:
    """A second nose beside or below the nose."""
    across, down = random.choice((-1, 1)) * random.randint(14, 30), random.randint(-14, 20)
    spot = _shift(_soft_spot(0.5, 0.56, 0.085, 0.1), across, down)
    return img.lerp(_shift(img if random.random() < 0.5 else other, across, down), spot * random.uniform(0.7, 1))


def broken_mouth(img: Tensor, other: Tensor, random: Random) -> Tensor:
    """Another mouth over the mouth, half transparent or beside its place; or one that is smeared."""
    spot = _soft_spot(0.5, 0.71, 0.15, 0.075)
    if random.random() < 0.3:
        columns = F.avg_pool2d(img, (1, 25), stride=1, padding=(0, 12), count_include_pad=False)
        return img.lerp(columns if random.random() < 0.5 else columns.flip(3), spot)
    moved = _shift(other, random.randint(-14, 14), random.choice((-1, 1)) * random.randint(5, 14))
    return img.lerp(moved, spot * random.uniform(0.4, 0.8))


PICTURE_BREAKS: dict[str, Callable[[Tensor, Tensor, Random], Tensor]] = {
    "ghost": ghost,
    "second nose": second_nose,
    "broken mouth": broken_mouth,
}
LATENT_BREAKS: dict[str, Callable[[LatentBreaks, Tensor], Tensor]] = {
    "fog": LatentBreaks.fog,
    "far end": LatentBreaks.far_end,
    "pair": LatentBreaks.pair,
    "far latent": LatentBreaks.far_latent,
}


def at_share(inversion: Inversion, share: float) -> Inversion:
    """The same person with a share of the tuning alone."""
    return replace(inversion, delta={name: share * change for name, change in inversion.delta.items()})
