"""Dense flow: where each pixel of a picture is found in another one of the same size.

Estimated by dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search"), as OpenCV has
it, on lightness whose contrast is evened out, so that a change of colour is not taken for a movement.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadImage
from ganvas.ops.blur import gaussian_blur

FLOW_PX = 512  # longer pictures are made so small for the search
SMALLEST_PX = 16  # the search needs that much


class Flow(NamedTuple):
    """`field` [1, 2, H, W]: (x, y) in pixels; the pixel at q of the one picture is found at q + field(q) in the other.

    `error` [1, 1, H, W]: how far from its start one ends up who goes there and back, in pixels; large where the other
    picture does not have the place.
    """

    field: Tensor
    error: Tensor


def estimate_flow(img: Tensor, other: Tensor, *, limit_px: int = FLOW_PX) -> Flow:
    """Where the pixels of a picture are in another one.

    Args:
        img: [1, 3, H, W] in [-1, 1].
        other: of the same shape.
        limit_px: the search is done at this size at most.

    Raises:
        BadImage: pictures of different sizes.
    """
    check_img(img, who="estimate_flow")
    if img.shape != other.shape:
        raise BadImage(f"estimate_flow expects two images of one size, got {list(img.shape)} and {list(other.shape)}")
    size = _search_size(img.shape[2:], limit_px)
    one, two = (_even_out(_resize(x.float().cpu(), size)) for x in (img, other))
    search = _cv2().DISOpticalFlow_create(1)  # the fast preset
    there, back = (
        torch.from_numpy(search.calc(a, b, None)).permute(2, 0, 1)[None] for a, b in ((one, two), (two, one))
    )
    error = (there + warp_by_flow(back, there, sharp=False)).norm(dim=1, keepdim=True)
    there = gaussian_blur(there, 2.0 * max(size) / FLOW_PX)
    scale = torch.tensor([img.shape[3] / size[1], img.shape[2] / size[0]]).view(1, 2, 1, 1)
    whole = tuple(img.shape[2:])
    return Flow(_resize(there, whole) * scale, _resize(error, whole) * scale.mean())


def warp_by_flow(img: Tensor, field: Tensor, *, sharp: bool = True) -> Tensor:
    """The picture as seen through a flow: result(q) = img(q + field(q)); beyond the edges it is mirrored.

    Args:
        img: [1, C, H, W], any range.
        field: [1, 2, H, W] in pixels.
        sharp: bicubic; else bilinear, which never leaves the range of the pixels.

    Returns:
        [1, C, H, W]; exactly img where the field is 0 everywhere.
    """
    if not field.any():
        return img.clone()
    cv2 = _cv2()
    height, width = img.shape[2:]
    places = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"))[None] + field.cpu()
    pixels = np.ascontiguousarray(img[0].permute(1, 2, 0).float().cpu().numpy())
    x, y = (np.ascontiguousarray(axis.numpy().astype(np.float32)) for axis in places[0])
    kind = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    pixels = cv2.remap(pixels, x, y, kind, borderMode=cv2.BORDER_REFLECT).reshape(height, width, -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(img)


def _cv2() -> Any:
    """OpenCV, loaded when first needed, and kept to the one thread that it is called on."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def _search_size(size: torch.Size, limit_px: int) -> tuple[int, int]:
    share = min(1.0, limit_px / max(size))
    height, width = (max(SMALLEST_PX, round(side * share)) for side in size)
    return height, width


def _resize(img: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(img.shape[2:]) == tuple(size):
        return img
    across, down = img.shape[3] / size[1], img.shape[2] / size[0]
    if across == down == int(across):
        return F.avg_pool2d(img, int(across))
    kind = {"mode": "area"} if img.shape[2] > size[0] else {"mode": "bilinear", "align_corners": False}
    return F.interpolate(img, tuple(size), **kind)


def _even_out(img: Tensor) -> Any:
    """uint8 [H, W]: lightness with the local mean at 128 and the local deviation at 45."""
    light = (img * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True) * 127.5
    sigma = max(img.shape[2:]) / 21
    mean = gaussian_blur(light, sigma)
    deviation = gaussian_blur((light - mean).square(), sigma).sqrt() + 6
    return ((light - mean) / deviation * 45 + 128).clamp(0, 255).byte()[0, 0].contiguous().numpy()
