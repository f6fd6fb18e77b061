"""DiffAugment: simple changes of colour, place and visibility that both real and fake pictures go through.

The discriminator never sees a picture as it is, the generator's gradients flow through the changes, and because reals
and fakes are changed alike, the generator does not learn them.

Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", section 3 and its appendix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadImage
from ganvas.fields import check_known

POLICY = ("colour", "translation", "cutout")


@dataclass(frozen=True)
class DiffAugment:
    """Change every picture at random, always (p = 1).

    colour: brightness + U(−½, ½), saturation × U(0, 2) about each pixel's grey, contrast × U(½, 3/2) about the
    picture's mean. translation: up to ⅛ of the side each way, 0 (mid grey) comes in. cutout: a square of half the
    side, centred anywhere in the picture, becomes 0.

    Args:
        policy: which of the three.

    Raises:
        BadConfig: another name.
    """

    policy: tuple[str, ...] = POLICY

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", tuple(self.policy))
        for name in self.policy:
            check_known(name, POLICY, what="operation of DiffAugment")

    def __call__(self, img: Tensor, *, rng: torch.Generator) -> Tensor:
        """img [N, C, H, W] in [-1, 1] → the same shape, about that range; each picture by its own draw."""
        check_img(img, who="DiffAugment", channels=None)
        if "colour" in self.policy:
            img = _colour(img, rng)
        if "translation" in self.policy:
            img = _translation(img, rng)
        if "cutout" in self.policy:
            img = _cutout(img, rng)
        return img

    def pair(self, real: Tensor, fake: Tensor, *, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The i-th real and the i-th fake picture through the same draw; both [N, C, H, W].

        Raises:
            BadImage: two shapes.
        """
        if real.shape != fake.shape:
            raise BadImage(
                f"DiffAugment.pair expects two batches of the same shape, got {list(real.shape)} and "
                f"{list(fake.shape)}."
            )
        start = rng.get_state()
        real = self(real, rng=rng)
        rng.set_state(start)
        return real, self(fake, rng=rng)


def _colour(img: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, saturation and contrast, one after the other, worked out into one sum.

    With b, s, k drawn, m the grey of a pixel and M the mean of the picture (which saturation leaves alone):
    k·(s·(x − m) + m + b − (M + b)) + (M + b)  =  k·s·x + k·(1 − s)·m + (1 − k)·M + b.
    """
    b, s, k = _uniform(img, 3, rng).view(3, -1, 1, 1, 1)
    b, s, k = b - 0.5, 2 * s, k + 0.5
    grey = img.mean(dim=1, keepdim=True)  # [N, 1, H, W]
    changed = (k * s) * img + (k * (1 - s)) * grey + ((1 - k) * grey.mean(dim=(2, 3), keepdim=True) + b)
    return changed.to(img.dtype)


def _translation(img: Tensor, rng: torch.Generator) -> Tensor:
    """Whole pixels, up to ⅛ of the side (rounded) each way."""
    height, width = img.shape[2:]
    reach_y, reach_x = round(height / 8), round(width / 8)
    top = torch.randint(0, 2 * reach_y + 1, (len(img),), generator=rng, device=rng.device).tolist()
    left = torch.randint(0, 2 * reach_x + 1, (len(img),), generator=rng, device=rng.device).tolist()
    padded = F.pad(img, (reach_x, reach_x, reach_y, reach_y))
    # Slices: no interpolation, and on a CPU their gradients are far cheaper than those of an index per pixel.
    moved = [each[:, y : y + height, x : x + width] for each, y, x in zip(padded, top, left, strict=True)]
    return torch.stack(moved)


def _cutout(img: Tensor, rng: torch.Generator) -> Tensor:
    height, width = img.shape[2:]
    y, x = _uniform(img, 2, rng)  # [N] each, the centre as a share of the side
    rows = within(height, y, height / 2)[:, None, :, None]
    columns = within(width, x, width / 2)[:, None, None, :]
    return img.masked_fill(rows & columns, 0)


def within(length: int, centre: Tensor, size: float) -> Tensor:
    """Which of `length` pixels lie in an interval of `size` about centre·length: [N, length]."""
    at = torch.arange(length, device=centre.device) + 0.5
    return (at - centre[:, None] * length).abs() < size / 2


def _uniform(img: Tensor, rows: int, rng: torch.Generator) -> Tensor:
    """Draws from U(0, 1): [rows, N], in float32 at least, where the pictures are."""
    dtype = torch.float64 if img.dtype == torch.float64 else torch.float32
    return torch.rand(rows, len(img), generator=rng, device=rng.device).to(img.device, dtype)
