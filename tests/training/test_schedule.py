import math

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig
from ganvas.training.schedule import constant, cosine, lazy_adam, lazy_ratio, set_adam


def test_cosine_goes_from_start_to_end_and_stays():
    assert cosine(2e-4, 5e-5, 0, 100) == pytest.approx(2e-4)
    assert cosine(2e-4, 5e-5, 50, 100) == pytest.approx(1.25e-4)
    assert cosine(2e-4, 5e-5, 25, 100) == pytest.approx(5e-5 + 1.5e-4 * (1 + math.sqrt(0.5)) / 2)
    assert cosine(2e-4, 5e-5, 100, 100) == cosine(2e-4, 5e-5, 1e9, 100) == 5e-5
    assert cosine(0, 1, -5, 100) == 0 and cosine(0, 1, 0, 0) == 1
    assert constant(3.0, 7, 9) == 3.0


def test_lazy_rates_are_the_papers():
    adam = lazy_adam([nn.Parameter(torch.zeros(1))], 0.0025, (0, 0.99), 16)
    assert adam.param_groups[0]["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert adam.param_groups[0]["betas"] == pytest.approx((0, 0.99 ** (16 / 17)))
    assert lazy_ratio(4) == 0.8


@pytest.mark.parametrize("every", [None, 0, 1])
def test_a_regulariser_without_steps_of_its_own_changes_nothing(every):
    adam = lazy_adam([nn.Parameter(torch.zeros(1))], 0.1, (0, 0.99), every)
    assert adam.param_groups[0]["lr"] == 0.1 and adam.param_groups[0]["betas"] == (0.0, 0.99)


def test_over_one_round_of_steps_lazy_adam_forgets_and_moves_as_much_as_plain_adam():
    """k + 1 lazy steps are k plain ones: they forget as much, and go as far under one gradient."""
    ways = []
    for every, steps in ((None, 16), (16, 17)):
        x = nn.Parameter(torch.zeros(1))
        adam = lazy_adam([x], 0.01, (0.0, 0.99), every)
        for _ in range(steps):
            x.grad = torch.ones(1)
            adam.step()
        ways.append((x.item(), adam.param_groups[0]["betas"][1] ** steps))
    assert ways[0] == pytest.approx(ways[1], rel=1e-5)


def test_rates_can_be_changed_on_the_way():
    adam = lazy_adam([nn.Parameter(torch.zeros(1))], 1.0, (0, 0.9), 3)
    set_adam(adam, lr=2.0, betas=(0.5, 0.99), every=3)
    assert adam.param_groups[0]["lr"] == 1.5 and adam.param_groups[0]["betas"] == (0.5**0.75, 0.99**0.75)


def test_a_negative_interval_is_refused():
    with pytest.raises(BadConfig, match="-1"):
        lazy_ratio(-1)
