"""What is particular to the fully connected family; the rest is in test_contracts.py."""

import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.models import build


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_the_classic_64_px_network_has_its_published_size():
    assert count(build("mlp")) / 1e6 == pytest.approx(13.3, abs=0.05)
    assert count(build("mlp", network="D")) / 1e6 == pytest.approx(13.2, abs=0.05)


def test_the_classic_layers():
    G = build("mlp", img_channels=1)
    assert [layer.in_features for layer in G.layers] == [100, 256, 512, 1024]
    assert G.layers[-1].out_features == 4096
    D = build("mlp", network="D", img_channels=1)
    assert [layer.in_features for layer in D.layers] == [4096, 1024, 512, 256]


@torch.no_grad()
def test_synthesis_equals_the_formula_written_out():
    torch.manual_seed(0)
    G = build("mlp", img_resolution=4, img_channels=2, z_dim=3, widths=(5,)).eval()
    z = torch.randn(2, 3)
    hidden = z @ G.layers[0].weight.T + G.layers[0].bias
    hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    pixels = torch.tanh(hidden @ G.layers[1].weight.T + G.layers[1].bias)
    assert torch.allclose(G(z), pixels.reshape(2, 2, 4, 4), atol=1e-6)


@pytest.mark.parametrize(("resolution", "channels"), [(1, 1), (7, 3), (33, 4)])
def test_any_resolution_and_any_number_of_channels(resolution, channels):
    G = build("mlp", img_resolution=resolution, img_channels=channels, widths=(8,))
    D = build("mlp", network="D", img_resolution=resolution, img_channels=channels, widths=(8,))
    img = G(torch.randn(2, 100))
    assert img.shape == (2, channels, resolution, resolution)
    assert D(img).shape == (2,)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    D = build("mlp", network="D", img_resolution=8)
    img = torch.randn(1, 3, 8, 8)
    assert not torch.equal(D(img), D(img))
    D.eval()
    assert torch.equal(D(img), D(img))


def test_truncation_leaves_the_label_alone():
    G = build("mlp", c_dim=2, c_embed_dim=4, img_resolution=4).eval()
    z, c = torch.randn(2, 100), torch.eye(2)
    ws, pulled = G.mapping(z, c), G.mapping(z, c, truncation_psi=0.25)
    assert G.w_dim == 104
    assert torch.allclose(pulled[:, 0, :100], 0.25 * z)
    assert torch.equal(pulled[..., 100:], ws[..., 100:])
    assert torch.equal(ws[:, 0, 100:], G.embed.weight.T)


@pytest.mark.parametrize(
    "fields", [{"widths": (8, 0)}, {"z_dim": 0}, {"img_channels": 1.5}, {"c_dim": -1}, {"img_resolution": True}]
)
def test_impossible_settings_are_named(fields):
    with pytest.raises(BadConfig, match=next(iter(fields))):
        build("mlp", **fields)


def test_impossible_dropout_is_named():
    with pytest.raises(BadConfig, match=r"dropout.*1\.0"):
        build("mlp", network="D", dropout=1.0)


def test_discriminator_says_which_size_it_wants():
    with pytest.raises(BadImage, match="64 x 64 px, got 32 x 32"):
        build("mlp", network="D")(torch.zeros(1, 3, 32, 32))
