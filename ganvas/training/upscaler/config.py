"""UpscalerConfig: everything that decides what `ganvas train-upscaler` does, and the table of its recipes.

Sources of the recipes: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network" (srgan); Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (esrgan); Wang
et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data" (realesrgan; compact is
the network of its later releases). The networks are those that ganvas has: the discriminators of SRGAN and ESRGAN are
replaced by Real-ESRGAN's U-Net, and VGG's features by those of EfficientNet-Lite0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.fields import setting
from ganvas.training.engine.config_base import BaseTrainConfig, refuse
from ganvas.training.generator.config import Schedule, TrainPrecision

UpscalerFamily = Literal["srvgg", "rrdbnet"]
Degradation = Literal["bicubic", "real"]
PixelLoss = Literal["l1", "l2"]
GanLoss = Literal["none", "ns", "lsgan", "hinge", "ragan"]


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig(BaseTrainConfig):
    """What one run of an upscaler needs to know. The defaults are compact-x4."""

    kind: ClassVar[str] = "upscaler"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change_course: ClassVar[frozenset[str]] = BaseTrainConfig.may_change_course | {"lr", "gan_lr", "d_lr"}

    # Networks. Fields of the family's config; the scale comes from below.
    family: UpscalerFamily = setting("srvgg", help="of networks")
    generator: Mapping[str, Any] = setting(
        factory=lambda: {"num_feat": 32, "num_conv": 16, "act": "leakyrelu"},
        help="fields of the generator's own config",
    )
    discriminator: Mapping[str, Any] = setting(factory=dict, help="of the U-Net")
    scale: int = setting(4, gt=0, help="times as wide and high")

    # Training pairs.
    low_px: int = setting(32, gt=0, unit="px", help="side of the small picture")
    degradation: Degradation = setting("bicubic", help='how photos are made small; "real": blur, noise, JPEG, twice')
    kernel_px: tuple[int, int] = setting(
        (7, 21), unit="px", help='of the blur of "real", smallest and largest; smaller crops want smaller kernels'
    )
    candidates: int = setting(1, gt=0, help="of so many crops the one with most detail is taken")
    kept_back: int = setting(4, ge=0, help="photos that are only measured with; at most a quarter of all")

    # Length: thousand pairs shown.
    total_kimg: float = setting(250, gt=0, unit="kimg", help="thousand pairs shown")
    pixel_kimg: float | None = setting(
        None, ge=0, unit="kimg", help="the discriminator joins after so long; none = never"
    )
    batch_size: int = setting(8, gt=0, help="pictures in a step")

    # Losses.
    pixel: PixelLoss = setting("l1", help="distance of pixels")
    pixel_weight: float = setting(
        1.0, ge=0, help="of the pixel loss once the discriminator has joined; before, it is 1"
    )
    gan: GanLoss = setting("none", help="the discriminator's loss")
    gan_weight: float = setting(0.1, ge=0, help="weight of the discriminator's loss")
    perceptual_weight: float = setting(
        0.0, ge=0, help="of EfficientNet-Lite0's features, once the discriminator has joined"
    )

    # Average of the weights.
    ema_kimg: float = setting(10.0, ge=0, unit="kimg", help="half-life, in thousand pairs")
    ema_ramp: float | None = setting(0.05, gt=0, help="at most this share of the pairs seen so far; none = no ramp-up")

    # Optimiser: Adam.
    lr: float = setting(5e-4, gt=0, help="learning rate of the pixel loss alone")
    gan_lr: float = setting(1e-4, gt=0, help="learning rate of the generator once the discriminator has joined")
    d_lr: float = setting(1e-4, gt=0, help="learning rate of the discriminator")
    beta1: float = setting(0.9, ge=0, le=1, help="of Adam")
    beta2: float = setting(0.99, ge=0, le=1, help="of Adam")
    schedule: Schedule = setting("cosine", help="of each stage")
    schedule_kimg: float | None = setting(
        None, gt=0, unit="kimg", help="where the last cosine ends; none = total_kimg when the run begins"
    )
    lr_end: float = setting(0.02, gt=0, help="where the cosine leaves the learning rates, as a share")

    # Machine.
    precision: TrainPrecision = setting("fast", help='"fast" = bfloat16 where this machine was measured to gain')

    # How often.
    snapshot_kimg: float = setting(20.0, gt=0, unit="kimg", help="weights, a sheet of pictures, PSNR and SSIM")

    def __post_init__(self) -> None:
        super().__post_init__()
        odd = self.gan != "none" and self.low_px * self.scale % 8 != 0
        refuse(
            self, "low_px", odd, "such that low_px · scale is a multiple of 8, which the discriminator halves thrice"
        )
        if self.gan == "none" and self.pixel_kimg is not None:
            raise BadConfig("pixel_kimg is when the discriminator is added; without one (gan=none) it must be none")
        if self.gan != "none" and self.pixel_kimg is None:
            raise BadConfig(
                f"gan={self.gan} needs pixel_kimg, when the discriminator is added (0 = at once). The "
                "generator should first be trained with the pixel loss"
            )

    @property
    def stages(self) -> tuple[float, float]:
        """How long each stage's schedule is, in thousand pairs: pixels alone, with the discriminator."""
        end = self.total_kimg if self.schedule_kimg is None else self.schedule_kimg
        first = end if self.pixel_kimg is None else self.pixel_kimg
        return first, max(end - first, 0.0)
