"""Layers with an equalised learning rate: weights are stored as N(0, 1) and scaled when they are used.

Every weight then has the same size in the eyes of Adam, whatever the layer's fan-in.

Sources: Karras et al. 2018, "Progressive Growing of GANs", section 4.1 (equalised learning rate);
Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", appendix C (lr_mul).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.ops.convolution import conv2d, conv_transpose2d
from ganvas.ops.resample import downsample2d, fir_filter, upfirdn2d, upsample2d

Activation = Literal["linear", "lrelu"]
LRELU_SLOPE = 0.2
GAINS = {"linear": 1.0, "lrelu": math.sqrt(2)}  # keeps the second moment of N(0, 1) inputs at about 1


def normalize_2nd_moment(x: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Scale each row to mean square 1. x [N, F] → [N, F]."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def activate_(x: Tensor, activation: Activation, *, clamp: float | None = None) -> Tensor:
    """The nonlinearity without its gain, then the optional clamp to ±`clamp`, in place where gradients allow it.

    The gain √2 of the leaky ReLU is not applied here: it is positive, so it can go into the weight and the bias
    before (leaky ReLU of g·x = g · leaky ReLU of x), which saves a pass over the picture.
    """
    if activation == "lrelu":
        x = F.leaky_relu_(x, LRELU_SLOPE)
    if clamp is None:
        return x
    return x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)


class EqualizedLinear(nn.Module):
    """y = activation(x · weightᵀ + bias) with runtime-scaled weights.

    Args:
        in_features, out_features: sizes.
        bias: has one.
        bias_init: its value at the start.
        lr_mul: learning-rate multiplier; stored weights are divided by it, used ones multiplied.
        activation: "linear", or "lrelu" (slope 0.2, gain √2).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        bias_init: float = 0,
        lr_mul: float = 1,
        activation: Activation = "linear",
    ):
        super().__init__()
        self.activation: Activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init))) if bias else None
        self.weight_gain = lr_mul / math.sqrt(in_features)
        self.bias_gain = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        """x [N, in_features] → [N, out_features]."""
        gain, weight = GAINS[self.activation], self.weight.to(x.dtype).T
        if self.bias is None:
            return activate_(x @ weight * (self.weight_gain * gain), self.activation)
        bias = self.bias.to(x.dtype) * (self.bias_gain * gain)
        return activate_(torch.addmm(bias, x, weight, alpha=self.weight_gain * gain), self.activation)


class EqualizedConv2d(nn.Module):
    """A convolution with runtime-scaled weights, optionally with filtered ×2 up- or down-sampling around it.

    Args:
        in_channels, out_channels, kernel_size: odd kernel; the size of the picture is kept but for the resampling.
        bias: has one.
        activation: "linear", or "lrelu" (slope 0.2, gain √2).
        up, down: 1 or 2; not both 2.
        taps: of the resampling filter.
        clamp: results are limited to ±clamp·gain; None = not at all.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: Activation = "linear",
        up: int = 1,
        down: int = 1,
        taps: Sequence[float] = (1, 3, 3, 1),
        clamp: float | None = None,
    ):
        super().__init__()
        assert kernel_size % 2 == 1
        assert (up, down) in ((1, 1), (2, 1), (1, 2))
        self.activation: Activation = activation
        self.up, self.down, self.clamp = up, down, clamp
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("resample_filter", fir_filter(taps))  # stored by every published layer, used by some

    def forward(self, x: Tensor, *, gain: float = 1) -> Tensor:
        """x [N, in_channels, H, W] → [N, out_channels, H·up/down, W·up/down], times `gain`."""
        total = GAINS[self.activation] * gain
        weight = self.weight.to(x.dtype) * (self.weight_gain * total)
        bias = None if self.bias is None else self.bias.to(x.dtype) * total
        x = _resampled_conv(x, weight, bias, self.resample_filter, self.up, self.down)
        return activate_(x, self.activation, clamp=None if self.clamp is None else self.clamp * gain)


def _resampled_conv(x: Tensor, weight: Tensor, bias: Tensor | None, f: Tensor, up: int, down: int) -> Tensor:
    k = weight.shape[-1]
    if down == 2 and k == 1:
        return conv2d(downsample2d(x, f), weight, bias)
    if down == 2:
        return _conv_down2(x, weight, bias, f)
    if up == 2 and k == 1:
        x = upsample2d(conv2d(x, weight), f)
        return x if bias is None else x + bias[:, None, None]
    if up == 2:
        return conv_up2(x, weight, f, bias)
    return conv2d(x, weight, bias, padding=k // 2)


def _conv_down2(x: Tensor, weight: Tensor, bias: Tensor | None, f: Tensor) -> Tensor:
    """Low-pass filter, then a convolution of stride 2: every second pixel of the full convolution, never the rest."""
    k, taps = weight.shape[-1], f.shape[-1]
    before, after = k // 2 + (taps - 1) // 2, k // 2 + (taps - 2) // 2
    return conv2d(upfirdn2d(x, f, padding=(before, after, before, after)), weight, bias, stride=2)


def conv_up2(x: Tensor, weight: Tensor, f: Tensor, bias: Tensor | None = None) -> Tensor:
    """Enlarge ×2 with a convolution: transposed convolution of stride 2, then the low-pass filter with gain 4.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k]; convolved (not correlated) with the zero-stuffed picture, as the published weights expect.
        f: [t, t] resampling filter.
        bias: [O].

    Returns:
        [N, O, 2H, 2W].
    """
    x = conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2H + k − 2, 2W + k − 2]
    return blur_after_up2(x, f, weight.shape[-1], bias)


def blur_after_up2(x: Tensor, f: Tensor, k: int, bias: Tensor | None = None) -> Tensor:
    """The second half of `conv_up2`: x [N, O, 2H + k − 2, 2W + k − 2] → [N, O, 2H, 2W]."""
    taps = f.shape[-1]
    before = k // 2 + (taps + 1) // 2 - (k - 1)
    after = k // 2 + (taps - 2) // 2 - (k - 2)
    return upfirdn2d(x, f, padding=(before, after, before, after), gain=4, bias=bias)
