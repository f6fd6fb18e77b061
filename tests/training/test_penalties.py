"""Penalties against gradients known in closed form, finite differences, and the published value of WGAN-GP."""

import math

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.models import build
from ganvas.ops.resample import fast_layout
from ganvas.training.diffaugment import DiffAugment
from ganvas.training.penalties import PathLength, gradient_penalty, r1_penalty, r2_penalty, slope_penalty

IMG = torch.linspace(-1, 1, 2 * 3 * 4 * 4).view(2, 3, 4, 4)


def quadratic(img, c=None):
    """Its slope at img is 2·img."""
    return img.square().sum(dim=(1, 2, 3))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("penalty", [r1_penalty, r2_penalty])
def test_r1_and_r2_sum_over_pixels(penalty):
    expected = 3 / 2 * (2 * IMG).square().sum(dim=(1, 2, 3))
    assert torch.allclose(penalty(quadratic, IMG, gamma=3), expected)


def test_the_slope_is_that_of_finite_differences():
    torch.manual_seed(0)
    D = build("stylegan2", network="D", img_resolution=8, channel_base=64, channel_max=8).double()
    img = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    bumps = torch.eye(192, dtype=torch.float64).view(192, 3, 8, 8) * 1e-6
    with torch.no_grad():
        slopes = [(D(img + b) - D(img - b)) / 2e-6 for b in bumps]
    assert torch.allclose(r1_penalty(D, img, gamma=2), torch.stack(slopes).square().sum(dim=0), rtol=1e-4)


def test_of_a_patch_discriminator_the_mean_counts():
    def patches(img, c=None):
        return quadratic(img)[:, None] * torch.tensor([1.0, 3.0])

    assert torch.allclose(r1_penalty(patches, IMG, gamma=1), r1_penalty(lambda x: 2 * quadratic(x), IMG, gamma=1))


def test_each_sample_has_its_own_penalty_and_labels_arrive():
    def labelled(img, c):
        return quadratic(img) * c[:, 0]

    both = r1_penalty(labelled, IMG, torch.tensor([[0.0], [2.0]]), gamma=1)
    assert both[0] == 0 and torch.allclose(both[1], 4 * r1_penalty(quadratic, IMG, gamma=1)[1])


def test_the_penalty_reaches_the_discriminator_and_not_the_picture():
    weight = torch.tensor(2.0, requires_grad=True)
    img = IMG.clone().requires_grad_(True)
    r1_penalty(lambda x: weight * quadratic(x), img, gamma=1).sum().backward()
    assert weight.grad.item() == pytest.approx(2 * 4 * 4 * IMG.square().sum().item() / 4, rel=1e-5)  # d/dw ½w²·4Σx²
    assert img.grad is None


def test_through_an_augmentation_it_is_taken_at_the_picture_before():
    shift = lambda img: torch.roll(img, 1, dims=3) * 3 + 5  # noqa: E731
    slope = 2 * (3 * IMG + 5) * 3  # of Σ(3x + 5)²
    expected = slope.square().sum(dim=(1, 2, 3)) / 2
    assert torch.allclose(r1_penalty(lambda x: quadratic(shift(x)), IMG, gamma=1), expected)


def test_logits_that_exist_already_give_the_same():
    img = IMG.clone().requires_grad_(True)
    assert torch.equal(slope_penalty(quadratic(img), img, gamma=2), r1_penalty(quadratic, IMG, gamma=2))
    with pytest.raises(BadInput, match="requires_grad_"):
        slope_penalty(quadratic(IMG), IMG, gamma=2)
    with pytest.raises(BadInput, match="does not depend on"):
        slope_penalty(quadratic(img), IMG.clone().requires_grad_(True), gamma=2)


def test_channels_last_and_bfloat16_give_nearly_the_same_in_float32():
    torch.manual_seed(0)
    D = build("r3gan", network="D", img_resolution=8, widths=(16, 16), blocks=(1, 1))
    for p in D.parameters():
        nn.init.normal_(p, std=0.2)
    img = torch.randn(4, 3, 8, 8)
    exact = r1_penalty(D, img, gamma=1)
    assert torch.allclose(r1_penalty(D, fast_layout(img), gamma=1), exact, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = r1_penalty(lambda x: D(DiffAugment(())(x, rng=rng())), img, gamma=1)
    assert fast.dtype == torch.float32 and torch.allclose(fast, exact, rtol=0.1)
    D.zero_grad()
    fast.mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())
    assert sum(p.grad is not None and bool(p.grad.any()) for p in D.parameters()) > 5


