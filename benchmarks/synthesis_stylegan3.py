"""How much faster than the textbook ganvas paints with StyleGAN3, as ratios within one run.

    python benchmarks/synthesis_stylegan3.py                     # T and R at 256 px, one picture at a time
    python benchmarks/synthesis_stylegan3.py --variants t --resolution 64 --batch 4

The textbook is the paper's text as it stands, in float32: weights modulated for each sample and applied by a grouped
convolution; pictures stuffed with zeros, filtered in full by two-dimensional kernels, and thinned out afterwards. A
second textbook filters along one axis after the other where the filter allows it, as published implementations do on a
CPU. All get the same weights, the same latents, the same threads and the same memory allocator.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.models import build
from ganvas.models.protocol import latents_from_seeds, truncate
from ganvas.models.stylegan3 import StyleGAN3Generator, SynthesisInput, SynthesisLayer
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.precision import fast_dtype

# ------------------------------------------------------------------------------------------- the textbook


def textbook_synthesis(G: StyleGAN3Generator, ws: Tensor, *, separable: bool = False) -> Tensor:
    """ws [N, num_ws, w_dim] → img, every step as the paper writes it.

    Args:
        G: the generator whose weights are used.
        ws: latents.
        separable: filter along one axis after the other where the filter allows it.
    """
    x = textbook_input(G.synthesis.input, ws[:, 0])
    for i, layer in enumerate(G.synthesis.layers()):
        x = textbook_layer(layer, x, ws[:, i + 1], separable=separable)
    return x * G.synthesis.config.output_scale


def textbook_input(source: SynthesisInput, w: Tensor) -> Tensor:
    """Sine waves at every point of the grid: sin(2π(f·p + φ)), then mixed by a matrix."""
    side = (torch.arange(source.size, dtype=w.dtype) + 0.5 - source.size / 2) / source.sampling_rate
    points = torch.stack([side.repeat(source.size), side.repeat_interleave(source.size), torch.ones(source.size**2)])
    points = source.placement(w) @ points.to(w)  # [N, 3, size²]
    waves = torch.sin(2 * math.pi * (source.freqs @ points[:, :2] + source.phases[:, None]))  # [N, C, size²]
    x = source.weight @ waves / math.sqrt(len(source.weight))
    return x.unflatten(2, (source.size, source.size))


def textbook_layer(layer: SynthesisLayer, x: Tensor, w: Tensor, *, separable: bool) -> Tensor:
    """Modulate, demodulate, convolve by groups, bias; enlarge, leaky ReLU, shrink."""
    n, i, h, width = x.shape
    styles = layer.affine(w)
    if layer.is_torgb:
        styles = styles / math.sqrt(i)
    weight = layer.weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if not layer.is_torgb:
        weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    weight = weight * layer.magnitude_ema.rsqrt()
    x = F.conv2d(x.reshape(1, n * i, h, width), weight.flatten(0, 1), padding=layer.kernel - 1, groups=n)
    x = x.unflatten(1, (n, -1)).squeeze(0) + layer.bias[:, None, None]
    if layer.is_torgb:
        return x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)
    x = upfirdn(x, layer.up_filter, up=layer.up, padding=layer.padding, separable=separable)
    x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    if layer.clamp is not None:
        x = x.clamp(-layer.clamp, layer.clamp)
    return upfirdn(x, layer.down_filter, down=layer.down, separable=separable)


def upfirdn(
    x: Tensor,
    f: Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    separable: bool,
) -> Tensor:
    """Stuff with zeros, pad, filter every sample, keep every `down`-th."""
    n, c, h, w = x.shape
    stuffed = x.new_zeros(n, c, h, up, w, up)
    stuffed[:, :, :, 0, :, 0] = x
    x = F.pad(stuffed.reshape(n, c, h * up, w * up), (*padding, *padding))
    if f is not None:
        planes = [f] if f.ndim == 2 else [f[:, None], f[None, :]] if separable else [torch.outer(f, f)]
        for plane in planes:
            x = F.conv2d(x, plane.flip((0, 1)).expand(c, 1, *plane.shape), groups=c)
    return x[:, :, ::down, ::down] * up**2


# ------------------------------------------------------------------------------------------- the measurement


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One way of painting the same picture."""

    name: str
    seconds_per_picture: float
    max_difference: float  # from the textbook's picture, whose standard deviation is about 0.5
    psnr_db: float


