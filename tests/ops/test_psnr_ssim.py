import math

import pytest
import torch

from ganvas.errors import BadImage
from ganvas.ops.psnr_ssim import psnr_rgb, ssim_rgb


def test_psnr_of_a_known_error():
    a = torch.zeros(2, 3, 8, 8)
    assert torch.allclose(psnr_rgb(a, a + 0.02), torch.full((2,), 20 * math.log10(2 / 0.02)), atol=1e-3)
    assert psnr_rgb(a, a).isinf().all()


def slow_ssim(a, b):
    """The definition for one channel: every 11x11 window weighted by a bell, written out."""
    bell = torch.tensor([math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)], dtype=torch.float64)
    weight = bell[:, None] * bell[None]
    weight /= weight.sum()
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11].double(), b[y : y + 11, x : x + 11].double()
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq, pq = (
                (weight * (p - mp) ** 2).sum(),
                (weight * (q - mq) ** 2).sum(),
                (weight * (p - mp) * (q - mq)).sum(),
            )
            values.append((2 * mp * mq + 4e-4) * (2 * pq + 36e-4) / ((mp**2 + mq**2 + 4e-4) * (vp + vq + 36e-4)))
    return torch.stack(values).mean().item()


def test_ssim_is_its_definition():
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(1, 1, 15, 17, generator=rng) * 2 - 1
    b = (a + 0.3 * torch.randn(1, 1, 15, 17, generator=rng)).clamp(-1, 1)
    assert ssim_rgb(a, b).item() == pytest.approx(slow_ssim(a[0, 0], b[0, 0]), abs=1e-5)
    assert ssim_rgb(a, a).item() == pytest.approx(1, abs=1e-5)
    assert ssim_rgb(a[..., :5, :5], a[..., :5, :5]).item() == pytest.approx(1, abs=1e-5)


def test_sizes_that_differ_are_named():
    with pytest.raises(BadImage, match="same size"):
        psnr_rgb(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
