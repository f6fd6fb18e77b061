"""Gaussian blur: two passes of a sampled, normalised bell with reflected edges; large ones on a smaller picture."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.planes import average_blocks, load_opencv, map_planes, resize_bilinear, suits_opencv

LARGE_SIGMA_PX = 8  # from here on the blur itself removes what halving loses


def gaussian_blur(img: Tensor, sigma_px: float) -> Tensor:
    """Blur a picture or a mask.

    Args:
        img: [N, C, H, W], any range.
        sigma_px: standard deviation of the bell; 0 leaves the picture as it is.

    Returns:
        A new tensor of the same shape. Wide blurs are taken at half size, which changes the result by less than 1 % of
        the picture's range.
    """
    if sigma_px <= 0:
        return img.clone()
    if sigma_px >= LARGE_SIGMA_PX and min(img.shape[2:]) >= 4:
        if img.shape[2] % 2 == 0 and img.shape[3] % 2 == 0:  # pairs of pixels mirror into pairs: the same, sooner
            return resize_bilinear(gaussian_blur(average_blocks(img, 2), sigma_px / 2), (img.shape[2], img.shape[3]))
        reach = 3 * math.ceil(sigma_px)  # mirrored here, since half a pixel cannot be mirrored at half size
        even = _mirror_pad(_mirror_pad(img, reach, dim=2), reach, dim=3)
        small = gaussian_blur(F.avg_pool2d(even, 2, ceil_mode=True, count_include_pad=False), sigma_px / 2)
        large = F.interpolate(small, scale_factor=2, mode="bilinear")
        return large[:, :, reach : reach + img.shape[2], reach : reach + img.shape[3]]
    if suits_opencv(img):
        cv2, bell = load_opencv(), _bell(sigma_px).numpy()
        return map_planes(img, lambda plane: cv2.sepFilter2D(plane, -1, bell, bell, borderType=cv2.BORDER_REFLECT))
    return _convolve_axis(_convolve_axis(img, sigma_px, dim=2), sigma_px, dim=3)


@lru_cache(maxsize=64)
def _bell(sigma_px: float) -> Tensor:
    """[2 r + 1] float64 of sum 1, out to r = 3 standard deviations."""
    reach = math.ceil(3 * sigma_px)
    bell = (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma_px).square()).exp()
    return bell / bell.sum()


def _convolve_axis(img: Tensor, sigma_px: float, *, dim: int) -> Tensor:
    bell = _bell(sigma_px).to(img)
    padded = _mirror_pad(img, len(bell) // 2, dim=dim)
    n, c, h, w = padded.shape
    shape = (len(bell), 1) if dim == 2 else (1, len(bell))
    return F.conv2d(padded.reshape(n * c, 1, h, w), bell.view(1, 1, *shape)).view(n, c, *img.shape[2:])


def _mirror_pad(img: Tensor, reach: int, *, dim: int) -> Tensor:
    """The picture with `reach` more pixels at both ends, edges reflected, also far beyond."""
    length = img.shape[dim]
    at = torch.arange(-reach, length + reach, device=img.device).remainder(2 * length)
    return img.index_select(dim, torch.minimum(at, 2 * length - 1 - at))


def masked_blur(img: Tensor, weight: Tensor, sigma_px: float) -> Tensor:
    """A blur that looks only at places with weight: normalised convolution; where hardly any is near, far wider.

    Args:
        img: [N, C, H, W], any range.
        weight: [N, 1, H, W], 0 or more.
        sigma_px: standard deviation of the bell; four times as much where the weight nearby is small.

    Returns:
        [N, C, H, W].

    Source: Knutsson and Westin 1993, "Normalized and Differential Convolution".
    """
    stacked = torch.cat([img * weight, weight], dim=1)
    near, far = gaussian_blur(stacked, sigma_px), gaussian_blur(stacked, 4 * sigma_px)
    share = ((near[:, -1:] - 0.02) / 0.13).clamp(0, 1)
    means = [blurred[:, :-1] / (blurred[:, -1:] + 1e-4) for blurred in (near, far)]
    return means[0] * share + means[1] * (1 - share)
