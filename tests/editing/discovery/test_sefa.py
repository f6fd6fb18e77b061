"""SeFa against its definition written out with loops, on every family that has styles."""

import math

import numpy as np
import pytest
import torch

import ganvas
from ganvas.editing.discovery.sefa import factorize, sefa, style_matrix
from ganvas.editing.style_space import style_layers
from ganvas.errors import BadConfig

TINY = {
    "stylegan2": {"img_resolution": 16, "channel_base": 256, "channel_max": 16, "z_dim": 8, "w_dim": 8},
    "stylegan3": {
        "img_resolution": 16,
        "channel_base": 256,
        "channel_max": 16,
        "z_dim": 8,
        "w_dim": 8,
        "num_layers": 4,
    },
    "mobilestylegan": {"z_dim": 8, "w_dim": 8, "channels": (16, 16, 8)},
}


def tiny(family, seed=0):
    torch.manual_seed(seed)
    return ganvas.build(family, **TINY[family]).eval()


def brute_force(G, rows):
    """A·Aᵀ summed one channel at a time, then its eigenvectors by numpy."""
    total = np.zeros((G.w_dim, G.w_dim))
    for layer in style_layers(G):
        if layer.row in rows:
            gain = getattr(layer.affine, "weight_gain", 1.0)
            for channel in layer.affine.weight.detach().double().numpy() * gain:
                unit = channel / math.sqrt((channel**2).sum())
                total += np.outer(unit, unit)
    values, vectors = np.linalg.eig(total)
    order = np.argsort(-values.real)
    return values.real[order], vectors.real[:, order]


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("rows", [None, (0, 1), (3,)])
def test_sefa_is_the_eigendecomposition_of_the_style_weights(family, rows):
    G = tiny(family)
    chosen = range(G.num_ws) if rows is None else rows
    values, vectors = brute_force(G, set(chosen))
    found = sefa(G, count=G.w_dim, layers=rows, samples=256)
    assert [d.facts["eigenvalue"] for d in found] == pytest.approx(values.tolist(), rel=1e-5, abs=1e-6)
    assert [d.facts["eigenvalue"] for d in found] == sorted((d.facts["eigenvalue"] for d in found), reverse=True)
    for i, direction in enumerate(found[:3]):
        unit = direction.vector[0].double() / direction.vector.double().norm()
        assert abs(float(unit @ torch.from_numpy(vectors[:, i].copy()))) == pytest.approx(1, abs=1e-6)
        assert direction.layers == (None if rows is None else rows)


@pytest.mark.parametrize("family", TINY)
def test_the_first_direction_changes_the_styles_most(family):
    """Unit columns make every channel count alike; so of all unit moves the first changes their squares' sum most."""
    G = tiny(family)
    _, vectors = factorize(G, range(G.num_ws))
    a = torch.cat([style_matrix(layer) for layer in style_layers(G)], dim=1)
    a = a / a.norm(dim=0)
    random = torch.nn.functional.normalize(torch.randn(500, G.w_dim, dtype=torch.float64), dim=1)
    assert (vectors[:, 0] @ a).norm() >= (random @ a).norm(dim=1).max()


def test_a_unit_is_the_spread_of_natural_latents():
    G = tiny("stylegan2")
    first = sefa(G, count=1, samples=4096)[0]
    w = G.mapping(torch.randn(4096, 8))[:, 0]
    along = w @ (first.vector[0] / first.vector.norm())
    assert first.vector.norm().item() == pytest.approx(along.std().item(), rel=0.1)


def test_what_has_no_styles_is_said():
    with pytest.raises(BadConfig, match=r"dcgan has no style channels.*mobilestylegan"):
        sefa(ganvas.build("dcgan", img_resolution=16))
    with pytest.raises(BadConfig, match="1 to 8"):
        sefa(tiny("stylegan2"), count=9)
