"""What augmentation costs beside the discriminator it is for: best of many rounds, in turns, on one thread.

python benchmarks/augmentation.py [--px 64] [--batch 16]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ganvas.models import build
from ganvas.ops.allocator import keep_freed_memory
from ganvas.training.augment import Ada, DiffAugment

ROUNDS = 30


def best_ms(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each task, the best of ROUNDS, taken in turns so that a busy moment meets them all."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    return best


def with_gradient(change: Callable[[Tensor], Tensor], img: Tensor) -> object:
    """Forward, and back to the pictures."""
    out = change(img)
    return torch.autograd.grad(out.sum(), img)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    img = torch.rand(args.batch, 3, args.px, args.px) * 2 - 1
    leaf = img.clone().requires_grad_(True)
    D = build("stylegan2", network="D", img_resolution=args.px, channel_base=1024, channel_max=64)
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        f"ADA, p = {p}": lambda x, p=p: Ada()(x, p=p, rng=torch.Generator().manual_seed(1))
        for p in (0.05, 0.2, 0.6, 1.0)
    }
    changes["DiffAugment"] = lambda x: DiffAugment()(x, rng=torch.Generator().manual_seed(1))
    changes["discriminator of style-64-cpu, float32"] = D
    forward = best_ms({name: lambda f=f: f(img) for name, f in changes.items()})
    both = best_ms({name: lambda f=f: with_gradient(f, leaf) for name, f in changes.items()})
    print(f"{args.batch} pictures of {args.px} px, ms: forward, forward and back to the pictures")
    for name in changes:
        print(f"{name:40} {forward[name]:8.2f} {both[name]:8.2f}")


if __name__ == "__main__":
    main()
