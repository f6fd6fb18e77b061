"""How unlike two pictures are to a network that knows pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]  # two pictures [N, 3, H, W] → [N]


def load_feature_distance(device: torch.device) -> Distance:
    """The distance of EfficientNet-Lite0's features; nothing flows back into the second picture.

    Raises:
        FetchError, WeightsError: its weights are not on this computer.
    """
    from ganvas.features.efficientnet import feature_distance, load_efficientnet

    extractor = load_efficientnet().to(device)

    def distance(img: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            features = extractor.features(target)
        return feature_distance(extractor.features(img), features)

    return distance
