"""Earlier results of a generator for its discriminator, so that it forgets no old trick."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Earlier results: half of what a discriminator sees is from here.

    Args:
        size: how many are kept; 0 = none, the discriminator sees the latest.

    Source: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial Training",
    section 2.3, in the form of CycleGAN: once full, each new picture is exchanged for an old one at even odds.
    """

    def __init__(self, size: int):
        self.size = size
        self.kept: list[tuple[Tensor, ...]] = []  # of each result: the picture, and what was said to go with it

    def exchange(self, rng: torch.Generator, img: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        """[N, …] and what goes with each, such as its label [N, …] → as many of all, some of them older."""
        if self.size == 0:
            return img, *beside
        mixed = []
        for one in zip(*(part.detach() for part in (img, *beside)), strict=True):
            if len(self.kept) < self.size:
                self.kept.append(tuple(part.clone() for part in one))
                mixed.append(one)
                continue
            place, old = int(torch.randint(self.size, (), generator=rng)), bool(torch.rand((), generator=rng) < 0.5)
            mixed.append(self.kept[place] if old else one)
            if old:
                self.kept[place] = tuple(part.clone() for part in one)
        return tuple(torch.stack(part) for part in zip(*mixed, strict=True))

    def state(self) -> list[Tensor]:
        """All of them."""
        return [torch.stack(part) for part in zip(*self.kept, strict=True)]

    def load(self, state: Any, device: torch.device) -> None:
        """The inverse of `state`."""
        parts = [state] if isinstance(state, Tensor) else state  # one tensor in states of earlier versions
        self.kept = list(zip(*(part.to(device).unbind() for part in parts if part.ndim > 1), strict=True))
