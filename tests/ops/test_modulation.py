"""Modulated convolution against the paper's text: scale the weights of each sample, convolve it alone."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from ganvas.ops.modulation import add_bias_and_noise_, demodulation, modulated_conv2d
from ganvas.ops.precision import PreparedWeight
from ganvas.ops.resample import fir_filter
from tests.ops.test_resample import upfirdn2d_by_definition


def modulated_by_definition(x, weight, styles, demodulate, up, f, gain=1.0, bias=None):
    """Karras et al. 2020, equations 1 to 3, one sample and one kernel at a time."""
    out = []
    for picture, style in zip(x, styles, strict=True):
        kernels = []
        for kernel in weight:  # [I, k, k]
            kernel = kernel * style[:, None, None]
            kernels.append(kernel / (kernel.square().sum() + 1e-8).sqrt() if demodulate else kernel)
        own = torch.stack(kernels)  # [O, I, k, k], this sample's weights
        if up == 1:
            out.append(F.conv2d(picture[None], own, padding=weight.shape[-1] // 2))
        else:
            out.append(zero_stuffed_conv(picture[None], own, f))
    y = torch.cat(out) * gain
    return y if bias is None else y + bias[None, :, None, None]


def zero_stuffed_conv(x, weight, f):
    """Zeros between the samples, a true convolution (flipped weight), the low-pass filter with gain 4."""
    n, i, h, w = x.shape
    k, taps = weight.shape[-1], f.shape[-1]
    stuffed = x.new_zeros(n, i, 2 * h, 2 * w)
    stuffed[:, :, ::2, ::2] = x
    before, after = k // 2 + (taps + 1) // 2, k // 2 + (taps - 2) // 2
    y = F.conv2d(F.pad(stuffed, (before, after, before, after)), weight.flip((2, 3)))
    return upfirdn2d_by_definition(y, f, 1, 1, (0, 0, 0, 0), 4)


def example(n, i=5, o=4, k=3, size=6, dtype=torch.float32):
    torch.manual_seed(n)
    return (
        torch.randn(n, i, size, size, dtype=dtype),
        torch.randn(o, i, k, k, dtype=dtype),
        torch.randn(n, i, dtype=dtype),
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("size", [2, 8])  # smaller and larger than the weights: each scales the other thing
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_it_is_the_paper(n, size, up, demodulate, with_bias):
    x, weight, styles = example(n, i=3, o=4, size=size)
    bias = torch.randn(4) if with_bias else None
    f = fir_filter()
    want = modulated_by_definition(x, weight, styles, demodulate, up, f, 1.3, bias)
    with torch.no_grad():
        got = modulated_conv2d(x, weight, styles, demodulate=demodulate, up=up, f=f, gain=1.3, bias=bias)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    x.requires_grad_()
    got = modulated_conv2d(x, weight, styles, demodulate=demodulate, up=up, f=f, gain=1.3, bias=bias)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps", [(1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1)])
def test_other_filters(taps):
    x, weight, styles = example(2)
    f = fir_filter(taps)
    want = modulated_by_definition(x, weight, styles, True, 2, f)
    torch.testing.assert_close(modulated_conv2d(x, weight, styles, up=2, f=f), want, atol=1e-5, rtol=1e-5)


def test_demodulation_brings_unit_variance():
    x, weight, styles = torch.randn(2, 64, 32, 32), torch.randn(64, 64, 3, 3), torch.rand(2, 64) * 9 + 0.1
    y = modulated_conv2d(x, weight, styles)[:, :, 1:-1, 1:-1]
    assert y.std(dim=(1, 2, 3)).sub(1).abs().max() < 0.05
    torch.testing.assert_close(demodulation(weight, styles * 7), demodulation(weight, styles) / 7)


@pytest.mark.parametrize("up", [1, 2])
def test_gradients_equal_those_of_the_definition(up):
    """To picture, weight and style, through a penalty on the first gradient: what path length regularisation does."""
    inputs = [tensor.requires_grad_() for tensor in example(2, dtype=torch.float64)]
    f = fir_filter().double()

    def of(function):
        y = function(*inputs)
        direction = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
        (first,) = torch.autograd.grad((y * direction).sum(), inputs[2], create_graph=True)
        return [first, *torch.autograd.grad(first.square().sum(), inputs)]

    fast = of(lambda x, weight, styles: modulated_conv2d(x, weight, styles, up=up, f=f))
    slow = of(lambda x, weight, styles: modulated_by_definition(x, weight, styles, True, up, f))
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("up", [1, 2])
def test_gradients_of_first_and_second_order(up):
    inputs = [tensor.requires_grad_() for tensor in example(2, i=2, o=2, size=3, dtype=torch.float64)]
    f = fir_filter().double()
    assert gradcheck(lambda *a: modulated_conv2d(*a, up=up, f=f), inputs)
    assert gradgradcheck(lambda *a: modulated_conv2d(*a, up=up, f=f), inputs)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("n", [1, 2])
def test_bfloat16_with_prepared_weights(n, up):
    x, weight, styles = example(n, i=32, o=16, size=8)
    f, prepared = fir_filter(), PreparedWeight()
    want = modulated_by_definition(x, weight, styles, True, up, f)
    for _ in range(2):  # the second call takes the kept copy
        got = modulated_conv2d(x.bfloat16(), weight, styles, up=up, f=f, prepared=prepared)
        assert got.dtype == torch.bfloat16
        assert (got.float() - want).std() / want.std() < 0.01


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("noise_shape", [(6, 5), (3, 1, 6, 5)])
def test_bias_and_noise_are_added_in_value_and_gradients(layout, noise_shape):
    torch.manual_seed(0)
    x = torch.randn(3, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    strength = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(noise_shape, dtype=torch.float64)

    def fresh():
        return (x * 2).contiguous(memory_format=layout)

    def derivatives(y):
        first = torch.autograd.grad(y.tanh().square().sum(), (x, bias, strength), create_graph=True)
        return [y, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), (x, bias, strength))]

    got = derivatives(add_bias_and_noise_(fresh(), bias, noise, strength))
    want = derivatives(fresh() + bias[:, None, None] + noise * strength)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
