"""The bench of a translator in training: what one step does, with or without pairs, and all that must survive a stop.

Unpaired (Zhu et al. 2017): two translators and two discriminators; what goes to the other domain must look at home
there, and come back as what it was. Paired (Isola et al. 2017): one translator, one discriminator that sees question
and answer together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.translation_data import TranslationDataset, TranslationLoader
from ganvas.errors import BrokenWeights
from ganvas.images.tensors import from_pixels
from ganvas.models import build
from ganvas.ops.precision import fast_dtype
from ganvas.training import losses
from ganvas.training.ema import Ema
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer, all_finite, load_adam, mean_pairwise_distance
from ganvas.training.engine.watchdog import HealthMetrics
from ganvas.training.losses import AdversarialLoss
from ganvas.training.schedule import lazy_adam, set_adam
from ganvas.training.translator.config import TranslatorConfig

DIVERSITY_IMAGES = 8  # pictures whose translations' diversity is compared with that of real ones
_ATTEMPT_APART = 1 << 40  # pictures; no run comes that far

# What randomness is drawn for; part of its seed.
_STEP, _POOL = range(2)

OPPOSITE = {"AtoB": "BtoA", "BtoA": "AtoB"}


class TranslatorBatch(NamedTuple):
    """Pictures of both domains, [N, 3, R, R] in [-1, 1]; where there are pairs, in the same order."""

    a: Tensor
    b: Tensor

    def source(self, way: str) -> Tensor:
        """What goes in at a way's beginning."""
        return self.a if way == "AtoB" else self.b

    def target(self, way: str) -> Tensor:
        """What is at its end."""
        return self.b if way == "AtoB" else self.a


class ImagePool:
    """Earlier results for the discriminator, so that it forgets no old trick: half of what it sees is from here.

    Source: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through Adversarial Training",
    section 2.3, in the form of CycleGAN: once full, each new picture is exchanged for an old one at even odds.
    """

    def __init__(self, size: int):
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, img: Tensor, rng: torch.Generator) -> Tensor:
        """[N, C, H, W] → as many, some of them older."""
        if self.size == 0:
            return img
        mixed = []
        for one in img.detach():
            if len(self.kept) < self.size:
                self.kept.append(one.clone())
                mixed.append(one)
                continue
            place, old = int(torch.randint(self.size, (), generator=rng)), bool(torch.rand((), generator=rng) < 0.5)
            mixed.append(self.kept[place] if old else one)
            if old:
                self.kept[place] = one.clone()
        return torch.stack(mixed)

    def state(self) -> Tensor:
        """All of them."""
        return torch.stack(self.kept) if self.kept else torch.zeros(0)

    def load(self, state: Tensor, device: torch.device) -> None:
        """The inverse of `state`."""
        self.kept = [one.clone() for one in state.to(device)] if state.ndim == 4 else []


