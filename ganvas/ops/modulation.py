"""Modulated convolution: a convolution whose input channels are scaled by a style, each sample by its own.

The paper scales the weights, one set a sample, and runs a grouped convolution. The same numbers come out, with one set
of weights for the whole batch, when the *picture* is scaled by the style before an ordinary convolution and by the
demodulation after it: Σ_i (s_i·w_oi)·x_i = Σ_i w_oi·(s_i·x_i). The demodulation needs only the squared weights.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2, equations 1-3.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ganvas.ops.equalized import conv_up2


def demodulation(weight: Tensor, styles: Tensor, *, eps: float = 1e-8) -> Tensor:
    """What brings each output channel of a modulated convolution back to unit variance.

    Args:
        weight: [O, I, k, k].
        styles: [N, I].

    Returns:
        [N, O], 1/√(Σ_ik (s_i·w_oik)² + eps)                                                                  (eq. 3)
    """
    energy = weight.square().sum(dim=(2, 3))  # [O, I]
    return (F.linear(styles.square(), energy) + eps).rsqrt()


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up: int = 1, f: Tensor | None = None
) -> Tensor:
    """Convolve each sample with weights scaled by its own style.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k], k odd.
        styles: [N, I].
        demodulate: divide by the expected size of the result.
        up: 1, or 2 to enlarge with the filter `f`.
        f: [t, t] resampling filter, for up = 2.

    Returns:
        [N, O, H·up, W·up].
    """
    x = x * styles.to(x.dtype)[:, :, None, None]
    w = weight.to(x.dtype)
    if up == 2:
        assert f is not None
        x = conv_up2(x, w, f)
    else:
        x = F.conv2d(x, w, padding=weight.shape[-1] // 2)
    if demodulate:
        x = x * demodulation(weight, styles).to(x.dtype)[:, :, None, None]
    return x
