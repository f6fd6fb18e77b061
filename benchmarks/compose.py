"""How well is an edit composed into a photo? Planted edits with a known answer, and real photos at every slider's ends.

    python benchmarks/compose.py planted --seeds 6
    python benchmarks/compose.py sliders PHOTO … --inversions FOLDER --out results/
    python benchmarks/compose.py time PHOTO --inversions FOLDER

Planted: a seed's picture is the photo, the same seed edited is the truth. What the inversion finds is played by a
latent a little nearer to the mean: another picture of nearly the same person. Reported per edit: PSNR and SSIM of the
composed picture against the truth, and of the truth's features (EfficientNet-Lite0).

Sliders: each photo at both ends of each slider. Reported: the share of the background farther than 30 pixels from the
person (of the photo and of the generator's edited picture) that changed by more than 5 levels; and how much steeper
the picture is across the crop's edge than the photo is there, in levels (0 = no edge to be found). FOLDER keeps the
inversions (`ganvas invert --effort fast -o`); missing ones are made. OUT gets a sheet a slider: a column a photo, with
the slider's low end, the photo, and its high end.

Time: what parts and composition take of a preview and of a render, as a share of what the generator takes in the same
run (processor time, one thread), and how far the preview is from the render made smaller, in levels.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.acting import Place, place_of
from ganvas.editing.blend import lay_over
from ganvas.editing.compose import compose_change, fade_to_edge
from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import apply_direction
from ganvas.editing.part_maps import PartMaps
from ganvas.features.efficientnet import feature_distance, load_efficientnet
from ganvas.features.parts import PARTS_PX, parse_parts, select_parts
from ganvas.images.crop import Crop
from ganvas.images.files import write_image
from ganvas.images.masks import grow_mask
from ganvas.images.photo import Photo
from ganvas.metrics.pixels import sr_psnr_db, sr_ssim
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.session.open import open_session
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load

EDITS = {
    "smile": 1.0,
    "mouth_open": 2.0,
    "age": 0.9,
    "hair_light": 0.9,
    "skin_light": 1.0,
    "yaw": 1.0,
    "pitch": -1.0,
    "hair_long": 1.5,
}
NEARER = 0.9  # to the mean latent: the part of the inversion
FAR_PX, LEVELS = 30, 5  # of a 1024-px crop
MOVED, MOVES = ("smile", "yaw", "hair_light"), 5  # sliders that are timed, and amounts of each
SHEET_PX = 520  # 400 of them the face crop


def part_maps(img: Tensor, place: Place) -> PartMaps:
    """Of a picture, as a session finds them."""
    return PartMaps.of_parts(parse_parts(F.interpolate(img, (PARTS_PX, PARTS_PX), mode="area")), (place,))


@torch.no_grad()
def planted(seeds: int) -> None:
    """Print a line an edit: means over the seeds."""
    generator, extractor = load("faces"), load_efficientnet()
    directions = directions_of(fingerprint(generator))
    mean = generator.mapping(latents_from_seeds([0], generator.z_dim), truncation_psi=0.0)
    paint = lambda ws: generator.synthesis(ws).clamp(-1, 1)  # noqa: E731
    for name, amount in EDITS.items():
        rows = []
        for seed in range(seeds):
            ws = generator.mapping(latents_from_seeds([seed], generator.z_dim), truncation_psi=0.7)
            near = mean + NEARER * (ws - mean)
            moved = [apply_direction(w, directions[name], amount, generator)[0] for w in (ws, near)]
            photo, truth, before, after = (paint(w) for w in (ws, moved[0], near, moved[1]))
            maps = [part_maps(img, place_of(directions[name])) for img in (photo, before, after)]
            change = compose_change(
                photo, before, after, fade_to_edge(photo.shape[3]), maps=(maps[0], maps[1], maps[2])
            )
            rows.append([measure(img, truth, extractor) for img in (photo, after, lay_over(photo, change))])
        means = torch.tensor(rows).mean(dim=0)
        for label, (psnr, ssim, distance) in zip(("photo", "generator", "composed"), means.tolist(), strict=True):
            print(
                f"{name:11} {amount:+.1f} {label:9} PSNR {psnr:5.2f}  SSIM {ssim:.3f}  features {distance:.3f}",
                flush=True,
            )


def measure(img: Tensor, truth: Tensor, extractor: object) -> tuple[float, float, float]:
    """PSNR, SSIM and distance of features."""
    small = [F.interpolate(x, (256, 256), mode="area") for x in (img, truth)]
    distance = feature_distance(*(extractor.features(x) for x in small)).item()
    return float(sr_psnr_db(img, truth)), float(sr_ssim(img, truth)), distance


@torch.no_grad()
def sliders(photos: list[Path], inversions: Path, out: Path, only: list[str]) -> None:
    """Print a line a photo and slider end, and the medians; write a sheet a slider."""
    generator, extractor = load("faces"), load_efficientnet()
    out.mkdir(parents=True, exist_ok=True)
    rows, columns = [], {}  # of a slider: the photos' tiles
    for file in photos:
        session = open_with_inversion(file, inversions, generator, extractor)
        for name in only or list(session.directions):
            ends, tiles = (session.directions[name].low, session.directions[name].high), []
            for amount in ends:
                session.set(name, amount)
                edited, crop = session.render(), session.render_crop()
                session.undo()
                rows.append(
                    {"photo": file.name, "slider": name, "amount": amount, **figures(session, edited.img, crop.img)}
                )
                print(json.dumps(rows[-1]), flush=True)
                tiles.append(tile(edited.img, session.crop))
            column = torch.cat([tiles[0], tile(session.photo.img, session.crop), tiles[1]], dim=2)
            columns.setdefault(name, []).append(column)
            write_image(Photo(img=torch.cat(columns[name], dim=3)), out / f"{name}.jpg")
    for name in dict.fromkeys(row["slider"] for row in rows):
        these = [row for row in rows if row["slider"] == name]
        far, edge = (torch.tensor([row[key] for row in these]) for key in ("background_share", "edge_levels"))
        moved = f"background moved: median {far.median():.4f}, worst {far.max():.4f}"
        print(f"{name:11} {moved}; edge: median {edge.median():.2f}, worst {edge.max():.2f}")


def figures(session: object, edited: Tensor, generated: Tensor) -> dict[str, float]:
    """The figures of one edit; see the text above."""
    crop, photo = session.crop, session.photo.img
    old, new = (crop.cut(img, resolution=1024) for img in (photo, edited))
    people = [
        F.interpolate(
            select_parts(parse_parts(F.interpolate(img, (PARTS_PX, PARTS_PX), mode="area")), ("person",)), (1024, 1024)
        )
        for img in (old, generated)
    ]
    far = grow_mask((torch.maximum(*people) > 0.5).float(), FAR_PX) < 0.01
    step = (new - old).abs().amax(dim=1, keepdim=True) * 127.5
    share = (step[far] > LEVELS).float().mean().item() if far.any() else 0.0
    return {"background_share": round(share, 5), "edge_levels": round(edge_steepness(photo, edited, crop), 3)}


def edge_steepness(photo: Tensor, edited: Tensor, crop: Crop) -> float:
    """Mean steepness across the crop's edge, over 4 pixels of a 1024-px crop: the edited picture's less the photo's."""
    wide = Crop(x=crop.x, y=crop.y, side=crop.side * 1.05, angle_deg=crop.angle_deg)
    values = []
    for img in (edited, photo):
        frame = wide.cut(img, resolution=1075)
        rim = 25
        for side in (frame, frame.flip(2), frame.transpose(2, 3), frame.transpose(2, 3).flip(2)):
            across = (side[:, :, rim + 2, rim:-rim] - side[:, :, rim - 2, rim:-rim]).abs()
            values.append(across.mean().item() * 127.5)
    return sum(values[:4]) / 4 - sum(values[4:]) / 4


