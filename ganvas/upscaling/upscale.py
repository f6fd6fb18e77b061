"""Upscale photos with any upscaler: alpha, 16 bits, grey and metadata are preserved; in bands, with constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_settings, setting
from ganvas.images.photo import Photo
from ganvas.images.transparency import fill_transparent_colours
from ganvas.models.protocol import PRECISIONS, Upscaler
from ganvas.upscaling.resample import Axis, resample_box
from ganvas.upscaling.tiles import OnUpscaleStep, Tiler, UpscaleJob, check_tiling, find_whole_image_layer, tile_for
from ganvas.weights.interpolate import interpolate_networks
from ganvas.weights.load import load

LIGHT_MODEL = "compact-x4"  # quick on a CPU, and comes with ganvas
STRONG_MODEL = "realesrgan-x4plus"  # the better picture, at many times the work
DENOISE_PAIRS = {"realesr-general-x4v3": "realesr-general-wdn-x4v3"}  # a network and its weak-denoising twin
MAX_SCALE = 64.0
MAX_RESAMPLE_FACTOR = 1.5  # what resampling may add to a network's enlargement before the network runs once more
ALPHA_NEIGHBOURHOOD_PX = 2  # alpha stays within what it is this near to in the picture before
ALPHA_TOLERANCE = 1 / 512  # alpha this near to 0 or 1 is 0 or 1


@dataclass(frozen=True, kw_only=True)
class UpscaleConfig:
    """Settings of upscaling."""

    scale: float | None = setting(None, ge=1, le=MAX_SCALE, help="of width and height; none = the network's own")
    strength: float = setting(1.0, ge=0, le=1, help="0 = resampling alone, 1 = the network's picture")
    tile: int = setting(0, ge=0, unit="px", help="side of a tile of the input; 0 = as free memory allows")
    tile_pad: int | None = setting(
        None, ge=0, unit="px", help="what the network sees around a tile of the input; none = as much as matters"
    )
    lock_colours: bool = setting(True, help="broad colours stay those of the input")
    precision: str = setting("exact", choices=PRECISIONS, help="of the arithmetic")

    def __post_init__(self) -> None:
        check_settings(self, who="upscale", whole_floats=True)
        if 0 < self.tile < 8:
            raise BadConfig(f"tile is 0 (as memory allows) or 8 input pixels and more, got {self.tile}")


def upscale(
    photo: Photo,
    *,
    model: Any = LIGHT_MODEL,
    scale: float | None = None,
    strength: float = 1.0,
    denoise: float | None = None,
    tile: int = 0,
    tile_pad: int | None = None,
    lock_colours: bool = True,
    precision: str = "exact",
    on_step: OnUpscaleStep | None = None,
) -> Photo:
    """Upscale a photo.

    Args:
        photo: of `read_image`; its depth, greyness, transparency, profile and metadata stay.
        model: a catalogue name, the path of an upscaler's file, or the network.
        scale: of width and height, 1 … 64; the network runs as often as needed, the rest is resampled. None = the
            network's own.
        strength: 0 = resampling alone, 1 = the network's picture.
        denoise: 0 … 1, for a network that has a twin ("realesr-general-x4v3"): 1 = smooth, 0 = grainy.
        tile: side of a tile in input pixels; 0 = as free memory allows. The result does not depend on it.
        tile_pad: what the network sees around a tile; None = as much as it takes for the result not to show it.
        lock_colours: broad colours stay those of the photo, whatever the network makes of them.
        precision: "exact", or "fast" where this machine computes bfloat16 faster.
        on_step: called with (steps done, steps in all); what it raises stops the work.

    Returns:
        A new Photo of round(width · scale) x round(height · scale) pixels.

    Raises:
        BadConfig: an option out of its range, or a model that is no upscaler.
        FetchError, WeightsError: the model is not here, or cannot be read.
    """
    if not isinstance(photo, Photo):
        raise BadImage(f"upscale expects a Photo, got {type(photo).__name__}. Read one with ganvas.read_image(path).")
    config = UpscaleConfig(
        scale=scale, strength=strength, tile=tile, tile_pad=tile_pad, lock_colours=lock_colours, precision=precision
    )
    return Upscaling(photo, upscaler(model, denoise=denoise), config).whole(on_step)


def resize_lanczos(photo: Photo, *, scale: float) -> Photo:
    """A larger photo by resampling alone (Lanczos): no network, no new detail.

    Args:
        photo: any.
        scale: of width and height, 1 … 64.

    Raises:
        BadConfig: a scale outside.
    """
    config = UpscaleConfig(scale=scale)
    height, width = (max(1, round(side * (config.scale or 1))) for side in photo.img.shape[2:])
    down, across = (
        Axis(source_px=before, result_px=after)
        for before, after in zip(photo.img.shape[2:], (height, width), strict=True)
    )
    img, alpha = (
        None if one is None else resample_box(one, down, across, (0, 0, height, width), (0, 0))
        for one in (photo.img, photo.alpha)
    )
    assert img is not None
    larger = photo.with_img(img.clamp(-1, 1), alpha=None if alpha is None else alpha.clamp(0, 1))
    return replace(larger, palette=None)


def upscaler(model: Any, *, denoise: float | None = None) -> Any:
    """The network to upscale with.

    Args:
        model: a catalogue name, a path, or a network, which is returned as it is.
        denoise: 0 … 1, mixes a network with its weak-denoising twin.

    Raises:
        BadConfig: it is no upscaler, or has no twin.
    """
    net = load(model) if isinstance(model, (str, Path)) else model
    if not isinstance(net, Upscaler):
        what = getattr(net, "family", type(net).__name__)
        raise BadConfig(
            f"{what} is not an upscaler: upscale needs a network such as {LIGHT_MODEL} (ganvas models list)"
        )
    if denoise is None:
        return net
    if str(model) not in DENOISE_PAIRS:
        raise BadConfig(
            f"denoise interpolates two networks and is available for {', '.join(DENOISE_PAIRS)}; {model} "
            "has no second variant. To weaken the effect use strength."
        )
    if not 0 <= denoise <= 1:
        raise BadConfig(f"denoise must be from 0 (grainy) to 1 (smooth), got {denoise}")
    return net if denoise == 1 else interpolate_networks(net, load(DENOISE_PAIRS[str(model)]), denoise)


class Upscaling:
    """A photo on its way to a larger one: all at once (`whole`), or in bands from top to bottom (`bands`).

    Args:
        photo: what comes in.
        net: an upscaler.
        config: see `UpscaleConfig`.
    """

    def __init__(self, photo: Photo, net: Any, config: UpscaleConfig):
        if net.img_channels not in (1, 3):
            raise BadConfig(f"an upscaler for photos has 1 or 3 channels, this one has {net.img_channels}")
        self.photo = photo
        scale = config.scale or float(net.scale)
        self.height, self.width = (max(1, round(side * scale)) for side in photo.img.shape[2:])
        self._opaque = photo.alpha is None or float(photo.alpha.min()) == 1
        img = photo.img if self._opaque or photo.alpha is None else fill_transparent_colours(photo.img, photo.alpha)
        device = getattr(net, "device", torch.device("cpu"))
        job = UpscaleJob(
            img=img.to(device),
            net=net,
            passes=_num_passes(net.scale, scale),
            height=self.height,
            width=self.width,
            overlap_px=config.tile_pad,
            strength=config.strength,
            lock_colours=config.lock_colours,
            precision=config.precision,
        )
        job, tile = _plan_tiles(job, config)
        jobs = [job]
        if not self._opaque and photo.alpha is not None:
            grey = (photo.alpha * 2 - 1).expand(-1, 3, -1, -1).to(device)
            jobs.append(replace(job, img=grey))
        self._tiler = Tiler(jobs, tile)
        check_tiling(net, self._tiler)

    @property
    def template(self) -> Photo:
        """A photo of the result's size with everything but its pixels, which take no memory."""
        img = torch.zeros(1, 1, 1, 1).expand(1, 3, self.height, self.width)
        alpha = None if self.photo.alpha is None else torch.ones(1, 1, 1, 1).expand(1, 1, self.height, self.width)
        return replace(self.photo, img=img, alpha=alpha, native=None, palette=None, recipe=None)

    def bands(self, on_step: OnUpscaleStep | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """(img [1, 3, rows, width], alpha [1, 1, rows, width] or None), from top to bottom, on the CPU."""
        top = 0
        for img, *alpha in self._tiler.bands(on_step):
            yield img.cpu(), self._alpha(img, alpha, top)
            top += img.shape[2]

    def whole(self, on_step: OnUpscaleStep | None = None) -> Photo:
        """The larger photo."""
        img = torch.empty(1, 3, self.height, self.width)
        alpha = None if self.photo.alpha is None else torch.empty(1, 1, self.height, self.width)
        top = 0
        for band, alpha_band in self.bands(on_step):
            rows = slice(top, top + band.shape[2])
            img[:, :, rows] = band
            if alpha is not None and alpha_band is not None:
                alpha[:, :, rows] = alpha_band
            top = rows.stop
        return replace(self.photo.with_img(img, alpha=alpha), palette=None)

    def _alpha(self, img: Tensor, alpha: list[Tensor], top: int) -> Tensor | None:
        """The transparency of a band that begins at this row of the result."""
        if self.photo.alpha is None:
            return None
        if self._opaque:
            return torch.ones(1, 1, *img.shape[2:])
        alpha_band = alpha[0].mean(dim=1, keepdim=True).add(1).div(2).cpu()
        alpha_band = clamp_alpha_to_neighbours(alpha_band, self.photo.alpha, top=top, height=self.height)
        return torch.where(
            alpha_band < ALPHA_TOLERANCE, 0.0, torch.where(alpha_band > 1 - ALPHA_TOLERANCE, 1.0, alpha_band)
        )


def clamp_alpha_to_neighbours(alpha_band: Tensor, alpha: Tensor, *, top: int, height: int) -> Tensor:
    """Enlarged transparency within what the picture has nearby, so that a network's ripples leave no ghosts on clear
    ground.

    Args:
        alpha_band: [1, 1, rows, width], a band of the result.
        alpha: [1, 1, H, W] in [0, 1], of the picture before.
        top: the row of the result at which the band begins.
        height: of the whole result.

    Returns:
        veil, each pixel between the smallest and the largest alpha less than NEAR_PX + 1 pixels away before.
    """
    rows, columns = (
        ((torch.arange(start, start + count) + 0.5) * before / after).long().clamp_(max=before - 1)
        for start, count, before, after in (
            (top, alpha_band.shape[2], alpha.shape[2], height),
            (0, alpha_band.shape[3], alpha.shape[3], alpha_band.shape[3]),
        )
    )
    first, last = max(0, int(rows[0]) - ALPHA_NEIGHBOURHOOD_PX), int(rows[-1]) + ALPHA_NEIGHBOURHOOD_PX + 1
    part = alpha[:, :, first:last]
    high, low = (
        sign
        * F.max_pool2d(sign * part, 2 * ALPHA_NEIGHBOURHOOD_PX + 1, stride=1, padding=ALPHA_NEIGHBOURHOOD_PX)[
            :, :, rows - first
        ][:, :, :, columns]
        for sign in (1, -1)
    )
    return alpha_band.clamp(min=low, max=high)


def _num_passes(net_scale: int, scale: float) -> int:
    """How often the network runs: until what is left to resampling enlarges no more than STRETCH times."""
    if net_scale < 2:
        return 1
    return max(1, math.ceil(math.log(scale / MAX_RESAMPLE_FACTOR) / math.log(net_scale) - 1e-9)) if scale > 1 else 1


def _plan_tiles(job: UpscaleJob, config: UpscaleConfig) -> tuple[UpscaleJob, int]:
    """The job with the overlap it needs, and the side of its tiles in input pixels."""
    longest = max(job.img.shape[2:])
    whole = find_whole_image_layer(job.net) is not None
    tile = config.tile or tile_for(job.net, job.img, reach_px=job.reach_px)
    if job.passes > 1 and not config.tile:  # the last pass runs on a larger picture
        tile = max(8, tile // job.net.scale ** (job.passes - 1))
    if tile >= longest or whole:
        return job, tile
    job = job.with_overlap()
    if not config.tile:
        inner = tile_for(job.net, job.img, reach_px=job.reach_px)
        tile = max(8, inner // job.net.scale ** (job.passes - 1))
    return job, tile
