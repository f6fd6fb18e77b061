"""The table of runs: named configurations, with what they gave where they were run.

A row that no machine at hand could run says so; its numbers are those of the papers. Sources: Karras et al. 2020,
"Training Generative Adversarial Networks with Limited Data" (style-*); Huang et al. 2024, "The GAN is dead; long live
the GAN!" (r3-*); Liu et al. 2021, "Towards Faster and Stabilized GAN Training" (fast-*); Karras et al. 2021,
"Alias-Free Generative Adversarial Networks" (sg3-*); Radford et al. 2016 (dcgan-64).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig
from ganvas.training.generator.config import TrainConfig

_NOT_YET = "not yet run"
_LITERATURE = "from the literature, not yet run"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class GeneratorPreset:
    """One row."""

    config: TrainConfig
    about: str
    result: str = _NOT_YET  # what it gave when it was run: machine, time, kimg, distance
    transfer_only: bool = False  # hopeless from scratch in days: needs --init-from


def _gamma(resolution: int, batch: int) -> float:
    """R1's weight of SG2-ADA's automatic configuration."""
    return 0.0002 * resolution**2 / batch


def _style(resolution: int, batch: int, channel_base: int, **changes: Any) -> TrainConfig:
    """StyleGAN2 as SG2-ADA's automatic configuration has it."""
    widths = {"channel_base": channel_base, "channel_max": 512}
    return replace(
        TrainConfig(
            family="stylegan2",
            generator={**widths, "num_mapping_layers": 2},
            discriminator=widths,
            resolution=resolution,
            mirror=True,
            batch_size=batch,
            total_kimg=5000,
            r1_gamma=_gamma(resolution, batch),
            path_length=2.0 if resolution >= 128 else 0.0,
            ema_kimg=batch * 10 / 32,
            mixing=0.9,
            tick_kimg=4,
            snapshot_kimg=100,
        ),
        **changes,
    )


def _style_cpu(resolution: int) -> TrainConfig:
    """About a million numbers: what two processor cores can teach in half an hour."""
    widths = {"channel_base": 1024, "channel_max": 64}
    return _style(
        resolution,
        16,
        1024,
        generator={**widths, "z_dim": 128, "w_dim": 128, "num_mapping_layers": 2},
        discriminator=widths,
        # Twenty times what SG2-ADA's rule gives: at 64 px, after 20 kimg, eyes and mouths where that left only texture.
        r1_gamma=(resolution / 64) ** 2,
        total_kimg=300,
        mixing=0.0,
        ada_kimg=200,
        tick_kimg=1,
        snapshot_kimg=10,
    )


def _r3(resolution: int, batch: int, gamma: float, kimg: float, **changes: Any) -> TrainConfig:
    """R3GAN: relativistic pairing with both penalties at every step, everything else on a cosine."""
    return replace(
        TrainConfig(
            family="r3gan",
            resolution=resolution,
            mirror=True,
            batch_size=batch,
            total_kimg=kimg,
            loss="rpgan",
            r1_gamma=gamma,
            r2_gamma=gamma,
            gamma_end=gamma / 10,
            penalty_every=1,
            augment="ramp",
            augment_groups=("geometry", "colour", "cutout"),
            augment_p=0.3,
            ema_kimg=kimg / 40,
            ema_ramp=None,
            g_lr=2e-4,
            d_lr=2e-4,
            beta2=0.9,
            beta2_end=0.99,
            lr_end=0.25,
            schedule="cosine",
            tick_kimg=4,
            snapshot_kimg=100,
        ),
        **changes,
    )


def _r3_small(resolution: int, widths: tuple[int, ...], gamma: float) -> TrainConfig:
    """R3GAN narrowed for a CPU, with batches small enough for some thousand steps."""
    fields = {"widths": list(widths)}
    return _r3(
        resolution,
        16,
        gamma,
        100,
        generator=fields,
        discriminator=fields,
        tick_kimg=1,
        snapshot_kimg=10,
    )