def test_the_published_gradient_penalty():
    """D(x) = 2x element by element on one 4-vector: the slope has length 4, and (4 − 1)² = 9."""
    double = lambda x: (2 * x).sum(dim=(1, 2, 3))  # noqa: E731
    real, fake = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    assert gradient_penalty(double, real, fake, weight=1, rng=rng()).item() == pytest.approx(9)
    assert gradient_penalty(double, real, fake, weight=1, target=2, rng=rng()).item() == pytest.approx(1)
    assert gradient_penalty(double, real, fake, weight=1, target=8, rng=rng()).item() == pytest.approx(0.25)
    assert gradient_penalty(double, real, fake, weight=1, target=8, one_sided=True, rng=rng()).item() == 0


def test_the_gradient_penalty_looks_between_the_two_pictures():
    seen = []
    gradient_penalty(
        lambda x: (seen.append(x.detach()), quadratic(x))[1],
        torch.zeros(500, 1, 2, 2),
        torch.ones(500, 1, 2, 2),
        rng=rng(),
    )
    places = seen[0].flatten(1)
    assert (places == places[:, :1]).all()  # one place on the line a picture
    assert places.min() >= 0 and places.max() <= 1 and places.std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_the_gradient_penalty_is_finite_where_the_slope_is_zero():
    weight = torch.zeros(1, requires_grad=True)
    gradient_penalty(lambda x: weight * quadratic(x), IMG, IMG, rng=rng()).sum().backward()
    assert weight.grad.isfinite().all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="the same shape"):
        gradient_penalty(quadratic, IMG, IMG[:1], rng=rng())
    with pytest.raises(BadConfig, match="above 0"):
        gradient_penalty(quadratic, IMG, IMG, target=0, rng=rng())
    with pytest.raises(BadImage, match="r1_penalty"):
        r1_penalty(quadratic, IMG[0], gamma=1)
    D = build("dcgan", network="D", img_resolution=16, ndf=4)
    with pytest.raises(BadInput, match=r"norms\.0 is one"):
        gradient_penalty(D, torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16), rng=rng())
    without = build("dcgan", network="D", img_resolution=16, ndf=4, norm="none")
    assert gradient_penalty(without, torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16), rng=rng()).shape == (2,)


class TestPathLength:
    def painted(self, ws, scale):
        """A linear generator: img = ws · A, so that the slope is known."""
        return (ws * scale).reshape(len(ws), 1, *ws.shape[1:])

    def test_of_a_linear_generator(self):
        ws = torch.zeros(3, 2, 8, requires_grad=True)
        noise = torch.randn(3, 1, 2, 8, generator=rng(1)) / math.sqrt(2 * 8)
        expected = (5 * noise[:, 0]).square().sum(dim=2).mean(dim=1).sqrt()
        penalty = PathLength(weight=2, decay=0.5)
        value = penalty(self.painted(ws, 5), ws, rng(1))
        mean = 0.5 * expected.mean()  # the mean moves first, from 0
        assert torch.allclose(value, 2 * (expected - mean).square(), rtol=1e-5)
        assert penalty.mean.item() == pytest.approx(mean.item(), rel=1e-5)

    def test_the_length_is_that_of_the_generators_slope(self):
        """E ℓ² = scale² · (numbers in a row of ws) / (H·W), by the definition of the noise."""
        ws = torch.zeros(4000, 2, 8, requires_grad=True)
        lengths = PathLength().lengths(self.painted(ws, 3), ws, rng(2))
        assert lengths.square().mean().item() == pytest.approx(9 * 8 / 16, rel=0.02)

    def test_it_pulls_every_length_to_the_mean(self):
        scale = torch.tensor([1.0, 3.0], requires_grad=True)
        ws = torch.zeros(2, 2, 200, requires_grad=True)
        penalty = PathLength(decay=1.0)
        penalty(self.painted(ws, scale[:, None, None]), ws, rng()).sum().backward()
        assert scale.grad[0] < 0 < scale.grad[1]

    def test_it_goes_on_where_it_stopped(self):
        ws = torch.zeros(2, 2, 4, requires_grad=True)
        first, second = PathLength(), PathLength()
        first(self.painted(ws, 2), ws, rng())
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(self.painted(ws, 2), ws, rng()), second(self.painted(ws, 2), ws, rng()))

    def test_on_a_real_generator_it_reaches_every_style(self):
        G = build("stylegan2", img_resolution=8, channel_base=64, channel_max=8, z_dim=8, w_dim=8, num_mapping_layers=2)
        ws = G.mapping(torch.randn(2, 8))
        PathLength()(G.synthesis(ws), ws, rng()).mean().backward()
        assert G.synthesis.b4.conv1.affine.weight.grad.abs().sum() > 0
        assert G.mapping.fc0.weight.grad.abs().sum() > 0

    def test_latents_without_gradients_are_refused(self):
        ws = torch.zeros(2, 2, 4)
        with pytest.raises(BadInput, match="requires_grad_"):
            PathLength()(self.painted(ws, 2), ws, rng())
