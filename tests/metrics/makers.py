"""Small eyes, data and generators for the tests of figures."""

import numpy as np
import torch
from torch import nn

from ganvas.metrics.feature_extractor import FeatureExtractor


class Pool(nn.Module):
    """Features one can compute by hand: the mean of every cell of a 2x2 grid, a channel each: [N, 12]."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def embed(self, img):
        return nn.functional.adaptive_avg_pool2d(img, 2).flatten(1) * self.scale


def small_eyes(**settings):
    return FeatureExtractor(Pool().eval(), name="pool", short="Pool", input_px=8, **settings)


class NoisePictures:
    """`count` pictures of 8 px, uint8, from a seed; labels of two classes where asked for."""

    img_resolution, img_channels = 8, 3

    def __init__(self, count, *, seed=0, labels=False, low=0, high=256):
        self.pixels = torch.from_numpy(
            np.random.default_rng(seed).integers(low, high, (count, 3, 8, 8), dtype=np.uint8)
        )
        self.c_dim = 2 if labels else 0
        self.fingerprint = f"noise-{count}-{seed}"
        self.looked_at = []

    def __len__(self):
        return len(self.pixels)

    def batch(self, indices):
        self.looked_at += list(indices)
        c = torch.eye(2)[torch.from_numpy(indices % 2)] if self.c_dim else None
        return self.pixels[torch.from_numpy(indices)], c


class NoiseGenerator(nn.Module):
    """z is the picture: fakes are clipped Gaussian noise; c_dim = 2 adds the label to the brightness."""

    z_dim = w_dim = 192
    num_ws, img_resolution, img_channels = 1, 8, 3

    def __init__(self, *, c_dim=0, spread=0.3, shift=0.0):
        super().__init__()
        self.c_dim = c_dim
        self.spread = nn.Parameter(torch.tensor(spread))
        self.shift = shift
        self.labels = []

    def mapping(self, z, c=None, *, truncation_psi=1, truncation_cutoff=None):
        if c is not None:
            self.labels.append(c)
            z = z + c[:, :1]
        return z[:, None]

    def synthesis(self, ws, *, noise_mode="const", resolution=None, precision="exact"):
        assert not self.training and not torch.is_grad_enabled()
        return (ws[:, 0].reshape(-1, 3, 8, 8) * self.spread + self.shift).clamp(-1, 1)
