"""PCA against numpy's singular values, and on planted axes."""

import numpy as np
import pytest
import torch

import ganvas
from ganvas.editing.discovery.pca import pca, principal_axes
from ganvas.errors import BadConfig, BadLatent


@pytest.mark.parametrize("shape", [(500, 16), (10, 16)])
def test_axes_are_those_of_the_exact_svd(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 3, 16) + 5
    spread, axes = principal_axes(w)
    x = w.double().numpy() - w.double().numpy().mean(axis=0)
    _, singular, basis = np.linalg.svd(x, full_matrices=False)
    count = len(spread)
    assert count == min(shape[0] - 1, 16)
    assert spread.tolist() == pytest.approx((singular[:count] / np.sqrt(len(w) - 1)).tolist(), rel=1e-6)
    assert np.abs((axes.numpy() * basis[:count]).sum(axis=1)) == pytest.approx(np.ones(count), abs=1e-6)


def test_the_standard_deviation_is_the_unit():
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", img_resolution=16, channel_base=256, channel_max=16, z_dim=8, w_dim=8).eval()
    found = pca(G, count=8, samples=4000, layers=(0, 1), fingerprint="ab")
    assert [d.name for d in found] == [f"pca-{i}" for i in range(8)]
    assert sum(d.facts["share"] for d in found) == pytest.approx(1)
    for direction in found:
        assert direction.vector.norm().item() == pytest.approx(direction.facts["stdev"], rel=1e-5)
        assert (direction.layers, direction.fingerprint, direction.space) == ((0, 1), "ab", "w")


def test_latents_without_structure_are_refused():
    with pytest.raises(BadConfig, match="no mapping network"):
        pca(ganvas.build("dcgan", img_resolution=16))
    with pytest.raises(BadLatent, match=r"\[3, 4, 5\]"):
        principal_axes(torch.randn(3, 4, 5))
