"""Learn the early exits of the `faces` generator again: the published file keeps the picture of the last level only.

    python tools/learn_faces_heads.py sample --samples 180 --seed 1 --out PARTS/1.pt        (about 1.5 minutes each)
    python tools/learn_faces_heads.py fit PARTS/*.pt --out ganvas/weights/data/faces-heads.safetensors

`sample` draws latents (truncated 0.5 … 1, a third with mixed styles, a third with noise on all rows) and keeps features
and wavelet coefficients of the averaged-down full picture at random places. `fit` solves for a linear start and
descends. Every twentieth latent is held out: the figures in the card are of those.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ganvas.models.mobilestylegan import ExitHead, MobileStyleGANGenerator
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.wavelet import to_wavelet
from ganvas.weights.load import load

EXITS = (64, 128, 256, 512)
PLACES = 256  # a latent and exit
RANK = 16
HELD_OUT = 20  # every so-many-th latent
STEPS, BATCH, RATE = 3000, 32, 3e-3

Part = dict[str, Any]


def draw(G: MobileStyleGANGenerator, std: Tensor, random: torch.Generator) -> Tensor:
    """One latent as people use them: [1, num_ws, w_dim]."""
    a, b = G.map(torch.randn(2, G.z_dim, generator=random))
    ws = a.repeat(1, G.num_ws, 1)
    kind = torch.rand((), generator=random)
    if kind < 1 / 3:
        ws[:, int(torch.randint(1, G.num_ws, (), generator=random)) :] = b
    elif kind < 2 / 3:
        strength = 0.1 + 0.4 * torch.rand((), generator=random)
        ws = ws + strength * std * torch.randn(ws.shape, generator=random)
    return G.w_avg.lerp(ws, float(0.5 + torch.rand((), generator=random) / 2))


@torch.no_grad()
def sample(G: MobileStyleGANGenerator, *, samples: int, seed: int) -> Part:
    """ws [S, num_ws, w_dim] and, for each exit, features [S, PLACES, C] and coefficients [S, PLACES, 12]."""
    random = torch.Generator().manual_seed(seed)
    std = G.map(torch.randn(2000, G.z_dim, generator=random)).std(dim=0)
    kept: Part = {"ws": []} | {px: ([], []) for px in EXITS}
    for _ in range(samples):
        ws = draw(G, std, random)
        kept["ws"].append(ws[0])
        features = {px: G.features(ws, px // 2) for px in EXITS}
        full = G.synthesis(ws)
        for px, x in features.items():
            y = to_wavelet(F.avg_pool2d(full, G.img_resolution // px))
            places = torch.randint((px // 2) ** 2, (PLACES,), generator=random)
            kept[px][0].append(x[0].permute(1, 2, 0).flatten(0, 1)[places].half())
            kept[px][1].append(y[0].permute(1, 2, 0).flatten(0, 1)[places])
    stacked = {px: tuple(map(torch.stack, kept[px])) for px in EXITS}
    return {"ws": torch.stack(kept["ws"]), **stacked}


def at_places(head: ExitHead, x: Tensor, ws: Tensor) -> Tensor:
    """The head on single places: x [N, K, C], ws [N, num_ws, w_dim] → [N, K, 12]."""
    scale, shift = head.steer(ws)
    return (x * scale[:, None, :, 0, 0]) @ head.weight[:, :, 0, 0].T + shift[:, None, :, 0, 0]


def solve(head: ExitHead, x: Tensor, y: Tensor) -> None:
    """The best head that does not listen to w, as a start."""
    a = F.pad(x.flatten(0, 1), (0, 1), value=1.0)
    gram = a.T @ a
    gram.diagonal().add_(1e-5 * gram.diagonal().mean())
    solution = torch.linalg.solve(gram, a.T @ y.flatten(0, 1))  # [C + 1, 12]
    with torch.no_grad():
        head.weight.copy_(solution[:-1].T[:, :, None, None])
        head.shift.bias.copy_(solution[-1])


def fit(head: ExitHead, x: Tensor, y: Tensor, ws: Tensor, *, seed: int = 0) -> None:
    """Adam on all parts, from the closed-form start; x [S, K, C], y [S, K, 12], ws [S, num_ws, w_dim]."""
    solve(head, x.float(), y)
    random = torch.Generator().manual_seed(seed)
    size = head.weight.abs().mean().item()
    steering = [head.listen.weight, head.scale.weight, head.scale.bias, head.attention]
    rates = [(steering, RATE), ([head.weight], 3 * RATE * size), (list(head.shift.parameters()), 0.3 * RATE)]
    optimiser = torch.optim.Adam([{"params": params, "lr": rate} for params, rate in rates])
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, 2 * (1 - step / STEPS)))
    for _ in range(STEPS):
        which = torch.randint(len(x), (BATCH,), generator=random)
        places = torch.randint(x.shape[1], (64,), generator=random)
        loss = F.mse_loss(at_places(head, x[which][:, places].float(), ws[which]), y[which][:, places])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()


@torch.no_grad()
def psnr(head: ExitHead, x: Tensor, y: Tensor, ws: Tensor) -> float:
    """Mean PSNR in dB over latents. The transform is orthonormal: errors of coefficients are errors of pixels."""
    error = (at_places(head, x.float(), ws) - y).square().mean(dim=(1, 2))
    return float((10 * torch.log10(4 / error)).mean())


def learn(G: MobileStyleGANGenerator, parts: list[Part]) -> tuple[dict[str, Tensor], dict[int, float]]:
    """State of all heads, and their held-out PSNR."""
    state, figures = {}, {}
    ws = torch.cat([part["ws"] for part in parts])
    test = torch.arange(len(ws)) % HELD_OUT == 0
    for level, px in enumerate(G.config.exits):
        if px not in EXITS:
            continue
        torch.manual_seed(0)
        head = ExitHead(G.config.channels[level], 3, w_dim=G.w_dim, rows=G.num_ws - 3 * level - 1, rank=RANK)
        x, y = (torch.cat([part[px][i] for part in parts]) for i in (0, 1))
        fit(head, x[~test], y[~test], ws[~test])
        head.half().float()  # as it is kept
        figures[px] = round(psnr(head, x[test], y[test], ws[test]), 2)
        print(f"{px} px: {figures[px]} dB on {int(test.sum())} held-out latents", flush=True)
        state |= {f"{px}.{name}": value.half() for name, value in head.state_dict().items()}
    return state, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces")
    commands = parser.add_subparsers(dest="command", required=True)
    sampling = commands.add_parser("sample")
    sampling.add_argument("--samples", type=int, default=180)
    sampling.add_argument("--seed", type=int, default=1)
    fitting = commands.add_parser("fit")
    fitting.add_argument("parts", nargs="+", type=Path)
    for command in (sampling, fitting):
        command.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    G = load(options.model).requires_grad_(False)
    if options.command == "sample":
        torch.save(sample(G, samples=options.samples, seed=options.seed), options.out)
        return
    state, figures = learn(G, [torch.load(part, weights_only=True) for part in options.parts])
    save_file({"w_avg": G.w_avg.half(), **state}, options.out, card(figures, weights_of(G)))


def weights_of(G: MobileStyleGANGenerator) -> str:
    """The fingerprint that the reader compares: of the file's own weights."""
    from ganvas.weights.readers.openvino import weights_fingerprint

    return weights_fingerprint(G.state_dict())


def card(figures: dict[int, float], weights: str) -> dict[str, str]:
    """What is written into the file's header."""
    told = {
        "what": "Early exits of the faces generator (random-face 2021.7.21.1), learnt by tools/learn_faces_heads.py",
        "licence": "non-commercial: learnt from pictures of a network distilled from a non-commercial StyleGAN2",
        "held_out_psnr_db": figures,
        "rank": RANK,
        "weights": weights,
    }
    return {"card": json.dumps(told)}


if __name__ == "__main__":
    main()
