"""Resampling: Pillow's Lanczos, any part of it, and what a resampling must keep."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.upscaling.resample import Axis, resample_box


@pytest.mark.parametrize(("height", "width"), [(7, 40), (23, 17), (11, 13), (50, 9)])
def test_it_is_pillows_lanczos(height, width):
    torch.manual_seed(0)
    img = torch.rand(1, 1, 16, 20)
    ours = resample_box(img, Axis(source_px=16, result_px=height), Axis(source_px=20, result_px=width),
                     (0, 0, height, width), (0, 0))  # fmt: skip
    pillows = Image.fromarray(img[0, 0].numpy()).resize((width, height), Image.Resampling.LANCZOS)
    assert np.abs(ours[0, 0].numpy() - np.asarray(pillows)).max() < 1e-5


@pytest.mark.parametrize("result_px", [9, 30, 71])
def test_a_part_is_the_same_part_of_the_whole(result_px):
    img = torch.rand(1, 2, 30, 30)
    axis = Axis(source_px=30, result_px=result_px)
    whole = resample_box(img, axis, axis, (0, 0, result_px, result_px), (0, 0))
    start, stop = result_px // 3, result_px // 3 + 4
    low, high = axis.window(start, stop)
    part = resample_box(img[:, :, low:high, low:high], axis, axis, (start, start, stop, stop), (low, low))
    assert torch.allclose(part, whole[:, :, start:stop, start:stop], atol=1e-6)


def test_flat_stays_flat_and_the_same_size_is_the_same_picture():
    flat, same = torch.full((1, 1, 12, 12), 0.3), torch.rand(1, 1, 12, 12)
    large, kept = Axis(source_px=12, result_px=31), Axis(source_px=12, result_px=12)
    assert torch.allclose(resample_box(flat, large, large, (0, 0, 31, 31), (0, 0)), torch.tensor(0.3), atol=1e-6)
    assert torch.equal(resample_box(same, kept, kept, (2, 3, 9, 11), (0, 0)), same[:, :, 2:9, 3:11])
