"""The trainer of a generator and a discriminator: both networks with everything that must survive a stop.

`train.train_step` says in which order its methods are called. Randomness is drawn anew at every step from (seed,
attempt, pictures seen, place in the batch), never from what came before, and the sampler is a pure function: hence a
run that was stopped, or killed, goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.sampler import Sampler
from ganvas.errors import BrokenWeights
from ganvas.training import augment, losses
from ganvas.training.ema import Ema, PowerEma
from ganvas.training.engine.distributed import (
    World,
    average,
    average_buffers,
    average_numbers,
    sum_over_processes,
)
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer, all_finite, load_adam, mean_pairwise_distance
from ganvas.training.engine.watchdog import HealthMetrics
from ganvas.training.freeze_d import freeze_discriminator
from ganvas.training.generator.config import TrainConfig, schedule_length_kimg
from ganvas.training.generator.networks import GANPair, Images, compute_dtype, perceptual_distance
from ganvas.training.gradients import split_batch
from ganvas.training.losses import AdversarialLoss
from ganvas.training.penalties import PathLength, gradient_penalty, slope_penalty
from ganvas.training.schedule import cosine, lazy_adam, set_adam

PATH_BATCH_SHRINK = 2  # path length looks at half of the batch (Karras et al. 2020, appendix B)
FIXED_FAKES, FIXED_REALS = 32, 256  # whose diversity is compared

# What randomness is drawn for; part of its seed.
_LATENTS_D, _STEP_D, _PENALTY, _LATENTS_G, _STEP_G, _PATH = range(6)


class ImageBatch(NamedTuple):
    """This process's share of one batch, and where the batch lies in the run."""

    nimg: int  # pictures shown before it
    img: Tensor  # [local, C, R, R] real pictures
    c: Tensor | None  # [local, c_dim]
    fresh: Tensor | None  # as many other real pictures, where the generator's loss compares with them


class MicroBatch(NamedTuple):
    """What goes through the networks at once."""

    part: slice  # of this process's share
    place: int  # of its first picture in the whole batch


