"""Realistic degradation of high-resolution images, for training upscalers.

Photos on the web were blurred by a lens, shrunk, grained, packed as JPEG, and then all of it once more. An upscaler
that learnt from cleanly shrunk pictures takes the traces of that for detail and sharpens them. So a training pair is
made by doing to a good picture, at random, what happens to pictures: two rounds of blur, resizing, noise and JPEG, and
at last the ringing of a sharp low-pass filter, before or after the last JPEG.

Source: Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", section 3,
with the numbers of its section 4.1 as defaults. Kernels go to 21 px there; for ground truth of 64 px 13 are enough.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadImage
from ganvas.images.tensors import from_pixels, to_pixels

Range = tuple[float, float]
SHAPES = ("gaussian", "generalised", "plateau")
_RESIZES = ("area", "bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class DegradeRound:
    """One round of blur, resizing, noise and JPEG."""

    blur: float = 1.0  # how often there is one
    sinc: float = 0.1  # how often it rings, instead of being bell-shaped
    shapes: tuple[float, float, float] = (0.7, 0.15, 0.15)  # shares of SHAPES
    round_bells: tuple[float, float, float] = (
        0.64,
        0.8,
        0.8,
    )  # of each shape: how often it is the same in all directions
    sigma_px: Range = (0.2, 3.0)
    generalised_power: Range = (0.5, 4.0)
    plateau_power: Range = (1.0, 2.0)
    enlarge: float = 0.2  # how often the picture grows …
    shrink: float = 0.7  # … and shrinks; else it keeps its size
    factor: Range = (0.15, 1.5)  # the smallest and the largest change of size
    gaussian_noise: float = 0.5  # how often noise is Gaussian; else it is Poisson's
    noise_levels: Range = (1.0, 30.0)  # of Gaussian noise: the standard deviation in grey levels
    noise_share: Range = (0.05, 3.0)  # of Poisson noise: how many times that of photons in 8 bits
    grey_noise: float = 0.4  # how often noise is the same in all channels
    jpeg_quality: Range = (30.0, 95.0)

    def __post_init__(self) -> None:
        shares = (self.blur, self.sinc, self.enlarge, self.shrink, self.gaussian_noise, self.grey_noise)
        if not all(0 <= share <= 1 for share in (*shares, *self.round_bells)) or self.enlarge + self.shrink > 1:
            raise BadConfig(f"probabilities must be from 0 to 1, got {self}")
        if abs(sum(self.shapes) - 1) > 1e-6 or min(self.shapes) < 0:
            raise BadConfig(f"the shares of the shapes {', '.join(SHAPES)} must add up to 1, got {self.shapes}")
        if not (0 < self.factor[0] <= 1 <= self.factor[1]):
            raise BadConfig(f"factor goes from 1 or less (but not 0) to 1 or more, got {self.factor}")


@dataclass(frozen=True, kw_only=True)
class DegradeConfig:
    """Settings of the degradation."""

    first: DegradeRound = field(default_factory=DegradeRound)
    second: DegradeRound = field(
        default_factory=lambda: DegradeRound(
            blur=0.8,
            sigma_px=(0.2, 1.5),
            enlarge=0.3,
            shrink=0.4,
            factor=(0.3, 1.2),
            noise_levels=(1.0, 25.0),
            noise_share=(0.05, 2.5),
        )
    )
    final_sinc: float = 0.8  # how often a ringing filter comes at the end
    kernel_px: tuple[int, int] = (7, 21)  # smallest and largest; odd numbers between are drawn

    def __post_init__(self) -> None:
        low, high = self.kernel_px
        if not (3 <= low <= high and low % 2 == 1 and high % 2 == 1):
            raise BadConfig(f"kernel_px must be two odd numbers of 3 or more, the smaller first, got {self.kernel_px}")


def degrade(img: Tensor, *, scale: int, rng: np.random.Generator, config: DegradeConfig | None = None) -> Tensor:
    """Make the low-resolution image of a training pair.

    Args:
        img: [1, 3, H, W] in [-1, 1], the good picture; H and W multiples of `scale`.
        scale: how many times smaller the result is.
        rng: all that is random; one that is seeded alike makes the same picture.
        config: what may happen; None = the numbers of Real-ESRGAN.

    Returns:
        float32 [1, 3, H / scale, W / scale] in [-1, 1], on the 256 levels of 8 bits.

    Raises:
        BadImage: another shape.
        BadConfig: a scale below 1.
    """
    check_img(img, who="degrade")
    if scale < 1:
        raise BadConfig(f"scale must be 1 or more, got {scale}")
    height, width = img.shape[2:]
    if len(img) != 1 or height % scale or width % scale:
        raise BadImage(f"degrade expects one image with sides that are multiples of {scale}, got {list(img.shape)}")
    config = config or DegradeConfig()
    size = (height // scale, width // scale)
    x = ((img.float() + 1) / 2).cpu()
    # Once.
    x = _random_blur(x, config.first, config, rng)
    x = _random_resize(x, _size(config.first, (height, width), rng), rng)
    x = jpeg_compress(_random_noise(x, config.first, rng), quality=_whole(config.first.jpeg_quality, rng))
    # Once more.
    x = _random_blur(x, config.second, config, rng)
    x = _random_resize(x, _size(config.second, size, rng), rng)
    x = _random_noise(x, config.second, rng)
    # To the final size; the ringing of the last filter is packed as JPEG, or stands on top of a packed picture.
    quality = _whole(config.second.jpeg_quality, rng)
    rings = rng.random() < config.final_sinc
    kernel = sinc_kernel(_cutoff(rng), _kernel_px(config, rng)) if rings else torch.ones(1, 1)
    if rng.random() < 0.5:
        x = jpeg_compress(filter2d(_random_resize(x, size, rng), kernel).clamp(0, 1), quality=quality)
    else:
        x = filter2d(_random_resize(jpeg_compress(x, quality=quality), size, rng), kernel)
    return from_pixels(to_pixels(x * 2 - 1))


# ------------------------------------------------------------------------------------------------------------- blur


def bell_kernel(
    size_px: int, *, sigma_px: Range, angle: float = 0.0, shape: str = "gaussian", power: float = 1.0
) -> Tensor:
    """A blur kernel that falls off from its middle: [size, size], sum 1.

    Args:
        size_px: odd.
        sigma_px: along the kernel's two axes.
        angle: of the first axis, in radians.
        shape: "gaussian": exp(−d² / 2); "generalised": exp(−d²ᵖ / 2), pointed for p < 1, flat-topped for p > 1;
            "plateau": 1 / (1 + d²ᵖ); with d the distance in standard deviations, and p the power.
    """
    at = torch.arange(size_px, dtype=torch.float64) - size_px // 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    squared = (along / sigma_px[0]).square() + (across / sigma_px[1]).square()
    if shape == "plateau":
        kernel = 1 / (1 + squared**power)
    else:
        kernel = (-0.5 * squared ** (power if shape == "generalised" else 1.0)).exp()
    return (kernel / kernel.sum()).float()


def sinc_kernel(cutoff: float, size_px: int) -> Tensor:
    """The ideal round low-pass filter, cut off to a square: [size, size], sum 1. It rings, as sharpened photos do.

    Args:
        cutoff: radians a pixel; π lets everything through along the axes.
        size_px: odd.
    """
    at = torch.arange(size_px, dtype=torch.float64) - size_px // 2
    radius = (at[:, None].square() + at[None].square()).sqrt()
    middle = radius == 0
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * math.pi * radius.where(~middle, torch.ones(())))
    kernel = kernel.where(~middle, torch.tensor(cutoff**2 / (4 * math.pi)).double())
    return (kernel / kernel.sum()).float()


def filter2d(x: Tensor, kernel: Tensor) -> Tensor:
    """x [1, 3, H, W] filtered with [k, k], edges mirrored, in each channel."""
    pad = kernel.shape[0] // 2
    if pad == 0:
        return x
    mode = "reflect" if pad < min(x.shape[2:]) else "replicate"
    planes = F.pad(x, (pad, pad, pad, pad), mode=mode).transpose(0, 1)
    return F.conv2d(planes, kernel[None, None]).transpose(0, 1)


def _random_blur(x: Tensor, what: DegradeRound, config: DegradeConfig, rng: np.random.Generator) -> Tensor:
    if rng.random() >= what.blur:
        return x
    size_px = _kernel_px(config, rng)
    if rng.random() < what.sinc:
        return filter2d(x, sinc_kernel(_cutoff(rng), size_px))
    return filter2d(x, _bell(what, size_px, rng))


def _bell(what: DegradeRound, size_px: int, rng: np.random.Generator) -> Tensor:
    number = int(rng.choice(len(SHAPES), p=what.shapes))
    sigma = float(rng.uniform(*what.sigma_px))
    other, angle = sigma, 0.0
    if rng.random() >= what.round_bells[number]:
        other, angle = float(rng.uniform(*what.sigma_px)), float(rng.uniform(-math.pi, math.pi))
    power = float(rng.uniform(*(what.plateau_power if SHAPES[number] == "plateau" else what.generalised_power)))
    return bell_kernel(size_px, sigma_px=(sigma, other), angle=angle, shape=SHAPES[number], power=power)


def _kernel_px(config: DegradeConfig, rng: np.random.Generator) -> int:
    low, high = config.kernel_px
    return int(rng.integers((high - low) // 2 + 1)) * 2 + low


def _cutoff(rng: np.random.Generator) -> float:
    return float(rng.uniform(math.pi / 3, math.pi))


# ----------------------------------------------------------------------------------------------------------- resize


def _size(what: DegradeRound, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """`size`, made larger or smaller at random."""
    dice, factor = rng.random(), 1.0
    if dice < what.enlarge:
        factor = float(rng.uniform(1, what.factor[1]))
    elif dice < what.enlarge + what.shrink:
        factor = float(rng.uniform(what.factor[0], 1))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _random_resize(x: Tensor, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """By one of three ways at random; as in the source, the linear and the cubic one do not smooth beforehand."""
    mode = _RESIZES[int(rng.integers(len(_RESIZES)))]
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode=mode).clamp(0, 1)


# ---------------------------------------------------------------------------------------------------- noise and JPEG


def _random_noise(x: Tensor, what: DegradeRound, rng: np.random.Generator) -> Tensor:
    grey = rng.random() < what.grey_noise
    if rng.random() < what.gaussian_noise:
        return (x + gaussian_noise(x, rng.uniform(*what.noise_levels), grey=grey, rng=rng)).clamp(0, 1)
    return (x + rng.uniform(*what.noise_share) * poisson_noise(x, grey=grey, rng=rng)).clamp(0, 1)


def gaussian_noise(x: Tensor, levels: float, *, grey: bool, rng: np.random.Generator) -> Tensor:
    """Noise for x [1, 3, H, W] in [0, 1], of this standard deviation in levels; grey = the same in all channels."""
    shape = (1, 1 if grey else 3, *x.shape[2:])
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(levels / 255)).expand(x.shape)


def poisson_noise(x: Tensor, *, grey: bool, rng: np.random.Generator) -> Tensor:
    """What photons do: noise for x [1, 3, H, W] in [0, 1] of variance x / 255; grey = that of the channels' mean."""
    light = (x.mean(dim=1, keepdim=True) if grey else x).clamp(0, 1).double() * 255
    counted = torch.from_numpy(rng.poisson(light.numpy()).astype(np.float64))
    return ((counted - light) / 255).float().expand(x.shape)


def jpeg_compress(x: Tensor, *, quality: int) -> Tensor:
    """x [1, 3, H, W] in [0, 1], packed as JPEG and unpacked; colours at half size, as cameras and sites do."""
    file = io.BytesIO()
    pixels = to_pixels(x.clamp(0, 1) * 2 - 1)
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return from_pixels(np.asarray(Image.open(file))).add_(1).div_(2)


def _whole(limits: Range, rng: np.random.Generator) -> int:
    return int(rng.integers(round(limits[0]), round(limits[1]) + 1))
