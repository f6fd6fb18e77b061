import pytest
import torch
import torch.nn.functional as F

from ganvas.ops import wavelet
from ganvas.ops.wavelet import from_wavelet, to_wavelet

SIZES = [(1, 4, 1, 1), (2, 12, 3, 5), (1, 16, 4, 2)]


def written_out(x):
    """The four pixels of every place, one by one, from the table in the module's docstring."""
    n, channels, h, w = x.shape
    img = torch.zeros(n, channels // 4, 2 * h, 2 * w, dtype=x.dtype)
    signs = {(0, 0): (1, 1, 1, 1), (0, 1): (1, 1, -1, -1), (1, 0): (1, -1, 1, -1), (1, 1): (1, -1, -1, 1)}
    for (i, j), sign in signs.items():
        planes = x.unflatten(1, (4, channels // 4))
        img[:, :, i::2, j::2] = sum(s * planes[:, k] for k, s in enumerate(sign)) / 2
    return img


@pytest.mark.parametrize("size", SIZES)
def test_inverse_is_the_table(size):
    x = torch.randn(size, dtype=torch.float64)
    assert torch.allclose(from_wavelet(x), written_out(x), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back_and_energy_is_kept(size):
    x = torch.randn(size, dtype=torch.float64)
    img = from_wavelet(x)
    assert torch.allclose(to_wavelet(img), x, atol=1e-12)
    assert torch.allclose(img.square().sum(), x.square().sum())


def test_first_planes_are_twice_the_average():
    img = torch.rand(2, 3, 8, 6)
    assert torch.allclose(to_wavelet(img)[:, :3], 2 * F.avg_pool2d(img, 2), atol=1e-6)


@pytest.mark.parametrize("transform", [from_wavelet, to_wavelet])
def test_first_and_second_derivatives(transform):
    x = torch.randn(1, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(transform, x)
    assert torch.autograd.gradgradcheck(transform, x)


def test_what_the_compiler_sees_is_the_same():
    x = torch.randn(2, 8, 3, 4)
    assert torch.allclose(wavelet._join(x / 2), from_wavelet(x), atol=1e-6)
    assert torch.allclose(wavelet._split(from_wavelet(x / 2)), x, atol=1e-6)
