"""How much faster than the textbook ganvas trains on this machine, as a ratio within one run.

    python benchmarks/training.py                                     # style-64-cpu on all cores, about a minute
    python benchmarks/training.py --threads 1 --rounds 5 --json speed.json
    python benchmarks/training.py --profile                           # where the time of ganvas's own step goes

The textbook is the papers' text as it stands, in float32, with torch's default memory layout: weights scaled by each
sample's style and applied by a grouped convolution, pictures stuffed with zeros and filtered by a full two-dimensional
kernel, one pass of the discriminator over the fakes and one over the reals, R1 every 16th step, Adam and the moving
average parameter by parameter. Networks, batch, losses and their weights are those of the preset; pictures are
augmented by the same code on both sides, at the same probability.

ganvas's step is the one that `ganvas train` runs. Each way lives in a process of its own (or in several, each with a
share of the batch, as torchrun starts them); they take turns of 16 steps, one of them with R1. The table has medians.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from synthesis import textbook_modulated
from torch import Tensor, nn

from ganvas.ops.allocator import keep_freed_memory
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.run_folder import MemoryRun
from ganvas.training.generator import augmentation, trainer as own
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import build_pair
from ganvas.training.generator.presets import GENERATOR_PRESETS

STEPS = 16  # of one turn: one of them has the lazy penalty
TARGET = 2.0

# ------------------------------------------------------------------------------------------- the textbook's networks


def textbook_generator(G: nn.Module, z: Tensor) -> Tensor:
    """z [N, z_dim] → img, every step as the papers write it (architecture "skip", fresh noise)."""
    x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
    for i in range(G.mapping.num_layers):
        x = textbook_linear(G.mapping.get_submodule(f"fc{i}"), x)
    w, img = x, None
    x = G.synthesis.b4.const[None].repeat(len(z), 1, 1, 1)
    for block in G.synthesis.blocks():
        for layer in [block.conv1] if block.is_first else [block.conv0, block.conv1]:
            x = textbook_layer(layer, x, w)
        rgb = block.torgb
        y = textbook_modulated(x, rgb.weight, textbook_linear(rgb.affine, w) * rgb.weight_gain, demodulate=False)
        y = y + rgb.bias[:, None, None]
        img = (
            y if img is None else y + textbook_resample(img, block.resample_filter, up=2, padding=(2, 1, 2, 1), gain=4)
        )
    return img


def textbook_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """A fully connected layer with an equalised learning rate."""
    x = F.linear(x, layer.weight * layer.weight_gain, layer.bias * layer.bias_gain)
    return F.leaky_relu(x, 0.2) * math.sqrt(2) if layer.activation == "lrelu" else x


def textbook_layer(layer: nn.Module, x: Tensor, w: Tensor) -> Tensor:
    """Modulated convolution, noise, bias, leaky ReLU."""
    x = textbook_modulated(x, layer.weight, textbook_linear(layer.affine, w), up=layer.up, f=layer.resample_filter)
    x = x + torch.randn(len(x), 1, *x.shape[2:], device=x.device) * layer.noise_strength
    return F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)


def textbook_resample(
    x: Tensor, f: Tensor, *, padding: tuple[int, int, int, int], up: int = 1, down: int = 1, gain: float = 1
) -> Tensor:
    """Stuff with zeros, pad, filter every sample by the whole kernel, keep every `down`-th."""
    n, c, h, w = x.shape
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    kernel = (f * gain).flip((0, 1))[None, None].repeat(c, 1, 1, 1)
    return F.conv2d(F.pad(x, padding), kernel, groups=c)[:, :, ::down, ::down]


def textbook_discriminator(D: nn.Module, img: Tensor) -> Tensor:
    """img → logits [N], the residual architecture."""
    x = textbook_conv(D.get_submodule(f"b{D.img_resolution}").fromrgb, img)
    for res in D.block_resolutions:
        block = D.get_submodule(f"b{res}")
        y = textbook_conv(block.skip, x)
        x = textbook_conv(block.conv1, textbook_conv(block.conv0, x))
        x = (x + y) * math.sqrt(0.5)
    x = textbook_minibatch_std(x, D.b4.group_size)
    x = textbook_conv(D.b4.conv, x).flatten(1)
    return textbook_linear(D.b4.out, textbook_linear(D.b4.fc, x)).squeeze(1)


def textbook_conv(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with an equalised learning rate; low-pass filter first where it shrinks the picture."""
    weight, k = layer.weight * layer.weight_gain, layer.weight.shape[-1]
    if layer.down == 2:
        before, after = (2, 2) if k == 3 else (1, 1)
        x = textbook_resample(x, layer.resample_filter, padding=(before, after, before, after), down=1 if k == 3 else 2)
    x = F.conv2d(
        x, weight, layer.bias, stride=2 if k == 3 and layer.down == 2 else 1, padding=(k // 2) * (layer.down == 1)
    )
    return F.leaky_relu(x, 0.2) * math.sqrt(2) if layer.activation == "lrelu" else x


def textbook_minibatch_std(x: Tensor, group: int) -> Tensor:
    """The mean standard deviation over a group, as one more channel."""
    n, c, h, w = x.shape
    y = x.reshape(group, n // group, c, h, w)
    y = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return torch.cat([x, y.repeat(group)[:, None, None, None].expand(n, 1, h, w)], dim=1)


# ------------------------------------------------------------------------------------------- the textbook's step


class Textbook:
    """A plain training loop for a StyleGAN2 with the non-saturating loss and lazy R1."""

    def __init__(self, config: TrainConfig):
        if config.family != "stylegan2" or config.loss != "ns":
            raise SystemExit("the textbook here is a StyleGAN2 with the non-saturating loss: take a style-* preset")
        self.config, self.step = config, 0
        self.G, self.D, self.device = *networks(config), device()
        self.averaged = copy.deepcopy(self.G)
        self.opt_G = torch.optim.Adam(self.G.parameters(), lr=config.g_lr, betas=(config.beta1, config.beta2))
        ratio = config.penalty_every / (config.penalty_every + 1)
        betas = (config.beta1**ratio, config.beta2**ratio)
        self.opt_D = torch.optim.Adam(self.D.parameters(), lr=config.d_lr * ratio, betas=betas)
        self.augmented, self.rng = augmentation._augment_fn(config), torch.Generator().manual_seed(0)
        self.pictures = Noise(config)

    def judged(self, img: Tensor) -> Tensor:
        return textbook_discriminator(self.D, self.augmented(img, self.config.augment_p, self.rng))

    def fakes(self) -> Tensor:
        return textbook_generator(self.G, torch.randn(self.config.batch_size, self.G.z_dim, device=self.device))

    def __call__(self) -> None:
        """One step of both networks."""
        config = self.config
        indices = np.arange(config.batch_size) + self.step * config.batch_size
        real = self.pictures.batch(indices % len(self.pictures))[0].to(self.device).float() / 127.5 - 1
        self.opt_D.zero_grad()
        with torch.no_grad():
            fake = self.fakes()
        F.softplus(self.judged(fake)).mean().backward()
        F.softplus(-self.judged(real)).mean().backward()
        self.opt_D.step()
        if self.step % config.penalty_every == 0:
            self.penalty(real)
        self.opt_G.zero_grad()
        self.D.requires_grad_(False)
        F.softplus(-self.judged(self.fakes())).mean().backward()
        self.D.requires_grad_(True)
        self.opt_G.step()
        with torch.no_grad():
            for kept, now in zip(self.averaged.parameters(), self.G.parameters(), strict=True):
                kept.lerp_(now, 0.001)
        self.step += 1

    def penalty(self, real: Tensor) -> None:
        """R1: γ/2·|∇D(real)|², as many times as strong as it is rarer."""
        self.opt_D.zero_grad()
        real.requires_grad_(True)
        (slope,) = torch.autograd.grad(self.judged(real).sum(), real, create_graph=True)
        penalty = slope.square().sum(dim=(1, 2, 3)).mean() * self.config.r1_gamma / 2
        (penalty * self.config.penalty_every).backward()
        self.opt_D.step()


# ------------------------------------------------------------------------------------------- ganvas's step


class Ganvas:
    """The step of `ganvas.training.generator.train.train`."""

    def __init__(self, config: TrainConfig):
        G, D = networks(config)
        world = init_distributed(device().type)
        self.bench = own.GeneratorTrainer(G, D, config, Noise(config), c_dim=0, world=world, run=MemoryRun())

    def __call__(self) -> None:
        """One step of both networks."""
        self.bench.step(self.bench.draw())


class Noise:
    """Random pictures, held in memory as the pictures of a run are."""

    def __init__(self, config: TrainConfig, count: int = 256):
        side = config.resolution or 64
        self.pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, None]:
        return self.pixels[torch.from_numpy(np.asarray(indices))], None


def networks(config: TrainConfig) -> tuple[nn.Module, nn.Module]:
    """Fresh networks of the preset, the same in every process."""
    torch.manual_seed(0)
    G, D = build_pair(config, resolution=config.resolution or 64, channels=3, c_dim=0)
    return G.to(device()), D.to(device())


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


# ------------------------------------------------------------------------------------------- taking turns


def serve(pipe: Connection, way: type, config: TrainConfig, threads: int, env: dict[str, str]) -> None:
    """A process that trains a few steps when told to, and answers with the seconds they took."""
    os.environ.update(env)
    torch.set_num_threads(threads)
    if way is Ganvas:
        keep_freed_memory()
    step = way(config)
    run(step, 2)  # makes kernels, measures the fast type
    pipe.send("ready")
    while pipe.recv() == "go":
        run(step, 1)  # the others have emptied the caches meanwhile
        pipe.send(run(step, STEPS))  # any 16 steps in a row have one penalty


def run(step: Callable[[], None], count: int) -> float:
    """Seconds for so many steps."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


class Way:
    """One way of training, in one or several processes.

    Args:
        name: for the table.
        step: Textbook or Ganvas.
        processes: each with its share of the batch.
        threads: of each process.
    """

    def __init__(self, name: str, step: type, config: TrainConfig, *, processes: int, threads: int):
        self.name, self.batch, self.seconds, self.pipes = name, config.batch_size, [], []
        context = multiprocessing.get_context("spawn")
        port = str(_free_port())
        for rank in range(processes):
            env = {"WORLD_SIZE": str(processes), "RANK": str(rank), "LOCAL_RANK": str(rank)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": str(threads)}
            mine, its = context.Pipe()
            context.Process(target=serve, args=(its, step, config, threads, env), daemon=True).start()
            self.pipes.append(mine)

    def wait(self) -> None:
        """Until all its processes are ready."""
        for pipe in self.pipes:
            pipe.recv()

    def turn(self) -> None:
        """Train a few steps."""
        for pipe in self.pipes:
            pipe.send("go")
        self.seconds.append(max(pipe.recv() for pipe in self.pipes))

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.send("stop")

    @property
    def img_per_sec(self) -> float:
        """Real pictures a second, the median of the turns."""
        return self.batch * STEPS / statistics.median(self.seconds)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ways_of(config: TrainConfig, threads: int, busy: bool) -> list[Way]:
    """The textbook first; on several cores of a CPU ganvas also as several processes."""
    made = [("textbook", Textbook, 1, threads), ("ganvas", Ganvas, 1, threads)]
    if threads > 1 and not torch.cuda.is_available():
        made.insert(1, ("textbook, 1 thread", Textbook, 1, 1))
        made.append(("ganvas, 1 thread", Ganvas, 1, 1))
        if config.batch_size % threads == 0:
            made.append((f"ganvas, {threads} processes", Ganvas, threads, 1))
    if busy:
        made = [way for way in made if way[3] == 1]
    ways = [Way(name, step, config, processes=count, threads=each) for name, step, count, each in made]
    for way in ways:
        way.wait()
    return ways


def measure(config: TrainConfig, threads: int, rounds: int, busy: bool) -> dict[str, dict[str, float]]:
    """All ways, one after the other, `rounds` times over. The textbook's best way is what the others are held to."""
    ways = ways_of(config, threads, busy)
    for _ in range(rounds):
        for way in ways:
            way.turn()
            time.sleep(0.05)  # the threads of one go to sleep before those of the next wake up
    for way in ways:
        way.stop()
    books = [way for way in ways if way.name.startswith("textbook")]
    best = [min(times) for times in zip(*(way.seconds for way in books), strict=True)]
    return {
        way.name: {
            "img_per_sec": way.img_per_sec,
            "kimg_in_30_minutes": way.img_per_sec * 1.8,
            "times_as_fast": statistics.median(slow / own for slow, own in zip(best, way.seconds, strict=True)),
        }
        for way in ways
    }


def report(name: str, result: dict[str, dict[str, float]]) -> str:
    """A table for people."""
    lines = [f"{name:24} {'img/s':>8} {'kimg in 30 min':>15} {'× textbook':>11}"]
    for way, numbers in result.items():
        lines.append(
            f"  {way:22} {numbers['img_per_sec']:8.1f} {numbers['kimg_in_30_minutes']:15.0f} "
            f"{numbers['times_as_fast']:11.2f}"
        )
    fastest = max(numbers["times_as_fast"] for way, numbers in result.items() if way.startswith("ganvas"))
    lines.append(f"  target: {TARGET:g} × the textbook's best: {'reached' if fastest >= TARGET else 'MISSED'}")
    return "\n".join(lines)


def profile(config: TrainConfig, threads: int) -> None:
    """Print the operations of 16 steps by their own time."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    step = Ganvas(config)
    run(step, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        run(step, STEPS)
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=40, max_name_column_width=50))


def main(argv: list[str] | None = None) -> None:
    """Measure, print, and perhaps write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="style-64-cpu", help="a style-* preset")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="cores in use")
    parser.add_argument("--busy", action="store_true", help="leave out several threads: they wait for one another")
    parser.add_argument("--rounds", type=int, default=5, help="turns each way takes")
    parser.add_argument("--p", type=float, default=0.2, help="probability of augmentation, where it adapts")
    parser.add_argument("--profile", action="store_true", help="show where ganvas's time goes instead")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    args = parser.parse_args(argv)

    config = GENERATOR_PRESETS[args.preset].config
    if config.augment == "ada":
        config = replace(config, augment="fixed", augment_p=args.p)  # as in mid-run, when it has settled
    if args.profile:
        return profile(config, args.threads)
    print(f"torch {torch.__version__}, {device().type}, {args.threads} threads, batch {config.batch_size}", flush=True)
    result = measure(config, args.threads, args.rounds, args.busy)
    print(report(args.preset, result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
