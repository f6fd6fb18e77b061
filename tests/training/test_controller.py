"""The controller of ADA's p against its rule, step by step."""

import pytest
import torch

from ganvas.errors import BadConfig, BadInput
from ganvas.training.augment import AdaController


def run(controller, logits, steps, batch=32):
    for _ in range(steps):
        controller.observe(logits)
        controller.update(batch)


def test_p_moves_every_fourth_step_by_the_papers_amount():
    controller, sure = AdaController(ada_kimg=500), torch.ones(8)
    run(controller, sure, 3)
    assert controller.p == 0 and controller.sign_real is None
    run(controller, sure, 1)
    assert controller.p == pytest.approx(32 * 4 / 500_000) and controller.sign_real == 1
    run(controller, -sure, 4)
    assert controller.p == 0  # and never below
    run(controller, -sure, 4)
    assert controller.p == 0 and controller.sign_real == -1


def test_at_the_target_it_rests():
    controller = AdaController(target=0.5, p=0.3)
    run(controller, torch.tensor([1.0, 2.0, 3.0, -1.0]), 4)
    assert controller.sign_real == 0.5 and controller.p == 0.3


def test_the_mean_is_over_the_whole_window_and_all_patches():
    controller = AdaController()
    for logits in (torch.ones(2, 5), -torch.ones(1, 5), torch.zeros(1, 5), torch.ones(1, 5)):
        controller.observe(logits)
        controller.update(8)
    assert controller.sign_real == pytest.approx((10 - 5 + 0 + 5) / 25)


def test_it_reaches_the_ceiling_in_ada_kimg_and_says_when_it_is_pinned_there():
    controller = AdaController(ada_kimg=10, p_max=0.8)
    run(controller, torch.ones(4), 8000 // 32 - 4)
    assert 0.7 < controller.p < 0.8
    run(controller, torch.ones(4), 8)
    assert controller.p == 0.8 and not controller.leaking
    run(controller, torch.ones(4), 32)
    assert controller.p == 0.8 and controller.leaking
    run(controller, -torch.ones(4), 4)
    assert controller.p < 0.8 and not controller.leaking


def test_it_goes_on_where_it_stopped_even_within_a_window():
    whole, first, second = (AdaController(ada_kimg=1) for _ in range(3))
    for step in range(1, 15):
        logits = torch.randn(16, generator=torch.Generator().manual_seed(step)) + 1.5
        for controller in (whole, first if step <= 6 else second):
            controller.observe(logits)
            controller.update(16)
        if step == 6:
            second.load_state_dict(first.state_dict())
    assert vars(whole).keys() == vars(second).keys()
    assert all(torch.equal(torch.as_tensor(vars(whole)[k]), torch.as_tensor(vars(second)[k])) for k in vars(whole))
    assert whole.p > 0


def test_several_processes_move_together():
    one, two, calls = AdaController(ada_kimg=1), AdaController(ada_kimg=1), []
    other_side = torch.tensor([-12.0, 16.0])  # what the second process has seen: four times -1, -1, -1, 0

    def reduce(counts):
        calls.append(counts)
        return counts + other_side

    for _ in range(8):
        one.observe(torch.ones(12))
        one.update(16, reduce=reduce)
        two.observe(torch.tensor([1.0] * 12 + [-1, -1, -1, 0]))
        two.update(16)
    assert one.p == two.p and one.sign_real == two.sign_real == 9 / 16 and len(calls) == 2


def test_nonsense_is_refused():
    with pytest.raises(BadConfig, match="p_max"):
        AdaController(p_max=1.5)
    controller = AdaController(interval=1)
    with pytest.raises(BadInput, match=r"before AdaController\.update"):
        controller.update(4)
