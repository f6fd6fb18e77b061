"""How much faster than the textbook ganvas paints on this CPU, as ratios within one run.

    python benchmarks/synthesis.py                          # StyleGAN2 at 256 and 1024 px, StyleGAN3-T and -R at 256 px
    python benchmarks/synthesis.py --quick                  # StyleGAN2 at 256 px, one picture at a time: half a minute
    python benchmarks/synthesis.py --only stylegan2 --json speed.json

The textbook is the paper's text as it stands, in float32, with torch's default memory layout: weights scaled by each
sample's style and applied by a grouped convolution, pictures stuffed with zeros and filtered by a full two-dimensional
kernel. Each way of painting lives in a process of its own (the memory setting of one must not help another); they paint
the same latents with the same weights and take turns, each time with a call to warm up and one that counts. The table
has medians over the turns.

Weights are random, so each picture's contrast is first brought to that of photographs (standard deviation 0.5 in
[-1, 1]); the noise and bias that training would have found are drawn as well, so that no part is idle.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.models import build
from ganvas.models.seeds import latents_from_seeds
from ganvas.models.stylegan2 import StyleGAN2Generator, SynthesisLayer
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.precision import fast_dtype

# ------------------------------------------------------------------------------------------- the textbook


def textbook_synthesis(G: StyleGAN2Generator, ws: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] → img, every step as the papers write it (architecture "skip", constant noise)."""
    S, row, img = G.synthesis, 0, None
    x = S.b4.const[None].repeat(len(ws), 1, 1, 1)
    for block in S.blocks():
        layers = [block.conv1] if block.is_first else [block.conv0, block.conv1]
        for layer in layers:
            x = textbook_layer(layer, x, ws[:, row])
            row += 1
        rgb = block.torgb
        y = textbook_modulated(x, rgb.weight, rgb.affine(ws[:, row]) * rgb.weight_gain, demodulate=False)
        y = textbook_clamp(y + rgb.bias[:, None, None], rgb.clamp)
        img = y if img is None else y + textbook_resample(img, block.resample_filter, up=2, padding=(2, 1, 2, 1))
    return img


def textbook_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Modulated convolution, noise, bias, leaky ReLU, clamp."""
    x = textbook_modulated(x, layer.weight, layer.affine(w), up=layer.up, f=layer.resample_filter)
    x = x + layer.noise_const * layer.noise_strength
    x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    return textbook_clamp(x, layer.clamp)


def textbook_modulated(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: int = 1, f: Tensor | None = None
) -> Tensor:
    """One set of weights a sample, one grouped convolution for all of them."""
    n, i, h, w = x.shape
    o, _, k, _ = weight.shape
    own = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * i, h, w)
    if up == 1:
        x = F.conv2d(x, own.reshape(n * o, i, k, k), padding=k // 2, groups=n)
        return x.reshape(n, o, h, w)
    x = F.conv_transpose2d(x, own.transpose(1, 2).reshape(n * i, o, k, k), stride=2, groups=n)
    return textbook_resample(x.reshape(n, o, *x.shape[2:]), f, padding=(1, 1, 1, 1), gain=4)


def textbook_resample(
    x: Tensor, f: Tensor, *, up: int = 1, padding: tuple[int, int, int, int], gain: float | None = None
) -> Tensor:
    """Stuff with zeros, pad, filter every sample by the whole kernel."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    kernel = (f * (up**2 if gain is None else gain)).flip((0, 1))[None, None].repeat(c, 1, 1, 1)
    return F.conv2d(F.pad(x, padding), kernel, groups=c)


def textbook_clamp(x: Tensor, limit: float | None) -> Tensor:
    return x if limit is None else x.clamp(-limit, limit)


# ------------------------------------------------------------------------------------------- what is painted, and how


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network and batch size, and how many times as fast as the textbook `fast` is meant to be."""

    resolution: int
    channel_base: int
    batch: int
    target: float

    def __str__(self) -> str:
        return f"StyleGAN2 {self.resolution} px, channel_base {self.channel_base}, batch {self.batch}"


CASES = [
    Case(resolution=256, channel_base=16384, batch=1, target=3),
    Case(resolution=256, channel_base=16384, batch=4, target=5),
    Case(resolution=1024, channel_base=32768, batch=1, target=5),
]
WAYS = {  # name → (keeps freed memory, how it paints)
    "textbook": (False, textbook_synthesis),
    "textbook, memory kept": (True, textbook_synthesis),
    "ganvas, exact": (True, lambda G, ws: G.synthesis(ws)),
    "ganvas, fast": (True, lambda G, ws: G.synthesis(ws, precision="fast")),
}


@torch.no_grad()
def sane_generator(case: Case) -> StyleGAN2Generator:
    """Random weights with the statistics of trained ones; the same in every process."""
    torch.manual_seed(0)
    G = build("stylegan2", img_resolution=case.resolution, channel_base=case.channel_base, conv_clamp=256)
    G.eval()
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
        elif name.endswith(("conv0.bias", "conv1.bias")):
            parameter.normal_(0, 0.1)
    G.w_avg.copy_(G.mapping(latents_from_seeds(range(1000, 2000), G.z_dim))[:, 0].mean(dim=0))
    contrast = G.synthesis(latents(G, 1)).std()
    for block in G.synthesis.blocks():
        block.torgb.weight.mul_(0.5 / contrast)
    return G


def latents(G: StyleGAN2Generator, batch: int) -> Tensor:
    """ws of everybody's seeds 0, 1, …, truncated as galleries are."""
    return G.mapping(latents_from_seeds(range(batch), G.z_dim), truncation_psi=0.7)


