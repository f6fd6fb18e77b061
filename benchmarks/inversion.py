"""How faithfully photos are found in a generator, and how long it takes: a figure a photo, their means, a sheet.

    python benchmarks/inversion.py PHOTOS --effort standard --out results/
    python benchmarks/inversion.py PHOTOS --effort fast standard best --count 24 --skip-alignment --csv faces256.csv
    python benchmarks/inversion.py PHOTOS --effort fast --portraits portraits.csv --people 003 005 --time-ratio

PHOTOS is a folder. Each picture is first brought into FFHQ's framing (the largest face), unless --skip-alignment says
that it is already. Figures are of the full picture of the tuned generator, in float32, averaged down to 256 px; those
that begin with `latent_` are of the generator before it was tuned, and say who an edit will be made of. `…_eye_…` and
`mouth_…` are of squares of the full-size picture, before (`latent_`) and after the tuning. `expression_right`: photo
and untuned latent smile both, or both do not, by the face scorer that ships.

`dlib_identity` needs packages that are no part of ganvas: where `dlib` (dlib-bin) and `face_recognition_models` are
installed, the distance of dlib's face descriptors is reported too. The search does not use that network.

--portraits is a table of full-size photos with the columns `file`, `person` and `pose`; --people and --poses choose;
where it also has `gender` and `ethnicity_self_reported`, the means of each group are printed. --latent-only ends with
the search for the latent: who it is costs a third of the time, and the figures of the tuned generator are left out.
--time-ratio also runs the stages of `fast` as they were before the encoder, on the first photo, and gives processor
seconds as shares of theirs: those of one run compare, those of two computers or busy hours do not.

With --csv, a table with the columns `file`, `source`, `det_score`, `pad_frac` and `native_crop_px`, the largest sure
pictures of --source come first, or with --every every so-manieth row; without it, files are taken in the order of their
names.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.evaluation.folder_figures import summarize_values
from ganvas.evaluation.inversions import judge_expression
from ganvas.features.efficientnet import feature_distance, load_efficientnet
from ganvas.images.crop import Crop
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.loss import FACE_PARTS, ReconstructionLossConfig, cut_box
from ganvas.inversion.optimise import EFFORT_STAGES, InversionStage, invert
from ganvas.inversion.pivotal import with_delta
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.psnr_ssim import psnr_rgb, ssim_rgb
from ganvas.ops.resample import downscale
from ganvas.weights.load import load

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SHEET_PX = 256
MANY = 20  # photos from which quantiles are printed
FORMER_FAST = (
    InversionStage(kind="w", px=128, steps=26, lr=0.12, fine=1),
    InversionStage(kind="w", px=256, steps=20, lr=0.08, fine=1),
    InversionStage(kind="tune", px=256, steps=70, lr=0.008, every=20, fine=1),
)


def chosen(folder: Path, table: Path | None, source: str, count: int, every: int | None = None) -> list[Path]:
    """The files, best first where a table says what is good; or every so-manieth of the table, whatever it says."""
    if table is None:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)[:count]
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if every is not None:
        return spread_out([folder / row["file"] for row in rows[::every]])[:count]
    rows = [row for row in rows if row["source"] == source]
    rows = [row for row in rows if float(row["det_score"]) > 0.95 and float(row["pad_frac"]) < 0.02]
    rows.sort(key=lambda row: (-int(row["native_crop_px"]), row["file"]))
    return [folder / row["file"] for row in rows[:count]]


def spread_out(files: list[Path]) -> list[Path]:
    """The same files, so ordered that a run that is stopped early has looked at all parts of the list."""
    places = sorted(range(len(files)), key=lambda place: (place * 0.6180339887498949) % 1)  # of the golden ratio
    return [files[place] for place in places]


def portraits(folder: Path, table: Path, people: list[str] | None, poses: list[str] | None) -> list[Path]:
    """The photos of some people and poses, or of all, in the order of the table."""
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    wanted = [row for row in rows if people is None or row["person"] in people]
    return [folder / row["file"] for row in wanted if poses is None or row["pose"] in poses]


def square(file: Path, size: int, *, aligned: bool) -> tuple[Tensor, Crop | None]:
    """The picture as the generator frames faces, [1, 3, S, S], and where it lies in the photo."""
    photo = read_image(file)
    if aligned:
        return photo.img, None
    from ganvas.features.faces import FaceFinder, choose_face

    face = choose_face(FaceFinder().find(photo.img), None)
    crop = Crop.from_landmarks(face.points)
    return crop.cut(photo.img, resolution=size), crop


def identity_by_dlib() -> Callable[[Tensor, Tensor], float] | None:
    """(photo, found) [1, 3, 256, 256] each → distance of dlib's descriptors; None where dlib is not installed."""
    try:
        import dlib
        import face_recognition_models as models
    except ImportError:
        return None
    detect = dlib.get_frontal_face_detector()
    shape = dlib.shape_predictor(models.pose_predictor_model_location())
    net = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def distance(photo: Tensor, found: Tensor) -> float:
        pictures = [_pixels(photo), _pixels(found)]
        boxes = detect(pictures[0], 1)
        box = max(boxes, key=lambda b: b.area()) if boxes else dlib.rectangle(50, 70, 206, 226)
        chips = [dlib.get_face_chip(picture, shape(picture, box), 150, 0.25) for picture in pictures]
        first, second = (np.array(net.compute_face_descriptor(chip)) for chip in chips)
        return float(np.linalg.norm(first - second))

    return distance


