"""A translator from nothing: draw some pictures, teach a network to colour their outlines in, translate a new one.

    python examples/translator.py --outdir translator-example          # about a minute on a CPU

What it makes: OUTDIR/data/trainA (outlines) and trainB (coloured pictures, equal names), OUTDIR/run with everything a
training run leaves behind, and OUTDIR/before-after.png: outlines that training has not seen, coloured in, the truth.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw, ImageFilter

import ganvas
from ganvas.training.translator.presets import find_translator_preset, resize_config
from ganvas.training.translator.snapshots import label_columns
from ganvas.training.translator.train import train_translator

SIDE_PX = 32
FRUITS = {"lemon": (250, 220, 60), "plum": (120, 60, 150), "lime": (120, 190, 60)}  # a shape has its colour


def scene(rng: np.random.Generator) -> Image.Image:
    """Two or three fruits on a table: the shape says which colour, so there is something to learn."""
    img = Image.new("RGB", (4 * SIDE_PX, 4 * SIDE_PX), (235, 230, 220))
    pen = ImageDraw.Draw(img)
    pen.rectangle((0, 88, 128, 128), fill=(150, 110, 80))
    for _ in range(rng.integers(2, 4)):
        kind = str(rng.choice(list(FRUITS)))
        x, y, r = rng.integers(24, 104), rng.integers(40, 100), rng.integers(14, 26)
        if kind == "lemon":
            pen.ellipse((x - 1.5 * r, y - 0.8 * r, x + 1.5 * r, y + 0.8 * r), fill=FRUITS[kind])
        elif kind == "plum":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=FRUITS[kind])
        else:
            pen.rounded_rectangle((x - r, y - r, x + r, y + r), radius=r / 3, fill=FRUITS[kind])
    return img.filter(ImageFilter.GaussianBlur(1))


def outline(img: Image.Image) -> Image.Image:
    """Where the picture changes, in black on white."""
    grown, shrunk = img.convert("L").filter(ImageFilter.MaxFilter(5)), img.convert("L").filter(ImageFilter.MinFilter(5))
    return ImageChops.invert(ImageChops.difference(grown, shrunk).point(lambda level: min(255, 4 * level)))


def make_data(folder: Path, count: int, rng: np.random.Generator) -> None:
    """Pairs: trainA outlines, trainB pictures."""
    for number in range(count):
        img = scene(rng)
        for side, picture in (("trainA", outline(img)), ("trainB", img)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS).save(folder / side / f"{number:03}.png")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, default=Path("translator-example"))
    parser.add_argument("--kimg", type=float, default=6.0, help="thousand pairs to show")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    make_data(options.outdir / "data", 200, rng)

    # Learn.
    config = replace(
        resize_config(find_translator_preset("pix2pix-64-cpu"), SIDE_PX),
        total_kimg=options.kimg,
        batch_size=8,
        load_px=None,
        g_lr=1e-3,
    )
    done = train_translator(options.outdir / "data", config=config, folder=options.outdir / "run", device="cpu")
    print(f"{done.nimg:,} pairs in {done.sec:.0f} s")

    # Translate what it has not seen.
    make_data(options.outdir / "new", 4, rng)
    columns: list[list[torch.Tensor]] = [[], [], []]
    for number in range(4):
        asked, truth = (
            ganvas.read_image(options.outdir / "new" / side / f"{number:03}.png") for side in ("trainA", "trainB")
        )
        answer = ganvas.translate(asked, model=options.outdir / "run")
        for column, photo in zip(columns, (asked, answer, truth), strict=True):
            column.append(photo.img.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3))
    sheet = label_columns([torch.cat(column) for column in columns], ["outline", "coloured in", "truth"])
    print(ganvas.write_image(sheet, options.outdir / "before-after.png"))


if __name__ == "__main__":
    main()
