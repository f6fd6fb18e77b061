"""Values published with TF-GAN's own tests, identities, and the right refusals."""

import math

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import BadConfig, BadInput
from ganvas.training.losses import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    RelativisticPairing,
    Wasserstein,
    class_cross_entropy,
    cycle,
    gaussian_surprise,
    identity,
    l1,
)

REAL = torch.tensor([-5, 1.4, 12.5, 2.7])
FAKE = torch.tensor([10, 4.4, -5.5, 3.6])
ALL = [
    NonSaturating(),
    Minimax(),
    LeastSquares(),
    Hinge(),
    Wasserstein(),
    RelativisticPairing(),
    RelativisticAverage(),
]


@pytest.mark.parametrize(
    ("loss", "generator", "discriminator"),
    [
        (LeastSquares(), 17.69625, 41.73375),
        (NonSaturating(real_target=0.875), 1.38582, 6.19637),
        (Minimax(real_target=0.875), -4.51082, 6.19637),
        (Minimax(), -4.51082, 5.83387),
        (Wasserstein(), -3.125, 0.225),
        (Hinge(), -3.125, 6.75),
    ],
)
def test_published_values(loss, generator, discriminator):
    assert loss.generator(FAKE).shape == loss.discriminator(REAL, FAKE).shape == (4,)
    assert loss.generator(FAKE).mean().item() == pytest.approx(generator, abs=2e-5)
    assert loss.discriminator(REAL, FAKE).mean().item() == pytest.approx(discriminator, abs=2e-5)


def test_the_published_minimax_value_has_the_constant_of_its_smoothed_real_term():
    # sp(-1) = 0.31326 is subtracted there; no gradient knows of it.
    assert Minimax().generator(FAKE).mean().item() - F.softplus(torch.tensor(-1.0)).item() == pytest.approx(
        -4.82408, abs=1e-5
    )


def test_published_values_of_the_relativistic_average():
    real = torch.tensor([-2, 0.4, 12.5, 2.7])
    assert RelativisticAverage().generator(FAKE, real).mean().item() == pytest.approx(4.9401135, abs=1e-6)
    assert RelativisticAverage().discriminator(real, FAKE).mean().item() == pytest.approx(4.390114, abs=1e-6)


def test_one_logit_by_hand():
    one, zero = torch.ones(1), torch.zeros(1)
    assert NonSaturating().generator(one).item() == pytest.approx(0.3132616)
    assert NonSaturating().discriminator(torch.full([1], 1e4), one).item() == pytest.approx(1.3132616)
    assert RelativisticPairing().discriminator(one, zero).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert RelativisticPairing().generator(one, zero).item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_pairing_compares_one_by_one():
    swapped = RelativisticPairing().discriminator(REAL, FAKE.flip(0))
    expected = [math.log1p(math.exp(f - r)) for r, f in zip(REAL.tolist(), FAKE.flip(0).tolist(), strict=True)]
    assert swapped.tolist() == pytest.approx(expected, rel=1e-5)


def test_minimax_and_non_saturating_are_one_game_for_the_discriminator():
    assert torch.equal(Minimax().discriminator(REAL, FAKE), NonSaturating().discriminator(REAL, FAKE))


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: type(loss).__name__)
class TestEveryLoss:
    def test_discriminator_wants_reals_up_and_fakes_down(self, loss):
        real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
        loss.discriminator(real, fake).mean().backward()
        assert (real.grad < 0).all()
        assert (fake.grad > 0).all() or isinstance(loss, LeastSquares)  # which is content with fakes at 0
        fake = torch.zeros(3, requires_grad=True)
        loss.generator(fake, torch.zeros(3)).mean().backward()
        assert (fake.grad < 0).all()

    def test_a_patch_discriminators_picture_counts_as_the_mean_of_its_patches(self, loss):
        real, fake = torch.randn(3, 5), torch.randn(3, 5)
        one_by_one = torch.stack([loss.discriminator(real[:, k], fake[:, k]) for k in range(5)], dim=1).mean(dim=1)
        assert torch.allclose(loss.discriminator(real, fake), one_by_one, atol=1e-6)
        one_by_one = torch.stack([loss.generator(fake[:, k], real[:, k]) for k in range(5)], dim=1).mean(dim=1)
        assert torch.allclose(loss.generator(fake, real), one_by_one, atol=1e-6)

    def test_half_precision_logits_are_judged_in_float32(self, loss):
        real, fake = REAL.bfloat16(), FAKE.bfloat16()
        assert loss.discriminator(real, fake).dtype == loss.generator(fake, real).dtype == torch.float32
        assert torch.equal(loss.discriminator(real, fake), loss.discriminator(real.float(), fake.float()))

    def test_large_logits_stay_finite(self, loss):
        large = torch.tensor([1e4, -1e4])
        assert loss.discriminator(large, -large).isfinite().all()
        assert loss.generator(large, -large).isfinite().all()

    def test_gradients(self, loss):
        real, fake = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
        assert torch.autograd.gradcheck(loss.discriminator, (real, fake))
        assert torch.autograd.gradcheck(loss.generator, (fake, real))

    def test_the_neutral_logit_is_where_mistakes_cost_the_same(self, loss):
        """Shifting all logits changes nothing exactly where there is no neutral one."""
        shifted = loss.discriminator(REAL + 3, FAKE + 3)
        assert torch.allclose(shifted, loss.discriminator(REAL, FAKE), atol=1e-5) == (loss.neutral is None)
        if loss.neutral is not None:
            off = torch.tensor([0.3])
            at = torch.tensor([loss.neutral])
            one, other = loss.discriminator(at + off, at + off), loss.discriminator(at - off, at - off)
            assert torch.allclose(one, other, atol=1e-6)

    def test_other_numbers_of_logits_are_refused(self, loss):
        with pytest.raises(BadInput, match=r"\[4\] and \[3\]"):
            loss.discriminator(REAL, FAKE[:3])

    def test_a_loss_that_compares_says_so(self, loss):
        if loss.pairs:
            with pytest.raises(BadInput, match="fresh real"):
                loss.generator(FAKE)
        else:
            assert torch.equal(loss.generator(FAKE), loss.generator(FAKE, REAL))