def multiply_adds(G: StyleGAN2Generator) -> int:
    """Of all convolutions for one picture; a transposed one multiplies once for each of its input pixels."""
    total = 0
    for block in G.synthesis.blocks():
        for name in ("conv0", "conv1", "torgb"):
            if hasattr(block, name):
                side = block.resolution // (2 if name == "conv0" else 1)
                total += getattr(block, name).weight.numel() * side**2
    return total


# ------------------------------------------------------------------------------------------- taking turns


def serve(pipe: Connection, way: str, case: Case) -> None:
    """A process that paints when told to, and answers with the seconds it took; first of all with its picture."""
    keeps, paint = WAYS[way]
    if keeps:
        keep_freed_memory()
    with torch.inference_mode():
        G = sane_generator(case)
        ws = latents(G, case.batch)
        paint(G, ws)  # makes kernels, measures the fast type, packs weights
        pipe.send((paint(G, ws).contiguous().numpy(), multiply_adds(G)))
        while pipe.recv() == "paint":
            paint(G, ws)  # the others have emptied the caches meanwhile
            start = time.perf_counter()
            paint(G, ws)
            pipe.send(time.perf_counter() - start)


def take_turns(case: Case, rounds: int) -> dict[str, object]:
    """All ways of one case, one after the other, `rounds` times over."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for way in WAYS:
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, way, case), daemon=True).start()
        pipes[way] = ours
    first = {way: pipe.recv() for way, pipe in pipes.items()}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, pipe in pipes.items():
            pipe.send("paint")
            seconds[way].append(pipe.recv())
            time.sleep(0.02)  # the threads of one process go to sleep before those of the next wake up
    for pipe in pipes.values():
        pipe.send("stop")
    return summary(case, first, seconds)


def summary(case: Case, first: dict[str, tuple], seconds: dict[str, list[float]]) -> dict[str, object]:
    """The numbers of one case, ready for JSON."""
    book = torch.from_numpy(first["textbook"][0])
    ways = {}
    for way in WAYS:
        error = (torch.from_numpy(first[way][0]) - book).double()
        mse = error.square().mean().item()
        ratios = [slow / own for slow, own in zip(seconds["textbook"], seconds[way], strict=True)]
        ways[way] = {
            "ms_per_picture": 1e3 * statistics.median(seconds[way]) / case.batch,
            "times_as_fast": statistics.median(ratios),
            "max_difference": error.abs().max().item(),
            "psnr_db": 10 * math.log10(4 / mse) if mse > 0 else math.inf,
        }
    flops = 2 * first["textbook"][1]
    return {"case": asdict(case), "title": str(case), "gflop_per_picture": flops / 1e9, "ways": ways}


@torch.inference_mode()
def product_rate(dtype: torch.dtype, *, size: int = 2048, repeats: int = 9) -> float:
    """GFLOP/s of this machine's own matrix product, its best of a few."""
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e9


def report(result: dict, rates: dict[str, float]) -> str:
    """A table for people."""
    lines = [f"{result['title']}  ({result['gflop_per_picture']:.1f} GFLOP a picture)"]
    lines.append(f"  {'':22} ms/picture  × textbook  PSNR to it, dB   GFLOP/s  of the matrix product's")
    for way, numbers in result["ways"].items():
        dtype = str(fast_dtype("cpu")) if way.endswith("fast") else "torch.float32"
        rate = result["gflop_per_picture"] / numbers["ms_per_picture"] * 1e3
        lines.append(
            f"  {way:22} {numbers['ms_per_picture']:10.1f} {numbers['times_as_fast']:11.2f} {numbers['psnr_db']:15.1f}"
            f" {rate:9.0f}  {rate / rates[dtype]:.0%}"
        )
    fast, target = result["ways"]["ganvas, fast"], result["case"]["target"]
    verdict = "reached" if fast["times_as_fast"] >= target else "MISSED"
    lines.append(f"  target for fast: {target:g} × the textbook: {verdict}; 40 dB: {fast['psnr_db'] >= 40}")
    return "\n".join(lines)


def measure_stylegan2(cases: list[Case], rounds: int, rates: dict[str, float]) -> list[dict]:
    """Run and print the cases one by one."""
    results = []
    for case in cases:
        results.append(take_turns(case, rounds))
        print(report(results[-1], rates), flush=True)
    return results


def measure_stylegan3() -> list[dict]:
    """The part of StyleGAN3 has its own textbook: benchmarks/synthesis_stylegan3.py."""
    import synthesis_stylegan3

    timings = synthesis_stylegan3.main([])
    return [{"timings": [asdict(timing) for timing in variant]} for variant in timings]


def main(argv: list[str] | None = None) -> None:
    """Measure, print, and perhaps write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="StyleGAN2, 256 px, one picture at a time")
    parser.add_argument("--only", choices=["stylegan2", "stylegan3"], help="one family")
    parser.add_argument("--rounds", type=int, default=9, help="turns each way takes")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)

    dtypes = {torch.float32, fast_dtype("cpu")}
    rates = {str(dtype): product_rate(dtype) for dtype in dtypes}
    shown = ", ".join(f"{name.removeprefix('torch.')} {rate:.0f} GFLOP/s" for name, rate in sorted(rates.items()))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; matrix product: {shown}", flush=True)
    parts: dict[str, Callable[[], list[dict]]] = {
        "stylegan2": lambda: measure_stylegan2(CASES[:1] if args.quick else CASES, args.rounds, rates),
        "stylegan3": measure_stylegan3,
    }
    wanted = [args.only] if args.only else ["stylegan2"] if args.quick else list(parts)
    results: dict[str, object] = {"torch": torch.__version__, "machine": platform.machine(), "product_gflops": rates}
    results.update({name: parts[name]() for name in wanted})
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
