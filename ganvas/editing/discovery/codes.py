"""Directions of a generator that learnt with codes (InfoGAN): each code is a number of its noise, and so a slider.

Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets". `ganvas train --set codes=2` trains such generators; the last numbers of z are the codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ganvas.editing.directions import Direction
from ganvas.editing.layers import check_layers
from ganvas.errors import BadConfig

_SAMPLES = 1024  # latents over which a step of a code is averaged, where a mapping network bends it


@torch.no_grad()
def find_codes(
    generator: Any, *, count: int = 8, layers: Iterable[int] | None = None, fingerprint: str = ""
) -> list[Direction]:
    """The learnt codes as directions.

    Args:
        generator: one whose facts say how many `codes` it has.
        count: at most so many.
        layers: rows of ws to move; None = all.
        fingerprint: of the generator, for the directions' cards.

    Returns:
        Directions `code-0`, `code-1`, … of space "w"; amount 1 is one standard deviation of the code. Where ws is z
        that is the code itself; behind a mapping network it is half of the mean way from −1 to 1.

    Raises:
        BadConfig: the generator was trained without codes.
    """
    codes = int(generator.facts.get("codes", 0))
    if codes == 0:
        raise BadConfig("this generator was trained without codes (ganvas train --set codes=2): use sefa or pca")
    rows = None if layers is None else tuple(check_layers(layers, num_ws=generator.num_ws))
    z = torch.randn(_SAMPLES, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(generator.device)
    c = (
        torch.eye(generator.c_dim, device=z.device)[torch.arange(_SAMPLES) % generator.c_dim]
        if generator.c_dim
        else None
    )
    directions = []
    for code in range(min(codes, count)):
        ends = []
        for value in (-1.0, 1.0):
            z[:, code - codes] = value
            ends.append(generator.mapping(z, c)[:, 0].double().mean(dim=0))
        z[:, code - codes] = torch.randn(_SAMPLES, generator=torch.Generator().manual_seed(1 + code)).to(z)
        step = ((ends[1] - ends[0]) / 2).float()[None]
        facts = {"method": "codes", "code": code, "unit": "standard deviation of the code"}
        directions.append(Direction(f"code-{code}", step.cpu(), rows, -3, 3, fingerprint, facts))
    return directions
