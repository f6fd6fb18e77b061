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
    return from_halves(x / 2)


def from_halves(x: Tensor) -> Tensor:
    """`from_wavelet(2 · x)`: for who scales the coefficients anyway, and so saves a pass over them."""
    if torch.compiler.is_compiling():
        return _join(x)
    return _Join.apply(x)


def to_wavelet(img: Tensor) -> Tensor:
    """Picture [N, C, 2H, 2W] → coefficients [N, 4·C, H, W] (channels last in memory)."""
    if torch.compiler.is_compiling():
        return _split(img / 2)
    return _Split.apply(img / 2)


class _Join(torch.autograd.Function):
    """The table without its halves: columns first, then rows, the rows straight to their place in the picture."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        planes = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, channels // 4)  # [a, b], [c, d]
        columns = x.new_empty(n, h, w, 2, 2, channels // 4)  # left [a + c, b + d], right [a − c, b − d]
        torch.add(planes[:, :, :, 0], planes[:, :, :, 1], out=columns[:, :, :, 0])
        torch.sub(planes[:, :, :, 0], planes[:, :, :, 1], out=columns[:, :, :, 1])
        img = x.new_empty(n, h, 2, w, 2, channels // 4)
        torch.add(columns[..., 0, :], columns[..., 1, :], out=img[:, :, 0])
        torch.sub(columns[..., 0, :], columns[..., 1, :], out=img[:, :, 1])
        return img.view(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Split.apply(gradient)


class _Split(torch.autograd.Function):
    """The transpose of `_Join`, so its gradient, and four times its inverse."""

    @staticmethod
    def forward(ctx: object, img: Tensor) -> Tensor:
        n, channels, height, width = img.shape
        h, w = height // 2, width // 2
        pixels = img.permute(0, 2, 3, 1).reshape(n, h, 2, w, 2, channels)
        rows = img.new_empty(n, h, w, 2, 2, channels)  # sums of the left and right column, then differences
        torch.add(pixels[:, :, 0], pixels[:, :, 1], out=rows[:, :, :, 0])
        torch.sub(pixels[:, :, 0], pixels[:, :, 1], out=rows[:, :, :, 1])
        x = img.new_empty(n, h, w, 2, 2, channels)
        torch.add(rows[..., 0, :], rows[..., 1, :], out=x[:, :, :, 0])
        torch.sub(rows[..., 0, :], rows[..., 1, :], out=x[:, :, :, 1])
        return x.view(n, h, w, 4 * channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _Join.apply(gradient)


def _join(x: Tensor) -> Tensor:
    """`_Join` in words that torch.compile can follow."""
    n, channels, h, w = x.shape
    left, right = x.permute(0, 2, 3, 1).chunk(2, dim=3)  # [a | b], [c | d]
    columns = torch.stack([left + right, left - right], dim=3)  # [N, h, w, 2, 2·C]
    first, second = columns.chunk(2, dim=4)
    return (
        torch.stack([first + second, first - second], dim=2).reshape(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2)
    )


def _split(img: Tensor) -> Tensor:
    """`_Split` in words that torch.compile can follow."""
    p, q, r, s = (img[:, :, i::2, j::2] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    return torch.cat([p + q + r + s, p + q - r - s, p - q + r - s, p - q - r + s], dim=1)
