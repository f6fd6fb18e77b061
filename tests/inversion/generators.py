"""Tiny generators of every kind for the inversion tests: a family without z → w, one with rows of w, one with exits."""

import pytest
import torch

from ganvas.models import build

TINY = {
    "mlp": {"img_resolution": 16, "z_dim": 12, "widths": (48, 96)},
    "stylegan2": {
        "img_resolution": 32,
        "z_dim": 16,
        "w_dim": 24,
        "channel_base": 256,
        "channel_max": 16,
        "num_mapping_layers": 2,
    },
    "mobilestylegan": {"z_dim": 16, "w_dim": 24, "num_mapping_layers": 2, "channels": (16, 16, 12, 8)},
}


def tiny(family, **more):
    """In eval mode, made from seed 0, with pictures of about the contrast of a photo."""
    torch.manual_seed(0)
    G = build(family, **(TINY[family] | more)).eval()
    if family == "mobilestylegan":
        calm(G)
    if family != "mlp":
        with torch.no_grad():
            ws = G.mapping(torch.randn(16, G.z_dim))
            G.w_avg.copy_(ws[:, 0].mean(dim=0))
            contrast = G.synthesis(ws).std()
            for name, weight in G.named_parameters():
                if name.endswith(("torgb.weight", "to_img.weight")):
                    weight.mul_(0.4 / contrast)
    return G


@torch.no_grad()
def calm(G):
    """Less detail in the wavelets than fresh weights give, as in pictures of something."""
    for level in G.levels:
        channels = len(level.up.affine.bias)
        level.up.affine.weight[channels // 4 :] *= 0.1
        level.up.affine.bias[channels // 4 :] *= 0.1
    G.to_img.weight[G.img_channels :] *= 0.1


every_family = pytest.mark.parametrize("family", sorted(TINY))


@torch.no_grad()
def picture_of(G, seed=1):
    """A picture that the generator can make: [1, C, R, R]."""
    z = torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(seed))
    return G(z, truncation_psi=0.8).clamp(-1, 1)
