"""The orthonormal Haar wavelet on pictures: four half-size planes of coefficients ⇄ one picture.

The planes stand one after the other in the channels: [mean | rows differ | columns differ | both differ]. With their
values a, b, c, d at a place, the four pixels there are

    top left    (a + b + c + d) / 2        top right      (a + b − c − d) / 2
    bottom left (a − b + c − d) / 2        bottom right   (a − b − c + d) / 2

and because the transform is orthonormal, its inverse and its gradient are one and the same operation.

Source: Haar 1910; as the output of a generator: Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural
Network for High-Fidelity Image Synthesis", section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def from_wavelet(x: Tensor) -> Tensor:
    """Coefficients [N, 4·C, H, W] → picture [N, C, 2H, 2W] (channels last in memory)."""
    if torch.compiler.is_compiling():
        return _joined(x)
    return _Join.apply(x)


def to_wavelet(img: Tensor) -> Tensor:
    """Picture [N, C, 2H, 2W] → coefficients [N, 4·C, H, W] (channels last in memory)."""
    if torch.compiler.is_compiling():
        return _split(img)
    return _Split.apply(img)


class _Join(torch.autograd.Function):
    """Writes each quarter of the pixels straight to its place; stacking them costs another pass over the picture."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        img = x.new_empty(n, h, 2, w, 2, channels // 4)
        (a, b), (c, d) = _sum_and_difference(x)
        torch.add(a, c, out=img[:, :, 0, :, 0])
        torch.sub(a, c, out=img[:, :, 0, :, 1])
        torch.add(b, d, out=img[:, :, 1, :, 0])
        torch.sub(b, d, out=img[:, :, 1, :, 1])
        return img.view(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Split.apply(gradient)


class _Split(torch.autograd.Function):
    """The inverse of `_Join`, and its gradient."""

    @staticmethod
    def forward(ctx: object, img: Tensor) -> Tensor:
        n, channels, height, width = img.shape
        h, w = height // 2, width // 2
        pixels = img.permute(0, 2, 3, 1).unflatten(2, (w, 2)).unflatten(1, (h, 2))  # [N, h, 2, w, 2, C]
        x = img.new_empty(n, h, w, 4, channels)
        top, bottom = pixels[:, :, 0], pixels[:, :, 1]  # [N, h, w, 2, C]
        total, change = (top + bottom).div_(2), (top - bottom).div_(2)
        torch.add(total[..., 0, :], total[..., 1, :], out=x[..., 0, :])
        torch.add(change[..., 0, :], change[..., 1, :], out=x[..., 1, :])
        torch.sub(total[..., 0, :], total[..., 1, :], out=x[..., 2, :])
        torch.sub(change[..., 0, :], change[..., 1, :], out=x[..., 3, :])
        return x.view(n, h, w, 4 * channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Join.apply(gradient)


def _sum_and_difference(x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """((a + b)/2, (a − b)/2), ((c + d)/2, (c − d)/2), each [N, h, w, C]."""
    half = x.permute(0, 2, 3, 1) / 2
    a, b, c, d = half.chunk(4, dim=3)
    return (a + b, a - b), (c + d, c - d)


def _joined(x: Tensor) -> Tensor:
    """`_Join` in words that torch.compile can follow."""
    n, channels, h, w = x.shape
    (a, b), (c, d) = _sum_and_difference(x)
    rows = [torch.stack([a + c, a - c], dim=3), torch.stack([b + d, b - d], dim=3)]  # [N, h, w, 2, C] each
    return torch.stack(rows, dim=2).reshape(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)


def _split(img: Tensor) -> Tensor:
    """`_Split` in words that torch.compile can follow."""
    p, q, r, s = (img[:, :, i::2, j::2] / 2 for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    return torch.cat([p + q + r + s, p + q - r - s, p - q + r - s, p - q - r + s], dim=1)
