"""Figures of one picture against another, pixel by pixel (PSNR, SSIM), and of a picture alone (how sharp).

Papers on upscaling differ in two habits that move these numbers by several decibels: in which channels they compare
(all three of RGB, or the luma Y as television defines it), and how many pixels at the border they leave out. Both are
arguments here, and both belong beside a number that is told to anybody.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.images.tensors import from_pixels
from ganvas.ops.blur import gaussian_blur
from ganvas.ops.psnr_ssim import psnr_rgb as whole_psnr_db, ssim_rgb as whole_ssim

CHANNELS = ("rgb", "y")
# ITU-R BT.601 for numbers from 0 to 255: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, R, G and B in 0 … 255.
_Y = (65.481, 128.553, 24.966)
_Y_RANGE = 255.0
TENENGRAD_PX = 1.0  # sigma of the blur before edges are taken: single wrong pixels count less


def rgb_to_y(img: Tensor) -> Tensor:
    """The Y of BT.601 in "studio range", as papers on upscaling use it: [N, 3, H, W] in [-1, 1] → [N, 1, H, W].

    Returns:
        Y − 127.5 over 127.5, so that a difference means as much as in RGB: black (Y = 16) is -0.875, white (Y = 235)
        is 0.843.
    """
    check_img(img, who="rgb_to_y")
    weights = img.new_tensor(_Y).view(1, 3, 1, 1)
    y = 16 + ((img + 1) / 2 * weights).sum(dim=1, keepdim=True)  # 16 … 235
    return y / (_Y_RANGE / 2) - 1


def sr_psnr_db(a: Tensor, b: Tensor, *, channels: str = "rgb", shave_px: int = 0) -> Tensor:
    """Peak signal-to-noise ratio in dB, [N]; equal pictures give infinity.

    Args:
        a, b: [N, 3, H, W] in [-1, 1].
        channels: "rgb" = the mean over all three; "y" = of the luma alone, which is usually 1 to 2 dB higher.
        shave_px: pixels left out at each border; papers on ×s leave out s.

    Raises:
        BadImage: sizes that differ, or nothing left between the borders.
        BadConfig: unknown channels, a negative border.
    """
    return whole_psnr_db(*_check_and_crop(a, b, channels, shave_px))


def sr_ssim(a: Tensor, b: Tensor, *, channels: str = "rgb", shave_px: int = 0) -> Tensor:
    """Structural similarity, [N], 1 = equal; see `ganvas.ops.psnr_ssim`. Arguments as for `sr_psnr_db`."""
    return whole_ssim(*_check_and_crop(a, b, channels, shave_px))


def compute_sr_metrics(ours: list[np.ndarray], truths: list[np.ndarray], scale: int) -> dict[str, float]:
    """{psnr, ssim, psnr_y}: means in RGB and PSNR in Y, `scale` pixels left out at each border; {} for no pictures."""
    rows = []
    for our, truth in zip(ours, truths, strict=True):
        a, b = from_pixels(our), from_pixels(truth)
        rgb = sr_psnr_db(a, b, shave_px=scale), sr_ssim(a, b, shave_px=scale)
        rows.append([float(value) for value in (*rgb, sr_psnr_db(a, b, channels="y", shave_px=scale))])
    if not rows:
        return {}
    return dict(zip(("psnr", "ssim", "psnr_y"), np.mean(rows, axis=0).tolist(), strict=True))


def sharpness(img: Tensor) -> Tensor:
    """How sharp a picture is by itself, [N]: the Tenengrad, in decibels of grey levels; higher = sharper.

    The mean square of the Sobel gradient of the luma, after a light blur that keeps grain from counting as sharpness.
    It compares pictures *of one motif and one size*: a brick wall is sharper than a sky. It says nothing about
    whether what is sharp is also right, which is what PSNR is for; and noise coarser than a pixel raises it.

    Args:
        img: [N, 3, H, W] in [-1, 1], at least 3 × 3 pixels.

    Returns:
        10 log10(1 + mean g²), g in grey levels (0 … 255) a pixel; 0 for a flat picture.

    Raises:
        BadImage: fewer pixels.

    Source: Krotkov 1988, "Focusing"; compared with others by Pertuz et al. 2013, "Analysis of focus measure operators
    for shape-from-focus".
    """
    check_img(img, who="sharpness")
    if min(img.shape[2:]) < 3:
        raise BadImage(f"sharpness expects an image of at least 3 x 3 pixels, got {list(img.shape)}")
    levels = gaussian_blur(rgb_to_y(img.float()), TENENGRAD_PX) * (_Y_RANGE / 2)
    across = levels.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([across, across.T])[:, None]  # [2, 1, 3, 3]
    energy = F.conv2d(levels, kernels).square().sum(dim=1)  # [N, H − 2, W − 2]
    return 10 * torch.log10(1 + energy.mean(dim=(1, 2)))


def _check_and_crop(a: Tensor, b: Tensor, channels: str, shave_px: int) -> tuple[Tensor, Tensor]:
    check_known(channels, CHANNELS, what="channels")
    check_img(a, who="a comparison of pictures")
    check_img(b, who="a comparison of pictures")
    if shave_px < 0:
        raise BadConfig(f"shave_px must be 0 or more pixels, got {shave_px}")
    if min(*a.shape[2:], *b.shape[2:]) <= 2 * shave_px:
        raise BadImage(f"nothing is left of {list(a.shape)} after cropping {shave_px} pixels at each border")
    pair = [rgb_to_y(img.float()) if channels == "y" else img.float() for img in (a, b)]
    if shave_px:
        pair = [img[:, :, shave_px:-shave_px, shave_px:-shave_px] for img in pair]
    return pair[0], pair[1]