def tile(img: Tensor, crop: Crop) -> Tensor:
    """The surroundings of the face, small."""
    wide = Crop(x=crop.x, y=crop.y, side=crop.side * 1.3, angle_deg=0.0)
    return wide.cut(img, resolution=SHEET_PX)


@torch.no_grad()
def measure_time(photo: Path, inversions: Path) -> None:
    """Print a line for the preview, one for the render, and one for their difference."""
    session = open_with_inversion(photo, inversions)
    tuned, spent = session.renderer.tuned, []
    paint = tuned.picture

    def timed(*args: object, **kwargs: object) -> Tensor:
        start = time.process_time()
        img = paint(*args, **kwargs)
        spent.append(time.process_time() - start)
        return img

    tuned.picture = timed
    for label, show in (
        ("preview at 256 px", lambda: session.preview(share=session.first_share, precision="draft")),
        ("render", lambda: session.renderer.render(session.recipe)),  # without the look for breakups
    ):
        rows = []
        for name in MOVED:
            direction = session.directions[name]
            for move in range(1, MOVES + 2):
                session.set(name, direction.high * move / (MOVES + 1))
                if label == "render":  # the guard is neither's
                    session.share_of(session.recipe)
                spent.clear()
                start = time.process_time()
                show()
                rows += (
                    [(sum(spent), time.process_time() - start - sum(spent))] if move > 1 else []
                )  # after a first one
                session.undo()
        generator, rest = torch.tensor(rows).median(dim=0).values.tolist()
        print(f"{label}: generator {generator:.3f} s, parts and composition {rest:.3f} s: {rest / generator:.2f} of it")
    for name in MOVED:
        session.set(name, session.directions[name].high)
        small = F.interpolate(session.crop.cut(session.render().img, resolution=1024), (256, 256), mode="area")
        apart = (session.preview(share=session.share_of(session.recipe), precision="draft") - small).abs() * 127.5
        print(f"{name}: preview and render {apart.mean():.2f} levels apart, 99 % at most {apart.quantile(0.99):.1f}")
        session.undo()


def open_with_inversion(photo: Path, inversions: Path, generator: object = None, extractor: object = None) -> object:
    """A session; the inversion is kept in the folder, and taken from there."""
    stored = inversions / f"{photo.stem}.npz"
    known = stored if stored.is_file() else None
    networks = {"model": generator or load("faces"), "extractor": extractor or load_efficientnet()}
    session = open_session(photo, **networks, effort="fast", inversion=known)
    if known is None:
        inversions.mkdir(parents=True, exist_ok=True)
        session.inversion.save(stored)
    return session


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    plant = modes.add_parser("planted")
    plant.add_argument("--seeds", type=int, default=6)
    real = modes.add_parser("sliders")
    real.add_argument("photos", type=Path, nargs="+")
    real.add_argument("--inversions", type=Path, required=True)
    real.add_argument("--out", type=Path, required=True)
    real.add_argument("--only", nargs="+", default=[], metavar="SLIDER")
    clock = modes.add_parser("time")
    clock.add_argument("photo", type=Path)
    clock.add_argument("--inversions", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    if options.mode == "planted":
        planted(options.seeds)
    elif options.mode == "time":
        torch.set_num_threads(1)
        measure_time(options.photo, options.inversions)
    else:
        sliders(options.photos, options.inversions, options.out, options.only)


if __name__ == "__main__":
    main()
