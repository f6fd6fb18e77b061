"""How faithfully photos are found in a generator, and how long it takes: a figure a photo, their means, a sheet.

    python benchmarks/inversion.py PHOTOS --effort standard --out results/
    python benchmarks/inversion.py PHOTOS --effort fast standard best --count 24 --skip-alignment --csv faces256.csv

PHOTOS is a folder. Each picture is first brought into FFHQ's framing (the largest face), unless --skip-alignment says
that it is already. Figures are of the full picture of the tuned generator, in float32, averaged down to 256 px.

`identity` needs packages that are no part of ganvas: where `dlib` (dlib-bin) and `face_recognition_models` are
installed, the distance of dlib's face descriptors is reported too. The search does not use that network.

With --csv, a table with the columns `file`, `source`, `det_score`, `pad_frac` and `native_crop_px`, the largest sure
pictures of --source come first; without it, files are taken in the order of their names.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.features.efficientnet import load_efficientnet
from ganvas.images.crop import Crop
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.optimise import EFFORT_STAGES, invert
from ganvas.inversion.pivotal import with_delta
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.resample import downscale
from ganvas.weights.load import load

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SHEET_PX = 256


def chosen(folder: Path, table: Path | None, source: str, count: int) -> list[Path]:
    """The files, best first where a table says what is good."""
    if table is None:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)[:count]
    with table.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["source"] == source]
    rows = [row for row in rows if float(row["det_score"]) > 0.95 and float(row["pad_frac"]) < 0.02]
    rows.sort(key=lambda row: (-int(row["native_crop_px"]), row["file"]))
    return [folder / row["file"] for row in rows[:count]]


def square(file: Path, size: int, *, aligned: bool) -> Tensor:
    """The picture as the generator frames faces, [1, 3, S, S]."""
    photo = read_image(file)
    if aligned:
        return photo.img
    from ganvas.features.faces import FaceFinder, choose_face

    face = choose_face(FaceFinder().find(photo.img), None)
    return Crop.from_landmarks(face.points).cut(photo.img, resolution=size)


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
) -> tuple[dict[str, Any], Tensor]:
    """The figures of one photo, and photo and found picture side by side."""
    target = square(file, G.img_resolution, aligned=aligned)
    start = time.perf_counter()
    found = invert(target, G, effort=effort, extractor=extractor)
    taken = time.perf_counter() - start
    with torch.no_grad():
        img = downscale(with_delta(G, found.delta).synthesis(found.ws).clamp(-1, 1), SHEET_PX)
    small = downscale(target, SHEET_PX)
    figures = {"file": file.name, "effort": effort, **found.figures, "seconds": taken}
    if distance is not None:
        figures["identity"] = distance(small, img)
    return figures, torch.cat([small, img], dim=2)


def summary(rows: list[dict[str, Any]], effort: str) -> str:
    """Means and the worst of one effort, in a line."""
    mine = [row for row in rows if row["effort"] == effort]
    parts = [f"{effort}: {len(mine)} photos"]
    for name, worst in (("psnr_db", min), ("ssim", min), ("identity", max), ("seconds", max)):
        values = [row[name] for row in mine if name in row]
        if values:
            parts.append(f"{name} {statistics.mean(values):.3f} (worst {worst(values):.3f})")
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="faces")
    parser.add_argument("--effort", nargs="+", choices=EFFORT_STAGES, default=["standard"])
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--skip-alignment", action="store_true", help="the photos are framed as FFHQ's are")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--source", default="congress_pd")
    parser.add_argument("--out", type=Path, help="a folder for the sheet and the figures")
    options = parser.parse_args()
    keep_freed_memory()
    G, extractor, distance = load(options.model), load_efficientnet(), identity_by_dlib()
    files = chosen(options.photos, options.csv, options.source, options.count)
    if not files:
        parser.error(f"no pictures in {options.photos}")
    rows: list[dict[str, Any]] = []
    for effort in options.effort:
        pairs = []
        for file in files:
            row, pair = measure(file, G, extractor, effort, aligned=options.skip_alignment, distance=distance)
            rows.append(row)
            pairs.append(pair)
            print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
        print(summary(rows, effort), flush=True)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            write_image(Photo(img=torch.cat(pairs, dim=3)), options.out / f"{effort}.png")
            (options.out / "figures.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
