"""R3GAN: a plain residual network, made trainable by its loss (relativistic pairing, R1 and R2) instead of by tricks.

    G   basis · linear(z) ─► 2 blocks ─► (1×1, enlarge ×2, 2 blocks) … ─► 1×1 ─► img
    D   img ─► 1×1 ─► 2 blocks ─► (shrink ×2, 1×1, 2 blocks) … ─► depthwise 4×4 ─► linear ─► logit

    block   x + project(lrelu(grouped(lrelu(expand(x)))))      1×1 C → 2C, 3×3 in groups of 16 channels, 1×1 2C → C

No normalisation, no noise, no style. The block's last convolution starts at zero and the others are scaled with the
number of blocks, so that the fresh network is nearly linear (Zhang et al. 2019, "Fixup Initialization"). Labels are
embedded beside z, and judged by projection (Miyato & Koyama 2018). The loss is in `training/`.

Source: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN", sections 3 and 4, appendix on
the hyperparameters. Parameters are declared in the order in which the picture meets them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.models.z_latent import PlainDiscriminator, PlainGenerator, check_at_least, cpu_channels_last
from ganvas.ops.convolution import Conv2d
from ganvas.ops.resample import downsample2d, fir_filter, upsample2d

_SLOPE = 0.2  # of every leaky ReLU
GAIN = math.sqrt(2 / (1 + _SLOPE**2))  # keeps the variance through a leaky ReLU (He et al. 2015, eq. 15)
GROUP_SIZE = 16  # channels that a 3×3 convolution sees together, in the paper's networks up to 768 wide
PAPER_WIDTHS = {4: 768, 8: 768, 16: 768, 32: 768, 64: 384, 128: 192, 256: 96, 512: 48, 1024: 24}  # FFHQ-256, continued


@dataclass(frozen=True, kw_only=True)
class R3GANConfig:
    """An R3GAN generator; the defaults are the paper's for FFHQ at 256 px, 23.06 M parameters.

    `widths`, `cardinalities` and `blocks` have one number a stage, from 4 px up; left empty they are the paper's.
    """

    z_dim: int = 64
    c_dim: int = 0  # 0 = unconditional
    c_embed_dim: int = 64  # numbers that a label becomes, behind z
    img_resolution: int = 256  # a power of two, 4 or more
    img_channels: int = 3
    widths: tuple[int, ...] = ()  # channels; empty = 768 up to 32 px, then halved with each doubling
    cardinalities: tuple[int, ...] = ()  # groups of the 3×3 convolutions; empty = as many as have 16 channels each
    blocks: tuple[int, ...] = ()  # residual blocks; empty = 2
    expansion: int = 2  # how much wider the inside of a block is
    resample_taps: tuple[float, ...] = (1, 3, 3, 1)  # [1, 2, 1] on top of the box [1, 1]: bilinear, and centred

    def __post_init__(self) -> None:
        check_at_least(self, 1, "z_dim", "c_embed_dim")
        _check_stages(self)


@dataclass(frozen=True, kw_only=True)
class R3GANDiscriminatorConfig:
    """An R3GAN discriminator, the mirror of the generator of the same widths: 23.01 M parameters as it stands."""

    c_dim: int = 0
    c_embed_dim: int = 0  # width of the label's projection; 0 = the channels at 4 px, as in the paper
    img_resolution: int = 256
    img_channels: int = 3
    widths: tuple[int, ...] = ()  # one number a stage, from 4 px up, as in the generator
    cardinalities: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    expansion: int = 2
    resample_taps: tuple[float, ...] = (1, 3, 3, 1)

    def __post_init__(self) -> None:
        check_at_least(self, 0, "c_embed_dim")
        _check_stages(self)


def _check_stages(config: R3GANConfig | R3GANDiscriminatorConfig) -> None:
    """Write out what was left empty, so that a checkpoint says it all; then look whether it goes together."""
    name, px = type(config).__name__, config.img_resolution
    if px < 4 or px & (px - 1):
        raise BadConfig(f"{name}.img_resolution must be a power of two, 4 or more; got {px!r}")
    stages = px.bit_length() - 2  # 4 px: one
    check_at_least(config, 1, "expansion")
    widths = tuple(config.widths) or tuple(_paper_width(4 << k) for k in range(stages))
    filled = {
        "widths": widths,
        "cardinalities": tuple(config.cardinalities) or tuple(_groups(w * config.expansion) for w in widths),
        "blocks": tuple(config.blocks) or (2,) * stages,
        "resample_taps": tuple(config.resample_taps),
    }
    for field, value in filled.items():
        object.__setattr__(config, field, value)
    for field in ("widths", "cardinalities", "blocks"):
        if len(filled[field]) != stages:
            raise BadConfig(
                f"{name}.{field} needs one number for each of the {stages} stages from 4 to {px} px, "
                f"got {len(filled[field])}: {filled[field]}"
            )
    check_at_least(config, 1, "img_channels", "widths", "cardinalities", "blocks")
    check_at_least(config, 0, "c_dim")
    for width, groups in zip(widths, config.cardinalities, strict=True):
        if width * config.expansion % groups:
            raise BadConfig(
                f"{name}.cardinalities must divide widths × expansion: {groups} does not divide "
                f"{width} × {config.expansion}"
            )


def _paper_width(px: int) -> int:
    return PAPER_WIDTHS.get(px, 24)


def _groups(channels: int) -> int:
    """As many groups as have GROUP_SIZE channels; fewer and larger ones where that does not come out even."""
    return channels // GROUP_SIZE if channels % GROUP_SIZE == 0 else 1


class ResidualBlock(nn.Module):
    """x + F(x), F an inverted bottleneck without normalisation (section 3.2, figure 4).

    Args:
        channels: of x.
        inner: channels inside.
        cardinality: groups of the 3×3 convolution.
        gain: of the first two convolutions' start; the last one starts at 0.
    """

    def __init__(self, channels: int, inner: int, cardinality: int, *, gain: float) -> None:
        super().__init__()
        self.expand = Conv2d(channels, inner, 1)
        self.grouped = Conv2d(inner, inner, 3, padding=1, groups=cardinality)
        self.project = Conv2d(inner, channels, 1, bias=False)
        init_scaled(self.expand, gain)
        init_scaled(self.grouped, gain)
        init_scaled(self.project, 0)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] → [N, C, H, W]."""
        y = F.leaky_relu(self.expand(x), _SLOPE)  # [N, inner, H, W]
        y = F.leaky_relu(self.grouped(y), _SLOPE)
        return x + self.project(y)


