"""Virtual batch normalisation: a picture is normalised by a fixed batch and itself, never by its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig


class VirtualBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of a fixed batch, with each picture's own as one more of it.

    In train mode the fixed batch comes along as the first `reference` rows, is normalised by its own statistics, and
    moves the running ones; in eval mode this is `BatchNorm2d`, so the trained network is an ordinary one.

    Source: Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.5.
    """

    reference = 0  # rows of the fixed batch

    def forward(self, x: Tensor) -> Tensor:
        """[reference + N, C, H, W] → the same shape."""
        if not self.training:
            return super().forward(x)
        fixed, rest = x[: self.reference], x[self.reference :].float()
        out = super().forward(fixed)
        share = 1 / (self.reference + 1)
        var, mean = torch.var_mean(fixed.float(), dim=(0, 2, 3), correction=0, keepdim=True)  # [1, C, 1, 1]
        squares = rest.square().mean(dim=(2, 3), keepdim=True).lerp(var + mean.square(), 1 - share)  # [N, C, 1, 1]
        mean = rest.mean(dim=(2, 3), keepdim=True).lerp(mean, 1 - share)
        rest = (rest - mean) * (squares - mean.square() + self.eps).rsqrt()
        rest = rest * self.weight[:, None, None] + self.bias[:, None, None]
        return torch.cat([out, rest.to(out.dtype)])


def use_virtual_batch_norm(network: nn.Module, reference: int) -> None:
    """Let the batch normalisation of a network be virtual.

    Args:
        network: changed in place; its weights and buffers keep their names. From then on, in train mode, each batch
            must begin with the fixed one.
        reference: pictures of the fixed batch.

    Raises:
        BadConfig: there is no BatchNorm2d in it.
    """
    layers = [module for module in network.modules() if type(module) is nn.BatchNorm2d and module.affine]
    if not layers:
        raise BadConfig(
            f"virtual_norm is for a generator with batch normalisation, such as dcgan's; {type(network).__name__} has "
            "none: set virtual_norm=0"
        )
    for module in layers:
        module.__class__ = VirtualBatchNorm2d
        module.reference = reference  # type: ignore[assignment]