def fresh_generator(variant: str, resolution: int, **fields: object) -> StyleGAN3Generator:
    """Weights as the paper starts with, and every layer's input scaled to unit magnitude as it is in training."""
    torch.manual_seed(0)
    G = build("stylegan3", variant=variant, img_resolution=resolution, magnitude_ema_beta=0.0, **fields)
    with torch.no_grad():
        G(latents_from_seeds(range(2), G.z_dim), precision="fast")  # in train mode: β = 0 adopts these magnitudes
        G.w_avg.copy_(G.mapping(latents_from_seeds(range(1000, 1256), G.z_dim))[:, 0].mean(dim=0))
    return G.eval()


def measure(
    variant: str = "t", resolution: int = 256, *, batch: int = 1, repeats: int = 3, **fields: object
) -> list[Timing]:
    """Time both textbooks, ours in float32 and ours in the fast type.

    Args:
        variant: "t" or "r".
        resolution: in pixels.
        batch: pictures in one call.
        repeats: the best of so many; textbooks, being slow, run at most twice.
        fields: of the config, for smaller networks.
    """
    G = fresh_generator(variant, resolution, **fields)
    with torch.no_grad():
        ws = truncate(G.mapping(latents_from_seeds(range(batch), G.z_dim)), G.w_avg, psi=0.7)
        ways: list[tuple[str, int, Callable[[], Tensor]]] = [
            ("textbook, 2-D kernels", min(repeats, 2), lambda: textbook_synthesis(G, ws)),
            ("textbook, separable", min(repeats, 2), lambda: textbook_synthesis(G, ws, separable=True)),
            ("ganvas, float32", repeats, lambda: G.synthesis(ws)),
            (f"ganvas, {str(fast_dtype('cpu')).removeprefix('torch.')}", repeats, lambda: fast(G, ws)),
        ]
        expected = None
        timings = []
        for name, times, paint in ways:
            seconds, img = best_time(paint, times)
            expected = img if expected is None else expected
            error = (img - expected).double()
            mse = float(error.square().mean())
            timings.append(
                Timing(
                    name=name,
                    seconds_per_picture=seconds / batch,
                    max_difference=float(error.abs().max()),
                    psnr_db=10 * math.log10(4 / mse) if mse > 0 else math.inf,
                )
            )
    return timings


def fast(G: StyleGAN3Generator, ws: Tensor) -> Tensor:
    """What `precision="fast"` paints."""
    return G.synthesis(ws, precision="fast")


def best_time(paint: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Seconds of the quickest call, and its picture; with one repeat there is no warm-up, so ask for two or more."""
    best, img = math.inf, None
    for _ in range(repeats):
        start = time.perf_counter()
        img = paint()
        best = min(best, time.perf_counter() - start)
    assert img is not None
    return best, img


def report(title: str, timings: list[Timing]) -> str:
    """A table for people."""
    book, separable = timings[0].seconds_per_picture, timings[1].seconds_per_picture
    lines = [title, f"  {'':24} s/picture   × 2-D   × separable   max difference   PSNR"]
    for t in timings:
        lines.append(
            f"  {t.name:24} {t.seconds_per_picture:9.3f} {book / t.seconds_per_picture:7.1f} "
            f"{separable / t.seconds_per_picture:11.1f}   {t.max_difference:14.2e}   {t.psnr_db:.1f} dB"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> list[list[Timing]]:
    """Measure, print, and return the timings of each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="t,r")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    keep_freed_memory()
    results = []
    for variant in args.variants.split(","):
        results.append(measure(variant, args.resolution, batch=args.batch, repeats=args.repeats))
        title = (
            f"StyleGAN3-{variant.upper()} {args.resolution} px, batch {args.batch}, {torch.get_num_threads()} threads"
        )
        print(report(title, results[-1]), flush=True)
    return results


if __name__ == "__main__":
    main()
