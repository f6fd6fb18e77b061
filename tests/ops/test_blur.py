import math

import pytest
import torch

from ganvas.ops.blur import gaussian_blur


def slow_blur(img, sigma):
    """The definition, written out: every pixel the weighted mean of all, edges reflected."""
    reach, (h, w) = math.ceil(3 * sigma), img.shape[2:]

    def fold(i, size):
        i %= 2 * size
        return min(i, 2 * size - 1 - i)

    out, total = torch.zeros_like(img), 0.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            weight = math.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
            rows, columns = [fold(y + dy, h) for y in range(h)], [fold(x + dx, w) for x in range(w)]
            out += weight * img[:, :, rows][:, :, :, columns]
            total += weight
    return out / total


@pytest.mark.parametrize(("sigma", "size"), [(0.7, (9, 13)), (2.5, (16, 5)), (3.0, (2, 3)), (1.0, (1, 1))])
def test_the_blur_is_its_definition(sigma, size):
    img = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(gaussian_blur(img, sigma), slow_blur(img, sigma), atol=1e-5)


def test_a_wide_blur_at_half_size_is_close_to_its_definition():
    img = torch.rand(1, 1, 61, 74, generator=torch.Generator().manual_seed(0))
    assert (gaussian_blur(img, 9) - slow_blur(img, 9)).abs().max() < 0.01


def test_nothing_is_blurred_by_zero():
    img = torch.randn(1, 3, 4, 4)
    assert torch.equal(gaussian_blur(img, 0), img)
    assert torch.allclose(gaussian_blur(torch.full((1, 1, 30, 40), 0.3), 12), torch.full((1, 1, 30, 40), 0.3))
