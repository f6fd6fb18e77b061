import pytest
import torch

from ganvas.inversion.latent_space import latent_space
from tests.inversion.generators import every_family, tiny


@every_family
@torch.no_grad()
def test_there_and_back(family):
    G = tiny(family)
    space = latent_space(G)
    ws = G.mapping(torch.randn(5, G.z_dim))
    v = space.from_ws(ws)
    assert v.shape == (5, G.num_ws, space.dim)
    assert torch.allclose(space.to_ws(v), ws, atol=0.05), "but for axes that hardly move"
    assert torch.allclose(space.to_ws(v[:, :1]), ws, atol=0.05), "one row stands for all"


@every_family
@torch.no_grad()
def test_natural_latents_are_a_standard_normal_ball(family):
    G = tiny(family)
    space = latent_space(G)
    v = space.from_ws(G.mapping(torch.randn(4000, G.z_dim)))[:, 0]
    assert v.mean(dim=0).abs().max() < 0.15
    assert v.square().mean().item() == pytest.approx(1, abs=0.1)
    off = v.T.cov() - torch.eye(space.dim)
    assert off.abs().max() < 0.35


@torch.no_grad()
def test_zero_is_the_mean_of_w_before_its_leaky_relu():
    G = tiny("stylegan2")
    space = latent_space(G)
    w = G.mapping(torch.randn(20_000, G.z_dim))[:, 0]
    p = torch.where(w < 0, 5 * w, w)
    assert torch.allclose(space.mean, p.mean(dim=0), atol=0.1)


@torch.no_grad()
def test_the_label_of_a_conditional_generator_stays():
    G = tiny("mlp", c_dim=3)
    c = torch.eye(3)[[1]]
    space = latent_space(G, c)
    assert space.dim == G.z_dim
    z = torch.randn(1, G.z_dim)
    assert torch.allclose(space.to_ws(z[:, None]), G.mapping(z, c), atol=1e-6)
    assert torch.allclose(space.from_ws(G.mapping(z, c)), z[:, None], atol=1e-5)
