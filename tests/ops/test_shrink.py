import torch
import torch.nn.functional as F

from ganvas.ops.shrink import downscale


def test_shrinking_is_by_area_at_any_size():
    img = torch.rand(1, 3, 24, 24)
    assert torch.equal(downscale(img, 8), F.avg_pool2d(img, 3))
    assert downscale(img, 24) is img
    assert downscale(img, 50) is img
    assert torch.allclose(downscale(img, 7).mean(), F.interpolate(img, (7, 7), mode="area").mean())
