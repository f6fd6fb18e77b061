"""The trainer of a generator and a discriminator: what one step does to the two networks.

Randomness is drawn anew at every step from (seed, attempt, pictures seen, purpose, place in the batch), never from what
came before, and the sampler is a pure function: hence a run that was stopped, or killed, resumes as if it had not been.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.ops.spectral import take_over_power_iterations
from ganvas.training.ema import Ema, PowerEma
from ganvas.training.engine.distributed import World, average, average_buffers, average_numbers
from ganvas.training.engine.norms import BufferKeeper, synchronise_batch_norm
from ganvas.training.engine.overlap import OverlappedAverage
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer
from ganvas.training.engine.watchdog import Finding, HealthMetrics
from ganvas.training.freeze_d import freeze_discriminator
from ganvas.training.generator.augmentation import AugmentedDiscriminator, Augmenter
from ganvas.training.generator.batches import ImageBatch, ImageFeed, MicroBatch
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.fixed_latents import FixedLatents
from ganvas.training.generator.gradient_penalties import GradientPenalties, is_penalised
from ganvas.training.generator.heads import build_heads, check_codes
from ganvas.training.generator.networks import GANPair, Images, perceptual_distance, tells_D
from ganvas.training.generator.schedules import along_schedule, scheduled_betas, scheduled_blur_px
from ganvas.training.gradients import clip_weights
from ganvas.training.image_pool import ImagePool
from ganvas.training.losses import build_adversarial_loss
from ganvas.training.penalties import PathLength
from ganvas.training.virtual_norm import use_virtual_batch_norm

PATH_BATCH_SHRINK = 2  # path length looks at half of the batch (Karras et al. 2020, appendix B)

# What randomness is drawn for; part of its seed.
_LATENTS_D, _STEP_D, _PENALTY, _LATENTS_G, _STEP_G, _PATH = range(6)


class GeneratorTrainer(Trainer):
    """Networks, optimisers, averages, augmentation, counters: one training run.

    Args:
        G, D: on the world's device.
        config: resolved.
        pictures: `ganvas.datasets.image_dataset.ImageDataset`, or whatever has its length and its `batch`.
        c_dim: of the labels that are used; 0 = none.
        world: of processes.
        run: where states and metrics are kept.
    """

    config: TrainConfig

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        config: TrainConfig,
        pictures: Any,
        *,
        c_dim: int,
        world: World,
        run: Run | MemoryRun,
    ):
        for net in (G, D):
            net.to(memory_format=torch.channels_last)
            if config.sync_norm:
                synchronise_batch_norm(net, world)
        if config.freeze_d:
            freeze_discriminator(D, config.freeze_d)
        loss, averaged = build_adversarial_loss(config.loss, real_target=config.real_target), _build_average(config, G)
        lazy = is_penalised(config) and config.penalty_every > 1
        every = config.path_every if config.path_length > 0 else None, config.penalty_every if lazy else None
        self.feed = ImageFeed(pictures, config, c_dim=c_dim, world=world)
        self.heads = build_heads(D, config, self.feed)
        super().__init__(
            G, D, config, loss=loss, averaged=averaged, every=every, beside_D=self.heads, world=world, run=run
        )
        self.pair = GANPair(
            G,
            D,
            c_dim=c_dim,
            tells_D=tells_D(config),
            dtype=self.dtype,
            compiled=config.compile,
            fixed=self._fixed_batch(G) if config.virtual_norm else None,
        )
        check_codes(config, self.pair.z_dim)
        self.pool = ImagePool(config.pool)
        self.buffers = BufferKeeper([G, D])
        self.spectral_layers = take_over_power_iterations(D)
        self.fixed = FixedLatents(self.feed, z_dim=self.pair.z_dim)
        self.augmenter = Augmenter(config)
        distance = perceptual_distance(world.device) if self.pair.rebuilds and config.reconstruction > 0 else None
        self.discriminator = AugmentedDiscriminator(self.pair, self.augmenter, distance)
        self.penalties = GradientPenalties(config, self.discriminator)
        self.path = PathLength(weight=config.path_length)

    def _fixed_batch(self, G: Any) -> tuple[Tensor, Tensor | None]:
        """Latents and labels that stay the same along the run, for virtual batch normalisation."""
        count, device = self.config.virtual_norm, self.world.device
        use_virtual_batch_norm(G, count)
        z = torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(self.config.seed)).to(device)
        return z, self.feed.labels(count)

    def draw(self) -> ImageBatch:
        """See `Trainer`."""
        return self.feed.take(self.nimg, with_fresh=self.loss.pairs and self.generator_is_due())

    def step(self, batch: ImageBatch) -> None:
        """Both networks learn from one batch."""
        self.augmenter.blur_px = scheduled_blur_px(self.config, self.nimg)
        self.discriminator_step(batch)
        if self.every_D is not None and self.steps % self.every_D == 0:
            self.penalty_step(batch)
        if self.generator_is_due():
            self.generator_step(batch)
            if self.every_G is not None and self.steps % self.every_G == 0:
                self.path_length_step(batch)
        self.finish_step()

    def noise(self, purpose: int, piece: MicroBatch) -> Tensor:
        """z [n, z_dim] of one piece, cut from the noise of the whole batch."""
        z = torch.randn(self.config.batch_size, self.pair.z_dim, generator=self.random(purpose, 0))
        return z[piece.place : piece.place + piece.size].to(self.world.device)

    # ---------------------------------------------------------------------------------------------------- discriminator

    def discriminator_step(self, batch: ImageBatch) -> None:
        """Tell reals from fakes better."""
        config = self.config
        penalise_now = self.penalised and config.penalty_every == 1
        self.opt_D.zero_grad(set_to_none=True)
        for layer in self.spectral_layers:
            layer.run_power_iterations(1)
        for piece in self.buffers.each(self.feed.micro_batches):
            real, c = batch.part(piece.part)[:2]
            z = self.noise(_LATENTS_D, piece)
            rng = self.random(_STEP_D, piece.place)
            fake = self.pair.fakes(z, c, mixing=config.mixing, rng=rng)
            fake, z, fake_c = self._exchange(fake, z, c, rng)
            real.requires_grad_(penalise_now and config.r1_gamma > 0)
            fake.img.requires_grad_(penalise_now and config.r2_gamma > 0)
            with self._watch() as features:
                real_logits, fake_logits, reconstruction_loss = self.discriminator.both(
                    real, fake, c, fake_c, self.p, rng, apart=penalise_now
                )
            each = self.loss.discriminator(real_logits, fake_logits, rng=rng)
            above = real_logits - (self.loss.neutral or 0.0)  # of the logit at which D cannot tell
            self.running_means.add(loss_D=each, logit_real=real_logits, logit_fake=fake_logits, sign_real=above.sign())
            if reconstruction_loss is not None:
                each = each + config.reconstruction * reconstruction_loss
                self.running_means.add(rebuilding=reconstruction_loss)
            if self.heads is not None:
                of_reals, of_fakes = torch.cat(features).chunk(2)
                reading = self.heads.loss_of_reals(of_reals, c) + self.heads.loss_of_fakes(of_fakes, z, fake_c)
                each = each + reading
                self.running_means.add(reading_D=reading)
            if penalise_now:
                each = each + self._penalty(real, fake, c, real_logits, fake_logits, rng=rng)
            self._backward(each.sum() / self.feed.local, self.params_D, piece)
            self.augmenter.observe(above)
        self.apply_gradients(self.opt_D, self.params_D, "D")
        if config.clip_weights > 0:
            clip_weights([p for p in self.D.parameters() if p.requires_grad], config.clip_weights)

    def _backward(self, loss: Tensor, params: list[nn.Parameter], piece: MicroBatch) -> None:
        """Add to the gradients; with the last piece of a step they become those of all processes, while it computes."""
        is_last = piece.part.stop == self.feed.local
        with OverlappedAverage(params, self.world) if is_last else contextlib.nullcontext():
            loss.backward()

    def _watch(self) -> AbstractContextManager[list[Tensor]]:
        """Inside, the discriminator's last features are noted for the heads; without heads, nothing."""
        return contextlib.nullcontext([]) if self.heads is None else self.heads.watch()

    def _exchange(
        self, fake: Images, z: Tensor, c: Tensor | None, rng: torch.Generator
    ) -> tuple[Images, Tensor, Tensor | None]:
        """Some of the fakes, with their latents and labels, for earlier ones out of the pool."""
        if self.config.pool == 0:
            return fake, z, c
        optional = [part for part in (c, fake.small) if part is not None]
        img, z, *rest = self.pool.exchange(rng, fake.img, z, *optional)
        c = None if c is None else rest.pop(0)
        return Images(img, *rest), z, c

    def penalty_step(self, batch: ImageBatch) -> None:
        """Keep the discriminator smooth, in a step of its own, `penalty_every` times as strong."""
        config = self.config
        self.opt_D.zero_grad(set_to_none=True)
        for piece in self.buffers.each(self.feed.micro_batches):
            real, c = batch.part(piece.part)[:2]
            real = real.detach().requires_grad_(config.r1_gamma > 0)
            z = self.noise(_LATENTS_D, piece)
            rng = self.random(_PENALTY, piece.place)
            real_logits = fake_logits = fake = None
            if config.r2_gamma > 0 or config.gradient_penalty > 0:
                fake = self.pair.fakes(z, c, mixing=config.mixing, rng=rng)
            if config.r1_gamma > 0:
                real_logits = self.discriminator(Images(real), c, self.p, rng)
            if config.r2_gamma > 0 and fake is not None:
                fake.img.requires_grad_(True)
                fake_logits = self.discriminator(fake, c, self.p, rng)
            each = self._penalty(real, fake, c, real_logits, fake_logits, rng=rng)
            self._backward(each.sum() * (config.penalty_every / self.feed.local), self.params_D, piece)
        self.apply_gradients(self.opt_D, self.params_D, "D", norm=False)

    def _penalty(self, *images_and_logits: Any, rng: torch.Generator) -> Tensor:
        strength: dict[str, Any] = {"nimg": self.nimg, "factor": self.remedy.gamma, "p": self.p}
        penalty = self.penalties(*images_and_logits, **strength, rng=rng)
        self.running_means.add(penalty=penalty)
        return penalty

    # -------------------------------------------------------------------------------------------------------- generator

    def generator_is_due(self) -> bool:
        """Does the generator learn at this step?"""
        return self.steps % self.config.d_steps == 0

    def generator_step(self, batch: ImageBatch) -> None:
        """Make fakes that pass for real."""
        self.opt_G.zero_grad(set_to_none=True)
        mean_w: Tensor | None = None
        with self.only_generator_learns():
            for piece in self.buffers.each(self.feed.micro_batches):
                _, c, fresh, fresh_c = batch.part(piece.part)
                c = c if fresh is None else fresh_c  # a fake is compared with a real picture of its own label
                z = self.noise(_LATENTS_G, piece)
                rng = self.random(_STEP_G, piece.place)
                ws = self.pair.latents(z, c, mixing=self.config.mixing, rng=rng)
                with self._watch() as features:
                    fake_logits = self.discriminator(self.pair.synthesize(z, c, ws), c, self.p, rng)
                real_logits = None
                if fresh is not None:
                    with torch.no_grad():
                        real_logits = self.discriminator(Images(fresh), c, self.p, rng)
                each = self.loss.generator(fake_logits, real_logits)
                if self.heads is not None:
                    reading = self.heads.loss_of_fakes(features[0], z, c)
                    each = each + reading
                    self.running_means.add(reading_G=reading)
                self._backward(each.sum() / self.feed.local, self.params_G, piece)
                self.running_means.add(loss_G=each)
                if ws is not None:
                    share = ws[:, 0].detach().float().sum(dim=0) / self.feed.local
                    mean_w = share if mean_w is None else mean_w + share
        self.apply_gradients(self.opt_G, self.params_G, "G")
        if mean_w is not None:
            average([mean_w], self.world)
            self.pair.follow_mean_w(mean_w, self.config.w_avg_beta)

    def path_length_step(self, batch: ImageBatch) -> None:
        """Let equal steps in w change pictures equally, in a step of its own, `path_every` times as strong."""
        self.opt_G.zero_grad(set_to_none=True)
        before, means, pieces = self.path.mean, [], self.feed.micro_batches
        for piece in self.buffers.each(pieces):
            self.path.mean = before  # one step of the running mean a batch, however it is cut
            count = max(piece.size // PATH_BATCH_SHRINK, 1)
            c = batch.part(piece.part).c
            z, c = self.noise(_PATH, piece)[:count], None if c is None else c[:count]
            rng = self.random(_PATH, 1 + piece.place)
            ws = self.pair.latents(z, c, mixing=self.config.mixing, rng=rng)
            each = self.path(self.pair.synthesize(z, c, ws).img, ws, rng)  # type: ignore[arg-type]
            self._backward(each.mean() * (self.config.path_every / len(pieces)), self.params_G, piece)
            self.running_means.add(path_length=each)
            means.append(self.path.mean)
        self.path.mean = torch.stack(means).mean()
        average([self.path.mean], self.world)
        self.apply_gradients(self.opt_G, self.params_G, "G", norm=False)

    def update_average(self) -> None:
        """Let averages and augmentation follow."""
        config = self.config
        for net in (self.G, self.D):
            average_buffers(net, self.world)
        if self.generator_is_due():
            if isinstance(self.averaged, Ema) and config.schedule == "cosine":
                self.averaged.half_life_kimg = along_schedule(config, self.nimg, 0, config.ema_kimg)
            self.averaged.update(self.G, config.batch_size * config.d_steps, self.nimg)
        self.augmenter.update(self.remedy.p_max, self.world)

    # -------------------------------------------------------------------------------------------------------- schedules

    def rate(self) -> float:
        """See `Trainer`."""
        return along_schedule(self.config, self.nimg, 1, self.config.lr_end)

    @property
    def betas(self) -> tuple[float, float]:
        """See `Trainer`."""
        return scheduled_betas(self.config, self.nimg)

    @property
    def penalised(self) -> bool:
        """See `Trainer`."""
        return is_penalised(self.config)

    @property
    def p(self) -> float:
        """The probability of augmentation now."""
        return self.augmenter.p(self.nimg, self.remedy.p_max)

    # -------------------------------------------------------------------------------------------------- how it is going

    def take_means(self) -> dict[str, float]:
        """See `Trainer`; over all processes."""
        return average_numbers(super().take_means(), self.world)

    def metrics_now(self) -> dict[str, float]:
        """See `Trainer`."""
        return {"p": self.p, "diversity": self.fixed.diversity(self.G)}

    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics:
        """See `Trainer`."""
        ada = self.augmenter.ada
        return replace(
            super().health_metrics(line),
            sign_real=line.get("sign_real", 0.0) if self.config.loss in ("ns", "minimax", "hinge") else 0.0,
            p=self.p,
            p_max=self.p if ada is None else ada.p_max,
            leaking=ada is not None and ada.leaking,
        )

    def chance_loss_D(self) -> float:
        """See `Trainer`."""
        return 0.0 if self.config.loss == "wgan" else super().chance_loss_D()

    def advice(self, finding: Finding) -> str:
        """See `Trainer`."""
        return _ADVICE[finding.trouble]

    def out_of_memory_advice(self) -> str:
        """See `Trainer`: the same training in smaller portions, or smaller pictures."""
        portion = self.config.micro_batch or self.feed.local
        return (
            f"out of memory for {portion} images at once on {self.world.device}. For the same training "
            f"with gradient accumulation: the same command and --set micro_batch={max(portion // 2, 1)}; or "
            "a smaller --resolution under another --name"
        )

    # ------------------------------------------------------------------------------------------------------------ state

    def own_state(self) -> dict[str, Any]:
        """See `Trainer`."""
        return {
            "path": self.path.state_dict(),
            "ada": self.augmenter.state(),
            "images": self.feed.state(),
            "pool": self.pool.state(),
            "heads": None if self.heads is None else self.heads.state_dict(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """See `Trainer`."""
        self.path.load_state_dict(state["path"])
        self.augmenter.load(state["ada"])
        self.pool.load(state.get("pool", []), self.world.device)  # not in states of earlier versions
        if self.heads is not None:
            self.heads.load_state_dict(state["heads"])
        if "images" in state:  # not in states of earlier versions
            self.feed.load_state([(start, count) for start, count in state["images"]], state["counters"]["nimg"])
        if isinstance(self.averaged, Ema) and self.config.schedule == "constant":
            self.averaged.half_life_kimg = self.config.ema_kimg  # may be another than before
        self.pair.dtype = self.dtype


_ADVICE = {
    "nan": "Try a lower learning rate (g_lr, d_lr), precision=exact, or without path_length.",
    "exploding": "Try a lower learning rate (g_lr, d_lr) or a stronger r1_gamma.",
    "no_start": "No remedy that was tried halfway helped; another preset does (--fallback mlp-64 starts it by itself).",
    "collapse": "Try more images, a stronger r1_gamma, a larger batch_size, or another preset.",
    "d_wins": "Try a stronger r1_gamma, a lower d_lr, augment=ada, or more images.",
}


class _NoAverage:
    """No average: the weights as they are."""

    def __init__(self, net: nn.Module):
        self.net = net

    def update(self, net: nn.Module, batch: int, nimg: int) -> None:
        """Nothing to do."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing of its own."""


def _build_average(config: TrainConfig, G: nn.Module) -> Ema | PowerEma | _NoAverage:
    match config.ema:
        case "half-life":
            return Ema(G, config.ema_kimg, config.ema_ramp)
        case "power":
            return PowerEma(G, config.ema_sigmas)
        case "none":
            return _NoAverage(G)
