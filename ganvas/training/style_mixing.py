"""Style mixing regularisation."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.models.protocol import Generator


def apply_style_mixing(
    G: Generator, z: Tensor, c: Tensor | None = None, prob: float = 0.9, *, rng: torch.Generator
) -> Tensor:
    """Latents for training with style mixing: some images take their later rows from a second z.

    Args:
        G: a generator; one with a single row (num_ws = 1) has nothing to mix.
        z: [N, z_dim].
        c: [N, c_dim] labels, the same for both latents.
        prob: share of pictures that are mixed; each at its own row, from 1 to num_ws − 1.
        rng: draws the second z, who is mixed, and where.

    Returns:
        ws [N, num_ws, w_dim]; row 0 always comes from z.

    Raises:
        BadConfig: prob is not a probability.

    Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 3.1.
    """
    if not 0 <= prob <= 1:
        raise BadConfig(f"the probability of style mixing must be from 0 to 1, got {prob}")
    ws = G.mapping(z, c)
    if prob == 0 or G.num_ws == 1:
        return ws
    other = torch.randn(z.shape, generator=rng, device=rng.device).to(z)
    row = torch.randint(1, G.num_ws, (len(z), 1), generator=rng, device=rng.device)
    mixed = torch.rand(len(z), 1, generator=rng, device=rng.device) < prob
    second = (torch.arange(G.num_ws, device=rng.device) >= row) & mixed  # [N, num_ws]
    return torch.where(second[:, :, None].to(ws.device), G.mapping(other, c), ws)
