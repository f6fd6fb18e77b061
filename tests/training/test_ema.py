"""Averages against the same averages written out over the whole history of weights."""

import numpy as np
import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig, BadInput
from ganvas.models import build
from ganvas.training.ema import Ema, PowerEma, average_of_files, gamma_of, mix_coefficients, reconstruct
from ganvas.weights.checkpoint import save

BATCH = 10


def net_with(value):
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, value)
    return net


def follow(averages, values):
    """Let averages follow a network whose weight takes these values, one a step of BATCH images."""
    net = net_with(0.0)
    for step, value in enumerate(values, 1):
        nn.init.constant_(net.weight, value)
        for average in averages:
            average.update(net, BATCH, step * BATCH)


def weight(net):
    return net.weight.item()


def test_after_a_half_life_half_is_left():
    ema = Ema(net_with(1.0), half_life_kimg=0.5, ramp=None)
    follow([ema], [0.0] * 50)
    assert weight(ema.net) == pytest.approx(0.5, rel=1e-5)


def test_with_a_ramp_early_weights_are_forgotten_sooner():
    ema, values = Ema(net_with(99.0), half_life_kimg=1.0, ramp=0.05), torch.randn(400).tolist()
    follow([ema], values)
    average = 99.0
    for step, value in enumerate(values, 1):
        beta = 0.5 ** (BATCH / min(1000, 0.05 * step * BATCH))
        average = beta * average + (1 - beta) * value
    assert weight(ema.net) == pytest.approx(average, abs=1e-5)


def test_a_half_life_of_zero_is_the_latest_and_may_grow_later():
    ema = Ema(net_with(5.0), half_life_kimg=0)
    follow([ema], [1.0, 2.0])
    assert weight(ema.net) == 2
    ema.half_life_kimg, ema.ramp = 0.01, None
    ema.update(net_with(4.0), 10, 30)
    assert weight(ema.net) == 3


def test_the_average_is_still_and_buffers_are_copied():
    G = build("dcgan", img_resolution=8, z_dim=4, ngf=4)
    ema = Ema(G, half_life_kimg=1, ramp=None)
    with torch.no_grad():
        for p in G.parameters():
            p.add_(1)
        for b in G.buffers():
            b.add_(3)
    ema.update(G, 100, 100)
    assert not ema.net.training and not any(p.requires_grad for p in ema.net.parameters()) and G.training
    assert all(torch.equal(a, b) for a, b in zip(ema.net.buffers(), G.buffers(), strict=True))
    share = 1 - 0.5**0.1
    for a, b in zip(ema.net.parameters(), G.parameters(), strict=True):
        assert torch.allclose(a, b - 1 + share, atol=1e-5)


def test_a_style_generators_mean_latent_and_noise_are_copied():
    G = build("stylegan2", img_resolution=8, channel_base=64, channel_max=8, z_dim=8, w_dim=8, num_mapping_layers=2)
    ema = Ema(G, half_life_kimg=1000, ramp=None)
    G.update_w_avg(G.mapping(torch.randn(4, 8)), beta=0.5)
    ema.update(G, 1, 1)
    assert torch.equal(ema.net.w_avg, G.w_avg) and ema.net.w_avg.any()
    ws = G.mapping(torch.randn(1, 8)).detach()
    with torch.no_grad():
        before = ema.net.synthesis(ws, precision="fast")
        G.synthesis.b8.conv1.weight.data.mul_(-1)
        ema.half_life_kimg = 0
        ema.update(G, 1, 2)
        assert not torch.equal(ema.net.synthesis(ws, precision="fast"), before)  # no prepared weight is left over


@pytest.mark.parametrize("kind", [lambda net: Ema(net, 1.0), PowerEma])
def test_it_goes_on_where_it_stopped_bit_for_bit(kind):
    values = torch.randn(30).tolist()
    whole, first, second = kind(net_with(0.5)), kind(net_with(0.5)), kind(net_with(9.0))
    for step, value in enumerate(values, 1):
        now = first if step <= 20 else second
        whole.update(net_with(value), BATCH, step * BATCH)
        now.update(net_with(value), BATCH, step * BATCH)
        if step in (10, 25) and isinstance(whole, PowerEma):
            whole.keep(), now.keep()
        if step == 20:
            second.load_state_dict(first.state_dict())
    assert weight(whole.net) == weight(second.net)
    if isinstance(whole, PowerEma):
        assert weight(whole.reconstruct(0.07)) == weight(second.reconstruct(0.07))


def test_another_network_is_refused():
    with pytest.raises(BadInput, match="differ from those"):
        Ema(nn.Linear(2, 2), 1).update(nn.Linear(2, 3), 1, 1)
    with pytest.raises(BadConfig, match="half_life_kimg"):
        Ema(nn.Linear(2, 2), -1)
    with pytest.raises(BadInput, match="sigmas"):
        PowerEma(nn.Linear(2, 2), (0.1,)).load_state_dict(PowerEma(nn.Linear(2, 2), (0.05,)).state_dict())


