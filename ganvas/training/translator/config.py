"""TranslatorConfig: everything that decides what `ganvas train-translator` does, and the table of its presets.

Sources: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (unpaired);
Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (paired); Park et al. 2020,
"Contrastive Learning for Unpaired Image-to-Image Translation" (learn_by="contrast"); Odena et al. 2016, "Deconvolution
and Checkerboard Artifacts" (enlarging by resizing, in the presets for a CPU).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.fields import setting
from ganvas.training.engine.config_base import BaseTrainConfig, refuse
from ganvas.training.generator.config import TrainPrecision
from ganvas.training.schedule import constant_then_linear

TranslatorFamily = Literal["cyclegan", "pix2pix"]
Pairing = Literal["unpaired", "paired"]
TranslationDirection = Literal["AtoB", "BtoA"]
TranslatorLoss = Literal["lsgan", "ns", "hinge", "wgan"]
UnpairedObjective = Literal["cycle", "contrast"]


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(BaseTrainConfig):
    """What one run of a translator needs to know. The defaults are CycleGAN's for 256 px."""

    kind: ClassVar[str] = "translator"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change_course: ClassVar[frozenset[str]] = BaseTrainConfig.may_change_course | {"g_lr", "d_lr"}

    # What is learnt.
    pairing: Pairing = setting(
        "unpaired", help='"unpaired": both ways at once, by cycles; "paired": one way, from examples'
    )
    learn_by: UnpairedObjective = setting(
        "cycle", help='of "unpaired": "cycle" = both ways, as CycleGAN; "contrast" = one way, quicker, as CUT'
    )
    direction: TranslationDirection = setting("AtoB", help='of "paired" and of learn_by="contrast"')

    # Networks. Fields of the family's config; the discriminator is a PatchGAN.
    family: TranslatorFamily = setting("cyclegan", help='"cyclegan": a ResNet; "pix2pix": a U-Net')
    generator: Mapping[str, Any] = setting(factory=dict, help="fields of the generator's own config")
    discriminator: Mapping[str, Any] = setting(factory=dict, help="fields of the discriminator's own config")

    # Data: pictures are brought to load_px, and squares of `resolution` are cut out of them at random places.
    resolution: int = setting(256, gt=0, unit="px", help="side of the pictures")
    load_px: int | None = setting(
        None, unit="px", help="pictures are brought to this size first; none = `resolution`, nothing is cut off"
    )
    channels_a: int = setting(3, ge=1, le=3, help="of the pictures of A: 3 = colour, 1 = grey")
    channels_b: int = setting(3, ge=1, le=3, help="of the pictures of B")
    mirror: bool = setting(True, help="show half of them mirrored; wrong for anything with writing")
    kept_back: int = setting(
        6, ge=0, help="of each domain, at most a tenth, are only looked at: the sheet, and L1 of pairs"
    )

    # Length: thousand pictures of A shown.
    total_kimg: float = setting(200, gt=0, unit="kimg", help="thousand pictures of A shown")
    batch_size: int = setting(1, gt=0, help="pictures in a step")

    # Losses.
    loss: TranslatorLoss = setting("lsgan", help="of discriminator and generator")
    gradient_penalty: float = setting(0.0, ge=0, help="weight λ of WGAN-GP, for loss=wgan; 0 = off")
    cycle: float = setting(10.0, ge=0, help='of "unpaired": A → B → A is A, in L1')
    identity: float = setting(0.5, ge=0, help='of "unpaired": times `cycle`; B → B stays B')
    contrast: float = setting(1.0, gt=0, help='of "contrast": patches keep their content, λ_X of CUT')
    contrast_identity: float = setting(1.0, ge=0, help='of "contrast": the same for pictures of the target, λ_Y')
    patches: int = setting(256, ge=2, help='of "contrast": places compared in each map of features')
    temperature: float = setting(0.07, gt=0, help='of "contrast": smaller = the nearest wrong patch counts more')
    l1: float = setting(100.0, ge=0, help='of "paired": the answer is the example, in L1')
    gradient_ratio: float = setting(
        0.0,
        ge=0,
        help="the other losses pull so many times as strongly as the adversarial one; 0 = by the weights alone",
    )
    pool: int = setting(50, ge=0, help="D sees earlier results half of the time, out of so many; 0 = always the latest")

    # Average of the weights.
    ema_kimg: float = setting(0.0, ge=0, unit="kimg", help="half-life; 0 = the latest weights, as in both papers")
    ema_ramp: float | None = setting(
        0.05, gt=0, help="at most this share of the pictures seen so far; none = no ramp-up"
    )

    # Optimiser: Adam.
    g_lr: float = setting(2e-4, gt=0, help="learning rate of the generator")
    d_lr: float = setting(2e-4, gt=0, help="learning rate of the discriminator")
    beta1: float = setting(0.5, ge=0, le=1, help="of Adam")
    beta2: float = setting(0.999, ge=0, le=1, help="of Adam")
    decay_from: float = setting(
        0.5, ge=0, le=1, help="from this share of the schedule on the rates fall to 0; 1 = never"
    )
    schedule_kimg: float | None = setting(
        None, gt=0, unit="kimg", help="where they reach 0; none = total_kimg when the run begins"
    )

    # Machine.
    precision: TrainPrecision = setting("exact", help='"fast" = bfloat16 where this machine was measured to gain')

    # How often.
    snapshot_kimg: float = setting(10.0, gt=0, unit="kimg", help="weights and a sheet of pictures")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("channels_a", "channels_b"):
            refuse(self, name, getattr(self, name) == 2, "1 (grey) or 3 (colour)")
        load = self.load_px
        refuse(self, "load_px", load is not None and load < self.resolution, f"at least {self.resolution}, or none")
        for group in ("generator", "discriminator"):
            for name in ("in_channels", "out_channels") if group == "generator" else ("in_channels",):
                if name in getattr(self, group):
                    raise BadConfig(f"{group}.{name} follows from the pictures: set channels_a and channels_b (1 or 3)")
        self._check_objective()

    def _check_objective(self) -> None:
        contrast = self.pairing == "unpaired" and self.learn_by == "contrast"
        refuse(self, "family", contrast and self.family != "cyclegan", '"cyclegan", whose first half is compared')
        if (self.loss == "wgan") != (self.gradient_penalty > 0):
            raise BadConfig("loss=wgan and gradient_penalty=10 (WGAN-GP) belong together")
        if self.pairing == "unpaired" and self.channels_a != self.channels_b:
            stays = "contrast_identity" if contrast else "identity"
            if contrast or getattr(self, stays) > 0:
                raise BadConfig(
                    "pictures of the target domain cannot go through a translator from another number of channels: "
                    + ("learn_by=contrast needs channels_a = channels_b" if contrast else f"set {stays}=0")
                )

    def channels(self, way: str) -> tuple[int, int]:
        """Of what goes in and comes out in a direction."""
        return (self.channels_a, self.channels_b) if way == "AtoB" else (self.channels_b, self.channels_a)

    @property
    def ways(self) -> tuple[TranslationDirection, ...]:
        """The directions that are learnt."""
        both = self.pairing == "unpaired" and self.learn_by == "cycle"
        return ("AtoB", "BtoA") if both else (self.direction,)

    @property
    def loaded_px(self) -> int:
        """The size to which images are resized."""
        return self.load_px or self.resolution

    def rate(self, nimg: int) -> float:
        """The learning rates' share of what they began with, after so many pictures."""
        return constant_then_linear(nimg / 1000, self.schedule_kimg or self.total_kimg, start=self.decay_from)
