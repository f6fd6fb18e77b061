"""Do dragged points arrive, how long does it take, and does the rest stay?

    python benchmarks/drag.py                                   # faces, pictures of 256 px
    python benchmarks/drag.py --px 128 --tasks 20
    python benchmarks/drag.py --model runs/mine/model.safetensors --px 64
    python benchmarks/drag.py --targets anywhere                # also where no natural picture has them

A task is as in the paper (section 4.2): a facial landmark of one random picture, and as its target the place where
another random picture has that landmark, 10 to 25 px away at 256 px. `--targets anywhere` takes a random direction
instead, which in pictures that were aligned by eyes and mouth is often a place where no such point ever lies.

Two distances are told. "tracker" is what the drag itself believes. "landmark" is independent of it: the finder of
faces (MTCNN), which the drag never sees, looks at the finished picture. It errs by itself; "its own error" is how far
its landmarks scatter when the same picture is shifted by a pixel or two.

"in a region": the same drags in a session as users have it, with a brush from handle to target as the region. Measured
is the finished picture, outside the region (in levels of 255) and at the landmark.

Seconds are processor seconds of one thread, so that a busy machine does not change them, with a picture after every
step as the studio shows it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.drag import DragConfig, DragResult, drag, latent_spread, preview_image
from ganvas.editing.regions import Stroke
from ganvas.editing.step import EditContext
from ganvas.features.faces import FaceFinder
from ganvas.images.files import write_image
from ganvas.images.masks import brush
from ganvas.images.photo import Photo
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.session.open import open_seed
from ganvas.weights.load import load

FINDER_PX = 256
NEAR, FAR = 10 / 256, 25 / 256
REGION_PX = 48  # radius at 256 px
STRIDE = 0.002 * (8 * 512) ** 0.5  # of the paper's 0.002, as long as the 8 rows of `faces` are moved
RED, BLUE, WHITE = (0.7, -0.8, -0.8), (-0.7, -0.3, 1.0), (1.0, 1.0, 1.0)
SHIFTS = ((1, 0), (0, 1), (-2, 1), (1, -2))


@dataclass
class Task:
    """Pull a landmark of a picture to a place; places in sides of the picture."""

    seed: int
    ws: Tensor
    landmark: int
    handle: Tensor
    target: Tensor


def landmarks(img: Tensor, finder: FaceFinder) -> Tensor | None:
    """[5, 2] in sides of the picture; None where no face is seen."""
    large = img if img.shape[-1] == FINDER_PX else F.interpolate(img, (FINDER_PX, FINDER_PX), mode="bicubic")
    faces = finder.find(large.clamp(-1, 1))
    return max(faces, key=lambda face: face.size_px).points.float() / FINDER_PX if faces else None


def tasks(generator: Any, count: int, px: int, finder: FaceFinder, *, anywhere: bool, psi: float) -> list[Task]:
    """The first `count` that the seeds from 1000 give."""
    random = torch.Generator().manual_seed(0)
    found: list[Task] = []
    known: list[tuple[Tensor, Tensor]] = []
    for seed in itertools.count(1000):
        if len(found) == count:
            break
        ws = generator.mapping(latents_from_seeds([seed], generator.z_dim), truncation_psi=psi)
        here = landmarks(preview_image(generator, ws, px), finder)
        if here is None:
            continue
        for there in [there for _, there in known] if not anywhere else [here]:
            which = int(torch.randint(5, (1,), generator=random))
            target = there[which] if not anywhere else here[which] + _step(random)
            if NEAR <= (target - here[which]).norm() <= FAR:
                found.append(Task(seed, ws, which, here[which][None], target[None]))
                break
        known.append((ws, here))
    return found


def _step(random: torch.Generator) -> Tensor:
    angle, far = torch.rand(2, generator=random).tolist()
    length = NEAR + far * (FAR - NEAR)
    return length * torch.tensor([2 * torch.pi * angle]).expand(2).add(torch.tensor([0.0, torch.pi / 2])).cos()


def own_error(images: list[Tensor], finder: FaceFinder) -> float:
    """How far the finder's landmarks scatter under shifts, in sides of the picture."""
    errors = []
    for img in images:
        plain, px = landmarks(img, finder), img.shape[-1]
        for dx, dy in SHIFTS:
            moved = landmarks(torch.roll(img, (dy, dx), dims=(2, 3)), finder)
            if plain is not None and moved is not None:
                errors.append((moved - plain - torch.tensor([dx, dy]) / px).norm(dim=1).mean().item())
    return sum(errors) / max(1, len(errors))


def pulled(task: Task, generator: Any, spread: Tensor, config: DragConfig) -> DragResult:
    """One drag of the generator's own picture, with previews."""
    size = generator.img_resolution
    return drag(
        task.ws,
        generator,
        task.handle * size,
        task.target * size,
        spread=spread,
        config=config,
        on_step=lambda *_: None,
    )


