"""How alike two pictures are, pixel by pixel: PSNR and SSIM."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadImage

WINDOW_PX, SIGMA_PX = 11, 1.5
K1, K2 = 0.01, 0.03
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of five scales, from fine to coarse


def psnr_rgb(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures in [-1, 1], in dB, [N]; equal pictures give infinity.

    Raises:
        BadImage: pictures of different sizes.
    """
    _check_same_size(a, b)
    error = (a.float() - b.float()).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / error)


def ssim_rgb(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of pictures in [-1, 1], [N]; 1 = equal.

    Gaussian windows of 11 px, sigma 1.5, without padding, averaged over colours and places; pictures smaller than the
    window are compared as a whole.

    Raises:
        BadImage: pictures of different sizes.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", equation 13.
    """
    _check_same_size(a, b)
    c1, c2 = (2 * K1) ** 2, (2 * K2) ** 2  # the range of values is 2
    a, b = a.float(), b.float()
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    var_a, var_b = _window_mean(a * a) - mean_a**2, _window_mean(b * b) - mean_b**2
    both = _window_mean(a * b) - mean_a * mean_b
    alike = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (alike / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean(dim=(1, 2, 3))


def ms_ssim_rgb(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity over several scales, of pictures in [-1, 1], [N]; 1 = equal, about 0 = nothing in common.

    Contrast and structure at each halving of the pictures, brightness at the last, weighted as in the paper; of five
    scales, those at which the window of 11 px fits, with their weights' sum made 1.

    Raises:
        BadImage: pictures of different sizes.

    Source: Wang et al. 2003, "Multiscale Structural Similarity for Image Quality Assessment", equation 7.
    """
    _check_same_size(a, b)
    c1, c2 = (2 * K1) ** 2, (2 * K2) ** 2
    fit = [weight for k, weight in enumerate(MS_SSIM_WEIGHTS) if k == 0 or min(a.shape[2:]) >> k >= WINDOW_PX]
    a, b, alike = a.float(), b.float(), torch.ones(len(a), device=a.device)
    for k, weight in enumerate(fit):
        mean_a, mean_b = _window_mean(a), _window_mean(b)
        spread = _window_mean(a * a) - mean_a**2 + _window_mean(b * b) - mean_b**2
        value = (2 * (_window_mean(a * b) - mean_a * mean_b) + c2) / (spread + c2)
        if k == len(fit) - 1:
            value = value * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        alike = alike * value.mean(dim=(1, 2, 3)).clamp_min(0) ** (weight / sum(fit))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return alike


def _window_mean(x: Tensor) -> Tensor:
    if min(x.shape[2:]) < WINDOW_PX:
        return x.mean(dim=(2, 3), keepdim=True)
    at = torch.arange(WINDOW_PX, dtype=x.dtype, device=x.device) - WINDOW_PX // 2
    bell = (-0.5 * (at / SIGMA_PX).square()).exp()
    bell, channels = bell / bell.sum(), x.shape[1]
    x = F.conv2d(x, bell.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, bell.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _check_same_size(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise BadImage(f"images must have the same size, got {list(a.shape)} and {list(b.shape)}")
