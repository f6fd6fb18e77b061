"""Convolutions against torch's own, in value and in derivatives of first, second and third order."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.ops.convolution import conv2d, conv_transpose2d

KINDS = [
    {"stride": 1, "padding": 1, "groups": 1},
    {"stride": 2, "padding": 0, "groups": 1},
    {"stride": 2, "padding": 1, "groups": 2},
    {"stride": (1, 2), "padding": (2, 0), "groups": 1},
]


def picture_and_weight(transposed, groups, kernel=3):
    torch.manual_seed(0)
    shape = (4, 6 // groups) if transposed else (6, 4 // groups)
    x = torch.randn(2, 4, 8, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(*shape, kernel, kernel, dtype=torch.float64, requires_grad=True)
    return x, weight, torch.randn(6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("ours", "torchs"), [(conv2d, F.conv2d), (conv_transpose2d, F.conv_transpose2d)])
def test_equal_to_torch_in_value_and_three_derivatives(ours, torchs, kind):
    tensors = picture_and_weight(torchs is F.conv_transpose2d, kind["groups"])

    def chain(conv):
        """The value, and each derivative of the sum of squares of the one before."""
        y = conv(*tensors, **kind).tanh()
        found = [y]
        for _ in range(3):
            y = sum(g.square().sum() for g in torch.autograd.grad(y.square().sum(), tensors, create_graph=True))
            found += torch.autograd.grad(y, tensors, retain_graph=True)
        return found

    def plain(x, weight, bias, stride, padding, groups):
        return torchs(x, weight, bias, stride=stride, padding=padding, groups=groups)

    for mine, reference in zip(chain(ours), chain(plain), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-9)


def test_a_penalty_on_the_picture_computes_no_gradient_of_weights(monkeypatch):
    x, weight, bias = picture_and_weight(False, 1)
    asked = []
    from ganvas.ops import convolution

    real = convolution._ConvParams.backward
    monkeypatch.setattr(convolution._ConvParams, "backward", lambda *a: asked.append(a[-1]) or real(*a))
    (g,) = torch.autograd.grad(conv2d(x, weight, bias).tanh().sum(), x, create_graph=True)
    assert asked == [(True, False, False)]
    g.square().sum().backward()
    assert weight.grad is not None and bias.grad is not None


def test_constant_filters_are_left_alone():
    x, weight, _ = picture_and_weight(False, 1)
    y = conv2d(x, weight.detach()).square().sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    g.square().sum().backward()
    assert x.grad is not None and weight.grad is None


def test_follows_autocast():
    x, weight = torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(4, 4, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv2d(x, weight)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32
