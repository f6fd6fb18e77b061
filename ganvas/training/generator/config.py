"""TrainConfig: everything that decides what a training run does, in one frozen value.

A run writes it to `run.json`, and `ganvas train --config run.json` repeats it. What does not fit together is refused
here, with the reason, before a network is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.training.engine.config_base import BaseTrainConfig, check_ranges, refuse

GeneratorFamily = Literal["mlp", "dcgan", "fastgan", "stylegan2", "stylegan3", "r3gan", "own"]
LossName = Literal["ns", "minimax", "lsgan", "hinge", "wgan", "rpgan", "ragan"]
Augmentation = Literal["none", "diffaug", "ada", "fixed", "ramp"]
Average = Literal["half-life", "power", "none"]
Schedule = Literal["constant", "cosine"]
TrainPrecision = Literal["exact", "fast"]
Metrics = Literal["none", "fd"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(BaseTrainConfig):
    """What one training run needs to know. The defaults are a small StyleGAN2 with lazy R1 and ADA."""

    kind: ClassVar[str] = "generator"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change: ClassVar[frozenset[str]] = BaseTrainConfig.may_change | {"metrics", "metrics_num"}

    # Networks. Fields of the family's config; resolution, channels and labels follow from the data.
    family: GeneratorFamily = "stylegan2"  # "own": generator and discriminator are handed to `ganvas.train`
    generator: Mapping[str, Any] = field(default_factory=dict)
    discriminator: Mapping[str, Any] = field(default_factory=dict)

    # Data.
    resolution: int | None = None  # side in pixels; None = that of the pictures
    mirror: bool = False  # show every picture mirrored, too; wrong for anything with writing
    labels: str = "none"  # "none", "auto" (what comes with the pictures), "folders", or "FILE.csv:COLUMN"

    # Length. Whichever is reached first; training time counts over all resumes.
    total_kimg: float = 1000  # thousand real pictures shown
    minutes: float | None = None
    batch_size: int = 16  # over all devices together
    micro_batch: int | None = None  # at most this many at once on one device; None = as many as the batch gives it

    # Loss.
    loss: LossName = "ns"
    real_target: float = 1.0  # below 1 = one-sided label smoothing; under hinge, margins are drawn from there to 1
    d_steps: int = 1  # steps of the discriminator for each of the generator
    reconstruction: float = 1.0  # weight of the rebuilt pictures (family fastgan only)

    # Penalties: 0 = off. `*_every` = lazily, each n-th step, n times as strong.
    r1_gamma: float = 0.0
    r2_gamma: float = 0.0
    gamma_end: float | None = None  # both gammas go there along the schedule, in proportion; None = they stay
    gradient_penalty: float = 0.0  # of WGAN-GP, weight λ
    penalty_every: int = 16
    path_length: float = 0.0  # weight; StyleGAN2 only
    path_every: int = 4

    # Augmentation.
    augment: Augmentation = "ada"
    augment_groups: tuple[str, ...] = ("geometry", "colour")  # of ADA, fixed and ramp
    augment_policy: tuple[str, ...] = ("colour", "translation", "cutout")  # of DiffAugment
    augment_p: float = 0.3  # of "fixed"; where "ramp" ends
    ada_target: float = 0.6
    ada_kimg: float = 500
    ada_p_max: float = 0.8

    # Average of the generator's weights.
    ema: Average = "half-life"
    ema_kimg: float = 5.0  # half-life, in thousand pictures; along the schedule from 0 where `schedule` is cosine
    ema_ramp: float | None = 0.05  # at most this share of the pictures seen so far; None = no ramp-up
    ema_sigmas: tuple[float, ...] = (0.05, 0.10)  # relative widths of power-function averages

    # Optimiser: Adam.
    g_lr: float = 0.0025
    d_lr: float = 0.0025
    beta1: float = 0.0
    beta2: float = 0.99
    schedule: Schedule = "constant"
    schedule_kimg: float | None = None  # how long the cosine takes; None = half of total_kimg
    lr_end: float = 1.0  # where the cosine leaves the learning rates, as a share
    beta2_end: float | None = None  # where it leaves beta2

    # Style-based generators.
    mixing: float = 0.0  # probability of two styles in one picture
    w_avg_beta: float = 0.998

    # Transfer.
    freeze_d: int = 0  # so many layers of the discriminator, from the picture on, keep what they know

    # Machine.
    precision: TrainPrecision = "fast"  # "exact" = float32; "fast" = bfloat16 where this machine was measured to gain
    compile: bool = False  # torch.compile for the generator; worth it on long runs on a GPU

    # How often.
    tick_kimg: float = 1.0  # a line in the log, and the watchdog's look
    save_minutes: float = 2.0  # the state from which the run can go on
    snapshot_kimg: float = 20.0  # weights, a sheet of pictures, figures
    metrics: Metrics = "none"
    metrics_num: int = 2000  # fakes for each Fréchet distance
    watchdog: bool = True

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self)
        _check_together(self)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


_POSITIVE: tuple[str, ...] = (
    *("total_kimg", "batch_size", "d_steps", "penalty_every", "path_every", "ada_kimg", "tick_kimg"),
    *("snapshot_kimg", "metrics_num", "g_lr", "d_lr", "lr_end"),
)
_NOT_NEGATIVE: tuple[str, ...] = (
    *("r1_gamma", "r2_gamma", "gradient_penalty", "path_length", "ema_kimg", "freeze_d", "save_minutes"),
    *("reconstruction", "seed"),
)
_SHARES = ("augment_p", "ada_p_max", "mixing", "beta1", "beta2", "w_avg_beta")
_MAYBE_POSITIVE = ("resolution", "minutes", "micro_batch", "schedule_kimg", "ema_ramp", "gamma_end", "beta2_end")


def _check_numbers(config: TrainConfig) -> None:
    check_ranges(
        config,
        positive=_POSITIVE,
        not_negative=_NOT_NEGATIVE,
        shares=_SHARES,
        maybe_positive=_MAYBE_POSITIVE,
    )
    refuse(config, "ada_target", not -1 < config.ada_target < 1, "between -1 and 1")
    refuse(config, "real_target", not 0.5 < config.real_target <= 1, "above 0.5, at most 1")
    micro = config.micro_batch
    refuse(config, "micro_batch", micro is not None and config.batch_size % micro != 0, "a divisor of batch_size")


def _check_together(config: TrainConfig) -> None:
    """Families, losses and penalties that do not fit are refused with the reason."""
    for wrong, why in _misfits(config):
        if wrong:
            raise BadConfig(why)


def _misfits(config: TrainConfig) -> list[tuple[bool, str]]:
    gradients = config.r1_gamma > 0 or config.r2_gamma > 0 or config.gradient_penalty > 0
    styled = config.family in ("stylegan2", "stylegan3", "own")
    return [
        (
            gradients and _normalises_over_the_batch(config),
            f"r1_gamma, r2_gamma and gradient_penalty do not fit the discriminator of {config.family}: it normalises "
            "over the batch, so one picture's logit has a gradient to all the others and a penalty per picture means "
            "nothing. " + _WITHOUT_BATCH_NORM.get(config.family, ""),
        ),
        (
            config.loss == "wgan" and config.gradient_penalty == 0 and not _is_spectral(config),
            "loss='wgan' needs a discriminator of limited slope, or its logits grow without end: set "
            "gradient_penalty=10 (WGAN-GP)" + (" or discriminator.norm=spectral." if config.family == "dcgan" else "."),
        ),
        (
            config.loss == "wgan" and config.gradient_penalty > 0 and config.penalty_every > 1,
            "the gradient penalty is what makes loss='wgan' mean something, so it is due at every step: set "
            "penalty_every=1.",
        ),
        (
            config.path_length > 0 and config.family not in ("stylegan2", "own"),
            f"path_length is about styles that bend the picture evenly; {config.family} is trained without it. Set "
            "path_length=0.",
        ),
        (
            config.mixing > 0 and not styled,
            f"mixing needs a latent with a row for each layer; {config.family} has one row. Set mixing=0.",
        ),
        (
            config.real_target < 1 and config.loss not in ("ns", "minimax", "lsgan", "hinge"),
            f"real_target (label smoothing) is for the losses ns, minimax, lsgan and hinge, not for {config.loss!r}.",
        ),
        (
            config.augment == "ada" and config.loss in ("wgan", "rpgan", "ragan"),
            f"augment='ada' watches the sign of the discriminator's logits, which means nothing under "
            f"loss={config.loss!r}, where only differences count: use augment='ramp', 'diffaug', 'fixed' or 'none'.",
        ),
    ]


_WITHOUT_BATCH_NORM = {
    "dcgan": "Choose discriminator.norm=spectral or discriminator.norm=none.",
    "fastgan": "Its spectral norm is what keeps it steady: leave the penalties at 0.",
}


def _normalises_over_the_batch(config: TrainConfig) -> bool:
    if config.family == "dcgan":
        return config.discriminator.get("norm", "batch") == "batch"
    return config.family == "fastgan"


def _is_spectral(config: TrainConfig) -> bool:
    return config.family in ("fastgan", "own") or config.discriminator.get("norm") == "spectral"


def schedule_length_kimg(config: TrainConfig) -> float:
    """How many thousand pictures the schedules take."""
    return config.schedule_kimg if config.schedule_kimg is not None else config.total_kimg / 2
