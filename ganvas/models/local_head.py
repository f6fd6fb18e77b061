"""An early exit of MobileStyleGAN that is right for one latent and its neighbourhood, fitted in closed form.

The published network has a picture at its last size only. For one latent, though, a linear map from an earlier level's
features to the wavelet coefficients of that latent's own picture is found at once by ridge regression over its pixels;
it stays good while the latent moves a little, and an inversion refits it every few dozen steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.models.mobilestylegan import MobileStyleGANGenerator
from ganvas.ops.wavelet import from_wavelet, to_wavelet

RIDGE = 1e-4  # share of the mean variance of a feature


@torch.no_grad()
def fit_local_head(
    generator: MobileStyleGANGenerator, ws: Tensor, resolution: int
) -> Callable[[MobileStyleGANGenerator, Tensor, str], Tensor]:
    """The exit at `resolution` for latents near ws [1, num_ws, w_dim].

    Returns:
        A function (generator, ws, precision) → img [1, C, resolution, resolution], differentiable, for this generator
        or a copy tuned from it.
    """
    whole = generator.synthesis(ws)
    target = to_wavelet(F.interpolate(whole, (resolution, resolution), mode="area"))  # [1, 4·C, R/2, R/2]
    x = generator._features(ws, resolution // 2, noise_mode="const", precision="exact")
    rows = torch.cat([x.flatten(2)[0], torch.ones(1, x.shape[2] * x.shape[3])])  # [F + 1, pixels], the last is the bias
    scatter = rows @ rows.T
    scatter.diagonal()[:-1].add_(RIDGE * scatter.diagonal()[:-1].mean())
    solved = torch.linalg.solve(scatter, rows @ target.flatten(2)[0].T).T  # [4·C, F + 1]
    weight, bias = solved[:, :-1, None, None].contiguous(), solved[:, -1].contiguous()

    def exit(generator: MobileStyleGANGenerator, ws: Tensor, precision: str) -> Tensor:
        x = generator._features(ws, resolution // 2, noise_mode="const", precision=precision)
        return from_wavelet(F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype)).float())

    return exit
