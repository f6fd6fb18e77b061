"""A generator whose picture can be checked with a ruler: a few soft blobs, carried around together by its latent."""

import math
from dataclasses import dataclass

import torch

from ganvas.models.protocol import GeneratorModule

STARTS = torch.tensor([[0.0, 0.0], [-0.22, 0.1], [0.2, -0.18], [0.1, 0.24]])  # from the middle of all


@dataclass(frozen=True)
class BlobConfig:
    """How large its pictures are."""

    img_resolution: int = 64


class Blobs(GeneratorModule):
    """ws = z [N, 1, 6]: the place of the whole (2), of the second blob alone (2), size, colour."""

    family = "blobs"
    z_dim, c_dim, w_dim, num_ws, img_channels = 6, 0, 6, 1, 3

    def __init__(self, px=64):
        super().__init__()
        self.config, self.img_resolution = BlobConfig(px), px
        self.colours = torch.nn.Parameter(torch.rand(4, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1)
        self.mixing = torch.nn.Parameter(torch.randn(24, 4, generator=torch.Generator().manual_seed(2)))

    def centres(self, ws):
        """Where the blobs are, in sides of the picture: [N, 4, 2]."""
        z = ws[:, 0]
        places = 0.5 + 0.25 * torch.tanh(0.4 * z[:, None, :2]) + STARTS
        return places + 0.15 * torch.tanh(0.4 * z[:, None, 2:4]) * torch.tensor([0.0, 1, 0, 0])[None, :, None]

    def mapping(self, z, c=None, *, truncation_psi=1, truncation_cutoff=None):
        self.check_mapping(z, c)
        return z[:, None] * truncation_psi

    def _maps(self, ws, px):
        line = (torch.arange(px) + 0.5) / px
        y, x = torch.meshgrid(line, line, indexing="ij")
        at = self.centres(ws)[..., None, None]  # [N, 4, 2, 1, 1]
        wide = 0.05 * torch.exp(0.1 * ws[:, 0, 4])[:, None, None, None]
        squared = (x - at[:, :, 0]).square() + (y - at[:, :, 1]).square()
        return torch.exp(-squared / (2 * wide.square()))  # [N, 4, px, px]

    @property
    def feature_sizes(self):
        return tuple(4 << k for k in range(int(math.log2(self.img_resolution)) - 1))

    def features(self, ws, px, *, noise_mode="const", precision="exact"):
        self.check_features(ws, px, noise_mode, precision)
        return torch.einsum("kb,nbhw->nkhw", self.mixing, self._maps(ws, px))

    def synthesis(self, ws, *, noise_mode="const", resolution=None, precision="exact"):
        self.check_synthesis(ws, noise_mode, precision)
        maps = self._maps(ws, resolution or self.img_resolution)
        tint = (1 + 0.1 * ws[:, 0, 5])[:, None, None, None]
        return tint * torch.einsum("bc,nbhw->nchw", self.colours, maps)
