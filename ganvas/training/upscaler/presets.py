"""Presets of upscalers: runs that are known to work."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ganvas.fields import check_known
from ganvas.training.upscaler.config import UpscalerConfig


@dataclass(frozen=True, kw_only=True)
class UpscalerPreset:
    """One row."""

    config: UpscalerConfig
    about: str
    result: str = "not yet run"  # what it gave where it was run


_COMPACT = UpscalerConfig(candidates=3)


_ESRGAN = UpscalerConfig(
    family="rrdbnet",
    generator={"num_feat": 64, "num_block": 23, "num_grow_ch": 32},
    batch_size=16,
    total_kimg=16 * 1000,
    pixel_kimg=16 * 600,
    gan="ragan",
    pixel_weight=0.01,
    gan_weight=0.005,
    perceptual_weight=1.0,
    lr=2e-4,
    tick_kimg=4,
    snapshot_kimg=100,
)


UPSCALER_PRESETS: dict[str, UpscalerPreset] = {
    "compact-x4": UpscalerPreset(
        config=_COMPACT,
        about="small and fast, ×4, pixel loss only: for a CPU, and trained on one",
        result="the bundled model: 58 kimg, 8 minutes on one core, last layer fitted (tools/learn_compact.py): "
        "+1.00 dB and +0.039 SSIM over bicubic on five photos of scikit-image",
    ),
    "compact-x2": UpscalerPreset(
        config=replace(_COMPACT, scale=2, low_px=48),
        about="the same, ×2",
    ),
    "srgan-x4": UpscalerPreset(
        config=replace(
            _COMPACT,
            generator={"num_feat": 64, "num_conv": 16, "act": "prelu"},
            batch_size=16,
            total_kimg=16 * 400,
            pixel_kimg=16 * 200,
            gan="ns",
            gan_weight=1e-3,
            perceptual_weight=1.0,
            pixel_weight=0.01,
            lr=1e-4,
            snapshot_kimg=100,
        ),
        about="SRGAN's losses (plain GAN, features) on a compact network",
    ),
    "esrgan-x4": UpscalerPreset(
        config=_ESRGAN,
        about="ESRGAN: relativistic GAN and features on an RRDBNet, for clean images",
    ),
    "realesrgan-x4": UpscalerPreset(
        config=replace(_ESRGAN, low_px=64, degradation="real", gan="ns", pixel_weight=1.0, gan_weight=0.1),
        about="Real-ESRGAN: for blurred, noisy, compressed photos; U-Net discriminator",
    ),
}


def find_upscaler_preset(name: str) -> UpscalerConfig:
    """The config of a recipe.

    Raises:
        BadConfig: there is none of that name; names the known ones.
    """
    check_known(name, UPSCALER_PRESETS, what="recipe")
    return UPSCALER_PRESETS[name].config
