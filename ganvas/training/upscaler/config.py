"""UpscalerConfig: everything that decides what `ganvas train-upscaler` does, and the table of its recipes.

Sources of the recipes: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial
Network" (srgan); Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (esrgan); Wang
et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data" (realesrgan; compact is
the network of its later releases). The networks are those that ganvas has: the discriminators of SRGAN and ESRGAN are
replaced by Real-ESRGAN's U-Net, and VGG's features by those of EfficientNet-Lite0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.training.engine.config_base import BaseTrainConfig, check_ranges, refuse
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

    # Networks. Fields of the family's config; the scale comes from below.
    family: UpscalerFamily = "srvgg"
    generator: Mapping[str, Any] = field(default_factory=lambda: {"num_feat": 32, "num_conv": 16, "act": "leakyrelu"})
    discriminator: Mapping[str, Any] = field(default_factory=dict)  # of the U-Net
    scale: int = 4

    # Training pairs.
    low_px: int = 32  # side of the small picture
    degradation: Degradation = "bicubic"  # or "real": blur, noise, JPEG, twice
    kernel_px: tuple[int, int] = (7, 21)  # of "real"; smaller crops want smaller kernels
    candidates: int = 1  # of so many crops, the one with most detail is taken
    kept_back: int = 4  # photos that are only measured with; at most a quarter of all

    # Length: thousand pairs shown. Whichever is reached first; training time counts over all resumes.
    total_kimg: float = 250
    pixel_kimg: float | None = None  # so long the pixel loss alone; then the discriminator joins. None = always
    minutes: float | None = None
    batch_size: int = 8

    # Losses.
    pixel: PixelLoss = "l1"
    pixel_weight: float = 1.0  # once the discriminator has joined; before, it is alone and 1
    gan: GanLoss = "none"
    gan_weight: float = 0.1
    perceptual_weight: float = 0.0  # of EfficientNet-Lite0's features, once the discriminator has joined

    # Average of the weights.
    ema_kimg: float = 10.0  # half-life, in thousand pairs
    ema_ramp: float | None = 0.05  # at most this share of the pairs seen so far; None = no ramp-up

    # Optimiser: Adam.
    lr: float = 5e-4  # of the pixel loss alone
    gan_lr: float = 1e-4  # of the generator once the discriminator has joined
    d_lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    schedule: Schedule = "cosine"  # of each stage
    schedule_kimg: float | None = None  # where the last cosine ends; None = total_kimg when the run begins
    lr_end: float = 0.02  # where the cosine leaves the learning rates, as a share

    # Machine.
    precision: TrainPrecision = "fast"  # "exact" = float32; "fast" = bfloat16 where this machine was measured to gain

    # How often.
    tick_kimg: float = 1.0  # a line in the log, and the watchdog's look
    save_minutes: float = 2.0  # the state from which the run can go on
    snapshot_kimg: float = 20.0  # weights, a sheet of pictures, PSNR and SSIM
    watchdog: bool = True

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self)
        if self.gan == "none" and self.pixel_kimg is not None:
            raise BadConfig("pixel_kimg says when the discriminator joins; without one (gan=none) it must be none")
        if self.gan != "none" and self.pixel_kimg is None:
            raise BadConfig(
                f"gan={self.gan} needs to know when the discriminator joins: set pixel_kimg (0 = at once). A generator "
                "that has not learnt from pixels first gives it nothing to tell apart"
            )

    @property
    def stages(self) -> tuple[float, float]:
        """How long each stage's schedule is, in thousand pairs: pixels alone, with the discriminator."""
        end = self.total_kimg if self.schedule_kimg is None else self.schedule_kimg
        first = end if self.pixel_kimg is None else self.pixel_kimg
        return first, max(end - first, 0.0)


_POSITIVE: tuple[str, ...] = (
    *("scale", "low_px", "candidates", "total_kimg", "batch_size", "lr", "gan_lr", "d_lr", "lr_end"),
    *("tick_kimg", "snapshot_kimg"),
)
_NOT_NEGATIVE = ("kept_back", "pixel_weight", "gan_weight", "perceptual_weight", "ema_kimg", "save_minutes", "seed")


def _check_numbers(config: UpscalerConfig) -> None:
    check_ranges(
        config,
        positive=_POSITIVE,
        not_negative=_NOT_NEGATIVE,
        shares=("beta1", "beta2"),
        maybe_positive=("minutes", "schedule_kimg", "ema_ramp"),
    )
    refuse(config, "pixel_kimg", config.pixel_kimg is not None and config.pixel_kimg < 0, "0 or more, or none")
    odd = config.gan != "none" and config.low_px * config.scale % 8 != 0
    refuse(config, "low_px", odd, "such that low_px · scale is a multiple of 8, which the discriminator halves thrice")