class GeneratorTrainer(Trainer):
    """Networks, optimisers, averages, augmentation, counters: one training run.

    Args:
        G, D: on the world's device.
        config: resolved.
        pictures: `ganvas.datasets.ImageDataset`, or whatever has its length and its `batch`.
        c_dim: of the labels that are used; 0 = none.
        world: of processes.
        run: where states and figures are kept.
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
        super().__init__(config, world=world, run=run)
        self.pictures = pictures
        for net in (G, D):
            net.to(memory_format=torch.channels_last)
        self.pair = GANPair(G, D, c_dim=c_dim, dtype=compute_dtype(config, world.device), compiled=config.compile)
        if config.freeze_d:
            freeze_discriminator(D, config.freeze_d)
        self.params_G, self.params_D = self.pair.learning
        self.loss = build_adversarial_loss(config)
        self.augmented, self.ada = _augmentation(config)
        self.path = PathLength(weight=config.path_length)
        self.averaged = _build_average(config, G)
        self.sampler = Sampler(len(pictures), seed=config.seed, mirror=config.mirror)
        self.others = Sampler(len(pictures), seed=config.seed + 1, mirror=config.mirror)
        self.opt_G = self._adam(self.params_G, config.g_lr, self.every_G)
        self.opt_D = self._adam(self.params_D, config.d_lr, self.every_D)
        self.distance = perceptual_distance(world.device) if self.pair.rebuilds and config.reconstruction > 0 else None
        self._diverse_reals: float | None = None

    # ------------------------------------------------------------------------------------------------ what a step needs

    def draw(self) -> ImageBatch:
        """The next real pictures; the only place where a run can meet a damaged file."""
        fresh = self._real(self.others)[0] if self.loss.pairs and self.generator_is_due() else None
        return ImageBatch(self.nimg, *self._real(self.sampler), fresh)

    def _real(self, sampler: Sampler) -> tuple[Tensor, Tensor | None]:
        indices, mirrored = sampler.take(self.nimg, self.config.batch_size)
        mine = slice(self.world.rank * self.local, (self.world.rank + 1) * self.local)
        img, c = self.as_img(indices[mine])
        flipped = torch.from_numpy(mirrored[mine]).to(img.device)
        return torch.where(flipped[:, None, None, None], img.flip(3), img), c

    def as_img(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Pictures of the set as img on the device, and their labels where labels are used."""
        pixels, c = self.pictures.batch(indices)
        img = pixels.to(self.world.device).float().div_(127.5).sub_(1)
        return img, c.to(self.world.device) if c is not None and self.pair.c_dim else None

    def _labels_of(self, count: int) -> Tensor | None:
        if not self.pair.c_dim:
            return None
        indices, _ = Sampler(len(self.pictures), seed=self.config.seed).take(0, count)
        return self.as_img(indices)[1]

    @property
    def local(self) -> int:
        """How many pictures of each batch are this process's."""
        return self.config.batch_size // self.world.size

    @property
    def micro_batches(self) -> list[MicroBatch]:
        """The share of this process in portions that fit."""
        cuts = split_batch(self.local, self.config.micro_batch or self.local)
        return [MicroBatch(cut, self.world.rank * self.local + cut.start) for cut in cuts]

    def random(self, batch: ImageBatch, purpose: int, place: int) -> torch.Generator:
        """A source of randomness that depends on nothing but where the run stands; torch's own starts there, too."""
        key = [self.config.seed, self.attempt, batch.nimg, purpose, place]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        torch.manual_seed(seed)  # noise and dropout inside networks
        return torch.Generator().manual_seed(seed)

    def noise(self, batch: ImageBatch, purpose: int, piece: MicroBatch) -> Tensor:
        """z [n, z_dim] of one piece, cut from the noise of the whole batch."""
        rng = self.random(batch, purpose, 0)
        z = torch.randn(self.config.batch_size, self.pair.z_dim, generator=rng)
        count = piece.part.stop - piece.part.start
        return z[piece.place : piece.place + count].to(self.world.device)

    # ---------------------------------------------------------------------------------------------------- discriminator

    def discriminator_step(self, batch: ImageBatch) -> None:
        """Tell reals from fakes better."""
        config = self.config
        penalise_now = self.penalised and config.penalty_every == 1
        self.opt_D.zero_grad(set_to_none=True)
        for piece in self.micro_batches:
            real, c = batch.img[piece.part], _part(batch.c, piece)
            z = self.noise(batch, _LATENTS_D, piece)
            rng = self.random(batch, _STEP_D, piece.place)
            fake = self._fakes(z, c, rng)
            real.requires_grad_(penalise_now and config.r1_gamma > 0)
            fake.img.requires_grad_(penalise_now and config.r2_gamma > 0)
            real_logits, fake_logits, reconstruction_loss = self._discriminate_both(
                real, fake, c, rng, apart=penalise_now
            )
            each = self.loss.discriminator(real_logits, fake_logits, rng=rng)
            above = real_logits - (self.loss.neutral or 0.0)  # of the logit at which D cannot tell
            self.running_means.add(loss_D=each, logit_real=real_logits, logit_fake=fake_logits, sign_real=above.sign())
            if reconstruction_loss is not None:
                each = each + config.reconstruction * reconstruction_loss
                self.running_means.add(rebuilding=reconstruction_loss)
            if penalise_now:
                each = each + self._gradient_penalties(real, fake, c, real_logits, fake_logits, rng)
            (each.sum() / self.local).backward()
            if self.ada is not None:
                self.ada.observe(above)
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def penalty_is_due(self) -> bool:
        """Is this a step with a lazy penalty?"""
        return self.penalised and self.config.penalty_every > 1 and self.step % self.config.penalty_every == 0

    def penalty_step(self, batch: ImageBatch) -> None:
        """Keep the discriminator smooth, in a step of its own, `penalty_every` times as strong."""
        config = self.config
        self.opt_D.zero_grad(set_to_none=True)
        for piece in self.micro_batches:
            real, c = batch.img[piece.part].detach().requires_grad_(config.r1_gamma > 0), _part(batch.c, piece)
            z = self.noise(batch, _LATENTS_D, piece)
            rng = self.random(batch, _PENALTY, piece.place)
            real_logits = fake_logits = fake = None
            if config.r2_gamma > 0 or config.gradient_penalty > 0:
                fake = self._fakes(z, c, rng)
            if config.r1_gamma > 0:
                real_logits = self._discriminate(Images(real), c, rng)
            if config.r2_gamma > 0 and fake is not None:
                fake.img.requires_grad_(True)
                fake_logits = self._discriminate(fake, c, rng)
            each = self._gradient_penalties(real, fake, c, real_logits, fake_logits, rng)
            (each.sum() * (config.penalty_every / self.local)).backward()
        self.apply_gradients(self.opt_D, self.params_D, "D", norm=False)

    def _gradient_penalties(
        self,
        real: Tensor,
        fake: Images | None,
        c: Tensor | None,
        real_logits: Tensor | None,
        fake_logits: Tensor | None,
        rng: torch.Generator,
    ) -> Tensor:
        """The penalties that are on, [n]; gradients are taken of the pictures before augmentation."""
        config, total = self.config, torch.zeros(len(real), device=real.device)
        if config.r1_gamma > 0 and real_logits is not None:
            total = total + slope_penalty(real_logits, real, gamma=self.gamma(config.r1_gamma))
        if config.r2_gamma > 0 and fake is not None and fake_logits is not None:
            total = total + slope_penalty(fake_logits, fake.img, gamma=self.gamma(config.r2_gamma))
        if config.gradient_penalty > 0 and fake is not None:
            weight = config.gradient_penalty * self.remedy.gamma

            def discriminate(img: Tensor, c: Tensor | None = None) -> Tensor:
                return self._discriminate(Images(img), c, rng)

            total = total + gradient_penalty(discriminate, real.detach(), fake.img.detach(), c, weight=weight, rng=rng)
        self.running_means.add(penalty=total)
        return total

    # -------------------------------------------------------------------------------------------------------- generator

    def generator_is_due(self) -> bool:
        """Does the generator learn at this step?"""
        return self.step % self.config.d_steps == 0

    def generator_step(self, batch: ImageBatch) -> None:
        """Make fakes that pass for real."""
        self.opt_G.zero_grad(set_to_none=True)
        mean_w: Tensor | None = None
        with self.pair.only_generator_learns():
            for piece in self.micro_batches:
                c = _part(batch.c, piece)
                z = self.noise(batch, _LATENTS_G, piece)
                rng = self.random(batch, _STEP_G, piece.place)
                ws = self.pair.latents(z, c, mixing=self.config.mixing, rng=rng)
                fake_logits = self._discriminate(self.pair.synthesize(z, c, ws), c, rng)
                real_logits = None
                if batch.fresh is not None:
                    with torch.no_grad():
                        real_logits = self._discriminate(Images(batch.fresh[piece.part]), c, rng)
                each = self.loss.generator(fake_logits, real_logits)
                (each.sum() / self.local).backward()
                self.running_means.add(loss_G=each)
                if ws is not None:
                    share = ws[:, 0].detach().float().sum(dim=0) / self.local
                    mean_w = share if mean_w is None else mean_w + share
        self.apply_gradients(self.opt_G, self.params_G, "G")
        if mean_w is not None:
            average([mean_w], self.world)
            self.pair.follow_mean_w(mean_w, self.config.w_avg_beta)

    def path_length_is_due(self) -> bool:
        """Is this a step with path length regularisation?"""
        return self.config.path_length > 0 and self.step % self.config.path_every == 0

    def path_length_step(self, batch: ImageBatch) -> None:
        """Let equal steps in w change pictures equally, in a step of its own, `path_every` times as strong."""
        self.opt_G.zero_grad(set_to_none=True)
        before, means = self.path.mean, []
        for piece in self.micro_batches:
            self.path.mean = before  # one step of the running mean a batch, however it is cut
            count = max((piece.part.stop - piece.part.start) // PATH_BATCH_SHRINK, 1)
            c = _part(batch.c, piece)
            z, c = self.noise(batch, _PATH, piece)[:count], None if c is None else c[:count]
            rng = self.random(batch, _PATH, 1 + piece.place)
            ws = self.pair.latents(z, c, mixing=self.config.mixing, rng=rng)
            each = self.path(self.pair.synthesize(z, c, ws).img, ws, rng)  # type: ignore[arg-type]
            (each.mean() * (self.config.path_every / len(self.micro_batches))).backward()
            self.running_means.add(path_length=each)
            means.append(self.path.mean)
        self.path.mean = torch.stack(means).mean()
        average([self.path.mean], self.world)
        self.apply_gradients(self.opt_G, self.params_G, "G", norm=False)

    # --------------------------------------------------------------------------------------------------- after the step

    def average(self) -> None:
        """Count the step; let averages, augmentation and schedules follow."""
        config, trained = self.config, self.generator_is_due()
        self.nimg += config.batch_size
        for net in (self.pair.G, self.pair.D):
            average_buffers(net, self.world)
        if trained:
            if isinstance(self.averaged, Ema) and config.schedule == "cosine":
                self.averaged.half_life_kimg = self.along(0, config.ema_kimg)
            self.averaged.update(self.pair.G, config.batch_size * config.d_steps, self.nimg)
        if self.ada is not None:
            self.ada.p_max = config.ada_p_max * self.remedy.p_max
            self.ada.update(config.batch_size, reduce=lambda counts: sum_over_processes(counts, self.world))
        self.count()
        self._set_rates()

    def _adam(self, params: list[nn.Parameter], lr: float, every: int | None) -> torch.optim.Adam:
        fused = self.world.device.type in ("cpu", "cuda")
        return lazy_adam(params, lr, (self.config.beta1, self.config.beta2), every, fused=fused)

    def _set_rates(self) -> None:
        config = self.config
        share = self.along(1, config.lr_end) * self.remedy.lr
        beta2 = config.beta2 if config.beta2_end is None else self.along(config.beta2, config.beta2_end)
        betas = (config.beta1, beta2)
        set_adam(self.opt_G, lr=config.g_lr * share, betas=betas, every=self.every_G)
        set_adam(self.opt_D, lr=config.d_lr * share * self.remedy.d_lr, betas=betas, every=self.every_D)

    def along(self, start: float, end: float) -> float:
        """Where a value stands that goes from `start` to `end` along the schedule."""
        if self.config.schedule == "constant":
            return start
        return cosine(start, end, self.nimg, 1000 * schedule_length_kimg(self.config))

    def gamma(self, start: float) -> float:
        """A gradient penalty's weight now."""
        config = self.config
        first = config.r1_gamma or config.r2_gamma
        end = 1.0 if config.gamma_end is None else config.gamma_end / first
        return start * self.along(1, end) * self.remedy.gamma

    @property
    def penalised(self) -> bool:
        """Is any gradient penalty on?"""
        config = self.config
        return config.r1_gamma > 0 or config.r2_gamma > 0 or config.gradient_penalty > 0

    @property
    def every_D(self) -> int | None:
        """How often D makes a step of its own for its penalties; None = never."""
        return self.config.penalty_every if self.penalised and self.config.penalty_every > 1 else None

    @property
    def every_G(self) -> int | None:
        """How often G makes a step of its own for path length; None = never."""
        return self.config.path_every if self.config.path_length > 0 else None

    # ----------------------------------------------------------------------------------------------- seeing and judging

    def _fakes(self, z: Tensor, c: Tensor | None, rng: torch.Generator) -> Images:
        with torch.no_grad():
            images = self.pair.synthesize(z, c, self.pair.latents(z, c, mixing=self.config.mixing, rng=rng))
        return Images(images.img.detach(), images.small)

    def _discriminate(self, images: Images, c: Tensor | None, rng: torch.Generator) -> Tensor:
        return self.pair.discriminate(self._augment_images(images, rng), c)

    def _discriminate_both(
        self, real: Tensor, fake: Images, c: Tensor | None, rng: torch.Generator, *, apart: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits of reals and of fakes, and how well the reals were rebuilt; `apart`, each can be differentiated."""
        if apart or not self.pair.judges_apart:
            real_logits, reconstruction_loss = self._discriminate_reals(real, c, rng)
            return real_logits, self._discriminate(fake, c, rng), reconstruction_loss
        augmented_real, augmented_fake = (
            self._augment_images(Images(real), rng).img,
            self._augment_images(fake, rng).img,
        )
        return *self.pair.discriminate_together(augmented_real, augmented_fake, c), None

    def _discriminate_reals(self, real: Tensor, c: Tensor | None, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        images = self._augment_images(Images(real), rng)
        if self.distance is None:
            return self.pair.discriminate(images, c), None
        quadrant = int(torch.randint(4, (), generator=rng))
        return self.pair.forward_with_reconstruction(images, c, quadrant=quadrant, distance=self.distance[0])

    def _augment_images(self, images: Images, rng: torch.Generator) -> Images:
        """What is shown, augmented; a FastGAN's small picture by draws of its own."""
        small = images.small if images.small is None else self.augmented(images.small, self.p, rng)
        return Images(self.augmented(images.img, self.p, rng), small)

    @property
    def p(self) -> float:
        """The probability of augmentation now."""
        match self.config.augment:
            case "ada":
                return self.ada.p if self.ada is not None else 0.0
            case "fixed":
                return self.config.augment_p * self.remedy.p_max
            case "ramp":
                share = min(self.nimg / (1000 * schedule_length_kimg(self.config)), 1.0)
                return cosine(0, self.config.augment_p, share, 1) * self.remedy.p_max
            case "diffaug":
                return 1.0
            case "none":
                return 0.0

    # -------------------------------------------------------------------------------------------------- how it is going

    def collect_metrics(self) -> dict[str, Any]:
        """One line of the log: means since the last one. Empties the tally."""
        means = average_numbers(self.running_means.take(), self.world)
        line = {"nimg": self.nimg, "kimg": self.nimg / 1000, "sec": round(self.sec, 2)}
        line |= {"img_per_sec": round(self.img_per_sec, 2), "p": self.p, "diversity": self.diversity()}
        return (
            line
            | {name: value for name, value in means.items() if name != "bad"}
            | {"bad_share": means.get("bad", 0.0)}
        )

    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics:
        """The same for the watchdog."""
        zeros = torch.zeros(2)
        scale = 0.0 if self.config.loss == "wgan" else float(self.loss.discriminator(zeros, zeros).mean())
        return HealthMetrics(
            kimg=line["kimg"],
            steps=self.step,
            bad_share=line["bad_share"],
            finite_weights=self.is_finite(),
            loss_D=line.get("loss_D", 1.0),
            chance_loss_D=scale,
            sign_real=line.get("sign_real", 0.0) if self.config.loss in ("ns", "minimax", "hinge") else 0.0,
            diversity=line["diversity"],
            grad_norm_D=line.get("grad_norm_D", 0.0),
            grad_norm_G=line.get("grad_norm_G", 0.0),
            p=self.p,
            p_max=self.ada.p_max if self.ada is not None else self.p,
            leaking=self.ada is not None and self.ada.leaking,
        )

    @torch.no_grad()
    def diversity(self) -> float:
        """How different the generator's pictures are from one another, as a share of how different real ones are."""
        if self._diverse_reals is None:
            count = min(FIXED_REALS, len(self.pictures))
            self._diverse_reals = mean_pairwise_distance(
                self.as_img(np.linspace(0, len(self.pictures) - 1, count).astype(np.int64))[0]
            )
        return mean_pairwise_distance(self.sample(self.pair.G, FIXED_FAKES)) / max(self._diverse_reals, 1e-6)

    @torch.no_grad()
    def sample(self, G: nn.Module, count: int) -> Tensor:
        """Pictures of the run's fixed latents, in eval mode, the same at every tick but for what was learnt."""
        z = torch.randn(count, self.pair.z_dim, generator=torch.Generator().manual_seed(self.config.seed))
        z, c = z.to(self.world.device), self._labels_of(count)
        training = G.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            img = G.eval()(z, c) if self.pair.c_dim else G.eval()(z)
        G.train(training)
        return img.float()

    def is_finite(self) -> bool:
        """Are all weights and running means finite?"""
        return all(all_finite(net) for net in (self.pair.G, self.pair.D, self.averaged.net))

    # ------------------------------------------------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {
            "G": self.pair.G.state_dict(),
            "D": self.pair.D.state_dict(),
            "averaged": self.averaged.state_dict(),
            "opt_G": self.opt_G.state_dict(),
            "opt_D": self.opt_D.state_dict(),
            "path": self.path.state_dict(),
            "ada": None if self.ada is None else self.ada.state_dict(),
            **self.counters(),
            "machine": self.runtime(self.pair.dtype),
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            BrokenWeights: the state is of other networks.
        """
        try:
            self.pair.G.load_state_dict(state["G"])
            self.pair.D.load_state_dict(state["D"])
            self.averaged.load_state_dict(state["averaged"])
            load_adam(self.opt_G, state["opt_G"])
            load_adam(self.opt_D, state["opt_D"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise BrokenWeights(f"the state of this run is of other networks: {error}") from error
        self.path.load_state_dict(state["path"])
        if self.ada is not None:
            self.ada.load_state_dict(state["ada"])
        self.load_counters(state)
        self.pair.dtype = self.restore_runtime(state["machine"])
        self._set_rates()


# ---------------------------------------------------------------------------------------------------------------------


def build_adversarial_loss(config: TrainConfig) -> AdversarialLoss:
    """The config's loss."""
    target = config.real_target
    match config.loss:
        case "ns":
            return losses.NonSaturating(real_target=target)
        case "minimax":
            return losses.Minimax(real_target=target)
        case "lsgan":
            return losses.LeastSquares(real_target=target)
        case "hinge":
            return losses.Hinge(margin_low=target)
        case "wgan":
            return losses.Wasserstein()
        case "rpgan":
            return losses.RelativisticPairing()
        case "ragan":
            return losses.RelativisticAverage()


AugmentFn = Callable[[Tensor, float, torch.Generator], Tensor]  # (img, p, rng) → img


def _augmentation(config: TrainConfig) -> tuple[AugmentFn, augment.AdaController | None]:
    match config.augment:
        case "none":
            return (lambda img, p, rng: img), None
        case "diffaug":
            diffaug = augment.DiffAugment(policy=config.augment_policy)
            return (lambda img, p, rng: diffaug(img, rng=rng)), None
        case "ada" | "fixed" | "ramp":
            # R3GAN's ramp has colour operations half as often.
            share = 0.5 if config.augment == "ramp" else 1.0
            ada = augment.Ada(groups=config.augment_groups, colour_share=share)
            controller = augment.AdaController(config.ada_target, config.ada_kimg, config.ada_p_max)
            follows = controller if config.augment == "ada" else None
            return (lambda img, p, rng: ada(img, p=p, rng=rng) if p > 0 else img), follows


class _Average(Protocol):
    net: Any

    def update(self, net: nn.Module, batch: int, nimg: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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


def _build_average(config: TrainConfig, G: nn.Module) -> Any:
    match config.ema:
        case "half-life":
            return Ema(G, config.ema_kimg, config.ema_ramp)
        case "power":
            return PowerEma(G, config.ema_sigmas)
        case "none":
            return _NoAverage(G)


def _part(c: Tensor | None, piece: MicroBatch) -> Tensor | None:
    return None if c is None else c[piece.part]
