"""The gradient penalties that a generator's run switches on."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.training.generator.augmentation import AugmentedDiscriminator
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import Images
from ganvas.training.generator.schedules import scheduled_gamma
from ganvas.training.penalties import gradient_penalty, slope_penalty


def is_penalised(config: TrainConfig) -> bool:
    """Is any gradient penalty on?"""
    return config.r1_gamma > 0 or config.r2_gamma > 0 or config.gradient_penalty > 0


class GradientPenalties:
    """Those that are on, [N]; gradients are taken of the pictures before augmentation.

    Args:
        config: resolved.
        discriminator: of the run.
    """

    def __init__(self, config: TrainConfig, discriminator: AugmentedDiscriminator):
        self.config, self.discriminator = config, discriminator

    def __call__(
        self,
        real: Tensor,
        fake: Images | None,
        c: Tensor | None,
        real_logits: Tensor | None,
        fake_logits: Tensor | None,
        *,
        nimg: int,
        factor: float,
        p: float,
        rng: torch.Generator,
    ) -> Tensor:
        """See the class; logits are of `real` and `fake`, `factor` on all weights is a remedy's."""
        config, total = self.config, torch.zeros(len(real), device=real.device)
        if config.r1_gamma > 0 and real_logits is not None:
            gamma = scheduled_gamma(config, nimg, config.r1_gamma) * factor
            total = total + slope_penalty(real_logits, real, gamma=gamma)
        if config.r2_gamma > 0 and fake is not None and fake_logits is not None:
            gamma = scheduled_gamma(config, nimg, config.r2_gamma) * factor
            total = total + slope_penalty(fake_logits, fake.img, gamma=gamma)
        if config.gradient_penalty > 0 and fake is not None:
            weight = config.gradient_penalty * factor

            def discriminate(img: Tensor, c: Tensor | None = None) -> Tensor:
                return self.discriminator(Images(img), c, p, rng)

            total = total + gradient_penalty(discriminate, real.detach(), fake.img.detach(), c, weight=weight, rng=rng)
        return total
