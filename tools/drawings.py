"""Pairs to train a translator with, made from any photos: each photo, and a pencil drawing of it.

    python tools/drawings.py PHOTOS DEST              # DEST/trainA photos, DEST/trainB their drawings, by equal names
    python tools/drawings.py PHOTOS DEST --unpaired   # DEST/trainA one half of them, DEST/trainB drawings of the other

The drawing is an old darkroom trick, the colour dodge: grey divided by its own blurred negative's negative leaves white
where nothing changes and lines where something does; a little of the shading is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

SHADING = 0.25  # how much of the photo's own light and dark stays in the drawing


def pencil(photo: Image.Image) -> Image.Image:
    """A photo as a pencil drawing of the same size, grey."""
    grey = photo.convert("L")
    blurred = grey.filter(ImageFilter.GaussianBlur(max(photo.size) / 28))
    light, around = (np.asarray(each, np.float32) for each in (grey, blurred))
    lines = np.clip(light / np.maximum(around, 8), 0, 1) ** 2
    drawing = lines * (1 - SHADING + SHADING * light / 255)
    return Image.fromarray(np.uint8(255 * drawing + 0.5))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--size", type=int, default=128, help="pixels across")
    parser.add_argument("--most", type=int, default=100_000, help="photos to take")
    parser.add_argument("--unpaired", action="store_true", help="photos and drawings of different photos")
    options = parser.parse_args()
    files = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    files = files[: options.most]
    for side in ("trainA", "trainB"):
        (options.dest / side).mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(files):
        photo = ImageOps.fit(ImageOps.exif_transpose(Image.open(file)).convert("RGB"), (options.size, options.size))
        if not options.unpaired or number % 2 == 0:
            photo.save(options.dest / "trainA" / f"{file.stem}.png")
        if not options.unpaired or number % 2 == 1:
            pencil(photo).save(options.dest / "trainB" / f"{file.stem}.png")
    print(f"{len(files)} photos: {options.dest}")


if __name__ == "__main__":
    main()
