"""Seeds → z → ws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import BadConfig


def map_seeds(G: Any, seeds: list[int], *, trunc: float, label: int | None) -> Tensor:
    """ws [len(seeds), num_ws, w_dim] of everybody's seeds.

    Raises:
        BadConfig: a class for an unconditional generator, none for a conditional one, or one that does not exist.
    """
    return map_z(G, latents_from_seeds(seeds, G.z_dim), trunc=trunc, label=label)


def map_z(G: Any, z: Tensor, *, trunc: float, label: int | None) -> Tensor:
    """ws [N, num_ws, w_dim] of z [N, z_dim]; errors as `map_seeds`."""
    with torch.no_grad():
        return G.mapping(z, one_hot(G, label, len(z)), truncation_psi=trunc)


def one_hot(generator: Any, label: int | None, count: int = 1, *, device: torch.device | str = "cpu") -> Tensor | None:
    """A class as a generator takes it: [count, c_dim]; None where there are no classes.

    Raises:
        BadConfig: a class where there are none, none where there are some, or one that does not exist.
    """
    if generator.c_dim == 0:
        if label is not None:
            raise BadConfig(f"this generator has no classes: leave the label {label} out (--class)")
        return None
    if label is None or not 0 <= label < generator.c_dim:
        raise BadConfig(f"this generator has classes 0 to {generator.c_dim - 1}: choose one (--class), got {label}")
    return torch.eye(generator.c_dim, device=device)[label].expand(count, -1)


def latents_from_seeds(seeds: Iterable[int], z_dim: int, *, device: torch.device | str = "cpu") -> Tensor:
    """The z that everybody's galleries mean by a seed: numpy.random.RandomState(seed).randn(1, z_dim).

    Args:
        seeds: whole numbers, 0 … 2**32 − 1.
        z_dim: of the generator.

    Returns:
        [len(seeds), z_dim] float32.

    Raises:
        BadConfig: a seed outside the range, or none at all.
    """
    rows, random = [], np.random.RandomState()  # seeded again for each: forty times as fast as one anew
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise BadConfig(f"seeds must be integers from 0 to {2**32 - 1}, got {seed}")
        random.seed(seed)
        rows.append(random.randn(1, z_dim))
    if not rows:
        raise BadConfig("at least one seed is needed, got none")
    return torch.from_numpy(np.concatenate(rows)).to(device, torch.float32)