def init_scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> None:
    """Weights N(0, gain²/fan_in), biases 0 (He et al. 2015, "Delving Deep into Rectifiers")."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _blocks(config: R3GANConfig | R3GANDiscriminatorConfig, k: int) -> dict[str, nn.Module]:
    """The residual blocks of stage k, named; stage 0 is the one at 4 px."""
    width, groups = config.widths[k], config.cardinalities[k]
    # Fixup: in a network of L blocks of m = 3 layers, all but each block's last are scaled by L^(−1/(2m − 2)).
    gain = GAIN * sum(config.blocks) ** -0.25
    return {
        f"block{n}": ResidualBlock(width, width * config.expansion, groups, gain=gain) for n in range(config.blocks[k])
    }


class GenerativeBasis(nn.Module):
    """Input of the generator: a learned 4×4 pattern for each channel, times a linear function of the latent."""

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(channels, 4, 4))
        self.linear = nn.Linear(w_dim, channels, bias=False)
        init_scaled(self.linear, 1)

    def forward(self, w: Tensor) -> Tensor:
        """[N, w_dim] → [N, C, 4, 4]."""
        return cpu_channels_last(self.basis * self.linear(w)[:, :, None, None])


class DiscriminativeBasis(nn.Module):
    """Where the discriminator ends: a learned 4×4 pattern for each channel, then a linear function of the answers."""

    def __init__(self, channels: int, answers: int) -> None:
        super().__init__()
        self.basis = Conv2d(channels, channels, 4, groups=channels, bias=False)
        self.linear = nn.Linear(channels, answers, bias=False)
        init_scaled(self.basis, 1)
        init_scaled(self.linear, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, 4, 4] → [N, answers]."""
        return self.linear(self.basis(x).flatten(1))


