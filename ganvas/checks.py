"""One line at every public door: does the tensor have the agreed shape?

Each check returns nothing and raises an error of `errors.py` that says who asked, what was expected and what came.
Nothing is mended here: no guessing of ranges, no silent cuts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import BadImage, BadLatent, BadMask


def check_img(img: object, *, who: str, channels: int | None = 3) -> None:
    """`img` must be a float tensor [N, channels, H, W]; `channels=None` takes any number.

    Raises:
        BadImage: another type, dtype or shape.
    """
    want = f"[N, {channels or 'C'}, H, W]"
    if not isinstance(img, Tensor):
        raise BadImage(
            f"{who} expects img as a float tensor {want} in [-1, 1], got {type(img).__name__}. "
            "Read a file with ganvas.read_image(path).img."
        )
    if not img.is_floating_point():
        raise BadImage(
            f"{who} expects img as floats in [-1, 1], got {img.dtype}. Convert with ganvas.images.tensors.from_pixels."
        )
    if img.ndim != 4 or (channels is not None and img.shape[1] != channels) or 0 in img.shape:
        raise BadImage(
            f"{who} expects img of shape {want}, got {list(img.shape)}. "
            "A single picture from read_image() already has N = 1."
        )


def check_z(z: object, *, who: str, z_dim: int) -> None:
    """`z` must be a float tensor [N, z_dim].

    Raises:
        BadLatent: another type or shape.
    """
    _check_latent(z, who=who, name="z", tail=(z_dim,))


def check_ws(ws: object, *, who: str, num_ws: int, w_dim: int) -> None:
    """`ws` must be a float tensor [N, num_ws, w_dim].

    Raises:
        BadLatent: another type or shape; the message has both numbers.
    """
    _check_latent(ws, who=who, name="ws", tail=(num_ws, w_dim))


def _check_latent(latent: object, *, who: str, name: str, tail: tuple[int, ...]) -> None:
    want = f"[N, {', '.join(map(str, tail))}]"
    if not isinstance(latent, Tensor) or not latent.is_floating_point():
        came = latent.dtype if isinstance(latent, Tensor) else type(latent).__name__
        raise BadLatent(f"{who} expects {name} as a float tensor {want}, got {came}.")
    if latent.ndim != 1 + len(tail) or tuple(latent.shape[1:]) != tail:
        raise BadLatent(
            f"{who} expects {name} of shape {want}, got {list(latent.shape)}. "
            "It must come from the same generator; nothing is cut or padded to fit."
        )


def check_labels(c: Tensor | None, *, who: str, c_dim: int, batch: int) -> None:
    """`c` must be [batch, c_dim] where the model is conditional, and absent (or [batch, 0]) where it is not.

    Raises:
        BadLatent: labels missing, superfluous or of another shape.
    """
    if c_dim == 0:
        if c is not None and c.numel() > 0:
            raise BadLatent(f"{who} is unconditional (c_dim = 0) and takes no labels, got c of shape {list(c.shape)}.")
    elif c is None:
        raise BadLatent(f"{who} is conditional: it needs labels c of shape [{batch}, {c_dim}], got none.")
    elif tuple(c.shape) != (batch, c_dim):
        raise BadLatent(f"{who} expects labels c of shape [{batch}, {c_dim}], got {list(c.shape)}.")


def check_mask(mask: object, *, who: str, height: int, width: int) -> None:
    """`mask` must be a float tensor [1, 1, height, width] in [0, 1]: 0 = keep, 1 = edit.

    Raises:
        BadMask: another type, shape or range.
    """
    if not isinstance(mask, Tensor) or not mask.is_floating_point():
        came = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise BadMask(f"{who} expects a float mask [1, 1, {height}, {width}] in [0, 1], got {came}.")
    if tuple(mask.shape) != (1, 1, height, width):
        raise BadMask(f"{who} expects a mask of shape [1, 1, {height}, {width}], got {list(mask.shape)}.")
    low, high = torch.aminmax(mask)
    if not (low >= 0 and high <= 1):
        raise BadMask(f"{who} expects mask values in [0, 1], got {low.item():.3g} to {high.item():.3g}.")
