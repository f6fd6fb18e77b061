"""TranslatorConfig: everything that decides what `ganvas train-translator` does, and the table of its presets.

Sources: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (unpaired);
Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks" (paired); Odena et al. 2016,
"Deconvolution and Checkerboard Artifacts" (enlarging by resizing, in the presets for a CPU).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ganvas.errors import BadConfig
from ganvas.training.engine.config_base import BaseTrainConfig, check_ranges, refuse
from ganvas.training.generator.config import TrainPrecision

TranslatorFamily = Literal["cyclegan", "pix2pix"]
Pairing = Literal["unpaired", "paired"]
TranslationDirection = Literal["AtoB", "BtoA"]
TranslatorLoss = Literal["lsgan", "ns", "hinge"]


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(BaseTrainConfig):
    """What one run of a translator needs to know. The defaults are CycleGAN's for 256 px."""

    kind: ClassVar[str] = "translator"
    groups: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    may_change: ClassVar[frozenset[str]] = BaseTrainConfig.may_change

    # What is learnt.
    pairing: Pairing = "unpaired"  # "unpaired": both ways at once, by cycles; "paired": one way, from examples
    direction: TranslationDirection = "AtoB"  # of "paired"

    # Networks. Fields of the family's config; the discriminator is a PatchGAN.
    family: TranslatorFamily = "cyclegan"  # "cyclegan": a ResNet; "pix2pix": a U-Net
    generator: Mapping[str, Any] = field(default_factory=dict)
    discriminator: Mapping[str, Any] = field(default_factory=dict)

    # Data: pictures are brought to load_px, and squares of `resolution` are cut out of them at random places.
    resolution: int = 256
    load_px: int | None = None  # None = as `resolution`: nothing is cut off
    mirror: bool = True  # show half of them mirrored; wrong for anything with writing
    kept_back: int = 6  # of each domain, at most a tenth, are only looked at: the sheet, and L1 of pairs

    # Length: thousand pictures of A shown. Whichever is reached first; training time counts over all resumes.
    total_kimg: float = 200
    minutes: float | None = None
    batch_size: int = 1

    # Losses.
    loss: TranslatorLoss = "lsgan"
    cycle: float = 10.0  # of "unpaired": A → B → A is A, in L1
    identity: float = 0.5  # of "unpaired": times `cycle`; B → B stays B
    l1: float = 100.0  # of "paired": the answer is the example, in L1
    pool: int = 50  # D sees earlier results half of the time, out of so many; 0 = always the latest

    # Average of the weights.
    ema_kimg: float = 0.0  # half-life, in thousand pictures; 0 = the latest weights, as in both papers
    ema_ramp: float | None = 0.05  # at most this share of the pictures seen so far; None = no ramp-up

    # Optimiser: Adam.
    g_lr: float = 2e-4
    d_lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    decay_from: float = 0.5  # from this share of the schedule on the rates go down to 0, in a straight line; 1 = never
    schedule_kimg: float | None = None  # where they reach it; None = total_kimg when the run begins

    # Machine.
    precision: TrainPrecision = "exact"  # "exact" = float32; "fast" = bfloat16 where this machine was measured to gain

    # How often.
    tick_kimg: float = 1.0  # a line in the log, and the watchdog's look
    save_minutes: float = 2.0  # the state from which the run can go on
    snapshot_kimg: float = 10.0  # weights and a sheet of pictures
    watchdog: bool = True

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_numbers(self)
        for name in ("in_channels", "out_channels"):
            if self.generator.get(name, 3) != 3:
                raise BadConfig(f"translators are trained on colour: generator.{name} must be 3")

    @property
    def ways(self) -> tuple[TranslationDirection, ...]:
        """The directions that are learnt."""
        return ("AtoB", "BtoA") if self.pairing == "unpaired" else (self.direction,)

    @property
    def loaded_px(self) -> int:
        """The size to which pictures are brought."""
        return self.load_px or self.resolution

    def rate(self, nimg: int) -> float:
        """The learning rates' share of what they began with, after so many pictures."""
        length = 1000 * (self.total_kimg if self.schedule_kimg is None else self.schedule_kimg)
        start = self.decay_from * length
        return 1.0 if nimg <= start else max(1 - (nimg - start) / max(length - start, 1), 0.0)


_POSITIVE = ("resolution", "total_kimg", "batch_size", "g_lr", "d_lr", "tick_kimg", "snapshot_kimg")
_NOT_NEGATIVE = ("cycle", "identity", "l1", "pool", "ema_kimg", "save_minutes", "kept_back", "seed")
_SHARES = ("beta1", "beta2", "decay_from")
_MAYBE_POSITIVE = ("minutes", "ema_ramp", "schedule_kimg")


def _check_numbers(config: TranslatorConfig) -> None:
    check_ranges(
        config,
        positive=_POSITIVE,
        not_negative=_NOT_NEGATIVE,
        shares=_SHARES,
        maybe_positive=_MAYBE_POSITIVE,
    )
    load = config.load_px
    refuse(config, "load_px", load is not None and load < config.resolution, f"at least {config.resolution}, or none")
