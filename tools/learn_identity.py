"""Teach the small identity network that ships with ganvas (ganvas/features/identity.py) from dlib's descriptor.

    python tools/learn_identity.py judge FOLDER --out faces.npz      free portraits, framed as FFHQ's are
    python tools/learn_identity.py judge 4000 --out samples.npz      samples of the model `faces`
    python tools/learn_identity.py judge PAIRS --out pairs.npz       people the pupil never learns from
    python tools/learn_identity.py teach faces.npz samples.npz --pairs pairs.npz --out FILE --minutes 10

The pupil is asked for the teacher's descriptors, and for the distances between them within the batch (Park et al. 2019,
"Relational Knowledge Distillation"), on jittered and mirrored cuts. Its body starts from the face scorer's. A tenth of
every file is kept for the report. In PAIRS the files of one person are called `NAME_neutral` and `NAME_smiling`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from ganvas.features.face_networks import FACE_INPUT_PX, load_face_score_net
from ganvas.features.identity import IdentityNet
from ganvas.ops.precision import fast_dtype

CUT_PX = 108  # 75 % of the aligned crop; the pupil sees 96 of them, the rest is room for jitter
BATCH, RIDGE, LR = 128, 0.1, 1.5e-3
FROZEN = 12  # layers of the body that stay the face scorer's: edges and textures


def _pictures(source: str) -> Iterator[tuple[str, Tensor]]:
    """(name, [1, 3, 256, 256]) of a folder's files, or of that many samples with truncations from .55 to 1."""
    if not source.isdigit():
        files = sorted(Path(source).iterdir())
        Random(0).shuffle(files)
        for file in files:
            pixels = np.array(Image.open(file).convert("RGB").resize((256, 256)))
            yield file.stem, torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
        return
    import ganvas

    generator, random = ganvas.load("faces"), torch.Generator().manual_seed(11)
    for number in range(int(source)):
        psi = 0.55 + 0.45 * torch.rand((), generator=random).item()
        ws = generator.mapping(torch.randn(1, generator.z_dim, generator=random), truncation_psi=psi)
        yield f"sample_{number}", generator.synthesis(ws, resolution=256, precision="fast").float().clamp(-1, 1)


