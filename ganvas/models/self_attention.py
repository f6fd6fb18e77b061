"""Self-attention over the places of a feature map: every place may look at every other, however far it is.

Zhang et al. 2019, "Self-Attention Generative Adversarial Networks" (SAGAN), section 3, with keys and values pooled to
half the size as in the authors' own networks. The block begins as the identity (γ = 0).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KEY_SHARE, _VALUE_SHARE = 8, 2  # channels / 8 to compare places by, channels / 2 to hand on


class SelfAttention(nn.Module):
    """[N, C, H, W] → the same, x + γ · attention(x).

    Args:
        channels: C.
        conv: nn.Conv2d, or one with spectral normalisation.
    """

    def __init__(self, channels: int, *, conv: type[nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        keys, values = max(channels // _KEY_SHARE, 1), max(channels // _VALUE_SHARE, 1)
        self.query, self.key = (conv(channels, keys, 1, bias=False) for _ in range(2))
        self.value, self.out = conv(channels, values, 1, bias=False), conv(values, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """H and W even."""
        query = self.query(x).flatten(2)  # [N, K, HW]
        key = F.max_pool2d(self.key(x), 2).flatten(2)  # [N, K, HW/4]
        value = F.max_pool2d(self.value(x), 2).flatten(2)  # [N, V, HW/4]
        share = (query.transpose(1, 2) @ key).softmax(dim=2)  # [N, HW, HW/4]   eq. 1
        gathered = (value @ share.transpose(1, 2)).unflatten(2, x.shape[2:])  # [N, V, H, W]   eq. 2
        return x + self.gamma * self.out(gathered)  # eq. 3
