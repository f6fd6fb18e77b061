"""Clean gradients, portions, frozen layers of every discriminator in the house, mixed styles."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganvas.errors import BadConfig, BadInput
from ganvas.models import FAMILIES, build
from ganvas.training.freeze_d import freeze_discriminator, layers_in_order
from ganvas.training.generator.train import train
from ganvas.training.generator.trainer import GeneratorTrainer
from ganvas.training.gradients import clean_gradients, gradient_norm, queue_clean_gradients, split_batch
from ganvas.training.style_mixing import apply_style_mixing
from tests.contracts import TINY
from tests.training import tiny

STYLE = {"img_resolution": 16, "channel_base": 64, "channel_max": 8}


def with_gradients(*gradients):
    params = []
    for gradient in gradients:
        params.append(nn.Parameter(torch.zeros(len(gradient))))
        params[-1].grad = torch.tensor(gradient)
    return params


def test_bad_gradients_are_cleaned_and_counted():
    inf, nan = float("inf"), float("nan")
    params = with_gradients([1.0, nan, 3.0], [inf, -inf, -2.0], [4.0])
    assert clean_gradients(params) == 3
    assert [p.grad.tolist() for p in params] == [[1, 0, 3], [1e5, -1e5, -2], [4]]
    assert clean_gradients(params) == 0


def test_good_gradients_are_left_alone_even_where_their_squares_overflow():
    params = [*with_gradients([1e30, 1e30], [3.0]), nn.Parameter(torch.zeros(2))]
    assert clean_gradients(params) == 0
    assert params[0].grad.tolist() == pytest.approx([1e30, 1e30]) and params[2].grad is None
    assert clean_gradients([nn.Parameter(torch.zeros(2))]) == 0


def test_half_precision_gradients_are_cleaned_too():
    p = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    p.grad = torch.tensor([float("nan"), 1.0], dtype=torch.bfloat16)
    assert clean_gradients(iter([p])) == 1 and p.grad.tolist() == [0, 1]


def test_the_norm_is_over_everything():
    assert gradient_norm(with_gradients([3.0, 0.0], [4.0])) == 5
    assert gradient_norm([nn.Parameter(torch.zeros(2))]) == 0


@pytest.mark.parametrize(("batch", "largest"), [(16, 16), (16, 6), (7, 3), (5, 1), (3, 10)])
def test_portions_cover_the_batch_evenly(batch, largest):
    cut = split_batch(batch, largest)
    sizes = [len(range(batch)[each]) for each in cut]
    assert [i for each in cut for i in range(batch)[each]] == list(range(batch))
    assert max(sizes) <= largest and max(sizes) - min(sizes) <= 1 and len(cut) == -(-batch // largest)


def test_gradients_of_the_portions_add_up_to_those_of_the_batch():
    torch.manual_seed(0)
    net, x = nn.Linear(3, 1).double(), torch.randn(7, 3, dtype=torch.float64)
    F.softplus(net(x)[:, 0]).mean().backward()
    whole = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    for part in split_batch(7, 3):
        (F.softplus(net(x[part])[:, 0]).sum() / 7).backward()
    assert all(torch.allclose(p.grad, g) for p, g in zip(net.parameters(), whole, strict=True))


def test_portions_of_nothing_are_refused():
    with pytest.raises(BadConfig, match="0 and 4"):
        split_batch(0, 4)


JUDGES = sorted(name for name, family in FAMILIES.items() if family.discriminator)


def judge(name, **fields):
    return build(name, network="D", **{**TINY[name].discriminator, **fields})


@pytest.mark.parametrize("name", JUDGES)
def test_freezing_stops_the_first_layers_of_every_family(name):
    torch.manual_seed(0)
    D = judge(name)
    order = layers_in_order(D)
    frozen = freeze_discriminator(D, 2)
    assert frozen == [layer for layer, _ in order[:2]] and len(order) >= 3
    still = {n for n, p in D.named_parameters() if not p.requires_grad}
    assert still and all(any(n.startswith(each + ".") for each in frozen) for n in still if "norm" not in n)
    before = {n: p.detach().clone() for n, p in D.named_parameters()}
    px = getattr(D, "img_resolution", 16)
    D(torch.randn(2, D.img_channels, px, px)).sum().backward()
    torch.optim.SGD([p for p in D.parameters() if p.requires_grad], lr=1).step()
    assert all(
        torch.equal(p, before[n]) == (n in still or p.grad is None or not p.grad.any()) for n, p in D.named_parameters()
    )
    moved = [n for n, p in D.named_parameters() if not torch.equal(p, before[n])]
    assert moved and not set(moved) & still


@pytest.mark.parametrize("name", JUDGES)
def test_looking_at_the_layers_changes_nothing(name):
    D = judge(name)
    before = {n: t.clone() for n, t in D.state_dict().items()}
    layers_in_order(D)
    assert D.training and all(p.requires_grad for p in D.parameters())
    assert all(torch.equal(t, before[n]) for n, t in D.state_dict().items())
    assert not any(module._forward_hooks for module in D.modules())


def test_layers_of_a_style_discriminator_are_counted_as_published():
    D = build("stylegan2", network="D", **{**STYLE, "img_resolution": 64}, c_dim=3)
    order = [name for name, _ in layers_in_order(D)]
    assert order[:4] == ["b64.fromrgb", "b64.skip", "b64.conv0", "b64.conv1"]
    frozen = freeze_discriminator(D, 10)  # 4 + 3 + 3: three whole blocks
    whole = {n for n, _ in D.named_parameters() if n.startswith(("b64.", "b32.", "b16."))}
    assert {n for n, p in D.named_parameters() if not p.requires_grad} == whole and len(frozen) == 10
    assert not any(name.startswith("mapping") for name in order)  # a label's layers do not see the picture


def test_fastgan_meets_the_large_picture_first_and_dcgans_norms_freeze_with_their_convolution():
    assert layers_in_order(judge("fastgan"))[0][0].startswith("enter")
    D = build("dcgan", network="D", img_resolution=32, ndf=4)
    freeze_discriminator(D, 2)
    assert {n.rsplit(".", 1)[0] for n, p in D.named_parameters() if not p.requires_grad} == {
        "from_img",
        "stages.0",
        "norms.0",
    }


def test_a_second_call_replaces_the_first():
    D = judge("dcgan")
    freeze_discriminator(D, 2)
    assert freeze_discriminator(D, 0) == [] and all(p.requires_grad for p in D.parameters())


@pytest.mark.parametrize("layers", [-1, 99, 4.5])
def test_a_nonsense_number_of_layers_is_refused(layers):
    D = build("dcgan", network="D", img_resolution=16, ndf=4)
    with pytest.raises(BadConfig, match=r"0 to 2 layers .* from from_img to to_logit"):
        freeze_discriminator(D, layers)


def test_a_users_own_network_is_shown_a_picture():
    D = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(144, 1))
    with pytest.raises(BadInput, match="img_channels"):
        freeze_discriminator(D, 1)
    assert freeze_discriminator(D, 1, img=torch.zeros(1, 1, 8, 8)) == ["0"]
    assert [p.requires_grad for p in D.parameters()] == [False] * 4 + [True] * 2


class TestMixing:
    G = None

    @pytest.fixture(autouse=True)
    def generator(self):
        torch.manual_seed(0)
        self.G = build("stylegan2", **STYLE, z_dim=8, w_dim=8, num_mapping_layers=2, c_dim=2).eval()
        self.z, self.c = torch.randn(600, 8), F.one_hot(torch.randint(2, (600,)), 2).float()
        self.ws = self.G.mapping(self.z, self.c)

    def mixed(self, prob, seed=0):
        return apply_style_mixing(self.G, self.z, self.c, prob, rng=torch.Generator().manual_seed(seed))

    def test_first_rows_are_the_first_latents_and_the_rest_is_one_other(self):
        ws = self.mixed(1.0)
        same = (ws == self.ws).all(dim=2)
        assert same[:, 0].all() and not same[:, -1].any()
        assert (same.int().diff(dim=1) <= 0).all()  # once it has changed it stays changed
        other = ws[:, -1:].expand_as(ws)
        assert torch.equal(torch.where(same[:, :, None], self.ws, other), ws)

    def test_the_share_and_the_rows_are_as_asked(self):
        same = (self.mixed(0.9) == self.ws).all(dim=2)
        kept = same.sum(dim=1)
        rows = self.G.num_ws
        assert (kept < rows).float().mean().item() == pytest.approx(0.9, abs=0.04)
        counts = torch.bincount(kept[kept < rows], minlength=rows)[1:].float()
        assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.3 * counts.mean()

    def test_it_is_repeatable_and_can_be_off(self):
        assert torch.equal(self.mixed(0.5, 3), self.mixed(0.5, 3))
        assert not torch.equal(self.mixed(0.5, 3), self.mixed(0.5, 4))
        assert torch.equal(self.mixed(0), self.ws)

    def test_a_generator_with_one_row_has_nothing_to_mix(self):
        G, z = build("mlp", img_resolution=8, z_dim=4, widths=(8,)), torch.randn(2, 4)
        assert torch.equal(apply_style_mixing(G, z, None, 0.9, rng=torch.Generator()), G.mapping(z))

    def test_a_share_above_one_is_refused(self):
        with pytest.raises(BadConfig, match="0 to 1"):
            self.mixed(1.5)


def test_a_clipped_critic_keeps_its_weights_within_the_bound():
    config = tiny.config(family="dcgan", generator={"ngf": 4, "z_dim": 8}, discriminator={"ndf": 4, "norm": "none"})
    wgan = dataclasses.replace(
        config, loss="wgan", clip_weights=0.01, r1_gamma=0.0, augment="none", d_steps=2, total_kimg=0.016
    )
    D = train(tiny.pictures(), config=wgan, device="cpu").discriminator
    assert max(float(p.detach().abs().max()) for p in D.parameters()) == pytest.approx(0.01)
    with pytest.raises(BadConfig, match=r"clip_weights=0\.01"):
        dataclasses.replace(wgan, clip_weights=0.0)


class Looks(TorchDispatchMode):
    """Counts the places where Python asks for a number: there a GPU would be waited for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["stylegan2", "dcgan", "fastgan"])