def _fast(resolution: int, width: int, batch: int, **changes: Any) -> TrainConfig:
    """FastGAN: hinge with soft margins, spectral norm, a discriminator that also rebuilds what it sees."""
    return replace(
        TrainConfig(
            family="fastgan",
            generator={"ngf": width},
            discriminator={"ndf": width},
            resolution=resolution,
            mirror=True,
            batch_size=batch,
            total_kimg=400,
            loss="hinge",
            real_target=0.8,
            augment="diffaug",
            augment_policy=("colour", "translation"),
            ema_kimg=0.693 * batch,  # 0.999 a step
            g_lr=2e-4,
            d_lr=2e-4,
            beta1=0.5,
            beta2=0.999,
            tick_kimg=1,
            snapshot_kimg=20,
        ),
        **changes,
    )


def _classic(family: Any, **changes: Any) -> TrainConfig:
    """The first GANs: cross-entropy, Adam with momentum, no penalty."""
    return replace(
        TrainConfig(
            family=family,
            resolution=64,
            mirror=True,
            batch_size=64,
            total_kimg=300,
            augment="none",
            ema_kimg=10,
            g_lr=2e-4,
            d_lr=2e-4,
            beta1=0.5,
            beta2=0.999,
            tick_kimg=2,
            snapshot_kimg=20,
        ),
        **changes,
    )


def _sg3(variant: str, resolution: int, gamma: float) -> TrainConfig:
    """StyleGAN3, to be tuned further from published weights."""
    return TrainConfig(
        family="stylegan3",
        generator={"variant": variant},
        resolution=resolution,
        mirror=True,
        batch_size=32,
        micro_batch=8,
        total_kimg=1000,
        r1_gamma=gamma,
        ada_kimg=100,
        ema_kimg=10,
        ema_ramp=None,
        g_lr=0.0025,
        d_lr=0.002,
        freeze_d=10,
        tick_kimg=4,
        snapshot_kimg=40,
    )


def _sg3_from_scratch(variant: str, gamma: float, **changes: Any) -> TrainConfig:
    """StyleGAN3 as the paper trains it at 256 px; R sees blurred pictures at first, and has wider layers."""
    return replace(_sg3(variant, 256, gamma), total_kimg=25_000, ada_kimg=500, ema_ramp=0.05, freeze_d=0, **changes)