@pytest.mark.parametrize(("sigma", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_gammas_of_the_paper(sigma, gamma):
    assert gamma_of(sigma) == pytest.approx(gamma, abs=0.005)


@pytest.mark.parametrize("sigma", [0.01, 0.075, 0.25])
def test_gamma_gives_the_sigma_back(sigma):
    time = (np.arange(200_000) + 0.5) / 200_000
    profile = time ** gamma_of(sigma)
    mean = (profile * time).sum() / profile.sum()
    assert np.sqrt((profile * (time - mean) ** 2).sum() / profile.sum()) == pytest.approx(sigma, rel=1e-3)


@pytest.mark.parametrize("sigma", [0, 0.29, -1])
def test_a_sigma_that_no_profile_has_is_refused(sigma):
    with pytest.raises(BadConfig, match=r"0\.2887"):
        PowerEma(nn.Linear(1, 1), (sigma,))


def test_power_average_is_the_average_of_its_profile():
    """Of τ² under the weight ∝ τ^γ: (γ + 1)/(γ + 3) of the last one."""
    steps = 2000
    ema = PowerEma(net_with(77.0), (0.05, 0.10))
    follow([ema], [(step / steps) ** 2 for step in range(1, steps + 1)])
    for sigma, net in ema.nets.items():
        gamma = gamma_of(sigma)
        assert weight(net) == pytest.approx((gamma + 1) / (gamma + 3), rel=2e-3)  # nothing of the 77 is left


def wandering(steps):
    """A weight that drifts and trembles, as weights do."""
    random = np.random.RandomState(0)
    return (np.cumsum(random.randn(steps)) / np.sqrt(steps) + 0.1 * random.randn(steps)).tolist()


@pytest.mark.parametrize("sigma", [0.04, 0.075, 0.15, 0.20])
def test_any_length_can_be_had_after_the_run(sigma):
    steps = 1600
    stored, true = PowerEma(net_with(0.0)), PowerEma(net_with(0.0), (sigma,))
    values = wandering(steps)
    net = net_with(0.0)
    for step, value in enumerate(values, 1):
        nn.init.constant_(net.weight, value)
        stored.update(net, BATCH, step * BATCH)
        true.update(net, BATCH, step * BATCH)
        if step % 50 == 0:
            stored.keep()
    error = abs(weight(stored.reconstruct(sigma)) - weight(true.net))
    assert error < 0.01 * np.std(values)
    nearest = min(abs(weight(each) - weight(true.net)) for each in stored.nets.values())
    assert error < nearest / 5  # and no stored average is as near


def test_a_stored_length_comes_back_as_it_is_and_earlier_moments_too():
    ema, then = PowerEma(net_with(0.0)), None
    for step, value in enumerate(wandering(400), 1):
        ema.update(net_with(value), BATCH, step * BATCH)
        if step % 50 == 0:
            ema.keep()
        if step == 200:
            then = weight(ema.nets[0.05])
    assert weight(ema.reconstruct(0.05)) == pytest.approx(weight(ema.net), abs=1e-5)
    assert weight(ema.reconstruct(0.05, nimg=200 * BATCH)) == pytest.approx(then, abs=1e-5)
    shares = mix_coefficients([(0.05, 1000), (0.10, 1000), (0.10, 2000)], 0.10, 2000)
    assert shares == pytest.approx([0, 0, 1], abs=1e-9)


def test_a_reconstructed_network_has_the_latest_buffers():
    G = build("dcgan", img_resolution=8, z_dim=4, ngf=4)
    ema = PowerEma(G)
    for step in range(1, 5):
        with torch.no_grad():
            for b in G.buffers():
                b.add_(1)
        ema.update(G, BATCH, step * BATCH)
        ema.keep(torch.float16)
    mixed = ema.reconstruct(0.08)
    assert all(torch.equal(a, b) for a, b in zip(mixed.buffers(), G.buffers(), strict=True))
    for a, b in zip(mixed.parameters(), G.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-3)  # they never moved, and half precision keeps three digits


def test_nothing_stored_is_said():
    with pytest.raises(BadInput, match="keep"):
        reconstruct([], 0.1)
    ema = PowerEma(net_with(0.0))
    follow([ema], [1.0, 2.0])
    with pytest.raises(BadInput, match="image 5"):
        ema.reconstruct(0.1, nimg=5)


def test_a_length_is_chosen_from_the_files_of_a_run(tmp_path):
    torch.manual_seed(0)
    G = build("mlp", img_resolution=4, z_dim=2, widths=(3,))
    stored, true = PowerEma(G), PowerEma(G, (0.15,))
    for step in range(1, 401):
        with torch.no_grad():
            for p in G.parameters():
                p.add_(0.01 + 0.1 * torch.randn_like(p))
        for average in (stored, true):
            average.update(G, BATCH, step * BATCH)
        if step % 20 == 0:
            for sigma, net in stored.nets.items():
                save(net, tmp_path / f"{sigma}-{step}.safetensors", trained_kimg=step * BATCH / 1000)
    mixed = average_of_files(tmp_path.glob("*.safetensors"), 0.15)
    assert not mixed.training and mixed.facts["power_sigma"] == 0.15
    for a, b, c in zip(mixed.parameters(), true.net.parameters(), stored.net.parameters(), strict=True):
        assert (a - b).abs().max() < 0.02 and (a - b).norm() < (b - c).norm() / 10


def test_files_of_something_else_are_refused(tmp_path):
    first = save(build("mlp", img_resolution=4, z_dim=2, widths=(3,)), tmp_path / "a", trained_kimg=1)
    with pytest.raises(BadInput, match=r"a\.safetensors is not a power-function EMA"):
        average_of_files([first], 0.1)
    one, two = (PowerEma(build("mlp", img_resolution=4, z_dim=2, widths=(w,))).net for w in (3, 4))
    paths = [save(one, tmp_path / "b", trained_kimg=1), save(two, tmp_path / "c", trained_kimg=2)]
    with pytest.raises(BadInput, match="different networks"):
        average_of_files(paths, 0.1)
    with pytest.raises(BadInput, match="no snapshots"):
        average_of_files([], 0.1)