def held(task: Task, generator: Any, config: DragConfig, *, psi: float, finder: FaceFinder) -> tuple[float, ...]:
    """The drag within a region: tracker's and landmark's distance in px, levels outside, arrived, seconds."""
    session = open_seed(task.seed, model=generator, truncation_psi=psi)
    size = generator.img_resolution
    line = [(x, y) for x, y in (torch.cat([task.handle, task.target]) * size).tolist()]
    region = session.set_region([Stroke(points=tuple(line), radius=REGION_PX / 256 * size)])
    assert region is not None
    before = session.preview(resolution=config.px)
    begun = time.process_time()
    found = session.drag(line[:1], line[1:], config=config, on_step=lambda *_: None)
    seconds = time.process_time() - begun
    after = session.preview(resolution=config.px)
    outside = (after - before).abs().mean(dim=1, keepdim=True)[region.mask(config.px) == 0].mean().item() * 127.5
    off = distance(landmarks(after, finder), task) * config.px
    return found.distance_px, off, outside, float(found.arrived), seconds


def distance(seen: Tensor | None, task: Task) -> float:
    """From the landmark to its target, in sides of the picture; nan where no face is seen."""
    return float("nan") if seen is None else (seen[task.landmark] - task.target[0]).norm().item()


def summed(rows: list[tuple[float, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as a table, and of each column the mean and the worst; nan counts in neither."""
    table = torch.tensor(rows)
    return table, table.nanmean(dim=0), table.nan_to_num(0).max(dim=0).values


def marked(img: Tensor, task: Task) -> Tensor:
    """The picture with its handle in red and its target in blue."""
    px = img.shape[3]
    for place, colour in ((task.handle, RED), (task.target, BLUE)):
        for radius, paint in ((px / 64 + 1, WHITE), (px / 64, colour)):
            dot = brush(px, px, place * px, radius_px=radius)
            img = img * (1 - dot) + torch.tensor(paint)[None, :, None, None] * dot
    return img


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="faces")
    parser.add_argument("--px", type=int, default=256, help="of the pictures, and of all distances")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--targets", choices=("natural", "anywhere"), default="natural")
    parser.add_argument("--psi", type=float, default=0.7, help="truncation of the random pictures")
    parser.add_argument("--plain", action="store_true", help="steps of 0.002 in the latent's numbers, as in the paper")
    parser.add_argument(
        "--stop", type=float, default=DragConfig().stop_px, help="px from the target at which one stops"
    )
    parser.add_argument("--region-tasks", type=int, default=20, help="how many are done once more within a region")
    parser.add_argument("--pictures", type=Path, help="write before and after of each task into this folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    generator = load(args.model).requires_grad_(False)
    finder, spread, config = FaceFinder(), latent_spread(generator), DragConfig(px=args.px, stop_px=args.stop)
    if args.plain:
        spread, config = torch.eye(generator.w_dim), DragConfig(px=args.px, stop_px=args.stop, stride=STRIDE)
    todo = tasks(generator, args.tasks, args.px, finder, anywhere=args.targets == "anywhere", psi=args.psi)
    shown = [preview_image(generator, task.ws, args.px) for task in todo]
    print(f"its own error: {own_error(shown[:8], finder) * args.px:.2f} px")
    pulled(todo[0], generator, spread, DragConfig(px=args.px, steps=1))  # the first call of a process is slow
    rows: list[tuple[float, ...]] = []
    within: list[tuple[float, ...]] = []
    for number, task in enumerate(todo):
        started = time.process_time()
        found = pulled(task, generator, spread, config)
        seconds = time.process_time() - started
        after = preview_image(generator, found.step.apply(task.ws, EditContext(None, {}.__getitem__)), args.px)
        off = distance(landmarks(after, finder), task) * args.px
        begun = (task.target - task.handle).norm().item() * args.px
        rows.append((begun, found.steps, found.distance_px, off, seconds, float(found.arrived)))
        print(
            f"{number:3d}: {begun:5.1f} px → tracker {found.distance_px:5.2f}, landmark {off:5.2f} px, "
            f"{found.steps:3d} steps, {seconds:5.1f} s",
            flush=True,
        )
        if number < args.region_tasks:
            within.append(held(task, generator, config, psi=args.psi, finder=finder))
            print(
                "     in a region: tracker {:.2f}, landmark {:.2f} px, outside {:.3f}/255".format(*within[-1]),
                flush=True,
            )
        if args.pictures is not None:
            args.pictures.mkdir(parents=True, exist_ok=True)
            pair = torch.cat([marked(shown[number], task), after], dim=3)
            write_image(Photo(img=pair), args.pictures / f"{number:03d}.png")
    print(f"{args.model} {args.px} px, {len(rows)} tasks ({args.targets}):")
    table, mean, worst = summed(rows)
    print(
        f"  {mean[0]:.1f} px away; arrived {int(table[:, 5].sum())}; tracker {mean[2]:.2f} px (worst {worst[2]:.2f}); "
        f"landmark {mean[3]:.2f} px (worst {worst[3]:.2f}, median {table[:, 3].nanmedian():.2f}; no face seen in "
        f"{int(table[:, 3].isnan().sum())}); {mean[1]:.0f} steps; {mean[4]:.1f} s (worst {worst[4]:.1f})"
    )
    if within:
        table, mean, worst = summed(within)
        print(
            f"  in a region: arrived {int(table[:, 3].sum())} of {len(within)}; tracker {mean[0]:.2f} px (worst "
            f"{worst[0]:.2f}); landmark {mean[1]:.2f} px (median {table[:, 1].nanmedian():.2f}); {mean[4]:.1f} s "
            f"(worst {worst[4]:.1f}); outside {mean[2]:.3f}/255 (worst {worst[2]:.3f})"
        )


if __name__ == "__main__":
    main()
