"""The bench of an upscaler in training: the network, perhaps a discriminator, and all that must survive a stop.

Two stages. First the pixel loss alone: the mean of all pictures that could have been, hence the best PSNR and a little
soft. Then, if asked, a discriminator joins and weighs in with what looks real, and features with what looks alike.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.datasets.sr_pairs import SRDataset
from ganvas.errors import BadConfig, BrokenWeights
from ganvas.models.protocol import Network
from ganvas.ops.precision import fast_dtype
from ganvas.training import losses
from ganvas.training.ema import Ema
from ganvas.training.engine.distributed import World
from ganvas.training.engine.run_folder import MemoryRun, Run
from ganvas.training.engine.trainer import Trainer, all_finite, load_adam
from ganvas.training.engine.watchdog import HealthMetrics
from ganvas.training.generator.networks import Distance
from ganvas.training.losses import AdversarialLoss
from ganvas.training.schedule import cosine, lazy_adam, set_adam
from ganvas.training.upscaler.config import UpscalerConfig


class UpscalerPair:
    """The two networks: G enlarges, D judges; D is None where there is no second stage."""

    def __init__(self, G: Network, D: Network | None, dtype: torch.dtype):
        self.G, self.D, self.dtype = G, D, dtype

    def cast(self) -> AbstractContextManager[Any]:
        """Inside, convolutions run in `dtype`."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(next(self.G.parameters()).device.type, dtype=self.dtype)

    def enlarge(self, low: Tensor) -> Tensor:
        """low [N, 3, h, w] → [N, 3, h·scale, w·scale], in float32."""
        with self.cast():
            return self.G(low).float()

    def discriminate(self, img: Tensor) -> Tensor:
        """Logits [N, H·W] in float32."""
        assert self.D is not None
        with self.cast():
            return self.D(img).float()


