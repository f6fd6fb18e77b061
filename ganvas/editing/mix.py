"""Style mixing: some layers' styles from one picture, the rest from another.

Paper: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 3.1.
Early rows of ws decide pose and shape, late rows colour and texture. Where the line lies is told by the size at which a
row paints, so that the same words fit every generator.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ganvas.editing.layers import MIX_PARTS, check_layers, rows_of
from ganvas.errors import BadConfig, BadLatent
from ganvas.fields import check_settings, setting
from ganvas.models.seeds import latents_from_seeds, one_hot

if TYPE_CHECKING:
    from ganvas.editing.step import EditContext

MAX_LATENT_CHARS = 200_000  # characters of a latent in a recipe: 64 rows of 1024 numbers


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Take colours, shape or everything from another picture of the same generator.

    The picture is a `seed` (with its truncation and, for a conditional generator, its class `label`) or a `latent`, as
    `encode_latent` wrote it: one row, or one for each of ws. `part` says which rows of ws are taken: "colour" the late
    ones, "shape" the early ones, "all"; `layers` names rows instead. `strength` goes from 0 (nothing) to 1 (entirely).
    `origin` is the picture's name, for people.
    """

    name: ClassVar[str] = "mix"
    seed: int | None = setting(None, ge=0, le=2**32 - 1, help="of the other picture")
    latent: str = setting("", help="the other picture, where it has no seed")
    part: str = setting("all", choices=MIX_PARTS, help="what is taken of it")
    layers: tuple[int, ...] | None = setting(None, ge=0, help="rows of ws, instead of a part's")
    strength: float = setting(1.0, ge=0, le=1, help="0 = nothing, 1 = entirely")
    truncation_psi: float = setting(0.7, ge=-2, le=2, help="truncation of a seed")
    label: int | None = setting(None, ge=0, le=2**32 - 1, help="class of a seed, for a conditional generator")
    origin: str = setting(
        "", pattern="(?s).{0,1000}", expected="up to 1000 characters", help="the other picture's name"
    )

    def __post_init__(self) -> None:
        if (self.seed is None) == (not self.latent):
            raise BadConfig("mix needs either a seed or a latent")
        check_settings(self, who=self.name)
        if self.latent:
            decode_latent(self.latent)

    def apply(self, ws: Tensor, context: EditContext) -> Tensor:
        """See `LatentStep`."""
        rows = rows_of(self.part, context.generator) if self.layers is None else self.layers
        return mix_layers(ws, self.source(context.generator).to(ws), rows, strength=self.strength)

    @torch.no_grad()
    def source(self, generator: Any) -> Tensor:
        """The other picture's ws, [1, num_ws, w_dim].

        Raises:
            BadLatent: the latent has another shape than the generator's. BadConfig: a label that does not fit.
        """
        if self.seed is None:
            return _to_ws(decode_latent(self.latent), generator)
        z = latents_from_seeds([self.seed], generator.z_dim, device=generator.device)
        c = one_hot(generator, self.label, device=generator.device)
        ws: Tensor = generator.mapping(z, c, truncation_psi=self.truncation_psi)
        return ws


def _to_ws(flat: Tensor, generator: Any) -> Tensor:
    rows, w_dim = generator.num_ws, generator.w_dim
    if len(flat) not in (w_dim, rows * w_dim):
        raise BadLatent(
            f"this mix holds {len(flat)} numbers, the generator's ws is {[rows, w_dim]}: it was made for another"
        )
    return flat.view(1, -1, w_dim).expand(1, rows, w_dim).to(generator.device)


def encode_latent(ws: Tensor) -> str:
    """Latents as text for a recipe: base64 of little-endian float16; a single row where all rows are equal.

    Args:
        ws: [1, num_ws, w_dim].

    Raises:
        BadLatent: another shape, more than one picture, or numbers that float16 cannot hold.
    """
    if ws.ndim != 3 or len(ws) != 1:
        raise BadLatent(f"encode_latent expects ws of one image, [1, num_ws, w_dim], got {list(ws.shape)}")
    rows = ws[0, :1] if (ws == ws[:, :1]).all() else ws[0]
    half = rows.detach().cpu().half().numpy().astype("<f2")
    if not np.isfinite(half).all():
        raise BadLatent("these latents have values that are not finite, or too large for float16")
    return base64.b64encode(half.tobytes()).decode()


def decode_latent(text: str, *, what: str = "mix's latent") -> Tensor:
    """The flat numbers [rows · w_dim] that `encode_latent` wrote, as float32.

    Raises:
        BadConfig: anything else.
    """
    try:
        raw = base64.b64decode(text if len(text) <= MAX_LATENT_CHARS else "!", validate=True)
        flat = np.frombuffer(raw, dtype="<f2").astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise BadConfig(f"{what} must be base64 of float16 numbers, got {text[:40]!r} ({error})") from error
    if not len(flat) or not np.isfinite(flat).all():
        raise BadConfig(f"{what} is empty, or has values that are not finite")
    return torch.from_numpy(flat)


def mix_layers(ws: Tensor, style: Tensor, layers: Iterable[int], *, strength: float = 1) -> Tensor:
    """Give `ws` the styles of another picture in the chosen layers.

    Args:
        ws: [N, num_ws, w_dim] latents that keep their other layers.
        style: [N or 1, num_ws, w_dim] latents of the same generator.
        layers: rows to take from `style`, 0 … num_ws − 1.
        strength: 0 = ws as it was, 1 = the other's styles entirely.

    Returns:
        [N, num_ws, w_dim], a new tensor.

    Raises:
        BadLatent: other shapes, or a layer that does not exist.
    """
    rows = check_layers(layers, num_ws=ws.shape[1])
    if style.shape[1:] != ws.shape[1:]:
        raise BadLatent(
            f"mix_layers expects latents of the same generator, got {list(ws.shape)} and {list(style.shape)}."
        )
    mixed = ws.clone()
    mixed[:, rows] = ws[:, rows].lerp(style[:, rows].to(ws), strength)
    return mixed


def mixing_sheet(row_ws: Tensor, column_ws: Tensor, layers: Iterable[int], *, strength: float = 1) -> Tensor:
    """Every row's picture in every column's style.

    Args:
        row_ws: [R, num_ws, w_dim] pictures down the side.
        column_ws: [C, num_ws, w_dim] styles along the top.
        layers: the rows of ws that come from the column.
        strength: 0 = nothing of the column, 1 = its rows entirely.

    Returns:
        [R, C, num_ws, w_dim].
    """
    shape = (len(row_ws), len(column_ws), *row_ws.shape[1:])
    pictures = row_ws[:, None].expand(shape).flatten(0, 1)
    styles = column_ws[None].expand(shape).flatten(0, 1)
    return mix_layers(pictures, styles, layers, strength=strength).view(shape)
