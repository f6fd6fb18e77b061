"""Style mixing: some layers' styles from one picture, the rest from another.

Paper: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 3.1.
Early rows of ws decide pose and shape, late rows colour and texture.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ganvas.errors import BadLatent


def mix_styles(ws: Tensor, style: Tensor, layers: Iterable[int], *, strength: float = 1) -> Tensor:
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
        raise BadLatent(f"mix_styles expects latents of one generator, got {list(ws.shape)} and {list(style.shape)}.")
    mixed = ws.clone()
    mixed[:, rows] = ws[:, rows].lerp(style[:, rows].to(ws), strength)
    return mixed


def mixing_sheet(row_ws: Tensor, column_ws: Tensor, layers: Iterable[int]) -> Tensor:
    """Every row's picture in every column's style.

    Args:
        row_ws: [R, num_ws, w_dim] pictures down the side.
        column_ws: [C, num_ws, w_dim] styles along the top.
        layers: the rows of ws that come from the column.

    Returns:
        [R, C, num_ws, w_dim].
    """
    shape = (len(row_ws), len(column_ws), *row_ws.shape[1:])
    pictures = row_ws[:, None].expand(shape).flatten(0, 1)
    styles = column_ws[None].expand(shape).flatten(0, 1)
    return mix_styles(pictures, styles, layers).view(shape)


def check_layers(layers: Iterable[int], *, num_ws: int) -> list[int]:
    """The layers as a list, each one of 0 … num_ws − 1.

    Raises:
        BadLatent: one is outside; the message has the range.
    """
    rows = list(layers)
    outside = [row for row in rows if not 0 <= row < num_ws]
    if outside:
        raise BadLatent(f"this generator has layers 0 to {num_ws - 1}, there is no layer {outside[0]}")
    return rows
