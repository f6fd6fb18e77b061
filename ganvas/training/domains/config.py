"""DomainsConfig: everything that decides what `ganvas train-translator --domains` does, and its presets.

Source: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation", section 4 and appendix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.fields import setting
from ganvas.training.engine.config_base import BaseTrainConfig
from ganvas.training.generator.config import TrainPrecision
from ganvas.training.schedule import constant_then_linear

_ARCHITECTURE = ("first_norm", "in_channels", "out_channels")  # of the generator; not to be chosen


DomainsLoss = Literal["wgan", "lsgan"]


@dataclass(frozen=True, kw_only=True)
class DomainsConfig(BaseTrainConfig):
    """What one run of a translator between many domains needs to know. The defaults are the paper's for 128 px."""

    kind: ClassVar[str] = "domains"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change_course: ClassVar[frozenset[str]] = BaseTrainConfig.may_change_course | {"g_lr", "d_lr"}

    # Networks: a ResNet that is told the domain, a PatchGAN that names it.
    generator: Mapping[str, Any] = setting(factory=lambda: {"n_blocks": 6}, help="fields of the ResNet's config")
    discriminator: Mapping[str, Any] = setting(factory=lambda: {"n_layers": 4}, help="fields of the PatchGAN's config")

    # Data.
    resolution: int = setting(128, gt=0, unit="px", help="side of the pictures")
    mirror: bool = setting(True, help="show half of them mirrored; wrong for anything with writing")
    labels: str = setting("folders", help='the domains: "folders", "auto" (what comes with them), or "FILE.csv:COLUMN"')

    # Length: thousand pictures shown.
    total_kimg: float = setting(3200, gt=0, unit="kimg", help="thousand pictures shown to the discriminator")
    batch_size: int = setting(16, gt=0, help="pictures in a step")
    d_steps: int = setting(5, gt=0, help="steps of the discriminator for each of the generator")

    # Losses.
    loss: DomainsLoss = setting("wgan", help='"wgan": Wasserstein with a gradient penalty; "lsgan" learns sooner')
    classification: float = setting(1.0, ge=0, help="λ_cls: the domain is named right")
    reconstruction: float = setting(10.0, ge=0, help="λ_rec: there and back is the same, in L1")
    gradient_penalty: float = setting(10.0, gt=0, help='λ_gp of "wgan": slope of the discriminator')

    # Average of the weights.
    ema_kimg: float = setting(0.0, ge=0, unit="kimg", help="half-life; 0 = the latest weights, as in the paper")
    ema_ramp: float | None = setting(
        0.05, gt=0, help="at most this share of the pictures seen so far; none = no ramp-up"
    )

    # Optimiser: Adam.
    g_lr: float = setting(1e-4, gt=0, help="learning rate of the generator")
    d_lr: float = setting(1e-4, gt=0, help="learning rate of the discriminator")
    beta1: float = setting(0.5, ge=0, le=1, help="of Adam")
    beta2: float = setting(0.999, ge=0, le=1, help="of Adam")
    schedule_kimg: float | None = setting(
        None,
        gt=0,
        unit="kimg",
        help="where the rates reach 0, from its middle on; none = total_kimg when the run begins",
    )

    # Machine.
    precision: TrainPrecision = setting("exact", help='"fast" = bfloat16 where this machine was measured to gain')

    # How often.
    snapshot_kimg: float = setting(20.0, gt=0, unit="kimg", help="weights and a sheet of pictures")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in set(_ARCHITECTURE) & set(self.generator):
            raise BadConfig(f"generator.{name} is not chosen: leave it out")
        if self.discriminator.get("norm", "none") != "none":
            raise BadConfig("this discriminator has no normalisation: leave norm out")

    def rate(self, nimg: int) -> float:
        """The learning rates' share of what they began with, after so many pictures."""
        return constant_then_linear(nimg / 1000, self.schedule_kimg or self.total_kimg, start=0.5)


@dataclass(frozen=True, kw_only=True)
class DomainsPreset:
    """One row."""

    config: DomainsConfig
    about: str
    result: str = "not yet run"  # what it gave where it was run


DOMAINS_PRESETS: dict[str, DomainsPreset] = {
    "stargan-64-cpu": DomainsPreset(
        config=DomainsConfig(
            generator={"ngf": 16, "n_blocks": 3, "upsample": "bilinear"},
            discriminator={"ndf": 24, "n_layers": 2},
            resolution=64,
            batch_size=4,
            d_steps=1,
            loss="lsgan",
            ema_kimg=0.5,
            g_lr=4e-4,
            d_lr=2e-4,
            total_kimg=40,
            tick_kimg=0.5,
            snapshot_kimg=4,
            precision="fast",
        ),
        about="many domains, 64 px, for a CPU",
    ),
    "stargan-128": DomainsPreset(
        config=DomainsConfig(), about="StarGAN of the paper, 128 px, one GPU", result="from the literature, not yet run"
    ),
}
