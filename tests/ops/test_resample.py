"""Resampling against the definition written out with loops."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from ganvas.errors import BadConfig
from ganvas.ops.resample import downsample2d, downscale, fir_filter, upfirdn2d, upsample2d


def upfirdn2d_by_definition(x, f, up, down, padding, gain):
    """Zero-stuff, pad, convolve, decimate: one output number at a time."""
    if f.ndim == 1:
        f = torch.outer(f, f)
    left, right, top, bottom = padding
    n, c, h, w = x.shape
    stuffed = x.new_zeros(n, c, h * up, w * up)
    stuffed[:, :, ::up, ::up] = x
    tall, wide = h * up + top + bottom, w * up + left + right
    padded = x.new_zeros(n, c, tall, wide)
    for i in range(tall):
        for j in range(wide):
            if 0 <= i - top < h * up and 0 <= j - left < w * up:
                padded[:, :, i, j] = stuffed[:, :, i - top, j - left]
    kh, kw = f.shape
    rows, columns = (tall - kh) // down + 1, (wide - kw) // down + 1
    out = x.new_zeros(n, c, rows, columns)
    for i in range(rows):
        for j in range(columns):
            for a in range(kh):
                for b in range(kw):
                    out[:, :, i, j] += f[kh - 1 - a, kw - 1 - b] * padded[:, :, i * down + a, j * down + b]
    return out * gain


CASES = [  # up, down, padding, taps
    (1, 1, (2, 1, 2, 1), 4),
    (2, 1, (2, 1, 2, 1), 4),
    (1, 2, (1, 1, 1, 1), 4),
    (2, 2, (3, 2, 1, 4), 5),
    (3, 2, (4, 3, 2, 2), 6),
    (2, 3, (5, 0, 2, 2), 7),
    (4, 1, (0, 0, 1, 5), 3),  # fewer taps than phases: some outputs meet no sample
    (2, 1, (-1, -2, 0, -1), 4),  # negative padding crops
    (1, 4, (3, 3, 3, 3), 1),
]


@pytest.mark.parametrize(("up", "down", "padding", "k"), CASES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_upfirdn2d_is_its_definition(up, down, padding, k, memory_format):
    x = torch.randn(2, 3, 7, 6).to(memory_format=memory_format)
    row = torch.randn(k)  # not symmetric: convolving and correlating differ
    want = upfirdn2d_by_definition(x, row, up, down, padding, 1.7)
    for f in (row, torch.outer(row, row)):
        torch.testing.assert_close(
            upfirdn2d(x, f, up=up, down=down, padding=padding, gain=1.7), want, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(("up", "down", "padding", "k"), CASES)
def test_filters_of_two_dimensions_and_a_bias(up, down, padding, k):
    x, f, bias = torch.randn(1, 2, 6, 7), torch.randn(k, k + 1), torch.randn(2)
    want = upfirdn2d_by_definition(x, f, up, down, padding, 0.5) + bias[:, None, None]
    got = upfirdn2d(x, f, up=up, down=down, padding=padding, gain=0.5, bias=bias)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 1), (1, 1), (1,), (1, 4, 6, 4, 1)])
def test_up_and_down_by_two_are_their_definition(taps):
    x, f = torch.randn(2, 3, 6, 8), fir_filter(taps)
    k = len(taps)
    pad = ((k + 1) // 2, (k - 2) // 2) * 2
    torch.testing.assert_close(upsample2d(x, f), upfirdn2d_by_definition(x, f, 2, 1, pad, 4), atol=1e-5, rtol=1e-5)
    pad = ((k - 1) // 2, (k - 2) // 2) * 2
    torch.testing.assert_close(downsample2d(x, f), upfirdn2d_by_definition(x, f, 1, 2, pad, 1), atol=1e-5, rtol=1e-5)


def test_a_flat_picture_stays_flat_inside():
    x, f = torch.full([1, 1, 8, 8], 0.3), fir_filter()
    torch.testing.assert_close(upsample2d(x, f)[..., 1:-1, 1:-1], torch.full([1, 1, 14, 14], 0.3))
    torch.testing.assert_close(downsample2d(x, f)[..., 1:-1, 1:-1], torch.full([1, 1, 2, 2], 0.3))


@pytest.mark.parametrize(("up", "down", "padding", "k"), CASES[:4])
def test_gradients_of_first_and_second_order(up, down, padding, k):
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    f = torch.randn(k, dtype=torch.float64)

    def squared(x):  # so that the second derivative is not zero
        return upfirdn2d(x, f, up=up, down=down, padding=padding).square()

    assert gradcheck(squared, (x,))
    assert gradgradcheck(squared, (x,))


@pytest.mark.parametrize("resize", [upsample2d, downsample2d])
def test_gradients_of_resizing(resize):
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    f = fir_filter().double()
    assert gradcheck(lambda x: resize(x, f).square(), (x,))
    assert gradgradcheck(lambda x: resize(x, f).square(), (x,))


def test_a_filter_without_taps_is_refused():
    with pytest.raises(BadConfig, match="at least one tap"):
        fir_filter(())
    with pytest.raises(BadConfig, match="sum other than 0"):
        fir_filter((1, -1))


def test_shrinking_is_by_area_at_any_size():
    img = torch.rand(1, 3, 24, 24)
    assert torch.allclose(downscale(img, 8), F.avg_pool2d(img, 3), atol=1e-6)
    assert downscale(img, 24) is img
    assert downscale(img, 50) is img
    assert torch.allclose(downscale(img, 7).mean(), F.interpolate(img, (7, 7), mode="area").mean())
