"""The oracle here is a generator with known structure: scores that are a linear function of w, plus noise."""

import pytest
import torch

from ganvas.editing.discovery.regression import (
    channel_direction,
    fit_scores,
    learn_direction,
    learn_from_sets,
    rank_channels,
)
from ganvas.errors import BadConfig, BadLatent


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


def planted(samples, dim, noise, seed=0):
    rng = torch.Generator().manual_seed(seed)
    w = torch.randn(samples, dim, generator=rng)
    slope = torch.nn.functional.normalize(torch.randn(dim, generator=rng), dim=0)
    return w, slope, w @ slope + noise * torch.randn(samples, generator=rng)


def test_a_planted_direction_is_found():
    w, slope, scores = planted(samples=20_000, dim=512, noise=0.5)
    found = learn_direction(w, scores, name="planted")
    assert cosine(found.vector, slope) >= 0.99
    assert found.facts["r2"] == pytest.approx(1 / 1.25, abs=0.03)  # the share of the variance that is not noise


def test_amount_one_is_one_standard_deviation_of_the_score():
    w, slope, scores = planted(samples=5_000, dim=32, noise=0)
    found = learn_direction(w, 7 * scores, name="planted", ridge=1e-6)
    assert (7 * (found.vector @ slope)).item() == pytest.approx((7 * scores).std().item(), rel=1e-3)


def test_a_confounder_can_be_held_still():
    rng = torch.Generator().manual_seed(1)
    w = torch.randn(20_000, 512, generator=rng)
    wanted, other = torch.linalg.qr(torch.randn(512, 2, generator=rng))[0].T
    scores = w @ (0.8 * wanted + 0.6 * other) + 0.5 * torch.randn(20_000, generator=rng)
    assert cosine(learn_direction(w, scores, name="mixed").vector, wanted) < 0.9
    held = learn_direction(w, scores, name="held", keep=[other])
    assert cosine(held.vector, wanted) >= 0.99
    assert abs(cosine(held.vector, other)) < 1e-5


def test_yes_and_no_marks_are_enough():
    w, slope, scores = planted(samples=5_000, dim=64, noise=0.5)
    assert cosine(learn_direction(w, (scores > 0).float(), name="marked").vector, slope) > 0.97


def test_scores_without_meaning_have_no_r2():
    w, _, _ = planted(samples=2_000, dim=16, noise=0)
    found = learn_direction(w, torch.randn(2_000, generator=torch.Generator().manual_seed(3)), name="noise")
    assert found.facts["r2"] < 0.02


def test_what_cannot_be_learnt_is_said():
    w, _, scores = planted(samples=100, dim=8, noise=0)
    with pytest.raises(BadConfig, match="differ"):
        learn_direction(w, torch.ones(100), name="flat")
    with pytest.raises(BadConfig, match="vanishes"):
        learn_direction(w, scores, name="gone", keep=list(torch.eye(8)))
    with pytest.raises(BadLatent, match=r"\[100, 8\], \[99\]"):
        learn_direction(w, scores[:99], name="short")


def test_logistic_regression_finds_the_optimum():
    """At the optimum the gradient of the penalised log-likelihood is zero; written out here."""
    w, _, scores = planted(samples=400, dim=8, noise=1)
    marks = (scores > 0).double()
    fit = fit_scores(w, marks, ridge=0.1)
    logits = w.double() @ fit.slope + fit.offset
    centred = w.double() - w.double().mean(dim=0)
    strength = 0.1 * (centred.square().sum(dim=0) / 4).mean()
    gradient = centred.T @ (logits.sigmoid() - marks) + strength * fit.slope
    assert gradient.abs().max() < 1e-5 * len(w)
    assert (logits.sigmoid() - marks).sum().abs() < 1e-5 * len(w)


def test_the_auc_is_the_share_of_pairs_in_the_right_order():
    w, _, scores = planted(samples=600, dim=4, noise=1)
    marks = (scores > 0.5).float()
    fit = fit_scores(w, marks, folds=20)  # held out, yet hardly different from the fit itself
    guess = w.double() @ fit.slope
    pairs = guess[marks > 0][:, None] - guess[marks == 0][None]
    assert fit.quality == pytest.approx((pairs > 0).double().mean().item(), abs=0.02)


def test_marks_the_wrong_way_round_point_the_other_way():
    w, _slope, scores = planted(samples=500, dim=16, noise=0.5)
    yes, no = w[scores > 0], w[scores <= 0]
    assert cosine(learn_from_sets(yes, no, name="a").vector, learn_from_sets(no, yes, name="b").vector) < -0.999


def test_few_samples_of_many_numbers_are_regularised_by_cross_validation():
    w, slope, scores = planted(samples=200, dim=512, noise=0.5)
    fixed = learn_direction(w, scores, name="fixed", ridge=1e-4)
    chosen = learn_direction(w, scores, name="chosen")
    assert chosen.facts["r2"] > fixed.facts["r2"]
    assert cosine(chosen.vector, slope) > 0.5
    assert (chosen.vector @ slope).abs() < 10 * scores.std(), "no unit leads out of the latents' world"


def test_dual_and_primal_regression_agree():
    w, _, scores = planted(samples=60, dim=40, noise=0.5)
    padded = torch.cat([w, torch.zeros(60, 40)], dim=1)  # more numbers than samples: the other way of solving
    primal, dual = (fit_scores(x, scores, ridge=r).slope for x, r in ((w, 0.1), (padded, 0.1)))
    assert cosine(dual[:40], primal) > 0.999
    assert dual[40:].abs().max() < 1e-9


def test_each_row_has_its_own_vector_in_w_plus():
    rng = torch.Generator().manual_seed(2)
    ws = torch.randn(3000, 4, 16, generator=rng)
    slope = torch.randn(16, generator=rng)
    found = learn_direction(ws, ws[:, 2] @ slope, name="third row")
    assert found.space == "w+"
    assert cosine(found.vector[2], slope) > 0.99
    assert found.vector[[0, 1, 3]].norm() < 0.1 * found.vector[2].norm()


def test_the_channel_that_examples_share_comes_first():
    rng = torch.Generator().manual_seed(4)
    natural = torch.randn(2000, 300, generator=rng) * torch.rand(300, generator=rng) * 5
    examples = natural[:12].clone()
    examples[:, 77] = natural[:, 77].mean() - 2.5 * natural[:, 77].std() * (1 + 0.1 * torch.randn(12, generator=rng))
    ranking = rank_channels(examples, natural)
    assert ranking.order[0] == 77
    found = channel_direction(ranking, name="channel")
    assert found.space == "s"
    assert found.vector.nonzero()[:, 1].tolist() == [77]
    assert found.vector[0, 77].item() == pytest.approx(-natural[:, 77].std().item(), rel=1e-4)


def test_what_channels_cannot_be_ranked_is_said():
    with pytest.raises(BadConfig, match="3 examples"):
        rank_channels(torch.randn(2, 9), torch.randn(50, 9))
    with pytest.raises(BadLatent, match=r"\[5, 8\]"):
        rank_channels(torch.randn(5, 8), torch.randn(50, 9))
    with pytest.raises(BadConfig, match="1 to 9"):
        channel_direction(rank_channels(torch.randn(5, 9), torch.randn(50, 9)), name="none", channels=10)
