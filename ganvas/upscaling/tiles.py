"""Tiled upscaling with the result of the whole image: tile size, overlap, joining.

A tile is a rectangle of the *result*. Everything between the input and it (one or more passes of a network, the lock on
colours, the last resampling) looks a limited way around, so a tile is computed from its part of the input and as much
around it as that is. How far a network looks is computed from its layers; where that is very far (350 pixels in
Real-ESRGAN's x4plus, of which 40 to 90 matter), it is measured on the picture itself, where it is busy and where it is
quiet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig, GanvasError
from ganvas.models.img2img import crop_back, pad_to_rules
from ganvas.ops.memory import MAX_TILE_BYTES, MEMORY_FRACTION, PROBE_PX, bytes_needed, free_bytes, is_out_of_memory
from ganvas.upscaling.resample import Axis, resample_box

FULL_OVERLAP_PX = 40  # networks that look no farther than this get an overlap of all they see
SEAM_TOLERANCE = 0.25 * 2 / 255  # a quarter of a grey level, in [-1, 1]: what a cut may change where its overlap ends
OVERLAP_MARGIN = 1.25  # times the distance at which a cut no longer showed
PROBE_HEIGHT_PX, PROBE_WIDTH_PX, PROBE_CUT_PX = 48, 192, 48
STEPS_PER_TILE = 20  # steps of progress a tile
MIN_TILE_PX = 16  # result pixels; tiles are halved down to this when memory runs out
LOCK_SIGMA_PX = 4.0  # input pixels; colours broader than this are those of the input
LOCK_REACH_PX = 14  # of the bell, and of the enlargement after it

Box = tuple[int, int, int, int]  # top, left, bottom, right
OnUpscaleStep = Callable[[int, int], Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class UpscaleJob:
    """A picture and all that is done to make it larger; `compute_box` computes any rectangle of the result."""

    img: Tensor  # [1, C, H, W] in [-1, 1]
    net: Any  # an Upscaler
    passes: int  # how often the network runs, each time on what it gave before
    height: int  # of the result
    width: int
    overlap_px: int | None  # around a tile, in pixels of the network's input; None = found out when it must be cut
    strength: float = 1.0  # 0 = resampling alone, 1 = the network's picture
    lock_colours: bool = True
    precision: str = "exact"

    @property
    def factor(self) -> int:
        """How many times the network's passes enlarge, before the last resampling."""
        return int(self.net.scale) ** self.passes

    @property
    def reach_px(self) -> int:
        """How far around its place in the input a pixel of the result may look."""
        network = math.ceil(sum((self.overlap_px or 0) / self.net.scale**k for k in range(self.passes)))
        resampling = math.ceil(max(axis.reach_px for axis in self._axes(self.factor)) / self.factor) + 1
        # Blending with the resampled input looks LOBES input pixels far, which is no more than any network does.
        return network + resampling + (LOCK_REACH_PX if self.lock_colours else 0)

    def window(self, box: Box) -> Box:
        """The part of the input that a rectangle of the result is computed from."""
        cell = self.net.size_rules.multiple_of
        edges = []
        for axis, start, stop in zip(self._axes(1), box[:2], box[2:], strict=True):
            low = math.floor(start * axis.source_px / axis.result_px) - self.reach_px
            high = math.ceil(stop * axis.source_px / axis.result_px) + self.reach_px
            edges.append((max(0, low // cell * cell), min(axis.source_px, -(-high // cell) * cell)))
        (top, bottom), (left, right) = edges
        return top, left, bottom, right

    def compute_box(self, box: Box) -> Tensor:
        """A rectangle of the result: [1, C, bottom − top, right − left] in [-1, 1]."""
        top, left, bottom, right = self.window(box)
        part = self.img[:, :, top:bottom, left:right]
        large = part
        for _ in range(self.passes):
            large = run_upscaler(self.net, large, precision=self.precision)
        if self.lock_colours:
            large = match_colours(large, part, factor=self.factor)
        result = resample_box(large, *self._axes(self.factor), box, (top * self.factor, left * self.factor))
        if self.strength != 1:
            plain = resample_box(part, *self._axes(1), box, (top, left))
            result = plain.lerp(result, self.strength)
        return result.clamp(-1, 1)

    def with_overlap(self) -> UpscaleJob:
        """The same with an overlap, measured now if it was not known."""
        if self.overlap_px is not None:
            return self
        return replace(self, overlap_px=overlap_for(self.net, self.img, precision=self.precision))

    def _axes(self, factor: int) -> tuple[Axis, Axis]:
        """Down and across, from the input made `factor` times larger to the result."""
        height, width = self.img.shape[2:]
        return (
            Axis(source_px=height * factor, result_px=self.height),
            Axis(source_px=width * factor, result_px=self.width),
        )


def run_upscaler(net: Any, img: Tensor, *, precision: str = "exact") -> Tensor:
    """Run an upscaler on a picture of any size: [N, C, H, W] → [N, C, H·scale, W·scale].

    A network for one channel runs on each channel by itself.
    """
    height, width = img.shape[2:]
    fitting = pad_to_rules(img, net.size_rules)
    options = {} if precision == "exact" else {"precision": precision}  # somebody's own network may know no other
    if net.img_channels == 1 and img.shape[1] > 1:
        planes = net(fitting.flatten(0, 1)[:, None], **options)
        large = planes.view(*img.shape[:2], *planes.shape[2:])
    else:
        large = net(fitting, **options)
    return crop_back(large, height, width, scale=net.scale)


def match_colours(large: Tensor, img: Tensor, *, factor: int) -> Tensor:
    """The enlarged picture with the broad colours of the picture it was made from.

    Networks drift: whites turn grey, skin turns pink. What the mean of factor × factor pixels differs from the input,
    blurred, is taken off again; detail stays as the network drew it.

    Args:
        large: [N, C, H·factor, W·factor].
        img: [N, C, H, W].
    """
    drift = img - F.avg_pool2d(large, factor) if factor > 1 else img - large
    drift = _blur(drift) / _blur(torch.ones_like(drift[:1, :1]))
    if factor > 1:
        drift = F.interpolate(drift, scale_factor=factor, mode="bilinear")
    return large + drift


def _blur(x: Tensor) -> Tensor:
    """A bell of LOCK_SIGMA_PX, cut off at three of them; zeros around the picture."""
    reach = int(3 * LOCK_SIGMA_PX)
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    bell = (-0.5 * (at / LOCK_SIGMA_PX).square()).exp()
    planes = x.flatten(0, 1)[:, None]
    planes = F.conv2d(planes, bell.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(planes, bell.view(1, 1, 1, -1), padding=(0, reach)).view(x.shape)


# ------------------------------------------------------------------------------------------------ the overlap


def overlap_for(net: Any, img: Tensor, *, precision: str = "exact") -> int:
    """How many pixels around a tile a network must see so that no seam shows, in pixels of its input.

    Args:
        net: an upscaler. Ours say how far they look (`receptive_field_px`); for another it is measured.
        img: [1, C, H, W], the picture that will be cut.

    Returns:
        All that the network looks, or less where it looks very far: then two parts of the picture, the busiest and the
        quietest, are enlarged whole and cut. The distance from which on the cut changes less than a quarter of a grey
        level is taken 1.25 times.
    """
    reach: float = getattr(net, "receptive_field_px", math.inf)
    if reach <= FULL_OVERLAP_PX:
        return int(reach)
    needed = max(_visible_seam_px(net, part, precision) for part in _probes(img, net.size_rules.multiple_of))
    return int(min(reach, max(8, math.ceil(OVERLAP_MARGIN * needed))))


@torch.no_grad()
def _visible_seam_px(net: Any, probe: Tensor, precision: str) -> int:
    """How many pixels from a cut it still shows: [1, C, h, w] is enlarged whole, and without its left third or less."""
    cell = net.size_rules.multiple_of
    cut = min(PROBE_CUT_PX, probe.shape[3] // 3) // cell * cell
    whole = run_upscaler(net, probe, precision=precision)[:, :, :, cut * net.scale :]
    alone = run_upscaler(net, probe[:, :, :, cut:], precision=precision)
    off = (whole - alone).abs().amax(dim=(0, 1, 2)).view(-1, net.scale).amax(dim=1)  # by distance from the cut
    shows = (off > SEAM_TOLERANCE).nonzero()
    return int(shows.max()) + 1 if len(shows) else 0


def _probes(img: Tensor, cell: int) -> list[Tensor]:
    """The parts of the picture in which neighbours differ most and least; corners on the network's grid of cells."""
    height, width = min(PROBE_HEIGHT_PX, img.shape[2]), min(PROBE_WIDTH_PX, img.shape[3])
    change = F.pad((img[:, :, :, 1:] - img[:, :, :, :-1]).abs().mean(dim=1, keepdim=True), (0, 1))
    step = max(cell, 8)
    score = F.avg_pool2d(change, (height, width), stride=step)[0, 0]
    places = {int(score.argmax()), int(score.argmin())}
    corners = [(place // score.shape[1] * step, place % score.shape[1] * step) for place in sorted(places)]
    return [img[:, :, top : top + height, left : left + width] for top, left in corners]


def find_whole_image_layer(net: Any) -> str | None:
    """The name of a layer that takes statistics of all it is given, which no tile has; None = there is none."""
    kinds = (nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.AdaptiveAvgPool2d)
    modules = net.named_modules() if isinstance(net, nn.Module) else ()
    return next((name for name, module in modules if isinstance(module, kinds)), None)


# --------------------------------------------------------------------------------------------------- the tiles


def tile_for(net: Any, img: Tensor, *, reach_px: int) -> int:
    """The side of a tile in input pixels, without what it needs around it, that free memory allows."""
    budget = min(MEMORY_FRACTION * free_bytes(img.device), MAX_TILE_BYTES)
    each, fixed = bytes_needed(net, pad_to_rules(img[:, : net.img_channels, :PROBE_PX, :PROBE_PX], net.size_rules))
    side = math.isqrt(max(0, int((budget - fixed) / each)))
    return max(side - 2 * reach_px, reach_px, MIN_TILE_PX)


def split_evenly(length: int, pieces: int) -> list[tuple[int, int]]:
    """0 … length in so many parts of nearly the same size."""
    edges = [round(k * length / pieces) for k in range(pieces + 1)]
    return [(a, b) for a, b in itertools.pairwise(edges) if a < b]


class Tiler:
    """Computes results in bands from top to bottom, tile by tile; smaller tiles when memory runs out.

    Args:
        jobs: enlargements of pictures of one size to one size, done side by side (a photo's colours, and its alpha).
        tile_px: side of a tile, in pixels of the input.
    """

    def __init__(self, jobs: Sequence[UpscaleJob], tile_px: int):
        self.jobs = jobs
        first = jobs[0]
        height, width = first.img.shape[2:]
        self.rows = split_evenly(first.height, -(-height // tile_px))
        self.columns = split_evenly(first.width, -(-width // tile_px))
        self.steps = len(self.rows) * len(self.columns) * len(jobs)
        self.most_px = max(first.height, first.width)  # of the result; lower once memory has run out
        self.done = 0

    def bands(self, on_step: OnUpscaleStep | None = None) -> Iterator[list[Tensor]]:
        """For each row of tiles, one band [1, C, rows, width] a job.

        Args:
            on_step: called with (steps done, steps in all), PARTS steps a tile, where a network tells how far it is
                within one; what it raises stops the work.

        Raises:
            GanvasError: memory ran out even for the smallest tile. Whatever else a tile raises comes through.
        """
        for top, bottom in self.rows:
            bands = []
            for job in self.jobs:
                band = job.img.new_empty(1, job.img.shape[1], bottom - top, job.width)
                for left, right in self.columns:
                    with self._forward_progress(job, on_step):
                        band[:, :, :, left:right] = self._tile(job, (top, left, bottom, right))
                    self.done += 1
                    if on_step is not None:
                        on_step(self.done * STEPS_PER_TILE, self.steps * STEPS_PER_TILE)
                bands.append(band)
            yield bands

    @contextmanager
    def _forward_progress(self, job: UpscaleJob, on_step: OnUpscaleStep | None) -> Iterator[None]:
        """A slow network tells how far it is within a tile."""
        if on_step is None or not hasattr(job.net, "on_progress") or job.passes > 1:
            yield
            return
        report, steps = on_step, self.steps * STEPS_PER_TILE

        def on_progress(share: float) -> None:
            report(
                min(self.done * STEPS_PER_TILE + int(share * STEPS_PER_TILE), (self.done + 1) * STEPS_PER_TILE - 1),
                steps,
            )

        job.net.on_progress = on_progress
        try:
            yield
        finally:
            job.net.on_progress = None

    @torch.no_grad()
    def _tile(self, job: UpscaleJob, box: Box) -> Tensor:
        if max(box[2] - box[0], box[3] - box[1]) <= self.most_px:
            tile = _try_tile(job, box)
            if tile is not None:
                return tile
            self.most_px = max(box[2] - box[0], box[3] - box[1]) // 2
        if self.most_px < MIN_TILE_PX:
            raise GanvasError(
                f"out of memory even for an output tile of {box[3] - box[1]} x {box[2] - box[0]} pixels. "
                "Close other programs, or choose a smaller model (ganvas models list)."
            )
        job = job.with_overlap()
        one, other, dim = _halves(box)
        return torch.cat([self._tile(job, one), self._tile(job, other)], dim=dim)


def _try_tile(job: UpscaleJob, box: Box) -> Tensor | None:
    """The tile, or None where there is not enough memory for it."""
    try:
        return job.compute_box(box)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    if job.img.device.type == "cuda":
        torch.cuda.empty_cache()
    return None  # outside the handler: the error holds on to the tensors that filled the memory


def _halves(box: Box) -> tuple[Box, Box, int]:
    """The two halves of a box along its longer side, and the dimension in which they lie side by side."""
    top, left, bottom, right = box
    if bottom - top >= right - left:
        middle = (top + bottom) // 2
        return (top, left, middle, right), (middle, left, bottom, right), 2
    middle = (left + right) // 2
    return (top, left, bottom, middle), (top, middle, bottom, right), 3


def check_tiling(net: Any, tiler: Tiler) -> None:
    """A network that looks at the whole picture must get it whole.

    Raises:
        BadConfig: it would be cut.
    """
    layer = find_whole_image_layer(net)
    if layer is not None and len(tiler.rows) * len(tiler.columns) > 1:
        raise BadConfig(
            f"this network cannot be tiled: its layer {layer!r} uses statistics of the whole image, and "
            "tiles would differ in colour. Use a smaller image, or a tile as large as the image (--tile)."
        )
