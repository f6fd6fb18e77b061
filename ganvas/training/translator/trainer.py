"""The trainer of a translator: what one step does, with or without pairs.

Unpaired (Zhu et al. 2017): two translators and two discriminators; what goes to the other domain must look at home
there, and come back as what it was. Paired (Isola et al. 2017): one translator, one discriminator that sees question
and answer together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganvas.datasets.translation_data import TranslationDataset, TranslationLoader
from ganvas.images.tensors import from_pixels
from ganvas.models import build
from ganvas.training import losses
from ganvas.training.ema import Ema
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer, mean_pairwise_distance
from ganvas.training.engine.watchdog import Finding
from ganvas.training.gradients import backward_by_ratio
from ganvas.training.image_pool import ImagePool
from ganvas.training.losses import build_adversarial_loss
from ganvas.training.penalties import gradient_penalty, refuse_batch_norm
from ganvas.training.translator.config import TranslationDirection, TranslatorConfig

DIVERSITY_IMAGES = 8  # pictures whose translations' diversity is compared with that of real ones

# What randomness is drawn for; part of its seed.
_STEP, _POOL = range(2)

OPPOSITE = {"AtoB": "BtoA", "BtoA": "AtoB"}


class TranslatorBatch(NamedTuple):
    """Pictures of both domains, [N, C, R, R] in [-1, 1]; where there are pairs, in the same order."""

    a: Tensor
    b: Tensor

    def source(self, way: str) -> Tensor:
        """What goes in at a way's beginning."""
        return self.a if way == "AtoB" else self.b

    def target(self, way: str) -> Tensor:
        """What is at its end."""
        return self.b if way == "AtoB" else self.a


