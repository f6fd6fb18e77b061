"""TrainConfig: everything that decides what a training run does, in one frozen value.

A run writes it to `run.json`, and `ganvas train --config run.json` repeats it. What does not fit together is refused
here, with the reason, before a network is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.fields import setting
from ganvas.metrics.names import parse_metrics
from ganvas.training.engine.config_base import BaseTrainConfig, refuse

GeneratorFamily = Literal["mlp", "dcgan", "fastgan", "stylegan2", "stylegan3", "r3gan", "own"]
LossName = Literal["ns", "minimax", "lsgan", "hinge", "wgan", "rpgan", "ragan"]
Augmentation = Literal["none", "diffaug", "ada", "fixed", "ramp"]
Average = Literal["half-life", "power", "none"]
Schedule = Literal["constant", "cosine"]
TrainPrecision = Literal["exact", "fast"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(BaseTrainConfig):
    """What one training run needs to know. The defaults are a small StyleGAN2 with lazy R1 and ADA."""

    kind: ClassVar[str] = "generator"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change: ClassVar[frozenset[str]] = BaseTrainConfig.may_change | {"metrics", "metrics_num", "stream"}
    may_change_course: ClassVar[frozenset[str]] = BaseTrainConfig.may_change_course | {
        "micro_batch",
        "g_lr",
        "d_lr",
        "r1_gamma",
        "r2_gamma",
        "ema_kimg",
    }

    # Networks. Fields of the family's config; resolution, channels and labels follow from the data.
    family: GeneratorFamily = setting(
        "stylegan2", help='"own": generator and discriminator are handed to `ganvas.train`'
    )
    generator: Mapping[str, Any] = setting(factory=dict, help="fields of the generator's own config")
    discriminator: Mapping[str, Any] = setting(factory=dict, help="fields of the discriminator's own config")

    # Data.
    resolution: int | None = setting(None, gt=0, unit="px", help="side in pixels; none = that of the pictures")
    channels: int | None = setting(
        None, ge=1, help="1 = grey, 3 = colour; none = 3 of files, else that of the pictures"
    )
    stream: bool = setting(False, help="decode pictures while training, without a cache: for sets beyond the disk")
    mirror: bool = setting(False, help="show every picture mirrored, too; wrong for anything with writing")
    labels: str = setting("none", help='"none", "auto" (what comes with the pictures), "folders", or "FILE.csv:COLUMN"')

    # Length.
    total_kimg: float = setting(1000, gt=0, unit="kimg", help="thousand real pictures shown")
    batch_size: int = setting(16, gt=0, help="pictures a step, over all devices together")
    micro_batch: int | None = setting(None, gt=0, help="at most so many at once on a device; none = all of its share")

    # Loss.
    loss: LossName = setting("ns", help="of discriminator and generator")
    real_target: float = setting(
        1.0, gt=0.5, le=1, help="below 1 = one-sided label smoothing; under hinge, margins from there to 1"
    )
    d_steps: int = setting(1, gt=0, help="steps of the discriminator for each of the generator")
    reconstruction: float = setting(1.0, ge=0, help="weight of the rebuilt pictures (family fastgan only)")
    pool: int = setting(0, ge=0, help="D sees earlier fakes half of the time, out of so many; 0 = always the latest")
    blur_px: float = setting(0.0, ge=0, unit="px", help="all that D sees is blurred at first, by so much; 0 = never")
    blur_kimg: float = setting(200.0, gt=0, unit="kimg", help="over so many pictures the blur fades to nothing")

    # What the discriminator reads off a picture besides real or fake: labels (AC-GAN) or codes (InfoGAN).
    class_weight: float = setting(0.0, ge=0, help="AC-GAN: D names the label, so weighted; 0 = D is told it instead")
    categories: int = setting(0, ge=0, help="InfoGAN: so many classes for G that are not in the data; 0 = none")
    codes: int = setting(0, ge=0, help="InfoGAN: the last so many numbers of z can be read off the picture")
    information: float = setting(1.0, gt=0, help="InfoGAN: weight of what D reads off")

    # Penalties: 0 = off. `*_every` = lazily, each n-th step, n times as strong.
    r1_gamma: float = setting(0.0, ge=0, help="weight of the gradient penalty on real pictures; 0 = off")
    r2_gamma: float = setting(0.0, ge=0, help="weight of the gradient penalty on generated pictures; 0 = off")
    gamma_end: float | None = setting(None, gt=0, help="both gammas go there along the schedule; none = they stay")
    gradient_penalty: float = setting(0.0, ge=0, help="weight λ of WGAN-GP; 0 = off")
    clip_weights: float = setting(0.0, ge=0, help="D's weights stay within ± this (the first WGAN: 0.01); 0 = off")
    penalty_every: int = setting(16, gt=0, help="gradient penalties at each n-th step, n times as strong")
    path_length: float = setting(0.0, ge=0, help="weight of path length regularization; StyleGAN2 only")
    path_every: int = setting(4, gt=0, help="path length at each n-th step, n times as strong")

    # Augmentation.
    augment: Augmentation = setting("ada", help="of what the discriminator sees")
    augment_groups: tuple[str, ...] = setting(("geometry", "colour"), help="of ADA, fixed and ramp")
    augment_policy: tuple[str, ...] = setting(("colour", "translation", "cutout"), help="of DiffAugment")
    augment_p: float = setting(0.3, ge=0, le=1, help='probability of "fixed"; where "ramp" ends')
    ada_target: float = setting(0.6, gt=-1, lt=1, help="share of real pictures called real that ADA aims for")
    ada_kimg: float = setting(500, gt=0, unit="kimg", help="over so many pictures p rises from 0 to 1")
    ada_p_max: float = setting(0.8, ge=0, le=1, help="p goes no higher")

    # Average of the generator's weights.
    ema: Average = setting("half-life", help="how the generator's weights are averaged")
    ema_kimg: float = setting(5.0, ge=0, unit="kimg", help="half-life; along the schedule from 0 where that is cosine")
    ema_ramp: float | None = setting(
        0.05, gt=0, help="at most this share of the pictures seen so far; none = no ramp-up"
    )
    ema_sigmas: tuple[float, ...] = setting((0.05, 0.10), help="relative widths of power-function averages")

    # Optimiser: Adam.
    g_lr: float = setting(0.0025, gt=0, help="learning rate of the generator")
    d_lr: float = setting(0.0025, gt=0, help="learning rate of the discriminator")
    beta1: float = setting(0.0, ge=0, le=1, help="of Adam")
    beta2: float = setting(0.99, ge=0, le=1, help="of Adam")
    schedule: Schedule = setting("constant", help="of the learning rates")
    schedule_kimg: float | None = setting(
        None, gt=0, unit="kimg", help="how long the cosine takes; none = half of total_kimg"
    )
    lr_end: float = setting(1.0, gt=0, help="where the cosine leaves the learning rates, as a share")
    beta2_end: float | None = setting(None, gt=0, help="where it leaves beta2")

    # Style-based generators.
    mixing: float = setting(0.0, ge=0, le=1, help="probability of two styles in one picture")
    w_avg_beta: float = setting(0.998, ge=0, le=1, help="how slowly the mean latent follows")

    # Transfer.
    freeze_d: int = setting(
        0, ge=0, help="so many layers of the discriminator, from the picture on, keep what they know"
    )

    # Machine.
    virtual_norm: int = setting(
        0, ge=0, help="virtual batch normalisation of G: by a fixed batch of so many latents; 0 = by each batch itself"
    )
    sync_norm: bool = setting(False, help="batch normalisation over all processes, not each portion by itself")
    precision: TrainPrecision = setting("fast", help='"fast" = bfloat16 where this machine was measured to gain')
    compile: bool = setting(False, help="torch.compile for the generator; worth it on long runs on a GPU")

    # How often.
    snapshot_kimg: float = setting(20.0, gt=0, unit="kimg", help="weights, a sheet of pictures, metrics")
    metrics: str = setting("none", help="measured at each snapshot: none, fd, or several of `ganvas evaluate`: fd,swd")
    metrics_num: int = setting(2000, gt=0, help="fakes for each metric")

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_metrics(self.metrics)
        micro = self.micro_batch
        refuse(self, "micro_batch", micro is not None and self.batch_size % micro != 0, "a divisor of batch_size")
        _check_together(self)


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


def _check_together(config: TrainConfig) -> None:
    """Families, losses and penalties that do not fit are refused with the reason."""
    for wrong, why in _misfits(config):
        if wrong:
            raise BadConfig(why)


def _misfits(config: TrainConfig) -> list[tuple[bool, str]]:
    gradients = config.r1_gamma > 0 or config.r2_gamma > 0 or config.gradient_penalty > 0
    styled = config.family in ("stylegan2", "stylegan3", "own")
    return [
        *_decided_by_data(config),
        (
            gradients and _normalises_over_the_batch(config),
            (
                f"r1_gamma, r2_gamma and gradient_penalty do not fit the discriminator of {config.family}: it "
                "normalises over the batch, so the logit of one image depends on all the others and a "
                "per-image penalty is undefined. "
            )
            + _WITHOUT_BATCH_NORM.get(config.family, ""),
        ),
        (
            config.loss == "wgan"
            and config.gradient_penalty == 0
            and config.clip_weights == 0
            and not _is_spectral(config),
            (
                "loss='wgan' needs a Lipschitz discriminator, or its logits diverge: set gradient_penalty=10 (WGAN-GP) "
                "or clip_weights=0.01 (WGAN)"
            )
            + (" or discriminator.norm=spectral." if config.family == "dcgan" else "."),
        ),
        (
            config.loss == "wgan" and config.gradient_penalty > 0 and config.penalty_every > 1,
            "loss='wgan' needs the gradient penalty at every step: set penalty_every=1.",
        ),
        (
            config.path_length > 0 and config.family not in ("stylegan2", "own"),
            f"path_length is for StyleGAN2; {config.family} is trained without it. Set path_length=0.",
        ),
        (
            config.mixing > 0 and not styled,
            f"mixing needs one latent row per layer; {config.family} has a single row. Set mixing=0.",
        ),
        (
            config.real_target < 1 and config.loss not in ("ns", "minimax", "lsgan", "hinge"),
            (
                "real_target (label smoothing) is only for the losses ns, minimax, lsgan and hinge, not for "
                f"{config.loss!r}."
            ),
        ),
        (
            config.augment == "ada" and config.loss in ("wgan", "rpgan", "ragan"),
            (
                "augment='ada' uses the sign of the discriminator's logits, which is meaningless with "
                f"loss={config.loss!r}, where only differences count: use augment='ramp', 'diffaug', 'fixed' "
                "or 'none'."
            ),
        ),
        *_misfits_of_heads(config),
    ]


def _misfits_of_heads(config: TrainConfig) -> list[tuple[bool, str]]:
    heads = config.class_weight > 0 or config.categories > 0 or config.codes > 0
    return [
        (
            config.class_weight > 0 and config.labels == "none",
            "class_weight (AC-GAN) lets the discriminator name the labels of the data: set labels, such as folders.",
        ),
        (
            config.categories > 0 and config.labels != "none",
            "categories (InfoGAN) are classes that are not in the data: set labels=none, or categories=0.",
        ),
        (config.categories == 1, "categories: one is none; set 2 or more."),
        (
            heads and config.family == "fastgan",
            "class_weight, categories and codes need a discriminator with one last layer; FastGAN's has two.",
        ),
    ]


_DECIDED_BY_DATA = {
    "img_channels": "set channels=1 for grey, channels=3 for colour.",
    "img_resolution": "set resolution.",
    "c_dim": "set labels.",
}


def _decided_by_data(config: TrainConfig) -> list[tuple[bool, str]]:
    return [
        (name in fields, f"{group}.{name} follows from the data: {how}")
        for name, how in _DECIDED_BY_DATA.items()
        for group, fields in (("generator", config.generator), ("discriminator", config.discriminator))
    ]


_WITHOUT_BATCH_NORM = {
    "dcgan": "Choose discriminator.norm=spectral or discriminator.norm=none.",
    "fastgan": "It is stabilised by spectral norm: leave the penalties at 0.",
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
