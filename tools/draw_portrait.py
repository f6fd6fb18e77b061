"""Turn the face of a photo into a drawing: the examples of docs/style.md, made here so that their licence is plain.

    python tools/draw_portrait.py ganvas/samples/astronaut.jpg --how print -o print.png

Three hands: "print" (a few flat inks under thick lines), "pencil" (hatching on paper) and "dots" (a halftone in one
ink). Lines are after Winnemöller, Kyprianidis and Olsen 2012, "XDoG: An eXtended difference-of-Gaussians compendium".
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.features.faces import choose_face, find_faces
from ganvas.images.crop import Crop
from ganvas.images.files import read_image, write_image

PX = 1024
GAMMA = 1.7  # above 1: fewer whites
INKS = ((34, 28, 66), (131, 46, 88), (221, 96, 68), (246, 178, 107), (253, 238, 205))  # dark to light
SEPIA, PAPER = (64, 52, 48), (243, 236, 222)
BLUE, CREAM = (30, 62, 128), (250, 240, 214)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of x [1, C, H, W]."""
    reach = math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = (-(at**2) / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="reflect"), kernel, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="reflect"), kernel.transpose(2, 3), groups=x.shape[1])


def smoothed(x: Tensor, radius: int, eps: float, times: int) -> Tensor:
    """Guided filter of x by itself: flat inside, edges kept (He, Sun and Tang 2010)."""
    for _ in range(times):
        mean = blurred(x, radius)
        variance = (blurred(x * x, radius) - mean**2).clamp(min=0)
        a = variance / (variance + eps)
        x = blurred(a, radius) * x + blurred((1 - a) * mean, radius)
    return x


def grey_of(img: Tensor) -> Tensor:
    """Luma 0 … 1, stretched over the face."""
    luma = (img * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True) / 2 + 0.5
    low, high = luma.flatten().quantile(torch.tensor([0.02, 0.98]))
    return ((luma - low) / (high - low)).clamp(0, 1) ** GAMMA


def lines(grey: Tensor, sigma: float, limit: float = 0.012, phi: float = 120) -> Tensor:
    """1 = ink, 0 = none, along the dark side of edges; XDoG's soft threshold on the plain difference of Gaussians."""
    dog = blurred(grey, sigma) - blurred(grey, 1.6 * sigma)
    return (0.5 - 0.5 * torch.tanh(phi * (dog + limit))).clamp(0, 1)


def ink(color: tuple[int, int, int]) -> Tensor:
    """[1, 3, 1, 1] in [-1, 1]."""
    return torch.tensor(color, dtype=torch.float32).view(1, 3, 1, 1) / 127.5 - 1


def printed(img: Tensor) -> Tensor:
    """Flat inks by brightness, dark lines over them."""
    grey = grey_of(smoothed(img, 7, 0.01, 2))
    level = (grey * len(INKS)).clamp(0, len(INKS) - 1.001)
    edge = ((level - level.floor() - 0.5) * 8).clamp(-0.5, 0.5) + 0.5  # narrow ramps instead of jagged steps
    palette = torch.cat([ink(color) for color in INKS])[:, :, 0, 0]  # [5, 3]
    low = palette[level.floor().long()[:, 0]].permute(0, 3, 1, 2)
    high = palette[(level.floor().long()[:, 0] + 1).clamp(max=len(INKS) - 1)].permute(0, 3, 1, 2)
    return low.lerp(high, edge).lerp(ink(INKS[0]), lines(grey, 3))


def pencilled(img: Tensor) -> Tensor:
    """Hatching in three directions, denser where it is darker, and soft outlines."""
    grey = grey_of(smoothed(img, 6, 0.03, 2))
    y, x = torch.meshgrid(torch.arange(PX, dtype=torch.float32), torch.arange(PX, dtype=torch.float32), indexing="ij")
    wobble = 3 * blurred(torch.randn(1, 2, PX, PX, generator=torch.Generator().manual_seed(0)), 16) * 16
    strokes = torch.zeros_like(grey)
    for limit, angle_deg in ((0.8, 35), (0.55, 125), (0.32, 80)):
        angle = math.radians(angle_deg)
        along = (x + wobble[:, :1]) * math.cos(angle) + (y + wobble[:, 1:]) * math.sin(angle)
        wave = 0.5 + 0.5 * torch.sin(along * 2 * math.pi / 11)
        depth = ((limit - grey) / 0.3).clamp(0, 1)
        strokes = torch.maximum(strokes, ((wave - 1 + 0.75 * depth) * 4).clamp(0, 1) * 0.75)
    return ink(PAPER).lerp(ink(SEPIA), torch.maximum(strokes, 0.9 * lines(grey, 2.2)))


def dotted(img: Tensor) -> Tensor:
    """A halftone: round dots on a turned grid, larger where it is darker."""
    grey = grey_of(smoothed(img, 5, 0.03, 2))
    y, x = torch.meshgrid(torch.arange(PX, dtype=torch.float32), torch.arange(PX, dtype=torch.float32), indexing="ij")
    u, v = (x + y) / 16, (x - y) / 16
    dots = 0.5 + 0.25 * (torch.cos(u * 2 * math.pi) + torch.cos(v * 2 * math.pi))
    return ink(CREAM).lerp(ink(BLUE), ((dots - grey) * 10 + 0.5).clamp(0, 1))


HANDS = {"print": printed, "pencil": pencilled, "dots": dotted}


def main() -> None:
    """Read the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--how", choices=sorted(HANDS), default="print")
    parser.add_argument("--whole", action="store_true", help="the photo is such a square already")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    photo = read_image(options.photo)
    if options.whole:
        crop = Crop(x=photo.width / 2, y=photo.height / 2, side=min(photo.size))
    else:
        crop = Crop.from_landmarks(choose_face(find_faces(photo.img)).points)
    write_image(HANDS[options.how](crop.cut(photo.img, resolution=PX)).clamp(-1, 1), options.output)


if __name__ == "__main__":
    main()
