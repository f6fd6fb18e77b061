"""How the pictures that a generator's discriminator sees are augmented, and how strongly now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganvas.ops.blur import gaussian_blur
from ganvas.training import augment
from ganvas.training.engine.distributed import World, sum_over_processes
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import GANPair, Images
from ganvas.training.generator.schedules import scheduled_augment_p
from ganvas.training.perceptual import Distance

AugmentFn = Callable[[Tensor, float, torch.Generator], Tensor]  # (img, p, rng) → img


class Augmenter:
    """The augmentation of a run, and its strength.

    Attributes:
        ada: the controller that sets the strength by what the discriminator says; None where nothing does.
        blur_px: deviation of the Gaussian that all the discriminator sees is blurred by now; 0 = none.
    """

    blur_px = 0.0

    def __init__(self, config: TrainConfig):
        self.config = config
        self.ada: augment.AdaController | None = None
        if config.augment == "ada":
            self.ada = augment.AdaController(config.ada_target, config.ada_kimg, config.ada_p_max)
        self._augment = _augment_fn(config)

    def __call__(self, images: Images, p: float, rng: torch.Generator) -> Images:
        """What is shown, augmented with probability p; a FastGAN's small picture by draws of its own."""
        small = images.small if images.small is None else self._augment(images.small, p, rng)
        img = gaussian_blur(images.img, self.blur_px) if self.blur_px > 0 else images.img
        return Images(self._augment(img, p, rng), small)

    def p(self, nimg: int, factor: float) -> float:
        """The probability of augmentation after so many pictures; `factor` of a remedy is on what the config says."""
        match self.config.augment:
            case "ada":
                return self.ada.p if self.ada is not None else 0.0
            case "fixed":
                return self.config.augment_p * factor
            case "ramp":
                return scheduled_augment_p(self.config, nimg) * factor
            case "diffaug":
                return 1.0
            case "none":
                return 0.0

    def observe(self, logits: Tensor) -> None:
        """Note what D says of real pictures, as logits above the one at which it cannot tell."""
        if self.ada is not None:
            self.ada.observe(logits)

    def update(self, factor: float, world: World) -> None:
        """A step is done: let the strength follow what was observed in all processes."""
        if self.ada is not None:
            self.ada.p_max = self.config.ada_p_max * factor
            self.ada.update(self.config.batch_size, reduce=lambda counts: sum_over_processes(counts, world))

    def state(self) -> dict[str, Any] | None:
        """What a resumed run needs."""
        return None if self.ada is None else self.ada.state_dict()

    def load(self, state: dict[str, Any] | None) -> None:
        """The inverse of `state`."""
        if self.ada is not None and state is not None:
            self.ada.load_state_dict(state)


def _augment_fn(config: TrainConfig) -> AugmentFn:
    match config.augment:
        case "none":
            return lambda img, p, rng: img
        case "diffaug":
            diffaug = augment.DiffAugment(policy=config.augment_policy)
            return lambda img, p, rng: diffaug(img, rng=rng)
        case "ada" | "fixed" | "ramp":
            # R3GAN's ramp has colour operations half as often.
            share = 0.5 if config.augment == "ramp" else 1.0
            ada = augment.Ada(groups=config.augment_groups, colour_share=share)
            return lambda img, p, rng: ada(img, p=p, rng=rng) if p > 0 else img


class AugmentedDiscriminator:
    """The discriminator as the losses meet it: whatever it sees is augmented first, with probability p.

    Args:
        pair: whose discriminator it is.
        augmenter: of the run.
        distance: by which it is measured how well reals are rebuilt (FastGAN); None = they are not.
    """

    def __init__(self, pair: GANPair, augmenter: Augmenter, distance: Distance | None):
        self.pair, self.augmenter, self.distance = pair, augmenter, distance

    def __call__(self, images: Images, c: Tensor | None, p: float, rng: torch.Generator) -> Tensor:
        """Logits [N], or [N, P] of patches."""
        return self.pair.discriminate(self.augmenter(images, p, rng), c)

    def both(
        self,
        real: Tensor,
        fake: Images,
        c: Tensor | None,
        fake_c: Tensor | None,
        p: float,
        rng: torch.Generator,
        *,
        apart: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits of reals and of fakes, and how well the reals were rebuilt; `apart`, each can be differentiated."""
        if apart or not self.pair.judges_apart:
            real_logits, reconstruction_loss = self._reals(real, c, p, rng)
            return real_logits, self(fake, fake_c, p, rng), reconstruction_loss
        augmented_real, augmented_fake = self.augmenter(Images(real), p, rng).img, self.augmenter(fake, p, rng).img
        return *self.pair.discriminate_together(augmented_real, augmented_fake, c, fake_c), None

    def _reals(self, real: Tensor, c: Tensor | None, p: float, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        images = self.augmenter(Images(real), p, rng)
        if self.distance is None:
            return self.pair.discriminate(images, c), None
        quadrant = int(torch.randint(4, (), generator=rng))
        return self.pair.forward_with_reconstruction(images, c, quadrant=quadrant, distance=self.distance)
