import subprocess
import sys

import pytest
import torch

from ganvas.errors import BadImage
from ganvas.images.flow import estimate_flow, warp_by_flow
from ganvas.ops.blur import gaussian_blur


@pytest.fixture(scope="module")
def texture():
    noise = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    return (gaussian_blur(noise, 2.5) * 4).clamp(-1, 1)


def test_a_shift_is_found(texture):
    img, other = texture[..., 16:144, 16:144], texture[..., 19:147, 11:139]  # other(q) = img(q + (−5, 3))
    flow = estimate_flow(img, other)
    middle = flow.field[..., 20:-20, 20:-20]
    assert (middle - torch.tensor([5.0, -3.0]).view(1, 2, 1, 1)).abs().mean() < 0.3
    assert flow.error[..., 20:-20, 20:-20].mean() < 0.5


def test_another_light_is_no_movement(texture):
    img = texture[..., :128, :128]
    assert estimate_flow(img, img * 0.5 + 0.3).field.abs().mean() < 0.3


def test_warping_looks_where_the_flow_points(texture):
    field = torch.zeros(1, 2, 160, 160)
    field[:, 0], field[:, 1] = 4, -2
    for sharp in (True, False):
        seen = warp_by_flow(texture, field, sharp=sharp)
        assert torch.allclose(seen[..., 10:150, 10:150], texture[..., 8:148, 14:154], atol=1e-5)


def test_no_flow_leaves_the_picture(texture):
    assert torch.equal(warp_by_flow(texture, torch.zeros(1, 2, 160, 160)), texture)


def test_one_channel_and_small_pictures_work():
    mask = torch.rand(1, 1, 8, 8)
    assert warp_by_flow(mask, torch.ones(1, 2, 8, 8)).shape == mask.shape
    img = torch.rand(1, 3, 8, 8)
    assert estimate_flow(img, img).field.shape == (1, 2, 8, 8)


def test_sizes_that_differ_are_named(texture):
    with pytest.raises(BadImage, match="one size"):
        estimate_flow(texture, texture[..., :100])


def test_opencv_is_loaded_when_it_is_needed():
    code = "import sys, ganvas.session.open; assert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