def test_a_step_on_a_gpu_asks_for_no_number(monkeypatch, family):
    step, counts = GeneratorTrainer.step, []

    def step_as_on_a_gpu(self, batch):
        self.waits_for_device = False
        with Looks() as looks:
            step(self, batch)
        counts.append(looks.count)

    monkeypatch.setattr(GeneratorTrainer, "step", step_as_on_a_gpu)
    preset = {"stylegan2": "style-64-cpu", "dcgan": "dcgan-64", "fastgan": "fast-64"}[family]
    changes = {"path_length": 1.0, "mixing": 0.9} if family == "stylegan2" else {}
    config = tiny.narrowed(preset, precision="exact", **changes)
    done = train(tiny.pictures(8, config.resolution), config=config, device="cpu")
    drawn = int(family == "fastgan")  # which quarter D rebuilds is drawn by the processor, which nobody waits for
    assert counts == [drawn] * 3 and "grad_norm_G" in done.log[-1] and done.log[-1]["bad_share"] == 0
    with Looks() as looks:
        assert bool(torch.ones(()) > 0)
    assert looks.count == 1  # the count itself works


def test_cleaning_without_looking_gives_the_same():
    one, other = (with_gradients([3.0, float("nan")], [float("-inf"), 4.0]) for _ in range(2))
    clean_gradients(one)
    bad, length = queue_clean_gradients(other)
    assert [p.grad.tolist() for p in one] == [p.grad.tolist() for p in other] == [[3, 0], [-1e5, 4]]
    assert float(bad) == 1 and float(length) == pytest.approx(gradient_norm(one))
    assert [float(each) for each in queue_clean_gradients(other)] == [0, pytest.approx(gradient_norm(one))]
