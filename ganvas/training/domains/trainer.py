"""The trainer of a translator between many domains: what one step does (Choi et al. 2018, section 3.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganvas.datasets.sampler import Sampler
from ganvas.training.domains.config import DomainsConfig
from ganvas.training.domains.networks import DomainDiscriminator, DomainTranslator
from ganvas.training.ema import Ema
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer, mean_pairwise_distance
from ganvas.training.engine.watchdog import Finding
from ganvas.training.losses import build_adversarial_loss, class_cross_entropy, l1
from ganvas.training.penalties import gradient_penalty

_SHOWN_IMAGES = 8  # whose translations are looked at

# What randomness is drawn for; part of its seed.
_TARGETS, _PENALTY = range(2)


class DomainBatch(NamedTuple):
    """Real pictures and their domains."""

    img: Tensor  # [N, 3, R, R]
    c: Tensor  # [N, domains] one-hot


class DomainsTrainer(Trainer):
    """Networks, optimisers, average, counters: one training run of a translator between many domains.

    Args:
        G, D: on the world's device.
        config: of the run.
        pictures: labelled with their domains.
        world: one process.
        run: where states and metrics are kept.
    """

    config: DomainsConfig

    def __init__(
        self,
        G: DomainTranslator,
        D: DomainDiscriminator,
        config: DomainsConfig,
        pictures: Any,
        *,
        world: World,
        run: Run | MemoryRun,
    ):
        averaged = Ema(G, config.ema_kimg, config.ema_ramp)
        super().__init__(
            G, D, config, loss=build_adversarial_loss(config.loss), averaged=averaged, world=world, run=run
        )
        self.pictures = pictures
        self.sampler = Sampler(len(pictures), seed=config.seed, mirror=config.mirror)

    # ------------------------------------------------------------------------------------------------- what a step does

    def draw(self) -> DomainBatch:
        """See `Trainer`."""
        indices, mirrored = self.sampler.take(self.data_position, self.config.batch_size)
        img, c = self.load_images(indices)
        flipped = torch.from_numpy(mirrored).to(img.device)
        return DomainBatch(torch.where(flipped[:, None, None, None], img.flip(3), img), c)

    def load_images(self, indices: Any) -> DomainBatch:
        """These pictures of the set, on the device."""
        pixels, c = self.pictures.batch(indices)
        return DomainBatch(pixels.to(self.world.device).float().div_(127.5).sub_(1), c.to(self.world.device))

    def step(self, batch: DomainBatch) -> None:
        """The discriminator learns, and, each `d_steps`-th time, the translator."""
        # Targets are the domains of the batch in another order, so each is as frequent as in the data.
        order = torch.randperm(len(batch.c), generator=self.random(_TARGETS))
        target = batch.c[order.to(batch.c.device)]
        self.discriminator_step(batch, target)
        if self.steps % self.config.d_steps == 0:
            self.generator_step(batch, target)
        self.finish_step()

    def discriminator_step(self, batch: DomainBatch, target: Tensor) -> None:
        """Tell reals from translations (eq. 1 and 8), and name the domain of reals (eq. 2)."""
        config, (real, c) = self.config, batch
        self.opt_D.zero_grad(set_to_none=True)
        with torch.no_grad(), self.cast():
            fake = self.G(real, target).float()
        with self.cast():
            (real_logits, of_real), (fake_logits, _) = self.D(real), self.D(fake)
        each = self.loss.discriminator(real_logits.float(), fake_logits.float())
        surprise = class_cross_entropy(of_real, c)
        total = each + config.classification * surprise
        if config.loss == "wgan":
            weight, rng = config.gradient_penalty, self.random(_PENALTY)
            penalty = gradient_penalty(self._patches, real, fake, weight=weight, rng=rng)
            total = total + penalty
            self.running_means.add(penalty=penalty)
        total.mean().backward()
        self.running_means.add(loss_D=each, logit_real=real_logits, logit_fake=fake_logits)
        self.running_means.add(right_real=(of_real.argmax(1) == c.argmax(1)).float())
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def _patches(self, img: Tensor) -> Tensor:
        with self.cast():
            logits: Tensor = self.D(img)[0]
        return logits.float()

    def generator_step(self, batch: DomainBatch, target: Tensor) -> None:
        """Translations pass for real, are named as their target (eq. 3), and come back as they were (eq. 4)."""
        config, (real, c) = self.config, batch
        self.opt_G.zero_grad(set_to_none=True)
        with self.only_generator_learns(), self.cast():
            fake = self.G(real, target)
            logits, of_fake = self.D(fake)
            each = self.loss.generator(logits.float())
            surprise, back = class_cross_entropy(of_fake, target), l1(self.G(fake, c), real)
            (each + config.classification * surprise + config.reconstruction * back).mean().backward()
        self.running_means.add(loss_G=each, cycle=back, right_fake=(of_fake.argmax(1) == target.argmax(1)).float())
        self.apply_gradients(self.opt_G, self.params_G, "G")

    def rate(self) -> float:
        """See `Trainer`."""
        return self.config.rate(self.nimg)

    # -------------------------------------------------------------------------------------------------- how it is going

    def metrics_now(self) -> dict[str, float]:
        """See `Trainer`."""
        return {**super().metrics_now(), "diversity": self.diversity()}

    def diversity(self) -> float:
        """How different translations to one domain are from one another, as a share of how different the images are."""
        img = self.load_images(range(min(_SHOWN_IMAGES, len(self.pictures)))).img
        return mean_pairwise_distance(self.translate(self.G, img, 0)) / max(mean_pairwise_distance(img), 1e-6)

    @torch.no_grad()
    def translate(self, G: DomainTranslator, img: Tensor, domain: int) -> Tensor:
        """[N, 3, R, R] to one domain, in float32."""
        c = torch.eye(self.pictures.c_dim, device=img.device)[[domain] * len(img)]
        return torch.cat([G(*part) for part in zip(img.split(8), c.split(8), strict=True)]).float()

    def chance_loss_D(self) -> float:
        """See `Trainer`; a critic's loss has no such value."""
        return 0.0 if self.config.loss == "wgan" else super().chance_loss_D()

    def advice(self, finding: Finding) -> str:
        """See `Trainer`."""
        return "Try lower learning rates (g_lr, d_lr), more images a domain, or a larger reconstruction."

    def out_of_memory_advice(self) -> str:
        """See `Trainer`."""
        half = max(self.config.batch_size // 2, 1)
        return (
            f"out of memory for {self.config.batch_size} images of {self.config.resolution} px at once on "
            f"{self.world.device}. Try the same command and --set batch_size={half}"
        )