class TranslatorTrainer(Trainer):
    """Networks, optimisers, average, pools, counters: one training run of a translator.

    Args:
        config: resolved.
        domains: to learn from.
        held_out: pictures that are only looked at; may be none.
        world: one process.
        run: where states and figures are kept.

    Attributes:
        G: translators by direction, in training; `translators` has their averages.
        D: discriminators by direction: D["AtoB"] judges what comes out of A → B.
    """

    config: TranslatorConfig
    penalised = False  # there is no gradient penalty for the watchdog to strengthen

    def __init__(
        self,
        config: TranslatorConfig,
        domains: TranslationDataset,
        held_out: TranslationDataset,
        *,
        world: World,
        run: Run | MemoryRun,
    ):
        super().__init__(config, world=world, run=run)
        self.domains, self.kept = domains, held_out if len(held_out.rows_a) and len(held_out.rows_b) else domains
        self.dtype = fast_dtype(world.device.type) if config.precision == "fast" else torch.float32
        self.G, self.D = (nets.to(world.device) for nets in networks(config))
        if config.family == "pix2pix":  # twice as fast on a CPU; instance norm, in the other family, is slower so
            self.G.to(memory_format=torch.channels_last)
            self.D.to(memory_format=torch.channels_last)
        self.feed = TranslationLoader(domains, resolution=config.resolution, mirror=config.mirror, seed=config.seed)
        self.loss = build_translator_loss(config)
        self.averaged = Ema(self.G, config.ema_kimg, config.ema_ramp)
        self.pools = {way: ImagePool(config.pool) for way in config.ways}
        self.params_G, self.params_D = list(self.G.parameters()), list(self.D.parameters())
        self.opt_G = self._adam(self.params_G, config.g_lr)
        self.opt_D = self._adam(self.params_D, config.d_lr)
        self._diverse_reals: dict[str, float] = {}
        self._set_rates()

    def _adam(self, params: list[nn.Parameter], lr: float) -> torch.optim.Adam:
        fused = self.world.device.type in ("cpu", "cuda")
        return lazy_adam(params, lr, (self.config.beta1, self.config.beta2), fused=fused)

    # ------------------------------------------------------------------------------------------------- what a step does

    def draw(self) -> TranslatorBatch:
        """The next pictures. After a step back others than before: not into the same batch again."""
        self.random(_STEP)  # noise of dropout
        at = self.nimg + self.attempt * _ATTEMPT_APART
        return TranslatorBatch(*(self.as_img(pixels) for pixels in self.feed.take(at, self.config.batch_size)))

    def random(self, purpose: int) -> torch.Generator:
        """A source of randomness that depends on nothing but where the run stands; torch's own starts there, too."""
        key = [self.config.seed, self.attempt, self.nimg, purpose]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        torch.manual_seed(seed)
        return torch.Generator().manual_seed(seed)

    def as_img(self, pixels: Tensor) -> Tensor:
        """uint8 [N, 3, R, R] → img on the device."""
        return from_pixels(pixels.permute(0, 2, 3, 1)).to(self.world.device)

    def unpaired_step(self, batch: TranslatorBatch) -> None:
        """Both translators, by cycles; then both discriminators."""
        config = self.config
        a, b = batch
        # The translators.
        self.opt_G.zero_grad(set_to_none=True)
        with self._only_translators_learn(), self._cast():
            fakes = {way: self.G[way](batch.source(way)) for way in config.ways}
            back_a, back_b = self.G["BtoA"](fakes["AtoB"]), self.G["AtoB"](fakes["BtoA"])
            adversarial = sum(self._adversarial_loss(self.D[way](fakes[way])) for way in config.ways)
            # Both losses are means of two terms where the paper has their sum.
            cycle_loss = losses.cycle(a, back_a, b, back_b)
            each = adversarial + 2 * config.cycle * cycle_loss
            if config.identity > 0:
                identity_loss = losses.identity(a, self.G["BtoA"](a), b, self.G["AtoB"](b))
                each = each + 2 * config.cycle * config.identity * identity_loss
                self.running_means.add(identity=identity_loss)
            each.mean().backward()
        self.running_means.add(cycle=cycle_loss, loss_G=adversarial)  # type: ignore[arg-type]
        self.apply_gradients(self.opt_G, self.params_G, "G")
        # The discriminators.
        rng = self.random(_POOL)
        self.opt_D.zero_grad(set_to_none=True)
        for way in config.ways:
            self._judge(way, batch.target(way), self.pools[way].exchange(fakes[way].detach().float(), rng))
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def paired_step(self, batch: TranslatorBatch) -> None:
        """The discriminator, on the translator's latest; then the translator."""
        config, way = self.config, self.config.direction
        source, target = batch.source(way), batch.target(way)
        with self._cast():
            fake = self.G[way](source)
        # The discriminator.
        rng = self.random(_POOL)
        self.opt_D.zero_grad(set_to_none=True)
        fake_pair = self.pools[way].exchange(torch.cat([source, fake.detach().float()], dim=1), rng)
        self._judge(way, torch.cat([source, target], dim=1), fake_pair)
        self.apply_gradients(self.opt_D, self.params_D, "D")
        # The translator.
        self.opt_G.zero_grad(set_to_none=True)
        with self._only_translators_learn(), self._cast():
            adversarial = self._adversarial_loss(self.D[way](torch.cat([source, fake.float()], dim=1)))
            l1_loss = losses.l1(fake, target)
            (adversarial + config.l1 * l1_loss).mean().backward()
        self.running_means.add(l1=l1_loss, loss_G=adversarial)
        self.apply_gradients(self.opt_G, self.params_G, "G")

    def _adversarial_loss(self, logits: Tensor) -> Tensor:
        """The adversarial part of the translator's loss, [N]; LSGAN without the ½, as both papers' code weighs it."""
        return self.loss.generator(logits) * (2 if self.config.loss == "lsgan" else 1)

    def _judge(self, way: str, real: Tensor, fake: Tensor) -> None:
        """Gradients for one discriminator, which learns half as fast as the translator: both papers halve its loss."""
        with self._cast():
            real_logits, fake_logits = self.D[way](real), self.D[way](fake)
            each = self.loss.discriminator(real_logits, fake_logits)
        (each.mean() * (1.0 if self.config.loss == "lsgan" else 0.5)).backward()
        self.running_means.add(loss_D=each, logit_real=real_logits, logit_fake=fake_logits)

    @contextlib.contextmanager
    def _only_translators_learn(self) -> Iterator[None]:
        self.D.requires_grad_(False)
        try:
            yield
        finally:
            self.D.requires_grad_(True)

    def _cast(self) -> contextlib.AbstractContextManager[Any]:
        """Inside, convolutions run in `dtype`."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.world.device.type, dtype=self.dtype)

    def average(self) -> None:
        """Count the step; let the average and the schedule follow."""
        self.nimg += self.config.batch_size
        self.averaged.update(self.G, self.config.batch_size, self.nimg)
        self.count()
        self._set_rates()

    def _set_rates(self) -> None:
        config, betas = self.config, (self.config.beta1, self.config.beta2)
        share = config.rate(self.nimg) * self.remedy.lr
        set_adam(self.opt_G, lr=config.g_lr * share, betas=betas)
        set_adam(self.opt_D, lr=config.d_lr * share * self.remedy.d_lr, betas=betas)

    # -------------------------------------------------------------------------------------------------- how it is going

    def collect_metrics(self) -> dict[str, Any]:
        """One line of the log: means since the last one. Empties the tally."""
        means = self.running_means.take()
        line = {"nimg": self.nimg, "kimg": self.nimg / 1000, "sec": round(self.sec, 2)}
        line |= {"img_per_sec": round(self.img_per_sec, 2), "lr": self.opt_G.param_groups[0]["lr"]}
        line |= {"diversity": self.diversity()}
        return line | {k: v for k, v in means.items() if k != "bad"} | {"bad_share": means.get("bad", 0.0)}

    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics:
        """The same for the watchdog. With examples to go by, a discriminator that wins outright does no harm."""
        zeros = torch.zeros(2)
        chance_loss = float(self.loss.discriminator(zeros, zeros).mean())
        return HealthMetrics(
            kimg=line["kimg"],
            steps=self.step,
            bad_share=line["bad_share"],
            finite_weights=self.is_finite(),
            loss_D=line.get("loss_D", 1.0),
            chance_loss_D=chance_loss if self.config.pairing == "unpaired" else 0.0,
            diversity=line["diversity"],
            grad_norm_D=line.get("grad_norm_D", 0.0),
            grad_norm_G=line.get("grad_norm_G", 0.0),
        )

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
        """The first pictures that were kept back, cut in the middle."""
        off = (self.kept.img_resolution - self.config.resolution) // 2
        part = slice(off, off + self.config.resolution)
        return TranslatorBatch(*(self.as_img(pixels[..., part, part]) for pixels in self.kept.first_images(count)))

    @property
    def translators(self) -> dict[str, Any]:
        """The averaged ones, by direction."""
        nets: Any = self.averaged.net
        return {way: nets[way] for way in self.config.ways}

    @torch.no_grad()
    def translate(self, net: nn.Module, img: Tensor) -> Tensor:
        """A translator's answer in eval mode, in float32; it stays in the mode it was in."""
        training = net.training
        net.eval()
        try:
            return torch.cat([net(one) for one in img.split(self.config.batch_size)]).float()
        finally:
            net.train(training)

    def is_finite(self) -> bool:
        """Are all weights and running means finite?"""
        return all(all_finite(net) for net in (self.G, self.D, self.averaged.net))

    # ------------------------------------------------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        return {
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "averaged": self.averaged.state_dict(),
            "opt_G": self.opt_G.state_dict(),
            "opt_D": self.opt_D.state_dict(),
            "pools": {way: pool.state() for way, pool in self.pools.items()},
            **self.counters(),
            "machine": self.runtime(self.dtype),
        }

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            BrokenWeights: the state is of other networks.
        """
        try:
            self.G.load_state_dict(state["G"])
            self.D.load_state_dict(state["D"])
            self.averaged.load_state_dict(state["averaged"])
            load_adam(self.opt_G, state["opt_G"])
            load_adam(self.opt_D, state["opt_D"])
            for way, pool in self.pools.items():
                pool.load(state["pools"][way], self.world.device)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BrokenWeights(f"the state of this run is of other networks: {error}") from error
        self.load_counters(state)
        self.dtype = self.restore_runtime(state["machine"])
        self._set_rates()


# ---------------------------------------------------------------------------------------------------------------------


def networks(config: TranslatorConfig) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Fresh translators and discriminators by direction, in train mode. Draws from torch's global randomness.

    Raises:
        BadConfig: a field that the family does not have, or a resolution that it cannot take.
    """
    d_family = "pix2pix" if config.pairing == "paired" else "cyclegan"  # question and answer, or the answer alone
    fields = {**config.discriminator, "img_resolution": config.resolution}
    G = nn.ModuleDict({way: build(config.family, **config.generator) for way in config.ways})
    D = nn.ModuleDict({way: build(d_family, network="D", **fields) for way in config.ways})
    return G, D


def build_translator_loss(config: TranslatorConfig) -> AdversarialLoss:
    """The config's loss."""
    match config.loss:
        case "lsgan":
            return losses.LeastSquares()
        case "ns":
            return losses.NonSaturating()
        case "hinge":
            return losses.Hinge()
