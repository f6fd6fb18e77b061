"""What else a slider moves: the leakage matrix, computed or measured, printed and drawn.

One row a direction, one column an attribute; an entry says by how many standard deviations the attribute moves for
amount 1. A perfect set of directions has ones where names meet, and zeros everywhere else; nan = the attribute is the
same in all samples, so there is no deviation to count in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.discovery.calibration import OnMeasureStep, Response, ScoreFunction, score_latents, score_std
from ganvas.editing.discovery.regression import RegressionFit
from ganvas.errors import BadConfig

CELL_PX, FONT_PX = (76, 40), 17
RED, BLUE = np.array([202, 60, 50]), np.array([40, 95, 175])  # of +1 and −1 deviations and beyond


@dataclass(frozen=True)
class Leakage:
    """`shift` [R, C]: standard deviations by which attribute `columns[c]` moves along direction `rows[r]`, a unit."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shift: Tensor

    def worst(self, row: str) -> tuple[str, float]:
        """The other attribute that a direction moves most."""
        values = dict(zip(self.columns, self.shift[self.rows.index(row)].tolist(), strict=True))
        values.pop(row, None)
        return max(values.items(), key=lambda item: abs(item[1])) if values else ("", 0.0)

    def to_text(self) -> str:
        """A table for people."""
        width = max(7, *(len(name) + 1 for name in self.columns))
        left = max(len(name) for name in self.rows)
        lines = [" " * left + "".join(f"{name:>{width}}" for name in self.columns)]
        for name, values in zip(self.rows, self.shift.tolist(), strict=True):
            lines.append(f"{name:{left}}" + "".join(f"{value:>+{width}.2f}" for value in values))
        return "\n".join(lines)


def compute_linear_leakage(directions: Sequence[Direction], fits: Mapping[str, RegressionFit]) -> Leakage:
    """What fitted scores say the directions move: no picture is painted, so it is instant, and as good as the fits.

    Args:
        directions: of one space, that of the fits.
        fits: by attribute, from `fit_scores` on samples of the same generator.

    Raises:
        BadConfig: a direction of another space than the fits.
    """
    table = torch.zeros(len(directions), len(fits))
    for r, direction in enumerate(directions):
        vector = direction.vector.double().flatten()
        for c, fit in enumerate(fits.values()):
            if fit.slope.shape != vector.shape:
                raise BadConfig(
                    f"direction {direction.name!r} has {len(vector)} numbers, the fit {len(fit.slope)}: "
                    "they are of different spaces"
                )
            table[r, c] = (vector @ fit.slope).item() / fit.spread
    return Leakage(tuple(d.name for d in directions), tuple(fits), table)


def measure_leakage(
    generator: Any,
    scorer: ScoreFunction,
    ws: Tensor,
    directions: Sequence[Direction],
    *,
    amount: float = 1.0,
    resolution: int | None = None,
    still: Mapping[str, Tensor] | None = None,
    on_step: OnMeasureStep | None = None,
) -> Leakage:
    """What a judge sees move: every latent is painted twice a direction, moved up and down by `amount`.

    Args:
        generator, scorer, ws, resolution: as in `ganvas.editing.discovery.calibration.score_latents`.
        directions: to be measured.
        amount: of the move; the result is for amount 1.
        still: the same pictures judged unmoved, where the caller has them.
        on_step: called with (directions done, directions in all).
    """
    still = score_latents(generator, scorer, ws, resolution=resolution) if still is None else still
    rows = []
    for done, direction in enumerate(directions, start=1):
        up, down = (
            score_latents(generator, scorer, ws, direction, a, resolution=resolution) for a in (amount, -amount)
        )
        rows.append([float((up[n] - down[n]).nanmean()) / 2 / amount / score_std(still[n]) for n in still])
        if on_step is not None:
            on_step(done, len(directions))
    return Leakage(tuple(d.name for d in directions), tuple(still), torch.tensor(rows))


def leakage_from_responses(responses: Sequence[Response]) -> Leakage:
    """The matrix from responses that are there already: the slope between the two amounts nearest to 0.

    Raises:
        BadConfig: a response without an amount below and one above 0, or responses to different scores.
    """
    if len({tuple(r.means) for r in responses}) != 1:
        raise BadConfig("leakage_of expects at least one response, all to the same scores")
    rows = []
    for response in responses:
        below = max((a for a in response.amounts if a < 0), default=None)
        above = min((a for a in response.amounts if a > 0), default=None)
        if below is None or above is None:
            raise BadConfig(f"the response to {response.direction!r} needs an amount below 0 and one above")
        low, high = response.amounts.index(below), response.amounts.index(above)
        shifts = [response.shifts(score) for score in response.means]
        rows.append([(shift[high] - shift[low]) / (above - below) for shift in shifts])
    return Leakage(tuple(r.direction for r in responses), tuple(responses[0].means), torch.tensor(rows))


def draw_leakage(leakage: Leakage) -> Tensor:
    """The matrix as a picture [1, 3, H, W]: red rises, blue falls, white stays; full colour from one deviation on."""
    font = ImageFont.load_default(FONT_PX)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    wide, high = CELL_PX
    left = 16 + round(max(ruler.textlength(name, font) for name in leakage.rows))
    top = 16 + round(max(ruler.textlength(name, font) for name in leakage.columns))
    size = (left + wide * len(leakage.columns) + 8, top + high * len(leakage.rows) + 8)
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for c, name in enumerate(leakage.columns):
        picture.paste(_upright(name, font, top - 8), (left + c * wide + (wide - FONT_PX) // 2 - 2, 4))
    for r, name in enumerate(leakage.rows):
        pen.text((left - 8, top + (r + 0.5) * high), name, fill="black", font=font, anchor="rm")
        for c, value in enumerate(leakage.shift[r].tolist()):
            x, y = left + c * wide, top + r * high
            pen.rectangle((x, y, x + wide - 2, y + high - 2), fill=_colour(value))
            ink = "white" if abs(value) > 0.6 else "black"
            label = f"{value:+.2f}" if value == value else "–"
            pen.text((x + wide / 2, y + high / 2), label, fill=ink, font=font, anchor="mm")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    return pixels.float().div(127.5).sub(1)


def _colour(value: float) -> tuple[int, ...]:
    share = min(abs(value), 1.0) if value == value else 0.0
    mixed = 255 + share * ((RED if value > 0 else BLUE) - 255)
    return tuple(int(part) for part in mixed.round())


def _upright(text: str, font: Any, length: int) -> Image.Image:
    strip = Image.new("RGB", (length, FONT_PX + 6), "white")
    ImageDraw.Draw(strip).text((0, (FONT_PX + 6) / 2), text, fill="black", font=font, anchor="lm")
    return strip.rotate(90, expand=True)