class TranslatorTrainer(Trainer):
    """Networks, optimisers, average, pools, counters: one training run of a translator.

    Args:
        G: translators by direction, on the world's device.
        D: discriminators by direction: D["AtoB"] judges what comes out of A → B.
        config: resolved.
        dataset: to learn from.
        held_out: pictures that are only looked at; may be none.
        world: one process.
        run: where states and metrics are kept.
    """

    config: TranslatorConfig

    def __init__(
        self,
        G: nn.ModuleDict,
        D: nn.ModuleDict,
        config: TranslatorConfig,
        dataset: TranslationDataset,
        held_out: TranslationDataset,
        *,
        world: World,
        run: Run | MemoryRun,
    ):
        if config.family == "pix2pix":  # twice as fast on a CPU; instance norm, in the other family, is slower so
            for net in (G, D):
                net.to(memory_format=torch.channels_last)
        loss, averaged = build_adversarial_loss(config.loss), Ema(G, config.ema_kimg, config.ema_ramp)
        super().__init__(G, D, config, loss=loss, averaged=averaged, world=world, run=run)
        self.dataset, self.held_out = dataset, held_out if len(held_out.rows_a) and len(held_out.rows_b) else dataset
        self.feed = TranslationLoader(dataset, resolution=config.resolution, mirror=config.mirror, seed=config.seed)
        self.pools = {way: ImagePool(config.pool) for way in config.ways}
        self._diverse_reals: dict[str, float] = {}

    # ------------------------------------------------------------------------------------------------- what a step does

    def draw(self) -> TranslatorBatch:
        """See `Trainer`."""
        self.random(_STEP)  # noise of dropout
        batch = self.feed.take(self.data_position, self.config.batch_size)
        return TranslatorBatch(*(self.as_img(pixels) for pixels in batch))

    def as_img(self, pixels: Tensor) -> Tensor:
        """uint8 [N, C, R, R] → img on the device."""
        return from_pixels(pixels.permute(0, 2, 3, 1)).to(self.world.device)

    def step(self, batch: TranslatorBatch) -> None:
        """Translators and discriminators learn from one batch."""
        if self.config.pairing == "paired":
            self.paired_step(batch)
        else:
            self.unpaired_step(batch)
        self.finish_step()

    def unpaired_step(self, batch: TranslatorBatch) -> None:
        """Both translators, by cycles; then both discriminators."""
        config = self.config
        a, b = batch
        # The translators.
        self.opt_G.zero_grad(set_to_none=True)
        with self.only_generator_learns(), self.cast():
            fakes = {way: self.G[way](batch.source(way)) for way in config.ways}
            back_a, back_b = self.G["BtoA"](fakes["AtoB"]), self.G["AtoB"](fakes["BtoA"])
            adversarial = sum(self._adversarial_loss(self.D[way](fakes[way])) for way in config.ways)
            # Both losses are means of two terms where the paper has their sum.
            cycle_loss = losses.cycle(a, back_a, b, back_b)
            others = 2 * config.cycle * cycle_loss
            if config.identity > 0:
                identity_loss = losses.identity(a, self.G["BtoA"](a), b, self.G["AtoB"](b))
                others = others + 2 * config.cycle * config.identity * identity_loss
                self.running_means.add(identity=identity_loss)
            self._backward(others, adversarial)  # type: ignore[arg-type]
        self.running_means.add(cycle=cycle_loss, loss_G=adversarial)  # type: ignore[arg-type]
        self.apply_gradients(self.opt_G, self.params_G, "G")
        self.learn_to_judge(fakes, batch)

    def learn_to_judge(self, fakes: Mapping[TranslationDirection, Tensor], batch: TranslatorBatch) -> None:
        """The discriminators, on translations by direction and earlier ones."""
        rng = self.random(_POOL)
        self.opt_D.zero_grad(set_to_none=True)
        for way, fake in fakes.items():
            (exchanged,) = self.pools[way].exchange(rng, fake.detach().float())
            self._judge(way, batch.target(way), exchanged, rng)
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def paired_step(self, batch: TranslatorBatch) -> None:
        """The discriminator, on the translator's latest; then the translator."""
        config, way = self.config, self.config.direction
        source, target = batch.source(way), batch.target(way)
        with self.cast():
            fake = self.G[way](source)
        # The discriminator.
        rng = self.random(_POOL)
        self.opt_D.zero_grad(set_to_none=True)
        (fake_pair,) = self.pools[way].exchange(rng, torch.cat([source, fake.detach().float()], dim=1))
        self._judge(way, torch.cat([source, target], dim=1), fake_pair, rng)
        self.apply_gradients(self.opt_D, self.params_D, "D")
        # The translator.
        self.opt_G.zero_grad(set_to_none=True)
        with self.only_generator_learns(), self.cast():
            adversarial = self._adversarial_loss(self.D[way](torch.cat([source, fake.float()], dim=1)))
            l1_loss = losses.l1(fake, target)
            self._backward(config.l1 * l1_loss, adversarial)
        self.running_means.add(l1=l1_loss, loss_G=adversarial)
        self.apply_gradients(self.opt_G, self.params_G, "G")

    def _backward(self, others: Tensor, adversarial: Tensor) -> None:
        """Gradients of the translators for both parts of their loss, [N] each."""
        ratio = self.config.gradient_ratio
        if ratio == 0:
            return (others + adversarial).mean().backward()
        weight = backward_by_ratio(others.mean(), adversarial.mean(), self.params_G, ratio=ratio)
        self.running_means.add(adversarial_weight=weight)

    def _adversarial_loss(self, logits: Tensor) -> Tensor:
        """The adversarial part of the translator's loss, [N]; LSGAN without the ½, as both papers' code weighs it."""
        return self.loss.generator(logits) * (2 if self.config.loss == "lsgan" else 1)

    def _judge(self, way: str, real: Tensor, fake: Tensor, rng: torch.Generator) -> None:
        """Gradients for one discriminator, which learns half as fast as the translator: both papers halve its loss."""
        with self.cast():
            real_logits, fake_logits = self.D[way](real), self.D[way](fake)
            each = self.loss.discriminator(real_logits, fake_logits)
        if self.config.gradient_penalty > 0:
            penalty = gradient_penalty(self.D[way], real, fake, weight=self.config.gradient_penalty, rng=rng)
            self.running_means.add(penalty=penalty)
            each = each + penalty
        (each.mean() * (1.0 if self.config.loss == "lsgan" else 0.5)).backward()
        self.running_means.add(loss_D=each, logit_real=real_logits, logit_fake=fake_logits)

    def rate(self) -> float:
        """See `Trainer`."""
        return self.config.rate(self.nimg)

    # -------------------------------------------------------------------------------------------------- how it is going

    def metrics_now(self) -> dict[str, float]:
        """See `Trainer`."""
        return {**super().metrics_now(), "diversity": self.diversity()}

    def chance_loss_D(self) -> float:
        """See `Trainer`. With examples to go by, a discriminator that wins outright does no harm."""
        return super().chance_loss_D() if self.config.pairing == "unpaired" else 0.0

    def diversity(self) -> float:
        """How different translations are from one another, as a share of how different real ones are; the worse way."""
        images = self.held_out_batch(DIVERSITY_IMAGES)
        ratios = []
        for way in self.config.ways:
            if way not in self._diverse_reals:
                self._diverse_reals[way] = max(mean_pairwise_distance(images.target(way)), 1e-6)
            ratios.append(
                mean_pairwise_distance(self.translate(self.G[way], images.source(way))) / self._diverse_reals[way]
            )
        return min(ratios)

    def held_out_batch(self, count: int) -> TranslatorBatch:
        """The first held-out images, centre-cropped."""
        off = (self.held_out.img_resolution - self.config.resolution) // 2
        part = slice(off, off + self.config.resolution)
        return TranslatorBatch(*(self.as_img(pixels[..., part, part]) for pixels in self.held_out.first_images(count)))

    @torch.no_grad()
    def translate(self, net: nn.Module, img: Tensor) -> Tensor:
        """A translator's answer in eval mode, in float32; it stays in the mode it was in."""
        training = net.training
        net.eval()
        try:
            return torch.cat([net(one) for one in img.split(self.config.batch_size)]).float()
        finally:
            net.train(training)

    def advice(self, finding: Finding) -> str:
        """See `Trainer`."""
        return _ADVICE.get(finding.trouble, "Look at the sheets and the curves.")

    def out_of_memory_advice(self) -> str:
        """See `Trainer`: the same training with smaller batches, or smaller pictures."""
        half = max(self.config.batch_size // 2, 1)
        return (
            f"out of memory for {self.config.batch_size} images of {self.config.resolution} px at once on "
            f"{self.world.device}. Try the same command and --set batch_size={half}, or a smaller --resolution under "
            "another --name"
        )

    # ------------------------------------------------------------------------------------------------------------ state

    def own_state(self) -> dict[str, Any]:
        """See `Trainer`."""
        return {"pools": {way: pool.state() for way, pool in self.pools.items()}}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """See `Trainer`."""
        for way, pool in self.pools.items():
            pool.load(state["pools"][way], self.world.device)


_ADVICE = {
    "nan": "Try lower learning rates (g_lr, d_lr), or precision=exact.",
    "exploding": "Try lower learning rates (g_lr, d_lr).",
    "collapse": "Try more images, a larger cycle (unpaired) or l1 (paired), or a lower d_lr.",
    "d_wins": "Try a lower d_lr, or more images.",
}


def build_networks(config: TranslatorConfig) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Fresh translators and discriminators by direction, in train mode. Draws from torch's global randomness.

    Raises:
        BadConfig: a field that the family does not have, or a resolution that it cannot take.
    """
    d_family = "pix2pix" if config.pairing == "paired" else "cyclegan"  # question and answer, or the answer alone
    fields = {**config.discriminator, "img_resolution": config.resolution}
    G, D = nn.ModuleDict(), nn.ModuleDict()
    for way in config.ways:
        inward, outward = config.channels(way)
        G[way] = build(config.family, **{**config.generator, "in_channels": inward, "out_channels": outward})
    for way in config.ways:
        inward, outward = config.channels(way)
        judged = inward + outward if config.pairing == "paired" else outward
        D[way] = build(d_family, network="D", **fields, in_channels=judged)
        if config.gradient_penalty > 0:
            refuse_batch_norm(D[way])
    return G, D