GENERATOR_PRESETS: dict[str, GeneratorPreset] = {
    "mlp-64": GeneratorPreset(
        config=_classic("mlp", ema="none"),
        about="fully connected: a baseline for teaching; blurred images within minutes",
    ),
    "seed-64": GeneratorPreset(
        config=_classic(
            "mlp",
            generator={"activation": "relu"},
            channels=1,
            mirror=False,
            batch_size=128,
            beta1=0.9,
            ema="none",
        ),
        about="the GAN of most first lessons (ReLU, Adam's usual momentum, grey): for digits; it collapses on photos",
        result="3,003 faces in grey: collapses within 5 kimg and stays so to 40 kimg; the watchdog stops it at 24",
    ),
    "dcgan-64": GeneratorPreset(
        config=_classic("dcgan", augment="diffaug", augment_policy=("colour", "translation")),
        about="DCGAN with DiffAugment: fast, coarse",
        # It had two thirds of the core for the first four minutes and nearly all of it from then on.
        result="3,003 faces, 30 minutes on one core of a busy machine: 108 kimg, FD-EffNet 113, still falling; patchy",
    ),
    "style-32-cpu": GeneratorPreset(config=_style_cpu(32), about="a small StyleGAN2 for two processor cores, 32 px"),
    "style-64-cpu": GeneratorPreset(
        config=_style_cpu(64),
        about="a small StyleGAN2 for two processor cores, 64 px",
        result="3,003 faces, 30 minutes on one core of a busy machine: 159 kimg, FD-EffNet 82, recognisable faces",
    ),
    "style-64": GeneratorPreset(config=_style(64, 32, 16384), about="StyleGAN2, 64 px, one GPU", result=_LITERATURE),
    "style-128": GeneratorPreset(config=_style(128, 32, 16384), about="StyleGAN2, 128 px, one GPU", result=_LITERATURE),
    "style-256": GeneratorPreset(config=_style(256, 16, 16384), about="StyleGAN2, 256 px, one GPU", result=_LITERATURE),
    "style-512": GeneratorPreset(
        config=_style(512, 8, 32768),
        about="StyleGAN2, 512 px; better fine-tuned from other weights",
        result=_LITERATURE,
    ),
    "style-1024": GeneratorPreset(
        config=_style(1024, 4, 32768, g_lr=0.002, d_lr=0.002),
        about="StyleGAN2, 1024 px; better fine-tuned from other weights",
        result=_LITERATURE,
    ),
    "r3-32-small": GeneratorPreset(config=_r3_small(32, (128, 96, 64, 32), 0.05), about="a narrow R3GAN, 32 px"),
    "r3-64-small": GeneratorPreset(
        config=_r3_small(64, (128, 128, 96, 48, 24), 2.0),
        about="a narrow R3GAN, 64 px: slow, both penalties at every step",
        result="3,003 faces, 30 minutes on one core of a busy machine: 28 kimg, FD-EffNet 225, texture so far",
    ),
    "r3-64": GeneratorPreset(
        config=_r3(64, 256, 2.0, 40_000, micro_batch=64, schedule_kimg=20_000, ema_kimg=500),
        about="R3GAN of the paper, 64 px, several GPUs",
        result=_LITERATURE,
    ),
    "r3-256": GeneratorPreset(
        config=_r3(256, 256, 150.0, 40_000, micro_batch=32, schedule_kimg=20_000, ema_kimg=500),
        about="R3GAN of the paper, 256 px, several GPUs",
        result=_LITERATURE,
    ),
    "fast-64": GeneratorPreset(
        config=_fast(64, 16, 8, snapshot_kimg=10),
        about="a narrow FastGAN, 64 px",
        # Its discriminator learnt with the same network's features, which flatters the distance.
        result="3,003 faces, 30 minutes on one core of a busy machine: 24 kimg, FD-EffNet 60, recognisable faces",
    ),
    "fast-128": GeneratorPreset(
        config=_fast(128, 64, 16), about="FastGAN, 128 px: few images, one GPU", result=_LITERATURE
    ),
    "fast-256": GeneratorPreset(
        config=_fast(256, 64, 8), about="FastGAN, 256 px: few images, one GPU", result=_LITERATURE
    ),
    "fast-512": GeneratorPreset(
        config=_fast(512, 64, 8), about="FastGAN, 512 px: few images, one GPU", result=_LITERATURE
    ),
    **{
        f"sg3-{variant}-{resolution}": GeneratorPreset(
            config=_sg3(variant, resolution, gamma),
            about=f"StyleGAN3-{variant.upper()}, {resolution} px, from published weights",
            result=_LITERATURE,
            transfer_only=True,
        )
        for variant in ("t", "r")
        for resolution, gamma in ((256, 2.0), (512, 8.0), (1024, 32.0))
    },
    "sg3-scratch-t-256": GeneratorPreset(
        config=_sg3_from_scratch("t", 2.0), about="StyleGAN3-T of the paper from scratch, 256 px", result=_LITERATURE
    ),
    "sg3-scratch-r-256": GeneratorPreset(
        config=_sg3_from_scratch("r", 2.0, blur_px=10.0, blur_kimg=200.0),
        about="StyleGAN3-R of the paper from scratch, 256 px: blurred for the discriminator at first",
        result=_LITERATURE,
    ),
}


