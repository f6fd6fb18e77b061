"""A second copy of a network, in the precision that runs fastest: for calls that need no gradient."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from ganvas.ops.spectral import fold_spectral_norm


class LowPrecisionCopy:
    """A copy of a network in another precision, only to be run; made again when the network's weights have changed.

    It is no part of the state_dict, and a copied or pickled network starts without one.
    """

    def __init__(self) -> None:
        self._stamp: object = None
        self._network: nn.Module | None = None

    def __deepcopy__(self, memo: dict) -> LowPrecisionCopy:
        return LowPrecisionCopy()

    def __reduce__(self) -> tuple[type[LowPrecisionCopy], tuple[()]]:
        return LowPrecisionCopy, ()

    def get(self, network: nn.Module, dtype: torch.dtype) -> Any:
        """The copy of `network` in `dtype`: channels_last, spectral norms divided out once and for all."""
        tensors = [*network.parameters(), *network.buffers()]
        # Tensors made in inference mode do not count their changes: no stamp of theirs is like the one before.
        stamp = (
            dtype,
            network.training,
            [(t.data_ptr(), object() if t.is_inference() else t._version) for t in tensors],
        )
        if self._stamp != stamp:
            self._network = None  # the old one goes before the new one comes
            network_copy = copy.deepcopy(network).requires_grad_(False)
            fold_spectral_norm(network_copy)
            self._network = network_copy.to(dtype=dtype, memory_format=torch.channels_last)
            self._stamp = stamp
        return self._network
