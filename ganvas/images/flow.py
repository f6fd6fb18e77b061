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
from ganvas.ops.planes import average_blocks, load_opencv, resize_bilinear

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
    search = load_opencv().DISOpticalFlow_create(1)  # the fast preset
    there, back = (
        torch.from_numpy(search.calc(a, b, None)).permute(2, 0, 1)[None] for a, b in ((one, two), (two, one))
    )
    error = flow_length(there + warp_by_flow(back, there, sharp=False))
    there = gaussian_blur(there, 2.0 * max(size) / FLOW_PX)
    scale = torch.tensor([img.shape[3] / size[1], img.shape[2] / size[0]]).view(1, 2, 1, 1)
    whole = tuple(img.shape[2:])
    return Flow(_resize(there, whole) * scale, _resize(error, whole) * scale.mean())


def flow_length(field: Tensor) -> Tensor:
    """How far each pixel moves: [N, 2, H, W] → [N, 1, H, W]."""
    return torch.hypot(field[:, :1], field[:, 1:])


def warp_by_flow(img: Tensor, field: Tensor, *, sharp: bool = True, at: tuple[int, int] = (0, 0)) -> Tensor:
    """The picture as seen through a flow: result(q) = img(q + field(q)); beyond the edges it is mirrored.

    Args:
        img: [1, C, H, W], any range.
        field: [1, 2, h, w] in pixels, of the whole picture or of a window of it.
        sharp: bicubic; else bilinear, which never leaves the range of the pixels.
        at: (left, top) of that window.

    Returns:
        [1, C, h, w]; exactly img where the field is 0 everywhere.
    """
    height, width = field.shape[2:]
    if not field.any():
        return img[:, :, at[1] : at[1] + height, at[0] : at[0] + width].clone()
    cv2 = load_opencv()
    shift = field.detach().float().cpu()
    x = shift[0, 0] + torch.arange(at[0], at[0] + width, dtype=torch.float32)
    y = shift[0, 1] + torch.arange(at[1], at[1] + height, dtype=torch.float32)[:, None]
    pixels = cv2.merge(list(img[0].detach().float().cpu().numpy()))  # [H, W, C], or [H, W]
    kind = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    pixels = cv2.remap(pixels, x.numpy(), y.numpy(), kind, borderMode=cv2.BORDER_REFLECT)
    return torch.from_numpy(np.stack(cv2.split(pixels)))[None].to(img)


def _search_size(size: torch.Size, limit_px: int) -> tuple[int, int]:
    share = min(1.0, limit_px / max(size))
    height, width = (max(SMALLEST_PX, round(side * share)) for side in size)
    return height, width


def _resize(img: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(img.shape[2:]) == tuple(size):
        return img
    across, down = img.shape[3] / size[1], img.shape[2] / size[0]
    if across == down == int(across):
        return average_blocks(img, int(across))
    if img.shape[2] > size[0]:
        return F.interpolate(img, tuple(size), mode="area")
    return resize_bilinear(img, (size[0], size[1]))


def _even_out(img: Tensor) -> Any:
    """uint8 [H, W]: lightness with the local mean at 128 and the local deviation at 45."""
    light = (img * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True) * 127.5
    sigma = max(img.shape[2:]) / 21
    mean = gaussian_blur(light, sigma)
    deviation = gaussian_blur((light - mean).square(), sigma).sqrt() + 6
    return ((light - mean) / deviation * 45 + 128).clamp(0, 255).byte()[0, 0].contiguous().numpy()