@torch.no_grad()
def judge(source: str, out: Path) -> None:
    """Write small cuts and the teacher's descriptors."""
    from scorers import Identity

    teacher, names, cuts, descriptors = Identity(), [], [], []
    for name, img in _pictures(source):
        cut = F.interpolate(img[:, :, 32:-32, 32:-32], (CUT_PX, CUT_PX), mode="bilinear", antialias=True)
        names.append(name)
        cuts.append(((cut.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
        descriptors.append(teacher(img).float().numpy())
    np.savez(out, name=np.array(names), small=np.concatenate(cuts), descriptor=np.concatenate(descriptors))


def _jitter(img: Tensor) -> Tensor:
    """Shifts, mirrors, a little blur, light and colour: as alignment and cameras make them."""
    top, left = (int(torch.randint(2, CUT_PX - FACE_INPUT_PX - 1, ()).item()) for _ in range(2))
    img = img[:, :, top : top + FACE_INPUT_PX, left : left + FACE_INPUT_PX]
    mirror = torch.rand(len(img)) < 0.5
    img = torch.where(mirror[:, None, None, None], img.flip(3), img)
    soft = F.interpolate(F.avg_pool2d(img, 2), scale_factor=2, mode="bilinear")
    img = img.lerp(soft, 0.5 * torch.rand(len(img), 1, 1, 1))
    return img * (0.9 + 0.2 * torch.rand(len(img), 1, 1, 1)) + 0.06 * torch.randn(len(img), 3, 1, 1).clamp(-1, 1)


def _middle(small: Tensor) -> Tensor:
    edge = (CUT_PX - FACE_INPUT_PX) // 2
    return small.float()[:, :, edge:-edge, edge:-edge] / 127.5 - 1


def _fast() -> torch.autocast:
    return torch.autocast("cpu", dtype=fast_dtype("cpu"), enabled=fast_dtype("cpu") != torch.float32)


def _loss(ours: Tensor, theirs: Tensor) -> Tensor:
    upper = torch.triu_indices(len(ours), len(ours), 1)
    distances = [(x[upper[0]] - x[upper[1]]).square().sum(dim=1).add(1e-6).sqrt() for x in (ours, theirs)]
    return (ours - theirs).square().sum(dim=1).mean() + 4 * F.mse_loss(*distances)


@torch.no_grad()
def _start(small: Tensor, descriptors: Tensor) -> IdentityNet:
    """The face scorer's body, and a ridge regression of the descriptors on it as the head."""
    net = IdentityNet()
    net.body.load_state_dict(load_face_score_net().body.state_dict())
    net.eval()
    with _fast():
        features = torch.cat([net.features(_middle(part)) for part in small.split(BATCH)]).float()
    mean, goal = features.mean(dim=0), descriptors.mean(dim=0)
    centred = features - mean
    gram = centred.T @ centred
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    net.head.weight.copy_(torch.linalg.solve(gram, centred.T @ (descriptors - goal)).T)
    net.head.bias.copy_(goal - net.head.weight @ mean)
    return net


@torch.no_grad()
def _embed(net: IdentityNet, small: Tensor) -> Tensor:
    net.eval()
    cuts = [_middle(part) for part in small.split(BATCH)]
    with _fast():
        found = torch.cat([(net.forward_cropped(cut) + net.forward_cropped(cut.flip(3))).float() / 2 for cut in cuts])
    net.train()
    return found


def _report(net: IdentityNet, small: Tensor, descriptors: Tensor) -> None:
    """How the distances of different people agree with the teacher's."""
    ours, theirs = (torch.pdist(x) for x in (_embed(net, small), descriptors))
    means = f"distance {ours.mean():.3f} (teacher {theirs.mean():.3f})"
    print(f"  {len(small)} people: {means}, r {_r(ours, theirs):.3f}", flush=True)


def _report_pairs(net: IdentityNet, names: list[str], small: Tensor, descriptors: Tensor) -> None:
    """Same person neutral and smiling, against different people: agreement with the teacher, and AUC."""
    first = [i for i, name in enumerate(names) if name.endswith("_neutral")]
    second = [names.index(names[i].replace("_neutral", "_smiling")) for i in first]
    apart = ~torch.eye(len(first), dtype=torch.bool)
    distances = [torch.cdist(x[first], x[second]) for x in (_embed(net, small), descriptors)]
    same, other = ([d.diagonal() for d in distances], [d[apart] for d in distances])
    for who, s, o in zip(("pupil", "teacher"), same, other, strict=True):
        auc = (s[:, None] < o[None]).float().mean()
        parts = ", ".join(
            f"{name} {d.mean():.3f} ({d.min():.3f} … {d.max():.3f})" for name, d in (("same", s), ("other", o))
        )
        print(f"  {who}: {parts}, AUC {auc:.4f}")
    everything = _r(*(d.flatten() for d in distances))
    print(f"  r same {_r(*same):.3f}, other {_r(*other):.3f}, all {everything:.3f}", flush=True)


def _r(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([a, b]))[0, 1].item()


def teach(files: list[Path], pairs: Path | None, out: Path, minutes: float) -> None:
    """Teach for so many minutes, report, write."""
    torch.manual_seed(0)
    tables = [(torch.from_numpy(t["small"]), torch.from_numpy(t["descriptor"])) for t in map(np.load, files)]
    kept = [tuple(x[len(x) - len(x) // 10 :] for x in table) for table in tables]
    learnt = [tuple(x[: len(x) - len(x) // 10] for x in table) for table in tables]
    small, descriptors = (torch.cat(column) for column in zip(*learnt, strict=True))
    net = _start(small, descriptors)
    test = None
    if pairs:
        t = np.load(pairs)
        test = list(t["name"]), torch.from_numpy(t["small"]), torch.from_numpy(t["descriptor"])

    def report() -> None:
        for table in kept:
            _report(net, *table)
        if test:
            _report_pairs(net, *test)

    report()
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    net.body[:FROZEN].eval().requires_grad_(False)
    taught = [weight for weight in net.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(taught, lr=LR, weight_decay=1e-2)
    started, step = time.monotonic(), 0
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = LR * min(1, step / 20) * (0.5 + 0.5 * math.cos(math.pi * share))
        pick = torch.randint(0, len(small), (BATCH,))
        cut = _jitter(small[pick].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with _fast():
            ours = net.forward_cropped(cut)
        loss = _loss(ours.float(), descriptors[pick])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, loss {loss.item():.3f}, {60 * minutes * (1 - share):.0f} seconds left", flush=True)
    report()
    net.eval()
    card = {"taught_on": f"{len(small)} pictures", "teacher": "dlib face recognition ResNet (CC0)"}
    weights = {n: t.half().contiguous() if t.is_floating_point() else t for n, t in net.state_dict().items()}
    save_file(weights, out, card)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("judge")
    one.add_argument("source", help="a folder of aligned faces, or a number of samples")
    one.add_argument("--out", type=Path, required=True)
    two = commands.add_parser("teach")
    two.add_argument("files", type=Path, nargs="+")
    two.add_argument("--pairs", type=Path)
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("--minutes", type=float, default=10)
    a = parser.parse_args()
    if a.command == "judge":
        judge(a.source, a.out)
    else:
        teach(a.files, a.pairs, a.out, a.minutes)


if __name__ == "__main__":
    main()