def _pixels(img: Tensor) -> np.ndarray:
    return ((img[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()


def measure(
    file: Path,
    G: Any,
    extractor: Any,
    effort: str,
    *,
    aligned: bool,
    distance: Callable[[Tensor, Tensor], float] | None,
    save: Path | None = None,
    latent_only: bool = False,
) -> tuple[dict[str, Any], Tensor]:
    """The figures of one photo; photo, untuned latent and found picture one below the other."""
    target, crop = square(file, G.img_resolution, aligned=aligned)
    first: list[float] = []
    start, start_cpu = time.perf_counter(), time.process_time()

    def on_step(*_: object) -> None:
        if not first:
            first.append(time.process_time() - start_cpu)

    stages = [stage for stage in EFFORT_STAGES[effort] if not latent_only or stage.kind not in ("tune", "detail")]
    found = invert(target, G, effort=effort, extractor=extractor, on_step=on_step, stages=stages)
    taken, taken_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    if save is not None:
        place = None if crop is None else (crop.x, crop.y, crop.side, crop.angle_deg)
        replace(found, crop=place).save(save / f"{file.stem}.{effort}.npz")
    with torch.no_grad():
        untuned = G.synthesis(found.ws).clamp(-1, 1)
        full = untuned if latent_only else with_delta(G, found.delta).synthesis(found.ws).clamp(-1, 1)
    small, img, latent = (downscale(x, SHEET_PX) for x in (target, full, untuned))
    figures = {"file": file.name, "effort": effort, **found.figures, "seconds": taken, "cpu_seconds": taken_cpu}
    figures["first_picture_cpu_seconds"] = first[0]
    figures |= judge_expression(figures)
    if distance is not None:
        figures |= {"dlib_identity": distance(small, img), "latent_dlib_identity": distance(small, latent)}
    if target.shape == full.shape and G.img_resolution >= SHEET_PX:  # smaller eyes say little
        figures |= parts_figures(full, target, extractor) | parts_figures(untuned, target, extractor, "latent_")
    return figures, torch.cat([small, latent] if latent_only else [small, latent, img], dim=2)


@torch.no_grad()
def parts_figures(img: Tensor, target: Tensor, extractor: Any, prefix: str = "") -> dict[str, float]:
    """PSNR, SSIM and feature distance of eyes and mouth, at full size."""
    figures: dict[str, float] = {}
    for name, box in FACE_PARTS.items():
        ours, theirs = cut_box(img, box), cut_box(target, box)
        figures[f"{prefix}{name}_psnr_db"] = float(psnr_rgb(ours, theirs))
        figures[f"{prefix}{name}_ssim"] = float(ssim_rgb(ours, theirs))
        distance = feature_distance(extractor.features(ours), extractor.features(theirs))
        figures[f"{prefix}{name}_feature_distance"] = float(distance)
    return figures


def former_cpu_sec(target: Tensor, G: Any, extractor: Any) -> float:
    """Processor seconds of the former `fast`."""
    start = time.process_time()
    plain = ReconstructionLossConfig(face=0, guess=0)
    invert(target, G, effort="fast", extractor=extractor, stages=FORMER_FAST, loss_config=plain)
    return time.process_time() - start


TUNED_FIGURES = {
    *("psnr_db", "ssim", "feature_distance", "identity_distance", "dlib_identity"),
    *(f"{part}_{figure}" for part in FACE_PARTS for figure in ("psnr_db", "ssim", "feature_distance")),
}
WORST: dict[str, Callable[..., float]] = {
    "latent_dlib_identity": max,
    "latent_identity": max,
    "expression_right": min,
    "latent_psnr_db": min,
    "latent_feature_distance": max,
    "psnr_db": min,
    "ssim": min,
    "feature_distance": max,
    "dlib_identity": max,
    **{f"{when}{part}_feature_distance": max for part in FACE_PARTS for when in ("latent_", "")},
    "seconds": max,
    "cpu_seconds": max,
    "first_picture_cpu_seconds": max,
    "time_ratio": max,
}


def summary(rows: list[dict[str, Any]], title: str) -> str:
    """Means and the worst, in a line; where there are many, also quantiles."""
    parts = [f"{title}: {len(rows)} photos"]
    for name, worst in WORST.items():
        values = [row[name] for row in rows if name in row]
        if values:
            each = summarize_values(values, "higher" if worst is min else "lower")
            tenths = "; 10, 50, 90 %: {p10:.3f} {median:.3f} {p90:.3f}".format(**each) if len(values) >= MANY else ""
            parts.append(f"{name} {each['mean']:.3f} (worst {each['worst']:.3f}{tenths})")
    return ", ".join(parts)


def groups_of(rows: list[dict[str, Any]], table: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows by what the table says of gender and descent, as far as it does."""
    with table.open(encoding="utf-8") as lines:
        people = {row["file"]: row for row in csv.DictReader(lines)}
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for column in ("gender", "ethnicity_self_reported"):
            if name := people[row["file"]].get(column):
                groups.setdefault(name, []).append(row)
    return dict(sorted(groups.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="faces")
    parser.add_argument("--effort", nargs="+", choices=EFFORT_STAGES, default=["standard"])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--skip-alignment", action="store_true", help="the photos are framed as FFHQ's are")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--source", default="congress_pd")
    parser.add_argument("--every", type=int, help="with --csv: every so-manieth row instead of the best of a source")
    parser.add_argument("--portraits", type=Path, help="a table of full-size photos")
    parser.add_argument("--people", nargs="+", help="with --portraits: only these")
    parser.add_argument("--latent-only", action="store_true", help="no tuning")
    parser.add_argument("--time-ratio", action="store_true", help="compare with the former `fast`")
    parser.add_argument("--poses", nargs="+", help="with --portraits: only these")
    parser.add_argument("--save", type=Path, help="a folder for the inversions, to edit with later")
    parser.add_argument("--out", type=Path, help="a folder for the sheet and the figures")
    options = parser.parse_args()
    keep_freed_memory()
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
    G, extractor, distance = load(options.model), load_efficientnet(), identity_by_dlib()
    if options.portraits is not None:
        files = portraits(options.photos, options.portraits, options.people, options.poses)
    else:
        files = chosen(options.photos, options.csv, options.source, options.count, options.every)
    if not files:
        parser.error(f"no pictures in {options.photos}")
    former_sec = None
    if options.time_ratio:
        former_sec = former_cpu_sec(square(files[0], G.img_resolution, aligned=options.skip_alignment)[0], G, extractor)
    rows: list[dict[str, Any]] = []
    for effort in options.effort:
        pairs = []
        for file in files:
            row, pair = measure(
                file,
                G,
                extractor,
                effort,
                aligned=options.skip_alignment,
                distance=distance,
                save=options.save,
                latent_only=options.latent_only,
            )
            if options.latent_only:
                row = {name: value for name, value in row.items() if name not in TUNED_FIGURES}
            if former_sec is not None:
                row["time_ratio"] = row["cpu_seconds"] / former_sec
            rows.append(row)
            pairs.append(pair)
            print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
        mine = [row for row in rows if row["effort"] == effort]
        print(summary(mine, effort), flush=True)
        for name, some in groups_of(mine, options.portraits).items() if options.portraits else ():
            print(summary(some, f"{effort}, {name}"), flush=True)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            write_image(Photo(img=torch.cat(pairs, dim=3)), options.out / f"{effort}.png")
            (options.out / "figures.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
