import pytest
import torch
import torch.nn.functional as F

from ganvas.inversion.early_exit import EarlyExit, low_pass
from tests.inversion.generators import tiny


@pytest.mark.parametrize("family", ["stylegan2", "mobilestylegan", "mlp"])
@torch.no_grad()
def test_an_anchored_exit_is_the_full_picture_averaged_down(family):
    G = tiny(family)
    ws = G.mapping(torch.randn(1, G.z_dim))
    full = F.avg_pool2d(G.synthesis(ws), 2)
    exit = EarlyExit(G.img_resolution // 2, every=3, precision="exact")
    assert torch.allclose(exit(G, ws), full, atol=1e-4)


@torch.no_grad()
def test_between_anchors_the_difference_stays_and_then_it_is_taken_anew():
    G = tiny("stylegan2")
    a, b = G.mapping(torch.randn(2, G.z_dim))[:, None]
    exit = EarlyExit(16, every=2, precision="exact")
    missing = F.avg_pool2d(G.synthesis(a), 2) - G.synthesis(a, resolution=16)
    assert missing.abs().max() > 1e-3, "an early exit alone would be another picture"
    exit(G, a)
    assert torch.allclose(exit(G, b), G.synthesis(b, resolution=16) + missing, atol=1e-5)
    assert torch.allclose(exit(G, b), F.avg_pool2d(G.synthesis(b), 2), atol=1e-5), "the third call is an anchor"


def test_at_full_size_it_is_the_generator_itself():
    G = tiny("mobilestylegan")
    ws = G.mapping(torch.randn(1, G.z_dim)).detach()
    assert torch.equal(EarlyExit(64, every=1, precision="exact")(G, ws), G.synthesis(ws))


def test_gradients_reach_the_latent_and_the_weights():
    G = tiny("mobilestylegan")
    ws = G.mapping(torch.randn(1, G.z_dim)).detach().requires_grad_()
    img = EarlyExit(32, every=5, precision="fast")(G, ws)
    grads = torch.autograd.grad(img.square().sum(), [ws, G.levels[0].conv1.weight])
    assert all(g.isfinite().all() and g.any() for g in grads)


@torch.no_grad()
def test_fine_detail_is_anchored_by_its_share():
    G = tiny("stylegan2")
    ws = G.mapping(torch.randn(1, G.z_dim))
    cheap, full = G.synthesis(ws, resolution=16), F.avg_pool2d(G.synthesis(ws), 2)
    wide, half, whole = (EarlyExit(16, every=9, precision="exact", fine=share)(G, ws) for share in (0, 0.5, 1))
    assert torch.allclose(whole, full, atol=1e-5)
    assert torch.allclose(half, (wide + whole) / 2, atol=1e-5)
    assert torch.allclose(F.avg_pool2d(low_pass(full - cheap), 16), F.avg_pool2d(full - cheap, 16), atol=0.02)
    assert torch.allclose(wide - cheap, low_pass(full - cheap), atol=1e-5)
