"""How much faster than the textbook ganvas paints with StyleGAN3, as ratios within one run.

    python benchmarks/synthesis_stylegan3.py                     # T and R at 256 px, one picture at a time
    python benchmarks/synthesis_stylegan3.py --variants t --resolution 64 --batch 4
    OMP_NUM_THREADS=1 python benchmarks/synthesis_stylegan3.py --clock cpu     # on a machine that is busy otherwise

The textbook is the paper's text as it stands, in float32: weights modulated for each sample and applied by a grouped
convolution; pictures stuffed with zeros, filtered in full by two-dimensional kernels, and thinned out afterwards. Two
more rows say what is owed to what: the textbook with the memory setting that ganvas' commands use, and the textbook
filtering along one axis after the other where the filter allows it, as published implementations do on a CPU.

Each way of painting lives in a process of its own (the memory setting of one must not help another); they paint the
same latents with the same weights, take turns, and the table has medians over the turns.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.models import build
from ganvas.models.seeds import latents_from_seeds
from ganvas.models.stylegan3 import StyleGAN3Generator, StyleGAN3SynthesisLayer, SynthesisInput
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


def textbook_layer(layer: StyleGAN3SynthesisLayer, x: Tensor, w: Tensor, *, separable: bool) -> Tensor:
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


WAYS: dict[str, tuple[bool, Callable[[StyleGAN3Generator, Tensor], Tensor]]] = {  # keeps freed memory, how it paints
    "textbook": (False, textbook_synthesis),
    "textbook, memory kept": (True, textbook_synthesis),
    "textbook, separable": (False, lambda G, ws: textbook_synthesis(G, ws, separable=True)),
    "ganvas, exact": (True, lambda G, ws: G.synthesis(ws)),
    "ganvas, fast": (True, lambda G, ws: G.synthesis(ws, precision="fast")),
}
TARGETS = {"t": 8, "r": 6}  # times as fast as the textbook, at 256 px


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One way of painting the same picture."""

    way: str
    ms_per_picture: float
    times_as_fast: float  # as the textbook
    max_difference: float  # from the textbook's picture, whose standard deviation is 0.5
    psnr_db: float


@torch.no_grad()
def sane_generator(variant: str, resolution: int) -> StyleGAN3Generator:
    """Weights as the paper starts with, every layer's input brought to unit magnitude as training would, and the
    picture to the contrast of photographs; the same in every process."""
    torch.manual_seed(0)
    G = build("stylegan3", variant=variant, img_resolution=resolution, magnitude_ema_beta=0.0)
    G.w_avg.copy_(G.mapping(latents_from_seeds(range(1000, 2000), G.z_dim))[:, 0].mean(dim=0))
    img = G.synthesis(latents(G, 1))  # in train mode: β = 0 adopts these magnitudes
    G.synthesis.layers()[-1].weight.mul_(0.5 / img.std())
    return G.eval()


def latents(G: StyleGAN3Generator, batch: int) -> Tensor:
    """ws of everybody's seeds 0, 1, …, truncated as galleries are."""
    return G.mapping(latents_from_seeds(range(batch), G.z_dim), truncation_psi=0.7)


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def serve(pipe: Connection, way: str, variant: str, resolution: int, batch: int, threads: int, clock: str) -> None:
    """A process that paints when told to, and answers with the seconds it took; first of all with its picture."""
    now = CLOCKS[clock]
    torch.set_num_threads(threads)
    keeps, paint = WAYS[way]
    if keeps:
        keep_freed_memory()
    with torch.inference_mode():
        G = sane_generator(variant, resolution)
        ws = latents(G, batch)
        pipe.send(paint(G, ws).contiguous().numpy())  # makes kernels, measures the fast type
        while pipe.recv() == "paint":
            start = now()
            paint(G, ws)
            pipe.send(now() - start)


def measure(
    variant: str = "t",
    resolution: int = 256,
    *,
    batch: int = 1,
    rounds: int = 3,
    clock: str = "wall",
    ways: Sequence[str] = tuple(WAYS),
) -> list[Timing]:
    """Time several ways, one after the other, `rounds` times over.

    Args:
        variant: "t" or "r".
        resolution: in pixels.
        batch: pictures in one call.
        rounds: turns each way takes.
        clock: "wall", or "cpu" for the seconds of all processors together, which other programs disturb less.
        ways: names of WAYS, "textbook" among them.
    """
    context = multiprocessing.get_context("spawn")
    pipes, pictures = {}, {}
    for way in ways:  # one by one, so that they do not disturb one another's first call
        pipes[way], theirs = context.Pipe()
        args = (theirs, way, variant, resolution, batch, torch.get_num_threads(), clock)
        context.Process(target=serve, args=args, daemon=True).start()
        pictures[way] = torch.from_numpy(pipes[way].recv())
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, pipe in pipes.items():
            pipe.send("paint")
            seconds[way].append(pipe.recv())
            time.sleep(0.02)  # the threads of one process go to sleep before those of the next wake up
    for pipe in pipes.values():
        pipe.send("stop")
    return [timing(way, seconds, pictures, batch) for way in ways]


def timing(way: str, seconds: dict[str, list[float]], pictures: dict[str, Tensor], batch: int) -> Timing:
    """Medians over the turns; a ratio is taken within each turn."""
    error = (pictures[way] - pictures["textbook"]).double()
    mse = error.square().mean().item()
    return Timing(
        way=way,
        ms_per_picture=1e3 * statistics.median(seconds[way]) / batch,
        times_as_fast=statistics.median(a / b for a, b in zip(seconds["textbook"], seconds[way], strict=True)),
        max_difference=error.abs().max().item(),
        psnr_db=10 * math.log10(4 / mse) if mse > 0 else math.inf,
    )


def report(variant: str, resolution: int, batch: int, timings: list[Timing]) -> str:
    """A table for people."""
    lines = [
        f"StyleGAN3-{variant.upper()} {resolution} px, batch {batch}, {torch.get_num_threads()} threads, "
        f"fast = {str(fast_dtype('cpu')).removeprefix('torch.')}",
        f"  {'':22} ms/picture  × textbook  largest difference  PSNR to it, dB",
    ]
    for t in timings:
        lines.append(
            f"  {t.way:22} {t.ms_per_picture:10.0f} {t.times_as_fast:11.2f} {t.max_difference:19.1e} {t.psnr_db:15.1f}"
        )
    for t in timings:
        if resolution != 256 or t.way.startswith("textbook"):
            continue
        reached = "reached" if t.times_as_fast >= TARGETS[variant] else "MISSED"
        within = "within" if t.max_difference <= 1e-3 else "NOT within"
        lines.append(f"  {t.way}: target {TARGETS[variant]} × the textbook {reached}; {within} 1e-3 of it")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> list[list[Timing]]:
    """Measure, print, and return the timings of each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="t,r")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="turns each way takes")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--ours-only", action="store_true", help="one textbook, the plain one: half the time")
    args = parser.parse_args(argv)
    ways = [way for way in WAYS if not args.ours_only or way == "textbook" or way.startswith("ganvas")]
    results = []
    for variant in args.variants.split(","):
        results.append(
            measure(variant, args.resolution, batch=args.batch, rounds=args.rounds, clock=args.clock, ways=ways)
        )
        print(report(variant, args.resolution, args.batch, results[-1]), flush=True)
    return results


if __name__ == "__main__":
    main()