class UpsampleLayer(nn.Module):
    """To the next stage of the generator: 1×1 where the width changes, then twice the size."""

    filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, taps: tuple[float, ...]) -> None:
        super().__init__()
        self.mix = _mix(in_channels, out_channels)
        self.register_buffer("filter", fir_filter(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, 2H, 2W]."""
        return upsample2d(self.mix(x), self.filter)


class DownsampleLayer(nn.Module):
    """To the next stage of the discriminator: half the size, then 1×1 where the width changes."""

    filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, taps: tuple[float, ...]) -> None:
        super().__init__()
        self.mix = _mix(in_channels, out_channels)
        self.register_buffer("filter", fir_filter(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] → [N, O, H/2, W/2]."""
        return self.mix(downsample2d(x, self.filter))


def _mix(in_channels: int, out_channels: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    conv = Conv2d(in_channels, out_channels, 1, bias=False)
    init_scaled(conv, 1)
    return conv


class R3GANGenerator(PlainGenerator):
    """z → residual stages, doubling the size. See `protocol.Generator`."""

    family: ClassVar[str] = "r3gan"

    def __init__(self, config: R3GANConfig) -> None:
        super().__init__(config)
        if self.embed is not None:
            init_scaled(self.embed, 1)
        widths, taps = config.widths, config.resample_taps
        self.stages = nn.ModuleList()
        for k, width in enumerate(widths):
            enter = UpsampleLayer(widths[k - 1], width, taps) if k else GenerativeBasis(self.w_dim, width)
            self.stages.append(nn.Sequential(OrderedDict(enter=enter, **_blocks(config, k))))
        self.to_img = Conv2d(widths[-1], config.img_channels, 1, bias=False)
        init_scaled(self.to_img, 1)

    def place_px(self, name: str) -> int | None:
        """See `GeneratorModule.place_px`."""
        part, _, rest = name.partition(".")
        return 4 << int(rest.partition(".")[0]) if part == "stages" else {"to_img": self.img_resolution}.get(part)

    def synthesize(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → img [N, img_channels, R, R], about [-1, 1] (not clipped)."""
        return self.to_img(self.maps(ws, noise_mode=noise_mode, px=px))

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """All stages."""
        return tuple(4 << k for k in range(len(self.stages)))

    def maps(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """ws [N, 1, w_dim] → [N, C, px, px]."""
        x = ws[:, 0]  # [N, w_dim]
        for stage in self.stages[: px.bit_length() - 2]:
            x = stage(x)  # [N, widths[k], 4·2ᵏ, 4·2ᵏ]
        return x


class R3GANDiscriminator(PlainDiscriminator):
    """img → residual stages, halving the size → logit. See `protocol.Discriminator`."""

    family: ClassVar[str] = "r3gan"

    def __init__(self, config: R3GANDiscriminatorConfig) -> None:
        super().__init__(config)
        widths, taps = config.widths, config.resample_taps
        projected = config.c_embed_dim or widths[0]
        self.from_img = Conv2d(config.img_channels, widths[-1], 1, bias=False)
        init_scaled(self.from_img, 1)
        self.stages = nn.ModuleList()
        for k in reversed(range(len(widths))):
            leave = (
                DownsampleLayer(widths[k], widths[k - 1], taps)
                if k
                else DiscriminativeBasis(widths[0], projected if self.c_dim else 1)
            )
            self.stages.append(nn.Sequential(OrderedDict(**_blocks(config, k), leave=leave)))
        self.embed = nn.Linear(self.c_dim, projected, bias=False) if self.c_dim else None
        if self.embed is not None:
            init_scaled(self.embed, 1 / math.sqrt(projected))  # keeps the inner product at the size of one term

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """img [N, img_channels, R, R], c [N, c_dim] → logits [N].

        Raises:
            BadImage: another size or number of channels. BadLatent: labels that do not fit.
        """
        self.check_input(img, c)
        x = self.from_img(cpu_channels_last(img))
        for stage in self.stages:
            x = stage(x)  # [N, C, H/2, W/2]; the last one gives [N, 1], or [N, projected]
        if self.embed is None or c is None:
            return x[:, 0]
        return (x * self.embed(c.to(x.dtype))).sum(dim=1)
