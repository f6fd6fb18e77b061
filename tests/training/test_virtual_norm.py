"""Virtual batch normalisation against its definition, and a generator that has it."""

import pytest
import torch
from torch import nn

import ganvas
from ganvas.errors import BadConfig
from ganvas.training.generator.networks import GANPair
from ganvas.training.virtual_norm import use_virtual_batch_norm


def test_each_picture_is_normalised_as_one_more_of_the_fixed_batch():
    net = nn.BatchNorm2d(3, momentum=1.0)
    with torch.no_grad():
        net.weight.uniform_(0.5, 2)
        net.bias.uniform_(-1, 1)
    use_virtual_batch_norm(net, 5)
    x = torch.randn(9, 3, 4, 4) * 2 + 1
    out = net(x)
    fixed = x[:5]
    assert torch.allclose(out[:5], nn.functional.batch_norm(fixed, None, None, net.weight, net.bias, True), atol=1e-5)
    for one, got in zip(x[5:], out[5:], strict=True):
        together = torch.cat([fixed, one[None]])
        wanted = nn.functional.batch_norm(together, None, None, net.weight, net.bias, True)[5]
        assert torch.allclose(got, wanted, atol=1e-5)
    assert torch.allclose(net.running_mean, fixed.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(net.eval()(x), nn.BatchNorm2d.forward(net, x))


def test_a_fake_does_not_depend_on_its_neighbours_any_more():
    torch.manual_seed(0)
    G = ganvas.build("dcgan", img_resolution=16, ngf=4, z_dim=8, c_dim=2)
    D = ganvas.build("dcgan", network="D", img_resolution=16, ndf=4, c_dim=2)
    z, c = torch.randn(6, 8), torch.eye(2)[[0, 1, 0, 1, 0, 1]]
    for fixed in (None, (torch.randn(7, 8), torch.eye(2)[[0, 1, 1, 0, 1, 0, 1]])):
        if fixed is not None:
            use_virtual_batch_norm(G, 7)
        pair = GANPair(G, D, c_dim=2, dtype=torch.float32, fixed=fixed)
        whole = pair.synthesize(z, c, pair.latents(z, c, mixing=0, rng=torch.Generator())).img
        alone = pair.synthesize(z[:2], c[:2], pair.latents(z[:2], c[:2], mixing=0, rng=torch.Generator())).img
        assert whole.shape == (6, 3, 16, 16) and torch.allclose(whole[:2], alone, atol=1e-5) == (fixed is not None)


def test_a_generator_without_batch_norm_is_refused():
    with pytest.raises(BadConfig, match="virtual_norm=0"):
        use_virtual_batch_norm(nn.Linear(2, 2), 4)
