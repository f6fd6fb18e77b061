"""Kept copies of weights: right, never stale, and invisible to whoever copies or saves the module."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas.ops import precision
from ganvas.ops.precision import PreparedWeight, fast_dtype, packing_works


def test_the_fast_type_is_the_one_that_took_less_time(monkeypatch):
    seconds = {torch.float32: 1.0, torch.bfloat16: 0.5}
    monkeypatch.setattr(precision, "_seconds", lambda dtypes: seconds)
    choose = fast_dtype.__wrapped__  # without the memory of this process
    assert choose("cpu") == torch.bfloat16
    seconds[torch.bfloat16] = 2.0  # a machine that only pretends
    assert choose("cpu") == torch.float32
    assert choose("mps") == torch.float32
    assert fast_dtype("cpu") in (torch.float32, torch.bfloat16)


@pytest.fixture(params=["packed", "plain"])
def packing(request, monkeypatch):
    if request.param == "packed" and not packing_works():
        pytest.skip("this torch has no packed weights")
    monkeypatch.setattr(precision, "packing_works", lambda: request.param == "packed")


def close(a, b):
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("packing")
@pytest.mark.parametrize("k", [1, 3])
def test_prepared_convolutions_are_convolutions(k):
    weight, prepared = torch.randn(24, 16, k, k), PreparedWeight()
    for n, size in ((1, 4), (3, 9), (2, 40)):  # other sizes than the one it was packed for
        x = torch.randn(n, 16, size, size)
        assert close(prepared.conv2d(x, weight), F.conv2d(x, weight, padding=k // 2))
        if k == 3:
            want = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            assert close(prepared.conv_transpose2d(x, weight), want)


def by_step(p):
    p.grad = torch.ones_like(p)
    torch.optim.SGD([p], lr=0.1).step()


def by_fused_adam(p):
    p.grad = torch.ones_like(p)
    torch.optim.Adam([p], lr=0.1, fused=True).step()


@torch.no_grad()
def by_lerp(p):
    p.lerp_(torch.zeros_like(p), 0.5)


@torch.inference_mode()
def by_inference(p):
    p.mul_(2)


def by_loading(p):
    module = nn.Module()
    module.weight = p
    module.load_state_dict({"weight": torch.randn_like(p)})


def by_assigning_data(p):
    p.data = torch.randn_like(p)


def by_writing_into_data(p):
    p.data.lerp_(torch.zeros_like(p), 0.5)


CHANGES = [by_step, by_fused_adam, by_lerp, by_inference, by_loading, by_assigning_data, by_writing_into_data]


@pytest.mark.usefixtures("packing")
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight_is_prepared_again(change):
    weight, prepared = nn.Parameter(torch.randn(8, 8, 3, 3)), PreparedWeight()
    x = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        before = prepared.conv2d(x, weight).clone()
    change(weight)
    with torch.no_grad():
        after = prepared.conv2d(x, weight)
        assert not close(after, before)
        assert close(after, F.conv2d(x, weight, padding=1))


def test_another_weight_at_the_same_place_is_prepared_again():
    """functional_call and parametrizations hand in a new tensor each time, often in the memory of the last one."""
    prepared, x = PreparedWeight(), torch.randn(1, 8, 6, 6)
    for _ in range(5):
        weight = torch.randn(8, 8, 3, 3)
        assert close(prepared.conv2d(x, weight), F.conv2d(x, weight, padding=1))
        del weight


def test_changed_inference_tensors_are_prepared_again():
    """They have no counter of changes."""
    prepared, x = PreparedWeight(), torch.randn(1, 8, 6, 6)
    with torch.inference_mode():
        weight = torch.randn(8, 8, 3, 3)
        prepared.conv2d(x, weight)
        weight.mul_(2)
        assert close(prepared.conv2d(x, weight), F.conv2d(x, weight, padding=1))


def test_an_unchanged_weight_is_prepared_once():
    prepared, weight = PreparedWeight(), torch.randn(8, 8, 3, 3, requires_grad=True)
    with torch.no_grad():
        assert prepared.energy(weight) is prepared.energy(weight)
    assert prepared.energy(weight).requires_grad, "gradients to the weight are never cut"
    assert prepared.plain(weight, torch.bfloat16) is prepared.plain(weight, torch.bfloat16)


def test_copies_and_pickles_start_empty():
    prepared, weight = PreparedWeight(), torch.randn(8, 8, 3, 3)
    prepared.conv2d(torch.randn(1, 8, 6, 6), weight)
    for other in (copy.deepcopy(prepared), pickle.loads(pickle.dumps(prepared))):  # noqa: S301 - our own bytes
        assert other._forms == {}
        assert prepared._forms != {}


def test_a_failing_private_interface_means_no_packing(monkeypatch):
    def gone(*args):
        raise AttributeError("renamed")

    monkeypatch.setattr(precision, "_pack", gone)
    assert precision.packing_works.__wrapped__() is False


def test_packing_can_be_tried_inside_autocast():
    packing_works.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        inside = packing_works()
    packing_works.cache_clear()
    assert inside == packing_works()
