"""Directions without labels, from the weights alone: what the style layers listen to most.

Paper: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs" (SeFa). The directions that change
the styles most are the eigenvectors of A·Aᵀ with the largest eigenvalues, A being the style layers' weights side by
side, each column of unit length. Two directions are one up to their sign; ours points to where its largest entry is
positive. The families without style layers (the paper factorises their first layer) are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ganvas.editing.directions import Direction
from ganvas.editing.layers import check_layers
from ganvas.editing.style_space import style_layers
from ganvas.errors import BadConfig
from ganvas.models.protocol import StyleLayer


@torch.no_grad()
def sefa(
    generator: Any, *, count: int = 8, layers: Iterable[int] | None = None, fingerprint: str = "", samples: int = 2048
) -> list[Direction]:
    """The directions that change the styles most, strongest first.

    Args:
        generator: one with style layers.
        count: how many, at most w_dim.
        layers: rows of ws to look at and to move; None = all. Early rows are pose and shape, late ones colour.
        fingerprint: of the generator, for the directions' cards.
        samples: random latents whose spread along a direction is its unit.

    Returns:
        Directions `sefa-0`, `sefa-1`, … of space "w"; amount 1 is one standard deviation of natural latents along it.
        `facts` has the `eigenvalue` and `step`, by which tools with other units can be compared.

    Raises:
        BadConfig: the generator has no style layers, none in these rows, or count is out of range.
    """
    rows = list(range(generator.num_ws)) if layers is None else check_layers(layers, num_ws=generator.num_ws)
    values, vectors = factorize(generator, rows)
    if not 1 <= count <= len(values):
        raise BadConfig(f"count should be 1 to {len(values)} (w_dim), got {count}")
    w = sample_w(generator, samples)
    directions = []
    for i in range(count):
        unit = vectors[:, i]
        spread = (w.double() @ unit).std().item()
        facts = {"method": "sefa", "eigenvalue": values[i].item(), "step": spread, "unit": "spread of w along it"}
        moved_rows = None if layers is None else tuple(rows)
        directions.append(Direction(f"sefa-{i}", (unit * spread).float()[None], moved_rows, -3, 3, fingerprint, facts))
    return directions


def factorize(generator: Any, rows: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Eigenvalues [w_dim], falling, and unit eigenvectors [w_dim, w_dim] as columns, of A·Aᵀ for these rows of ws."""
    wanted = set(rows)
    weights = [style_matrix(layer) for layer in style_layers(generator) if layer.row in wanted]
    if not weights:
        raise BadConfig(f"no style layer reads the rows {sorted(wanted)} of ws")
    a = torch.cat(weights, dim=1)
    a = a / a.norm(dim=0).clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(a @ a.T)
    values, vectors = values.flip(0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return values, vectors * largest.sign()


def style_matrix(layer: StyleLayer) -> Tensor:
    """[w_dim, channels] in float64: what a style layer multiplies w with, whatever gains its family stores apart."""
    weight: Tensor = layer.affine.weight  # type: ignore[assignment]
    w_dim = weight.shape[1]
    basis = torch.cat([torch.eye(w_dim), torch.zeros(1, w_dim)]).to(weight)
    answers = layer.affine(basis).double()
    return answers[:-1] - answers[-1]


@torch.no_grad()
def sample_w(generator: Any, samples: int, *, seed: int = 0, truncation_psi: float = 1.0) -> Tensor:
    """Latents as the generator makes them: [samples, w_dim]; classes at random where it has them."""
    random = torch.Generator().manual_seed(seed)
    batches = []
    for start in range(0, samples, 1024):
        n = min(1024, samples - start)
        z = torch.randn(n, generator.z_dim, generator=random)
        c = None
        if generator.c_dim:
            c = torch.eye(generator.c_dim)[torch.randint(generator.c_dim, (n,), generator=random)]
        batches.append(generator.mapping(z, c, truncation_psi=truncation_psi)[:, 0].clone())
    return torch.cat(batches)