def test_the_random_margin_stays_within_its_range_and_follows_its_generator():
    zeros, rng = torch.zeros(5000), torch.Generator().manual_seed(1)
    loss = Hinge(margin_low=0.8).discriminator(zeros, zeros, rng=rng)  # the sum of two margins
    assert 1.6 <= loss.min() and loss.max() <= 2 and loss.mean().item() == pytest.approx(1.8, abs=0.01)
    assert torch.equal(loss, Hinge(margin_low=0.8).discriminator(zeros, zeros, rng=rng.manual_seed(1)))


@pytest.mark.parametrize("target", [0.5, 1.1, float("nan")])
def test_targets_that_are_no_targets_are_refused(target):
    with pytest.raises(BadConfig, match="real_target"):
        NonSaturating(real_target=target)
    with pytest.raises(BadConfig, match="real_target"):
        Minimax(real_target=target)
    with pytest.raises(BadConfig, match="margin_low"):
        Hinge(margin_low=-target)


def test_the_published_cycle_value():
    x, x_back = torch.tensor([[1.0, 2, 3], [4, 5, 6]]), torch.tensor([[7.0, 8, 9], [10, 11, 12]])
    y, y_back = torch.tensor([1.0, 9]), torch.tensor([-2.0, 3])
    assert cycle(x, x_back, y, y_back).mean().item() == 5.25
    assert identity(x, x_back, y, y_back).mean().item() == 5.25
    assert l1(x, x_back).tolist() == [6, 6]


def test_l1_refuses_to_broadcast():
    with pytest.raises(BadInput, match="the same shape"):
        l1(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


def test_the_published_auxiliary_classifier_values():
    fake = torch.tensor([[10, 4.4, -5.5, 3.6], [-4, 4.4, 5.2, 4.6], [1.1, 2.4, -3.5, 5.6], [1.1, 2.4, -3.5, 5.6]])
    real = torch.tensor([[-2, 0.4, 12.5, 2.7], [-1.2, 1.9, 12.3, 2.6], [-2.4, -1.7, 2.5, 2.7], [1.1, 2.4, -3.5, 5.6]])
    c = F.one_hot(torch.tensor([1, 2, 0, 0]), 4)
    assert class_cross_entropy(fake, c).mean().item() == pytest.approx(3.84974, abs=1e-5)
    both = class_cross_entropy(fake, c).mean() + class_cross_entropy(real, c).mean()
    assert both.item() == pytest.approx(9.43950, abs=1e-5)


def test_the_published_mutual_information_value():
    categorical = class_cross_entropy(torch.tensor([[1.0, 2]]), torch.tensor([[0.0, 1]]))
    gaussian = gaussian_surprise(torch.tensor([[2.0]]), torch.tensor([[0.0]]))
    assert ((categorical + gaussian) / 2).item() == pytest.approx(1.61610, abs=1e-5)
    assert gaussian_surprise(torch.tensor([[2.0]]), torch.zeros(1, 1), 2.0).item() == pytest.approx(
        0.5 + math.log(2) + math.log(2 * math.pi) / 2
    )
