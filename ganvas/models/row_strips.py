"""Running an img → img network layer by layer, in strips of rows, where a picture is too large to go through at once.

Tiles are of no use to a network that normalises by the statistics of the whole picture (instance norm): each tile would
come out in colours of its own. Here every layer is done for the whole picture, a strip of rows at a time with the rows
around it that the layer looks at, so statistics are those of the whole picture and no seam can arise. What is kept of a
picture is one map a layer, no map at full size, and of each only until the next is made; what makes a layer cheap to
compute again (it is the first one, or follows a kept map) is computed twice instead of being kept.

A family says its layers once more in terms of these maps (`transform_in_strips`), beside its `transform`.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganvas.models.receptive_field import Step, seen_by

MIN_STRIP_ROWS = 4  # a strip of fewer would be mostly what is around it
STRIP_COPIES = 4  # of a strip at the same time: what goes in, with its borders, what comes out, normalised

PerPixel = Callable[[Tensor], Tensor]


class FeatureMap(Protocol):
    """Features of the whole picture, [N, C, H, W], of which any rows can be had."""

    shape: tuple[int, int, int, int]
    work: float  # multiplications it takes to have all rows once

    def rows(self, top: int, bottom: int) -> Tensor:
        """[N, C, bottom − top, W]."""
        ...


class StoredMap:
    """A map that is there."""

    work = 0.0

    def __init__(self, whole: Tensor, statistics: tuple[Tensor, Tensor] | None = None):
        self.whole, self.statistics = whole, statistics
        n, c, h, w = whole.shape
        self.shape = (n, c, h, w)

    def rows(self, top: int, bottom: int) -> Tensor:
        """See `Map.rows`."""
        return self.whole[:, :, top:bottom]


class PointwiseMap:
    """What a function of single pixels (an activation, a normalisation whose statistics are known) makes of a map."""

    def __init__(self, source: FeatureMap, function: PerPixel):
        self.source, self.function = source, function
        self.shape, self.work = source.shape, source.work

    def rows(self, top: int, bottom: int) -> Tensor:
        """See `Map.rows`."""
        return self.function(self.source.rows(top, bottom))


class ConcatMap:
    """The channels of two maps, one after the other."""

    def __init__(self, first: FeatureMap, second: FeatureMap):
        self.first, self.second = first, second
        n, c, h, w = first.shape
        self.shape = (n, c + second.shape[1], h, w)
        self.work = first.work + second.work

    def rows(self, top: int, bottom: int) -> Tensor:
        """See `Map.rows`."""
        return torch.cat([self.first.rows(top, bottom), self.second.rows(top, bottom)], dim=1)


class ConvMap:
    """A convolution, with its own padding and perhaps an enlargement before it, over a map.

    Args:
        source: what goes in.
        module: the layer. At the borders of a strip that lie inside the picture it pads like anywhere; the rows that
            see its padding are left out again.
        steps: how far it looks, as for `reach_px`.
    """

    def __init__(self, source: FeatureMap, module: Any, steps: Sequence[Step]):
        self.source, self.module, self.steps = source, module, steps
        self.up = self.down = 1
        for kind, size, *more in steps:
            if kind == "conv":
                self.down *= more[0]
            elif kind == "transposed":
                self.up *= more[0]
            else:
                self.up *= size
        weight: Tensor = module.weight
        transposed = steps[0][0] == "transposed"
        n, _, h, w = source.shape
        self.shape = (n, weight.shape[1 if transposed else 0], h * self.up // self.down, w * self.up // self.down)
        places = h * w if transposed else self.shape[2] * self.shape[3]
        self.work = source.work + float(n * weight.numel() * places)

    def rows(self, top: int, bottom: int) -> Tensor:
        """See `Map.rows`."""
        low, high = top, bottom - 1
        for step in reversed(self.steps):
            low, high = seen_by(step, low, high)
        low = max(low, 0) // self.down * self.down
        high = min(-(-(high + 1) // self.down) * self.down, self.source.shape[2])
        out = self.module(self.source.rows(low, high))
        start = top - low * self.up // self.down
        return out[:, :, start : start + bottom - top]


class StripRunner:
    """Computes maps in strips.

    Args:
        budget_bytes: that the strips of one layer may take together.
        on_progress: called with the progress, 0 … 1, after each strip; an exception stops the work.
        total_work: of the whole run; see `StripCostEstimator`.
    """

    def __init__(
        self, budget_bytes: float, *, on_progress: Callable[[float], object] | None = None, total_work: float = 1.0
    ):
        self.budget_bytes, self.on_progress, self.total_work = budget_bytes, on_progress, max(total_work, 1.0)
        self.done = 0.0

    def store(self, source: FeatureMap, *, statistics: bool = False) -> StoredMap:
        """Compute a map whole; with mean and variance of each channel where a normalisation will ask for them."""
        whole: Tensor | None = None
        moments = Moments()
        for top, bottom in self.cuts(source):
            strip = source.rows(top, bottom)
            if whole is None:
                whole = strip.new_empty(source.shape)
            whole[:, :, top:bottom] = strip
            if statistics:
                moments.add(strip)
        assert whole is not None, "a picture has rows"
        return StoredMap(whole, moments.result() if statistics else None)

    def statistics(self, source: FeatureMap) -> tuple[Tensor, Tensor]:
        """(mean, variance) of each channel, [N, C, 1, 1] float64 on the CPU; the map is computed, and not kept."""
        if isinstance(source, StoredMap) and source.statistics is not None:
            return source.statistics
        moments = Moments()
        for top, bottom in self.cuts(source):
            moments.add(source.rows(top, bottom))
        return moments.result()

    def add(self, target: StoredMap, other: FeatureMap) -> None:
        """kept + other, in its place."""
        for top, bottom in self.cuts(other):
            target.whole[:, :, top:bottom] += other.rows(top, bottom)

    def apply_norm(self, source: FeatureMap, norm: Any, activation: PerPixel | None = None) -> FeatureMap:
        """A map normalised as in eval mode, by the whole picture's statistics where `norm` asks for such."""
        normalized: FeatureMap = source
        if isinstance(norm, nn.modules.instancenorm._InstanceNorm):
            normalized = PointwiseMap(source, self._by_picture(source, norm))
        elif not isinstance(norm, nn.Identity):
            normalized = PointwiseMap(source, norm)
        return normalized if activation is None else PointwiseMap(normalized, activation)

    def _by_picture(self, source: FeatureMap, norm: Any) -> PerPixel:
        mean, variance = self.statistics(source)
        scale = (variance + norm.eps).rsqrt()
        if norm.affine:
            scale = scale * norm.weight.to(scale).view(1, -1, 1, 1)
        shift = -mean * scale
        if norm.affine:
            shift = shift + norm.bias.to(shift).view(1, -1, 1, 1)
        return Affine(scale.float(), shift.float())

    def cuts(self, source: FeatureMap) -> Iterator[tuple[int, int]]:
        """The rows of each strip, and word of how far the work is."""
        height = source.shape[2]
        most = max(MIN_STRIP_ROWS, int(self.budget_bytes / (STRIP_COPIES * bytes_per_row(source))))
        count = -(-height // most)
        edges = [height * k // count for k in range(count + 1)]
        for top, bottom in itertools.pairwise(edges):
            yield top, bottom
            self.done += source.work * (bottom - top) / height
            if self.on_progress is not None:
                self.on_progress(min(self.done / self.total_work, 1.0))


class StripCostEstimator(StripRunner):
    """Goes through the layers without computing anything: how much work and memory a picture of a size will take.

    Attributes:
        done: multiplications in all.
        most: numbers in kept maps at the same time, at most.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self._alive = self.most = 0

    def store(self, source: FeatureMap, *, statistics: bool = False) -> StoredMap:
        """A map without numbers."""
        self.done += source.work
        whole = torch.empty(source.shape, device="meta")
        stored = StoredMap(whole, (torch.empty(0), torch.empty(0)) if statistics else None)
        self._alive += whole.numel()
        self.most = max(self.most, self._alive)
        weakref.finalize(stored, self._forget, whole.numel())
        return stored

    def _forget(self, count: int) -> None:
        self._alive -= count

    def apply_norm(self, source: FeatureMap, norm: Any, activation: PerPixel | None = None) -> FeatureMap:
        """Counts the work of statistics."""
        by_picture = isinstance(norm, nn.modules.instancenorm._InstanceNorm)
        if by_picture and not (isinstance(source, StoredMap) and source.statistics is not None):
            self.done += source.work
        return source

    def add(self, target: StoredMap, other: FeatureMap) -> None:
        """Counts the work."""
        self.done += other.work


class Affine:
    """x · scale + shift, channel by channel, in the type of x."""

    def __init__(self, scale: Tensor, shift: Tensor):
        self.scale, self.shift = scale, shift

    def __call__(self, x: Tensor) -> Tensor:
        self.scale, self.shift = self.scale.to(x.device), self.shift.to(x.device)
        return torch.addcmul(self.shift, x.float(), self.scale).to(x.dtype)


class Moments:
    """Mean and variance of each channel, from strips; merged in float64.

    Source: Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance", eq. 2.1.
    """

    def __init__(self) -> None:
        self.count = 0.0
        self.mean = self.squares = torch.zeros(())

    def add(self, strip: Tensor) -> None:
        """Take in [N, C, rows, W]."""
        variance, mean = torch.var_mean(strip.float(), dim=(2, 3), correction=0, keepdim=True)
        mean, variance = (each.to("cpu", torch.float64) for each in (mean, variance))
        count = float(strip.shape[2] * strip.shape[3])
        if self.count == 0:
            self.count, self.mean, self.squares = count, mean, variance * count
            return
        both, away = self.count + count, mean - self.mean
        self.mean = self.mean + away * (count / both)
        self.squares = self.squares + variance * count + away.square() * (self.count * count / both)
        self.count = both

    def result(self) -> tuple[Tensor, Tensor]:
        """(mean, variance), [N, C, 1, 1] float64, on the CPU."""
        return self.mean, self.squares / self.count


def bytes_per_row(source: FeatureMap) -> float:
    """What a row of a map takes while it is made: itself, and what goes into it."""
    n, c, h, w = source.shape
    own = 4.0 * n * c * w
    inputs: list[FeatureMap] = [
        getattr(source, name) for name in ("source", "first", "second") if hasattr(source, name)
    ]
    return own + sum(bytes_per_row(each) * each.shape[2] / h for each in inputs if not isinstance(each, StoredMap))