def find_generator_preset(name: str) -> TrainConfig:
    """The configuration of a preset's name, or of a preset file (`ganvas tune` writes them).

    Raises:
        BadConfig: neither.
    """
    if name in GENERATOR_PRESETS:
        return GENERATOR_PRESETS[name].config
    path = Path(name).expanduser()
    if path.suffix != ".json":
        raise BadConfig(
            f"unknown preset {name!r}; known: auto, {', '.join(GENERATOR_PRESETS)}, or a preset's .json file"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        config = values["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{path} cannot be read as a preset or a run.json ({error})") from error
    return TrainConfig.from_json(config, who=str(path))


def write_preset(config: TrainConfig, path: Path, **facts: Any) -> None:
    """Write a preset that `find_generator_preset` reads; `facts` say where it came from."""
    from ganvas.weights.checkpoint import write_atomically

    text = json.dumps({"format": _FORMAT, **facts, "config": config.to_json()}, indent=1)
    write_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


# ---------------------------------------------------------------------------------------------------------------------
# auto

_FEW_PICTURES = 1000
_SHORT_MINUTES = 180.0


def choose_generator_preset(
    *, resolution: int, count: int, device: str, minutes: float | None, base_family: str | None = None
) -> tuple[str, list[str]]:
    """The preset for pictures, a machine and a time: `--preset auto`.

    Args:
        resolution: that the pictures have.
        count: of them.
        device: "cpu", "cuda" or "mps".
        minutes: allowed; None = no limit.
        base_family: of the weights to start from, where there are some.

    Returns:
        Its name, and why, in plain lines.

    Raises:
        BadConfig: weights of a family that has no preset of this size.
    """
    why = [f"{count:,} images of {resolution} px, on {device}, {_time(minutes)}"]
    if base_family is not None:
        return _for_transfer(resolution, base_family, why)
    if device != "cuda":
        return _for_cpu(resolution, why)
    if resolution <= 64:
        return "style-64", [*why, "at 64 px and below StyleGAN2 learns fast and is best for editing"]
    size = min(s for s in (128, 256, 512, 1024) if s >= min(resolution, 1024))
    if size <= 512 and (count < _FEW_PICTURES or (minutes is not None and minutes <= _SHORT_MINUTES)):
        return f"fast-{size}", [*why, "FastGAN works best with few images or little time"]
    return f"style-{size}", [*why, "StyleGAN2 has the best latents for editing, with enough time and images"]


def _for_cpu(resolution: int, why: list[str]) -> tuple[str, list[str]]:
    name = "style-64-cpu" if resolution >= 64 else "style-32-cpu"
    size = GENERATOR_PRESETS[name].config.resolution or 64
    why.append("without a CUDA device, networks of about a million parameters at 32 to 64 px are realistic")
    if resolution > size:
        why.append(f"training at {size} px; --preset style-{min(resolution, 256)} keeps the full size, but takes weeks")
    return name, why


def _for_transfer(resolution: int, family: str, why: list[str]) -> tuple[str, list[str]]:
    stems = {
        "stylegan2": "style",
        "stylegan3": "sg3-t",
        "fastgan": "fast",
        "r3gan": "r3",
        "dcgan": "dcgan",
        "mlp": "mlp",
    }
    names = [
        name
        for name in GENERATOR_PRESETS
        if name.startswith(stems.get(family, "?")) and not name.endswith(("cpu", "small"))
    ]
    if not names:
        raise BadConfig(f"weights of family {family!r} cannot be fine-tuned; supported: {', '.join(stems)}")
    nearest = min(names, key=lambda name: abs((GENERATOR_PRESETS[name].config.resolution or 64) - resolution))
    return nearest, [*why, f"the weights to start from are a {family} of {resolution} px"]


def _time(minutes: float | None) -> str:
    return "no time limit" if minutes is None else f"{minutes:g} minutes"


def rescale_preset(config: TrainConfig, before: TrainConfig) -> TrainConfig:
    """R1's weight and the average's length follow when a StyleGAN2 preset gets another size or batch.

    Args:
        config: with the new `resolution` or `batch_size`.
        before: the preset.
    """
    size, batch = config.resolution or before.resolution, config.batch_size
    same = size == before.resolution and batch == before.batch_size
    if config.family != "stylegan2" or size is None or same or config.r1_gamma != before.r1_gamma:
        return config
    return replace(config, r1_gamma=_gamma(size, batch), ema_kimg=before.ema_kimg * batch / before.batch_size)


def for_transfer(config: TrainConfig) -> TrainConfig:
    """What changes when a run starts from weights: quicker ADA, no ramp-up of the average, FreezeD.

    Source: Karras et al. 2020, "Training … with Limited Data" (transfer); Mo et al. 2020, "Freeze the Discriminator".
    """
    changes: Mapping[str, Any] = {"ada_kimg": min(config.ada_kimg, 100), "ema_ramp": None}
    if config.family in ("stylegan2", "stylegan3") and config.freeze_d == 0:
        changes = {**changes, "freeze_d": 10 if (config.resolution or 64) >= 64 else 4}
    return replace(config, **changes)
