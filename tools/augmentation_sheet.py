"""Draw docs/images/augmentations.jpg: what each augmentation does to a picture at p = 1.

python tools/augmentation_sheet.py docs/images/augmentations.jpg
"""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ganvas.images.contact_sheet import make_captioned_grid
from ganvas.images.files import read_image
from ganvas.images.tensors import to_pixels
from ganvas.training.ada import ADA_GROUPS
from ganvas.training.augment import Ada, DiffAugment

TILE_PX = 96
DRAWS = 3  # of each operation, side by side


def portrait() -> Tensor:
    """Head and shoulders of the sample picture: [1, 3, TILE_PX, TILE_PX]."""
    with as_file(files("ganvas") / "samples" / "astronaut.jpg") as path:
        img = read_image(path).img
    return F.interpolate(img[:, :, :384, 40:424], size=TILE_PX, mode="bicubic", antialias=True).clamp(-1, 1)


def sheet() -> Tensor:
    """Three operations a row, `DRAWS` pictures of each."""
    img, tiles, captions = portrait().repeat(DRAWS, 1, 1, 1), [], []
    for name in (name for names in ADA_GROUPS.values() for name in names):
        strong = {"noise_std": 0.3} if name == "noise" else {}
        tiles.append(Ada((name,), **strong)(img, p=1, rng=torch.Generator().manual_seed(5)))
        captions += ["", name + (" × 3" if strong else ""), ""]
    for name in DiffAugment().policy:
        tiles.append(DiffAugment((name,))(img, rng=torch.Generator().manual_seed(4)))
        captions += ["", f"Diff: {name}", ""]
    return make_captioned_grid(torch.cat(tiles).clamp(-1, 1), captions, columns=3 * DRAWS)


if __name__ == "__main__":
    Image.fromarray(to_pixels(sheet())).save(Path(sys.argv[1]), quality=85)
