"""Does an edit leave the rest of the photo alone? Thirty photos of all kinds, edited, saved, read again, compared.

    python benchmarks/paste_back.py FACES --csv faces256.csv --count 30 --out results/

From the aligned faces of FACES, photos are made as people have them: from 300 to 3,000 px, the face somewhere, larger
or smaller, tilted; as JPEG, PNG, WebP and TIFF, grey, with 16 bits, with an alpha channel, turned by EXIF. Each is
opened, smiles and grows older, is saved as PNG and read again. Reported are, in the file's own numbers: pixels outside
the square that was edited which differ (must be 0); pixels inside it that stayed; and the largest step at the rim of
the change, in levels of 255, where a visible edge would show.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ganvas.errors import NoFace
from ganvas.evaluation.edits import cover
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.ops.allocator import keep_freed_memory
from ganvas.session.open import open_session
from ganvas.weights.load import load

KINDS = ("jpeg", "turned", "png", "alpha", "sixteen", "grey", "webp", "tiff")
SHEET_PX = 512


def photo_file(kind: str, face: Path, behind: Path, dice: random.Random, out: Path) -> Path:
    """One photo as people have them, from an aligned face and a background."""
    width, height = (round(300 * 10 ** dice.uniform(0.15, 1)) for _ in range(2))
    side = round(min(width, height) * dice.uniform(0.6, 0.95))
    canvas = Image.open(behind).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    canvas = canvas.filter(ImageFilter.GaussianBlur(min(width, height) / 20))
    picture = Image.open(face).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    tilt = dice.uniform(-20, 20)
    soft = Image.new("L", (side, side), 0)
    soft.paste(255, (side // 50, side // 50, side - side // 50, side - side // 50))
    soft = soft.rotate(tilt).filter(ImageFilter.GaussianBlur(side / 100))
    place = dice.randrange(width - side + 1), dice.randrange(height - side + 1)
    canvas.paste(picture.rotate(tilt, Image.Resampling.BICUBIC), place, soft)
    return _saved(canvas, kind, dice, out)


def _saved(canvas: Image.Image, kind: str, dice: random.Random, out: Path) -> Path:
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        canvas.transpose(Image.Transpose.ROTATE_90).save(out.with_suffix(".jpg"), quality=95, exif=exif)
        return out.with_suffix(".jpg")
    if kind == "sixteen":
        levels = np.asarray(canvas).astype(np.float32) / 255 * 2 - 1
        grain = np.random.RandomState(dice.randrange(2**31)).uniform(-0.5, 0.5, levels.shape) / 127.5
        img = torch.from_numpy(levels + grain).float().clamp(-1, 1).permute(2, 0, 1)[None]
        return write_image(Photo(img=img, bits=16), out.with_suffix(".png"))
    if kind == "alpha":
        alpha = Image.linear_gradient("L").resize(canvas.size)
        canvas.putalpha(alpha)
    if kind == "grey":
        canvas = canvas.convert("L")
    suffix = {"jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}.get(kind, ".png")
    canvas.save(out.with_suffix(suffix), **({"quality": 95} if kind in ("jpeg", "webp") else {}))
    return out.with_suffix(suffix)


def numbers(photo: Photo) -> Tensor:
    """What the file says, as whole numbers [C, H, W]: colours, then alpha."""
    top = 2**photo.bits - 1
    parts = [(photo.img[0].double() + 1) / 2 * top]
    if photo.alpha is not None:
        parts.append(photo.alpha[0].double() * top)
    return torch.cat(parts).round()


def measure(file: Path, G: object, out: Path) -> dict[str, object]:
    """Edit one photo; how its pixels fared."""
    session = open_session(file, model=G, effort="fast", max_sec=4)
    session.set("smile", 3)
    session.set("age", 2)
    saved = write_image(session.render(), out)
    before, after = numbers(session.photo), numbers(read_image(saved))
    changed = (before != after).any(dim=0)
    inside = cover(session.crop, session.photo)
    return {
        "file": file.name,
        "size": list(session.photo.size),
        "bits": session.photo.bits,
        "outside": int((changed & ~inside).sum()),
        "kept_inside": round(1 - changed[inside].float().mean().item(), 3),
        "rim_levels": round(rim(before, after, changed, session.photo.bits), 2),
    }


def rim(before: Tensor, after: Tensor, changed: Tensor, bits: int) -> float:
    """The 99th percentile of the change in changed pixels that have an unchanged neighbour, in levels of 255."""
    still = (~changed).float()[None, None]
    edge = changed & (torch.nn.functional.max_pool2d(still, 3, 1, 1)[0, 0] > 0)
    steps = (after - before).abs().amax(dim=0)[edge]
    return steps.quantile(0.99).item() / (2**bits - 1) * 255 if 0 < len(steps) < 10**7 else 0.0


def main() -> None:
    """Read the command line, measure, print, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    with options.csv.open(encoding="utf-8") as lines:
        sure = [r["file"] for r in csv.DictReader(lines) if float(r["det_score"]) > 0.95 and float(r["pad_frac"]) < 0.1]
    dice, G, rows, pairs = random.Random(0), load("faces"), [], []
    while len(rows) < options.count:
        kind = KINDS[len(rows) % len(KINDS)]
        face, behind = (options.faces / dice.choice(sure) for _ in range(2))
        file = photo_file(kind, face, behind, dice, options.out / f"{len(rows):02d}-{kind}")
        edited = options.out / f"{len(rows):02d}-{kind}-edited.png"
        try:
            rows.append(measure(file, G, edited))
        except NoFace as error:
            print(f"{file.name}: {error}; another one", flush=True)
            continue
        print(json.dumps(rows[-1]), flush=True)
        two = [read_image(path).img for path in (file, edited)]
        pairs.append(torch.cat([_fitted(img) for img in two], dim=2))
    write_image(Photo(img=torch.cat(pairs, dim=3)), options.out / "sheet.png")
    wrong = sum(row["outside"] != 0 for row in rows)
    print(f"{len(rows)} photos, {wrong} with a changed pixel outside; worst rim {max(r['rim_levels'] for r in rows)}")


def _fitted(img: Tensor) -> Tensor:
    side = max(img.shape[2:])
    small = [max(1, round(n * SHEET_PX / side)) for n in img.shape[2:]]
    img = torch.nn.functional.interpolate(img, small, mode="area")
    return torch.nn.functional.pad(img, (0, SHEET_PX - small[1], 0, SHEET_PX - small[0]), value=1.0)


if __name__ == "__main__":
    main()
