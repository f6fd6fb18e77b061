"""The trainer of an upscaler: what one step does to the network, and perhaps to a discriminator.

Two stages. First the pixel loss alone: the mean of all pictures that could have been, hence the best PSNR and a little
soft. Then, if asked, a discriminator joins and weighs in with what looks real, and features with what looks alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.datasets.sr_pairs import SRDataset
from ganvas.models.protocol import Network
from ganvas.training.ema import Ema
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer
from ganvas.training.engine.watchdog import Finding
from ganvas.training.losses import build_adversarial_loss
from ganvas.training.perceptual import Distance
from ganvas.training.schedule import cosine
from ganvas.training.upscaler.config import UpscalerConfig


class SRBatch(NamedTuple):
    """Pairs to learn from."""

    low: Tensor  # [N, 3, h, w] in [-1, 1]
    high: Tensor  # [N, 3, h·scale, w·scale], the same pictures


class UpscalerTrainer(Trainer):
    """Networks, optimizers, EMA and counters of an upscaler's training.

    Args:
        G: the upscaler, on the world's device.
        D: its discriminator; None where there is no second stage.
        config: resolved.
        pairs: what it learns from.
        distance: of features, or None where `perceptual_weight` is 0.
        world: one process.
        run: where states and metrics are kept.
    """

    config: UpscalerConfig

    def __init__(
        self,
        G: Network,
        D: Network | None,
        config: UpscalerConfig,
        pairs: SRDataset,
        *,
        distance: Distance | None,
        world: World,
        run: Run | MemoryRun,
    ):
        for net in (G, D):
            if net is not None:
                net.to(memory_format=torch.channels_last)
        loss = None if config.gan == "none" else build_adversarial_loss(config.gan)
        averaged = Ema(G, config.ema_kimg, config.ema_ramp)
        super().__init__(G, D, config, loss=loss, averaged=averaged, world=world, run=run)
        self.pairs, self.distance = pairs, distance
        self.set_rates()

    # ------------------------------------------------------------------------------------------------- what a step does

    def draw(self) -> SRBatch:
        """See `Trainer`."""
        self.random()
        low, high = self.pairs.take(self.data_position, self.config.batch_size)
        return SRBatch(low.to(self.world.device), high.to(self.world.device))

    def step(self, batch: SRBatch) -> None:
        """Learn from one batch, as the stage is."""
        if self.has_discriminator():
            self.gan_step(batch)
        else:
            self.pixel_step(batch)
        self.finish_step()

    def has_discriminator(self) -> bool:
        """Whether the GAN stage has started."""
        return self.D is not None and self.nimg >= 1000 * (self.config.pixel_kimg or 0)

    def pixel_step(self, batch: SRBatch) -> None:
        """The first stage: come near to the right pixels."""
        self.opt_G.zero_grad(set_to_none=True)
        loss = pixel_loss(self.config.pixel, self.enlarge(batch.low), batch.high)
        self.running_means.add(pixel=loss)
        loss.backward()
        self.apply_gradients(self.opt_G, self.params_G, "G")

    def gan_step(self, batch: SRBatch) -> None:
        """The second stage: both networks learn, from the same enlarged pictures."""
        config, (low, high) = self.config, batch
        assert self.opt_D is not None and self.loss is not None
        # The generator.
        self.opt_G.zero_grad(set_to_none=True)
        with self.only_generator_learns():
            fake = self.enlarge(low)
            real = self.discriminate(high).detach() if self.loss.pairs else None
            pixel_error = pixel_loss(config.pixel, fake, high)
            adversarial = self.loss.generator(self.discriminate(fake), real).mean()
            total = config.pixel_weight * pixel_error + config.gan_weight * adversarial
            self.running_means.add(pixel=pixel_error, loss_G=adversarial)
            if self.distance is not None:
                perceptual = self.distance(fake, high).mean()
                total = total + config.perceptual_weight * perceptual
                self.running_means.add(perceptual=perceptual)
            total.backward()
        self.apply_gradients(self.opt_G, self.params_G, "G")
        # The discriminator.
        self.opt_D.zero_grad(set_to_none=True)
        real_logits, fake_logits = self.discriminate(high), self.discriminate(fake.detach())
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        self.running_means.add(loss_D=loss, logit_real=real_logits, logit_fake=fake_logits)
        loss.backward()
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def enlarge(self, low: Tensor) -> Tensor:
        """low [N, 3, h, w] → [N, 3, h·scale, w·scale], in float32."""
        with self.cast():
            return self.G(low).float()

    def discriminate(self, img: Tensor) -> Tensor:
        """Logits [N, H·W] in float32."""
        with self.cast():
            return self.D(img).float()

    # --------------------------------------------------------------------------------------------------- learning rates

    @property
    def g_lr(self) -> float:
        """See `Trainer`; of the stage."""
        return self.config.gan_lr if self.has_discriminator() else self.config.lr

    def rate(self) -> float:
        """See `Trainer`; each stage goes down a cosine of its own."""
        if self.config.schedule == "constant":
            return 1.0
        first, second = (1000 * kimg for kimg in self.config.stages)
        done, length = (self.nimg - first, second) if self.has_discriminator() else (self.nimg, first)
        return cosine(1, self.config.lr_end, done, length)

    # -------------------------------------------------------------------------------------------------- how it is going

    def advice(self, finding: Finding) -> str:
        """See `Trainer`."""
        slower = "Try lower learning rates (lr, gan_lr, d_lr)"
        return f"{slower} or a smaller gan_weight." if self.config.gan != "none" else f"{slower} or precision=exact."

    def out_of_memory_advice(self) -> str:
        """See `Trainer`."""
        config = self.config
        return (
            f"out of memory for {config.batch_size} crops of {config.low_px * config.scale} px at once on "
            f"{self.world.device}: the same command and --set batch_size={max(config.batch_size // 2, 1)}; or --set "
            f"low_px={max(config.low_px // 2, 8)} under another --name"
        )


def pixel_loss(name: str, img: Tensor, target: Tensor) -> Tensor:
    """The mean difference, "l1" or "l2", as one number."""
    return F.l1_loss(img, target) if name == "l1" else F.mse_loss(img, target)
