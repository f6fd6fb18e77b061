"""Plain operations on pictures, plane by plane: by OpenCV where it can, which on a CPU is many times as quick.

Elsewhere (another device or type of numbers, or gradients are asked for) by torch; both give the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def load_opencv() -> Any:
    """OpenCV, loaded when first needed, and kept to the one thread that it is called on."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def suits_opencv(img: Tensor) -> bool:
    """float32 on a CPU, of which no gradient is asked."""
    wants_gradient = img.requires_grad and torch.is_grad_enabled()
    return img.device.type == "cpu" and img.dtype == torch.float32 and not wants_gradient and img.numel() > 0


def map_planes(img: Tensor, change: Callable[[Any], Any]) -> Tensor:
    """Each plane of [N, C, H, W] as OpenCV's array → [N, C, H', W']."""
    planes = img.detach().reshape(-1, *img.shape[2:]).contiguous().numpy()
    first = change(planes[0])
    out = torch.empty(len(planes), *first.shape)
    array = out.numpy()
    array[0] = first
    for index in range(1, len(planes)):
        array[index] = change(planes[index])
    return out.view(*img.shape[:2], *first.shape)


def average_blocks(img: Tensor, factor: int) -> Tensor:
    """The picture at a size that is `factor` times smaller, which divides it: every pixel the mean of a block."""
    height, width = (side // factor for side in img.shape[2:])
    if not suits_opencv(img) or (height * factor, width * factor) != tuple(img.shape[2:]):
        return F.avg_pool2d(img, factor)
    cv2 = load_opencv()
    return map_planes(img, lambda plane: cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))


def resize_bilinear(img: Tensor, size: tuple[int, int]) -> Tensor:
    """The picture at another size (height, width), between its pixels in straight lines; made for enlarging."""
    if tuple(img.shape[2:]) == size:
        return img
    if not suits_opencv(img):
        return F.interpolate(img, size, mode="bilinear", align_corners=False)
    cv2 = load_opencv()
    return map_planes(img, lambda plane: cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR))


def find_largest(img: Tensor, size: tuple[int, int]) -> Tensor:
    """Every pixel the largest within an upright box (height, width: odd) around it."""
    if not suits_opencv(img):
        return F.max_pool2d(img, size, 1, (size[0] // 2, size[1] // 2))
    cv2 = load_opencv()
    box = cv2.getStructuringElement(cv2.MORPH_RECT, size[::-1])
    return map_planes(img, lambda plane: cv2.dilate(plane, box))