class UpscalerTrainer(Trainer):
    """Networks, optimisers, average, counters: one training run of an upscaler.

    Args:
        G: the upscaler; D: its discriminator, or None.
        config: resolved.
        pairs: what it learns from.
        distance: of features, or None where `perceptual_weight` is 0.
        world: one process.
        run: where states and figures are kept.
    """

    config: UpscalerConfig
    penalised = False  # there is no gradient penalty for the watchdog to strengthen

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
        super().__init__(config, world=world, run=run)
        dtype = fast_dtype(world.device.type) if config.precision == "fast" else torch.float32
        for net in (G, D):
            if net is not None:
                net.to(memory_format=torch.channels_last)
        self.pair, self.pairs, self.distance = UpscalerPair(G, D, dtype), pairs, distance
        self.params_G = list(G.parameters())
        self.params_D = [] if D is None else list(D.parameters())
        self.loss = build_upscaler_loss(config)
        self.averaged = Ema(G, config.ema_kimg, config.ema_ramp)
        self.opt_G = self._adam(self.params_G)
        self.opt_D = self._adam(self.params_D) if self.params_D else None
        self._set_rates()

    def _adam(self, params: list[nn.Parameter]) -> torch.optim.Adam:
        fused = self.world.device.type in ("cpu", "cuda")
        return lazy_adam(params, self.config.lr, (self.config.beta1, self.config.beta2), fused=fused)

    # ------------------------------------------------------------------------------------------------- what a step does

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next (low, high) pictures. After a step back others than before: not into the same batch again."""
        torch.manual_seed(seed_of(self.config.seed, self.attempt, self.nimg))
        low, high = self.pairs.take(self.nimg + self.attempt * _ATTEMPT_APART, self.config.batch_size)
        return low.to(self.world.device), high.to(self.world.device)

    def has_discriminator(self) -> bool:
        """Has the second stage begun?"""
        return self.pair.D is not None and self.nimg >= 1000 * (self.config.pixel_kimg or 0)

    def pixel_step(self, low: Tensor, high: Tensor) -> None:
        """The first stage: come near to the right pixels."""
        self.opt_G.zero_grad(set_to_none=True)
        loss = pixel_loss(self.config.pixel, self.pair.enlarge(low), high)
        self.running_means.add(pixel=loss)
        loss.backward()
        self.apply_gradients(self.opt_G, self.params_G, "G")

    def gan_step(self, low: Tensor, high: Tensor) -> None:
        """The second stage: both networks learn, from the same enlarged pictures."""
        config, D = self.config, self.pair.D
        assert D is not None and self.opt_D is not None and self.loss is not None
        # The generator.
        self.opt_G.zero_grad(set_to_none=True)
        D.requires_grad_(False)
        fake = self.pair.enlarge(low)
        real = self.pair.discriminate(high).detach() if self.loss.pairs else None
        pixel_error = pixel_loss(config.pixel, fake, high)
        adversarial = self.loss.generator(self.pair.discriminate(fake), real).mean()
        total = config.pixel_weight * pixel_error + config.gan_weight * adversarial
        self.running_means.add(pixel=pixel_error, loss_G=adversarial)
        if self.distance is not None:
            perceptual = self.distance(fake, high).mean()
            total = total + config.perceptual_weight * perceptual
            self.running_means.add(perceptual=perceptual)
        total.backward()
        D.requires_grad_(True)
        self.apply_gradients(self.opt_G, self.params_G, "G")
        # The discriminator.
        self.opt_D.zero_grad(set_to_none=True)
        real_logits, fake_logits = self.pair.discriminate(high), self.pair.discriminate(fake.detach())
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        self.running_means.add(loss_D=loss, logit_real=real_logits, logit_fake=fake_logits)
        loss.backward()
        self.apply_gradients(self.opt_D, self.params_D, "D")

    def average(self) -> None:
        """Count the step; let the average and the schedules follow."""
        self.nimg += self.config.batch_size
        self.averaged.update(self.pair.G, self.config.batch_size, self.nimg)
        self.count()
        self._set_rates()

    def _set_rates(self) -> None:
        config, betas = self.config, (self.config.beta1, self.config.beta2)
        share = self._along() * self.remedy.lr
        lr = config.gan_lr if self.has_discriminator() else config.lr
        set_adam(self.opt_G, lr=lr * share, betas=betas)
        if self.opt_D is not None:
            set_adam(self.opt_D, lr=config.d_lr * share * self.remedy.d_lr, betas=betas)

    def _along(self) -> float:
        """What is left of the learning rates: each stage goes down a cosine of its own."""
        if self.config.schedule == "constant":
            return 1.0
        first, second = (1000 * kimg for kimg in self.config.stages)
        done, length = (self.nimg - first, second) if self.has_discriminator() else (self.nimg, first)
        return cosine(1, self.config.lr_end, done, length)

    # -------------------------------------------------------------------------------------------------- how it is going

    def collect_metrics(self) -> dict[str, Any]:
        """One line of the log: means since the last one. Empties the tally."""
        means = self.running_means.take()
        line = {"nimg": self.nimg, "kimg": self.nimg / 1000, "sec": round(self.sec, 2)}
        line |= {"img_per_sec": round(self.img_per_sec, 2), "lr": self.opt_G.param_groups[0]["lr"]}
        return line | {k: v for k, v in means.items() if k != "bad"} | {"bad_share": means.get("bad", 0.0)}

    def health_metrics(self, line: dict[str, Any]) -> HealthMetrics:
        """The same for the watchdog."""
        zeros = torch.zeros(2)
        return HealthMetrics(
            kimg=line["kimg"],
            steps=self.step,
            bad_share=line["bad_share"],
            finite_weights=self.is_finite(),
            loss_D=line.get("loss_D", 1.0),
            chance_loss_D=0.0 if self.loss is None else float(self.loss.discriminator(zeros, zeros).mean()),
            grad_norm_D=line.get("grad_norm_D", 0.0),
            grad_norm_G=line.get("grad_norm_G", 0.0),
        )

    def is_finite(self) -> bool:
        """Are all weights finite?"""
        return all(all_finite(net) for net in (self.pair.G, self.pair.D, self.averaged.net) if net is not None)

    # ------------------------------------------------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        D, opt_D = self.pair.D, self.opt_D
        return {
            "G": self.pair.G.state_dict(),
            "D": None if D is None else D.state_dict(),
            "averaged": self.averaged.state_dict(),
            "opt_G": self.opt_G.state_dict(),
            "opt_D": None if opt_D is None else opt_D.state_dict(),
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
            self.averaged.load_state_dict(state["averaged"])
            load_adam(self.opt_G, state["opt_G"])
            if self.pair.D is not None and self.opt_D is not None:
                self.pair.D.load_state_dict(state["D"])
                load_adam(self.opt_D, state["opt_D"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BrokenWeights(f"the state of this run is of other networks: {error}") from error
        self.load_counters(state)
        self.pair.dtype = self.restore_runtime(state["machine"])
        self._set_rates()


_ATTEMPT_APART = 1 << 40  # pairs; no run comes that far


def seed_of(*numbers: int) -> int:
    """A seed that depends on all of them."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1)[0])


def pixel_loss(name: str, img: Tensor, target: Tensor) -> Tensor:
    """The mean difference, "l1" or "l2", as one number."""
    return F.l1_loss(img, target) if name == "l1" else F.mse_loss(img, target)


def build_upscaler_loss(config: UpscalerConfig) -> AdversarialLoss | None:
    """The config's loss; None without a discriminator."""
    match config.gan:
        case "none":
            return None
        case "ns":
            return losses.NonSaturating()
        case "lsgan":
            return losses.LeastSquares()
        case "hinge":
            return losses.Hinge()
        case "ragan":
            return losses.RelativisticAverage()
    raise BadConfig(f"unknown gan {config.gan!r}")
