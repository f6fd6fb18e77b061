"""The Inception score: are pictures of one class each, and of all classes together?

Salimans et al. 2016, "Improved Techniques for Training GANs", section 4. It means something for generators of
ImageNet's or CIFAR's classes only, and only with FID's network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import BadConfig

IS_SPLITS = 10
MIN_IMAGES_IS = 200


def inception_score(probabilities: Tensor, *, splits: int = IS_SPLITS) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))), over parts of the pictures: (their mean, their standard deviation).

    Args:
        probabilities: [N, K], rows that sum to 1, in the order of drawing.
        splits: parts of equal size.

    Returns:
        From 1 (all alike) to K.

    Raises:
        BadConfig: fewer pictures than parts.
    """
    if probabilities.ndim != 2 or len(probabilities) < splits:
        raise BadConfig(
            f"an Inception score of {splits} parts needs [N, K] with N >= {splits}, got {list(probabilities.shape)}"
        )
    scores = []
    for part in probabilities.double().tensor_split(splits):
        logs = part.clamp_min(1e-16).log() - part.mean(dim=0).clamp_min(1e-16).log()
        scores.append((part * logs).sum(dim=1).mean().exp())
    together = torch.stack(scores)
    return float(together.mean()), float(together.std(correction=0))
