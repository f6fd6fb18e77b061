"""Presets of translators: runs that are known to work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ganvas.fields import check_known
from ganvas.training.translator.config import TranslatorConfig

_NOT_YET = "not yet run"


_LITERATURE = "from the literature, not yet run"


@dataclass(frozen=True, kw_only=True)
class TranslatorPreset:
    """One row."""

    config: TranslatorConfig
    about: str
    result: str = _NOT_YET  # what it gave where it was run


_CYCLEGAN = TranslatorConfig(load_px=286)


_CONTRAST: dict[str, Any] = {"learn_by": "contrast", "pool": 0}


_PIX2PIX = TranslatorConfig(
    pairing="paired",
    family="pix2pix",
    load_px=286,
    loss="ns",
    pool=0,
)


_SMALL: dict[str, Any] = {"resolution": 64, "load_px": 72, "ema_kimg": 2.0, "precision": "fast", "snapshot_kimg": 2.0}
_SMALL_CYCLEGAN = replace(
    _CYCLEGAN,
    **_SMALL,
    generator={"ngf": 16, "n_blocks": 4, "upsample": "bilinear"},
    discriminator={"ndf": 24, "n_layers": 2},
    batch_size=2,
    g_lr=4e-4,
    total_kimg=20,
    tick_kimg=0.25,
)


TRANSLATOR_PRESETS: dict[str, TranslatorPreset] = {
    "cyclegan-64-cpu": TranslatorPreset(
        config=_SMALL_CYCLEGAN,
        about="unpaired, 64 px, for a CPU",
        result="photos and drawings, 7 minutes of one core, 4 kimg: people recognisable in both directions, "
        "cycle L1 0.17",
    ),
    "cut-64-cpu": TranslatorPreset(
        config=replace(_SMALL_CYCLEGAN, **_CONTRAST),
        about="unpaired, one direction, 64 px, for a CPU",
    ),
    "pix2pix-64-cpu": TranslatorPreset(
        config=replace(
            _PIX2PIX,
            **_SMALL,
            generator={"ngf": 24, "num_downs": 6, "upsample": "bilinear"},
            discriminator={"ndf": 24, "n_layers": 2},
            batch_size=4,
            total_kimg=60,
        ),
        about="paired, 64 px, for a CPU",
        result="drawings to photos, 3.8 minutes of one core, 12 kimg: recognisable faces, held-out L1 0.117",
    ),
    "cyclegan-128": TranslatorPreset(
        config=replace(_CYCLEGAN, resolution=128, load_px=143, generator={"n_blocks": 6}),
        about="CycleGAN of the paper, 128 px, one GPU",
        result=_LITERATURE,
    ),
    "cyclegan-256": TranslatorPreset(
        config=_CYCLEGAN,
        about="CycleGAN of the paper, 256 px, one GPU",
        result=_LITERATURE,
    ),
    "cut-256": TranslatorPreset(
        config=replace(_CYCLEGAN, **_CONTRAST),
        about="CUT of the paper, 256 px, one direction, one GPU",
        result=_LITERATURE,
    ),
    "pix2pix-256": TranslatorPreset(
        config=_PIX2PIX,
        about="pix2pix of the paper: U-Net, PatchGAN of 70 px, 256 px, one GPU",
        result=_LITERATURE,
    ),
}


def find_translator_preset(name: str) -> TranslatorConfig:
    """The config of a preset.

    Raises:
        BadConfig: there is none of that name; names the known ones.
    """
    check_known(name, TRANSLATOR_PRESETS, what="preset of translators")
    return TRANSLATOR_PRESETS[name].config


def choose_translator_preset(*, paired: bool, device: str) -> str:
    """The preset for pictures and a kind of machine: `--preset auto`."""
    family = "pix2pix" if paired else "cyclegan"
    return f"{family}-256" if device == "cuda" else f"{family}-64-cpu"


def resize_config(config: TranslatorConfig, resolution: int) -> TranslatorConfig:
    """The config for pictures of another size: what is cut off stays the same share, a U-Net stays as deep as fits."""
    load = None if config.load_px is None else round(resolution * config.load_px / config.resolution)
    generator = dict(config.generator)
    if config.family == "pix2pix":
        deepest = (resolution & -resolution).bit_length() - 1  # halvings until a side is odd
        generator["num_downs"] = min(int(generator.get("num_downs", 8)), deepest)
    return replace(config, resolution=resolution, load_px=load, generator=generator)
