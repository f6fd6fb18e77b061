"""Modulated convolution: a convolution whose input channels are scaled by a style, each sample by its own.

The paper scales the weights, one set a sample, and runs a grouped convolution. The same numbers come out, with one set
of weights for the whole batch, when the *picture* is scaled by the style before an ordinary convolution and by the
demodulation after it: Σ_i (s_i·w_oi)·x_i = Σ_i w_oi·(s_i·x_i). The demodulation needs only the squared weights.
Which of the two is cheaper depends on what is larger, the weights or the picture.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2, equations 1-3.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.convolution import conv2d
from ganvas.ops.equalized import blur_after_up2, conv_up2
from ganvas.ops.precision import PreparedWeight


def demodulation(
    weight: Tensor, styles: Tensor, *, eps: float = 1e-8, prepared: PreparedWeight | None = None
) -> Tensor:
    """What brings each output channel of a modulated convolution back to unit variance.

    Args:
        weight: [O, I, k, k].
        styles: [N, I].
        eps: keeps it finite.
        prepared: remembers what depends on the weight alone.

    Returns:
        [N, O], 1/√(Σ_ik (s_i·w_oik)² + eps)                                                                  (eq. 3)
    """
    energy = (prepared or PreparedWeight()).energy(weight)  # [O, I]
    return (F.linear(styles.square(), energy.to(styles.dtype)) + eps).rsqrt()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    f: Tensor | None = None,
    gain: float = 1,
    bias: Tensor | None = None,
    prepared: PreparedWeight | None = None,
) -> Tensor:
    """Convolve each sample with weights scaled by its own style.

    Args:
        x: [N, I, H, W], of the float type in which the convolution is to run.
        weight: [O, I, k, k], k odd.
        styles: [N, I].
        demodulate: divide by the expected size of the result.
        up: 1, or 2 to enlarge with the filter `f`.
        f: [t, t] resampling filter, for up = 2.
        gain: multiplies the convolution's result, not the bias.
        bias: [O], added at the end.
        prepared: keeps what depends on `weight` alone, among it copies for calls in another type than its own.

    Returns:
        [N, O, H·up, W·up], which no gradient needs: the caller may go on in place.
    """
    scale = demodulation(weight, styles, prepared=prepared) * gain if demodulate else None  # [N, O]
    if scale is None and gain != 1:
        styles = styles * gain
    if weights_are_smaller(x, weight, up=up) and not _wants_gradients(x, weight, styles):
        w = weight * styles[0, None, :, None, None]
        w = w if scale is None else w * scale[0, :, None, None, None]
        return _convolve(x, w.to(x.dtype), up=up, f=f, bias=bias)
    x = x * styles.to(x.dtype)[:, :, None, None]
    if scale is None:
        return _convolve_prepared(x, weight, up=up, f=f, bias=bias, prepared=prepared)
    x = _convolve_prepared(x, weight, up=up, f=f, bias=None, prepared=prepared)
    scale = scale.to(x.dtype)[:, :, None, None]
    return x * scale if bias is None else torch.addcmul(bias.to(x.dtype)[:, None, None], x, scale)


def add_bias_and_noise_(x: Tensor, bias: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    """x + bias + noise · strength, in place where that is safe.

    Args:
        x: [N, C, H, W], a result that nothing else uses.
        bias: [C].
        noise: [H, W], or [N, 1, H, W]; a constant.
        strength: [], of the noise.

    Returns:
        [N, C, H, W]; the caller may go on in place.

    On a CPU, where the channels of a pixel lie side by side, noise and bias are one matrix product a sample,
    [noise, 1] · [strength; bias], and so are their gradients. Elementwise, 16 channels in bfloat16 take 25 times as
    long.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling() and _channels_are_innermost(x):
        noise = noise.to(x.dtype).reshape(-1, 1, x.shape[2] * x.shape[3])  # [1 or N, 1, H·W]
        planes = torch.cat([noise, torch.ones_like(noise)], dim=1).expand(x.shape[0], -1, -1)
        return _AddPlanes.apply(x, planes, torch.stack([strength.expand_as(bias), bias]).to(x.dtype))
    x = x.add_(bias.to(x.dtype)[:, None, None])
    return x.add_((noise * strength).to(x.dtype))


def _channels_are_innermost(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _rows(x: Tensor) -> Tensor:
    """[N, C, H, W] → [N, H·W, C], a view where channels are innermost."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


class _AddPlanes(torch.autograd.Function):
    """x [N, C, H, W] += Σ_k planes [N, K, H·W] · weights [K, C], in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, planes: Tensor, weights: Tensor) -> Tensor:
        _rows(x).baddbmm_(planes.transpose(1, 2), weights.expand(x.shape[0], -1, -1))
        ctx.save_for_backward(planes)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (planes,) = ctx.saved_tensors
        return g, None, torch.bmm(planes, _rows(g)).sum(dim=0) if ctx.needs_input_grad[2] else None


def weights_are_smaller(x: Tensor, weight: Tensor, *, up: int = 1) -> bool:
    """Is it cheaper to scale the weights [O, I, k, k] than the picture x [N, I, H, W]? For one sample, on a CPU.

    Scaling the picture is two passes over it, of I and O channels; scaling the weights is some four passes over them.
    """
    pixels = x.shape[-2] * x.shape[-1] * up**2
    return x.device.type == "cpu" and x.shape[0] == 1 and 4 * weight.numel() <= pixels * weight.shape[0]


def _wants_gradients(*tensors: Tensor) -> bool:
    """With gradients, scaled weights would cost the gradient of a convolution's weight for that of the style."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _convolve(x: Tensor, weight: Tensor, *, up: int, f: Tensor | None, bias: Tensor | None = None) -> Tensor:
    if up == 1:
        return conv2d(x, weight, None if bias is None else bias.to(x.dtype), padding=weight.shape[-1] // 2)
    assert f is not None
    return conv_up2(x, weight, f, bias)


def _convolve_prepared(
    x: Tensor, weight: Tensor, *, up: int, f: Tensor | None, bias: Tensor | None, prepared: PreparedWeight | None
) -> Tensor:
    """The convolution with weights of another type than x: from their kept copies where that changes no gradient."""
    if prepared is None or x.dtype == weight.dtype or torch.compiler.is_compiling() or _wants_gradients(weight):
        return _convolve(x, weight.to(x.dtype), up=up, f=f, bias=bias)
    if x.device.type != "cpu" or _wants_gradients(x) or bias is not None:
        return _convolve(x, prepared.plain(weight, x.dtype), up=up, f=f, bias=bias)
    if up == 1:
        return prepared.conv2d(x, weight)
    assert f is not None
    return blur_after_up2(prepared.conv_transpose2d(x, weight), f, weight.shape[-1])
