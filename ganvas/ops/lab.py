"""CIELAB there and back: colours as people see them, lightness apart.

CIE 15:2004 with the white of D65; sRGB: IEC 61966-2-1.
"""

from __future__ import annotations

import torch
from torch import Tensor

_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_EDGE = 6 / 29  # of the cube root, which is a line below


def to_lab(img: Tensor) -> Tensor:
    """sRGB img [N, 3, H, W] in [-1, 1] → CIELAB [N, 3, H, W]: L 0 … 100, a and b about -100 … 100."""
    v = (img.clamp(-1, 1) + 1) / 2
    linear = torch.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("dc,nchw->ndhw", linear.new_tensor(_TO_XYZ), linear) / linear.new_tensor(_WHITE)[:, None, None]
    f = torch.where(xyz > _EDGE**3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * _EDGE**2) + 4 / 29)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], dim=1)


def from_lab(lab: Tensor) -> Tensor:
    """CIELAB [N, 3, H, W] → sRGB img in [-1, 1]; colours that sRGB does not have are clamped channel by channel."""
    y = (lab[:, 0] + 16) / 116
    f = torch.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], dim=1)
    xyz = torch.where(f > _EDGE, f**3, 3 * _EDGE**2 * (f - 4 / 29)) * f.new_tensor(_WHITE)[:, None, None]
    linear = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(f.new_tensor(_TO_XYZ)), xyz).clamp(0, 1)
    v = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    return v * 2 - 1
