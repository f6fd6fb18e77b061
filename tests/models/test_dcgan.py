"""What is particular to DCGAN; the rest is in test_contracts.py."""

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig
from ganvas.models import build
from ganvas.models.self_attention import SelfAttention


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_the_64_px_network_has_its_published_size():
    assert count(build("dcgan")) == 3_576_704  # 3.58 M
    assert count(build("dcgan", network="D")) == 2_765_568  # 2.77 M


@torch.no_grad()
def test_generator_equals_the_paper_written_out():
    """Figure 1 as a list of layers."""
    torch.manual_seed(0)
    G = build("dcgan", ngf=4).eval()
    up = [G.start, *G.stages]
    layers = []
    for k, (a, b) in enumerate([(100, 32), (32, 16), (16, 8), (8, 4)]):
        stride, padding = (1, 0) if k == 0 else (2, 1)
        conv = nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False)
        conv.weight.copy_(up[k].conv.weight)
        norm = nn.BatchNorm2d(b)
        norm.load_state_dict(up[k].norm.state_dict())
        layers += [conv, norm, nn.ReLU()]
    last = nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False)
    last.weight.copy_(G.to_img.weight)
    figure = nn.Sequential(*layers, last, nn.Tanh()).eval()
    z = torch.randn(2, 100)
    assert torch.allclose(G(z), figure(z[:, :, None, None]), atol=1e-6)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512])
def test_every_power_of_two(resolution):
    G = build("dcgan", img_resolution=resolution, ngf=1, channel_max=8)
    D = build("dcgan", network="D", img_resolution=resolution, ndf=1, channel_max=8)
    img = G(torch.randn(2, 100))
    assert img.shape == (2, 3, resolution, resolution)
    assert D(img).shape == (2,)


def test_stages_double_up_to_the_maximum():
    G = build("dcgan", img_resolution=256, ngf=8, channel_max=48)
    assert [stage.conv.in_channels for stage in G.stages] == [48, 48, 48, 32, 16]


@pytest.mark.parametrize("resolution", [4, 48, 1024])
def test_other_resolutions_are_refused_with_the_possible_ones(resolution):
    with pytest.raises(BadConfig, match="8, 16, 32, 64, 128, 256, 512"):
        build("dcgan", img_resolution=resolution)


def test_weights_start_as_in_section_4():
    torch.manual_seed(0)
    G, D = build("dcgan"), build("dcgan", network="D")
    for net in (G, D):
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.weight.mean().item() == pytest.approx(0, abs=0.002)
            elif isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert not module.bias.any()


@torch.no_grad()
def singular_values(D):
    return [float(torch.linalg.matrix_norm(conv.compute_weight().flatten(1), 2)) for conv in [D.from_img, *D.stages]]


def test_spectral_norm_holds_every_layer_at_one():
    torch.manual_seed(0)
    D = build("dcgan", network="D", img_resolution=32, ndf=8, norm="spectral")
    optimiser = torch.optim.Adam(D.parameters(), lr=2e-4)
    for _ in range(10):
        loss = D(torch.randn(4, 3, 32, 32)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert singular_values(D) == pytest.approx([1, 1, 1], abs=0.05)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in D.modules())


def test_without_batch_norm_a_picture_is_judged_alone_in_training_too():
    """What wgan-gp needs: its penalty is on the gradient of one sample."""
    img = torch.randn(3, 3, 16, 16)
    for norm, alone in (("none", True), ("spectral", True), ("batch", False)):
        D = build("dcgan", network="D", img_resolution=16, ndf=4, norm=norm).train()
        state = {k: v.clone() for k, v in D.state_dict().items()}
        together = D(img)[0]
        D.load_state_dict(state)
        assert torch.allclose(together, D(img[:1])[0], atol=1e-6) == alone


def test_unknown_norm_is_answered_with_the_known_ones():
    with pytest.raises(BadConfig, match="batch, none, spectral"):
        build("dcgan", network="D", norm="layer")


@torch.no_grad()
def test_label_is_projected_onto_the_features():
    """Eq. 4 of Miyato and Koyama: the logit is linear in the label, ψ(φ) + yᵀVφ."""
    torch.manual_seed(0)
    D = build("dcgan", network="D", img_resolution=8, ndf=4, c_dim=2).eval()
    img, eye = torch.randn(1, 3, 8, 8), torch.eye(2)
    unlabelled = D(img, torch.zeros(1, 2))
    a, b = D(img, eye[:1]), D(img, eye[1:])
    assert torch.allclose(D(img, torch.ones(1, 2)), a + b - unlabelled, atol=1e-5)
    assert not torch.allclose(a, b)


@torch.no_grad()
def test_attention_is_its_equations_and_begins_as_the_identity():
    """Zhang et al. 2019, eq. 1 to 3, place by place; keys and values are maxima of 2 x 2 places."""
    torch.manual_seed(0)
    block, x = SelfAttention(8), torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)
    block.gamma.fill_(0.7)
    for n in range(2):
        query, key, value = (
            conv.weight[:, :, 0, 0] @ x[n].flatten(1) for conv in (block.query, block.key, block.value)
        )
        key, value = (m.view(-1, 2, 2, 2, 2).amax(dim=(2, 4)).flatten(1) for m in (key, value))
        for place in range(16):
            share = torch.tensor([float(query[:, place] @ key[:, i]) for i in range(4)]).softmax(dim=0)
            seen = sum(share[i] * value[:, i] for i in range(4))
            out = x[n].flatten(1)[:, place] + 0.7 * block.out.weight[:, :, 0, 0] @ seen
            torch.testing.assert_close(block(x)[n].flatten(1)[:, place], out, rtol=1e-4, atol=1e-5)


def test_a_dcgan_attends_at_the_size_that_is_asked_for_in_both_networks():
    torch.manual_seed(0)
    G = build("dcgan", img_resolution=32, ngf=4, z_dim=8, attention_px=16)
    D = build("dcgan", network="D", img_resolution=32, ndf=4, attention_px=8, norm="spectral")
    for net in (G, D):
        torch.nn.init.ones_(net.attention.gamma)
    sizes = []
    for net in (G, D):
        net.attention.register_forward_hook(lambda module, inputs, out: sizes.append(out.shape[2]))
    D(G(torch.randn(2, 8))).sum().backward()
    assert sizes == [16, 8]
    assert all(float(p.grad.abs().sum()) > 0 for net in (G, D) for p in net.attention.parameters())
    assert type(D.attention.key).__name__ == "SpectralConv2d" and G.place_px("attention.key") == 16
    with pytest.raises(BadConfig, match="4, 8, 16; got 64"):
        build("dcgan", img_resolution=32, attention_px=64)
