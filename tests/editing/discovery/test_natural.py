"""Latents that spread unevenly: the natural move changes the score, holds the others, and stays among them."""

import pytest
import torch

from ganvas.editing.discovery.natural import combine_moves, find_natural_move, measure_spread, regress_out
from ganvas.editing.discovery.regression import learn_direction
from ganvas.errors import BadConfig, BadLatent


def uneven(samples=4000, dim=24, seed=0):
    """Latents whose axes have standard deviations from 1 down to 0.03, in a turned frame."""
    rng = torch.Generator().manual_seed(seed)
    frame = torch.linalg.qr(torch.randn(dim, dim, generator=rng))[0]
    return torch.randn(samples, dim, generator=rng) * torch.logspace(0, -1.5, dim) @ frame.T, frame


def test_length_counts_standard_deviations_along_each_axis():
    w, frame = uneven()
    spread = measure_spread(w)
    for axis, sd in ((0, 1.0), (23, 10**-1.5)):
        assert spread.length(2 * sd * frame[:, axis]) == pytest.approx(2, rel=0.1)
    few = measure_spread(w[:10])  # fewer samples than numbers: only their own span is known
    assert few.axes.shape == (24, 9)
    assert (few.axes.T @ few.axes - torch.eye(9)).abs().max() < 1e-6


def test_the_natural_move_raises_its_score_holds_the_others_and_is_the_shortest():
    w, frame = uneven()
    spread = measure_spread(w)
    slope, other = (frame @ torch.randn(24, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    lengths = {}
    for power in (0.0, 0.5, 1.0):
        step = find_natural_move(slope, [other], spread, power=power)
        assert (step @ slope.double()).item() == pytest.approx(1)
        assert abs((step @ other.double()).item()) < 1e-5
        lengths[power] = spread.length(step)
    assert lengths[0.0] > 3 * lengths[0.5] > 3 * lengths[1.0]
    # nothing else with the same effect on both scores is shorter by Mahalanobis
    for seed in range(5):
        detour = torch.randn(24, generator=torch.Generator().manual_seed(seed)).double()
        both = torch.stack([slope, other], dim=1).double()
        detour -= both @ torch.linalg.lstsq(both, detour[:, None]).solution[:, 0]
        assert spread.length(step + 0.1 * detour) > lengths[1.0]


def test_nearly_the_same_score_may_be_held_softly():
    w, frame = uneven()
    spread, slope = measure_spread(w), frame[:, 3]
    twin = slope + 0.01 * frame[:, 20]
    hard, soft = (find_natural_move(slope, [twin], spread, slack=slack) for slack in (0, 0.1))
    assert spread.length(soft) < spread.length(hard) / 3
    assert (soft @ slope.double()).item() == pytest.approx(1)


def test_moves_that_were_measured_add_up_to_one_that_leaves_the_others_alone():
    w, frame = uneven()
    spread = measure_spread(w)
    effects = frame[:, :8] @ torch.randn(8, 6, generator=torch.Generator().manual_seed(3))  # of six scores, along w
    moves = frame[:, :10].T
    seen = moves @ effects  # what a fit would only guess
    steps = {slack: combine_moves(moves, seen[:, 0], seen[:, 1:], spread, slack=slack) for slack in (0.0, 1e-3, 0.1)}
    for step in steps.values():
        assert (step @ effects[:, 0].double()).item() == pytest.approx(1)
    leaks = [(step @ effects[:, 1:].double()).abs().max().item() for step in steps.values()]
    assert leaks[0] < 1e-4 and leaks[0] < leaks[1] < leaks[2]
    lengths = [spread.length(step) for step in steps.values()]
    assert lengths[0] > lengths[1] > lengths[2]


def test_what_confounds_a_score_is_taken_out_of_it_before_the_fit():
    w, frame = uneven(dim=6)
    turn = w @ frame[:, 0]
    width = w @ frame[:, 1] * 0.2 - turn.square()  # shrinks with a turn to either side
    rest = regress_out(width, turn[:, None])
    assert torch.corrcoef(torch.stack([rest, turn.square()]))[0, 1].abs() < 0.05
    plain, clean = (learn_direction(w, width, name="width", confounders=c) for c in (None, turn[:, None]))
    assert clean.facts["r2"] > 0.95 > plain.facts["r2"]


def test_a_learnt_direction_says_its_natural_length():
    w, frame = uneven()
    score = w @ frame[:, 0] + w @ frame[:, 23]  # as steep along the thinnest axis as along the widest
    plain = learn_direction(w, score, name="plain")
    natural = learn_direction(w, score, name="natural", spread=measure_spread(w))
    assert natural.facts["metric"] == "natural"
    assert natural.facts["length"] < 2 < measure_spread(w).length(plain.vector)
    assert (natural.vector @ (frame[:, 0] + frame[:, 23])).item() == pytest.approx(score.std().item(), rel=0.02)


def test_what_cannot_be_is_said():
    w, frame = uneven()
    spread = measure_spread(w)
    with pytest.raises(BadConfig, match="keep fewer"):
        find_natural_move(frame[:, 0], [frame[:, 0]], spread)
    with pytest.raises(BadConfig, match="0 to 1, got 2"):
        find_natural_move(frame[:, 0], [], spread, power=2)
    with pytest.raises(BadLatent, match="two samples"):
        measure_spread(w[:1])
    with pytest.raises(BadLatent, match="differ"):
        measure_spread(torch.ones(5, 3))
    with pytest.raises(BadLatent, match=r"\[3, K\], got \[2, 1\]"):
        regress_out(torch.ones(3), torch.ones(2, 1))
    with pytest.raises(BadConfig, match="none of the moves"):
        combine_moves(frame.T, torch.zeros(24), torch.ones(24, 1), spread)
    with pytest.raises(BadConfig, match="0 to 1, got -1"):
        combine_moves(frame.T, torch.ones(24), torch.ones(24, 1), spread, slack=-1)
