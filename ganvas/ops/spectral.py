"""Spectral normalisation: layers whose largest amplification is 1, kept so by one power iteration a step.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", section 2.1 and algorithm 1. The
weight is stored as it is and divided by its largest singular value σ when used; `weight_u` is the running left singular
vector. Only train mode moves `weight_u`, so eval mode is deterministic. σ is differentiated with the singular vectors
held fixed (their eq. 11), which is right for gradients of any order with respect to the input.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.ops.convolution import Conv2d

NORM_EPS = 1e-12  # keeps a zero weight from dividing by zero
INIT_POWER_ITERATIONS = 15  # power iterations that `run_power_iterations` runs on fresh weights


class _Spectral(nn.Module):
    """What the three layers below share: `weight` in, `weight / σ` out. Mixed into a layer of torch."""

    weight_u: Tensor
    frozen = False
    iterates = True  # in every forward pass of train mode; see `take_over_power_iterations`

    def _start(self) -> None:
        rows = self._matrix().shape[0]
        self.register_buffer("weight_u", F.normalize(torch.randn(rows), dim=0, eps=NORM_EPS))

    def _matrix(self) -> Tensor:
        """The weight as [outputs, everything else]."""
        return self.weight.flatten(1)

    @torch.no_grad()
    def run_power_iterations(self, steps: int = INIT_POWER_ITERATIONS) -> None:
        """See the function `run_power_iterations`."""
        matrix = self._matrix()
        for _ in range(steps):
            v = F.normalize(matrix.t() @ self.weight_u, dim=0, eps=NORM_EPS)
            self.weight_u.copy_(F.normalize(matrix @ v, dim=0, eps=NORM_EPS))

    def sigma(self) -> Tensor:
        """The largest singular value, a scalar; in train mode after one more power iteration if it iterates."""
        # In bfloat16 the power iteration would stop short, so it stays outside of any autocast.
        u = self.weight_u.clone()
        with torch.autocast(u.device.type, enabled=False):
            matrix = self._matrix()
            if self.training and self.iterates:
                with torch.no_grad():
                    v = F.normalize(matrix.t() @ u, dim=0, eps=NORM_EPS)
                    u = F.normalize(matrix @ v, dim=0, eps=NORM_EPS)
                    self.weight_u.copy_(u)
            return (matrix.t() @ u).norm().clamp_min(NORM_EPS)  # = uᵀ W v with v = Wᵀu / |Wᵀu|

    def compute_weight(self) -> Tensor:
        """weight / σ."""
        weight: Tensor = self.weight  # type: ignore[assignment]
        return weight if self.frozen else weight / self.sigma()

    @torch.no_grad()
    def freeze(self) -> None:
        """See the function `fold_spectral_norm`."""
        self.weight.copy_(self.compute_weight())
        self.frozen = True


class SpectralConv2d(_Spectral, Conv2d):
    """`Conv2d` with a spectrally normalised weight."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, H', W']."""
        pixels = x.shape[0] * x.shape[2] * x.shape[3] // (self.stride[0] * self.stride[1])
        if self.bias is None and not self.frozen and pixels < self.weight[0].numel():
            return self._conv_forward(x, self.weight, None) / self.sigma().to(x.dtype)  # fewer numbers to divide
        return self._conv_forward(x, self.compute_weight(), self.bias)


class SpectralConvTranspose2d(_Spectral, nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with a spectrally normalised weight; without groups, dilation and output padding."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, padding, bias=bias)
        self._start()

    def _matrix(self) -> Tensor:
        return self.weight.transpose(0, 1).flatten(1)  # a transposed convolution stores its inputs first

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[N, I, H, W] → [N, O, H', W']."""
        return F.conv_transpose2d(x, self.compute_weight(), self.bias, self.stride, self.padding)  # type: ignore[arg-type]


class SpectralLinear(_Spectral, nn.Linear):
    """`nn.Linear` with a spectrally normalised weight."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """[N, I] → [N, O]."""
        return F.linear(x, self.compute_weight(), self.bias)


def run_power_iterations(network: nn.Module, steps: int = INIT_POWER_ITERATIONS) -> None:
    """Find the singular vectors of weights that have just been set, so that the first σ is right."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.run_power_iterations(steps)


def take_over_power_iterations(network: nn.Module) -> list[Any]:
    """Have the layers of a network iterate no more by themselves, and return them: whoever trains it lets each
    `run_power_iterations(1)` once a step (the paper's algorithm 1), however many passes a step takes."""
    layers = [module for module in network.modules() if isinstance(module, _Spectral)]
    for layer in layers:
        layer.iterates = False
    return layers


def fold_spectral_norm(network: nn.Module) -> None:
    """Divide the weights by their σ for good: for a copy that will only be run, and never be saved or trained."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.freeze()
