"""CycleGAN: img → img without pairs. The ResNet generator; its discriminator is the PatchGAN of `pix2pix.py`.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", appendix 7.2
(after Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution").
The cycle and the pool of earlier results belong to training.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.img2img import ImageToImage
from ganvas.models.pix2pix import (
    NORM_NAMES,
    UPSAMPLE_MODES,
    PatchGAN,
    PatchGANConfig,
    has_bias,
    init_img2img_weights,
    norm_layer,
    up_conv,
    up_steps,
)
from ganvas.models.protocol import SizeRules
from ganvas.models.receptive_field import Step, reach_px
from ganvas.models.row_strips import ConvMap, FeatureMap, PointwiseMap, StoredMap, StripRunner

PADDINGS: dict[str, Literal["reflect", "replicate", "zeros"]] = {
    "reflect": "reflect",
    "replicate": "replicate",
    "zero": "zeros",
}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """What a CycleGAN generator is built from; the defaults are the paper's for 256 px."""

    in_channels: int = 3
    out_channels: int = 3
    n_blocks: int = 9  # the paper takes 6 up to 128 px
    ngf: int = 64  # channels at full size; doubled with each halving
    num_downs: int = 2  # halvings before the blocks; pix2pixHD's global generator has 4
    norm: str = "instance"  # one of pix2pix.NORMS
    first_norm: bool = True  # also behind the first layer; without, its biases tell the network something
    conv_bias: bool | None = None  # None = as published: biases beside instance norm only
    dropout: bool = False  # 0.5, inside the blocks, while training
    padding: str = "reflect"  # inside the blocks: "reflect", "replicate" or "zero"; the two ends always reflect
    upsample: str = "transposed"  # or "bilinear", "nearest": resize, then convolve, against checkerboards

    def __post_init__(self) -> None:
        check_known(self.norm, NORM_NAMES, what="norm")
        check_known(self.padding, PADDINGS, what="padding")
        check_known(self.upsample, UPSAMPLE_MODES, what="upsample")
        if min(self.n_blocks, self.num_downs) < 0 or min(self.ngf, self.in_channels, self.out_channels) < 1:
            raise BadConfig(
                f"a ResNet generator needs n_blocks ≥ 0, num_downs ≥ 0 and at least one channel, got {self}"
            )


@dataclass(frozen=True, kw_only=True)
class CycleGANDiscriminatorConfig(PatchGANConfig):
    """A PatchGAN as CycleGAN uses it: single pictures, instance norm."""

    in_channels: int = 3
    norm: str = "instance"


class CycleGANDiscriminator(PatchGAN):
    """img → one logit a patch; see `PatchGAN`."""

    family: ClassVar[str] = "cyclegan"
    config: CycleGANDiscriminatorConfig


def _conv7(in_channels: int, out_channels: int, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 7, padding=3, padding_mode="reflect", bias=bias)


class ConvNormReLU(nn.Module):
    """A convolution, its normalisation, ReLU."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        self.conv, self.norm = conv, norm

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] → [N, C', H', W']."""
        return F.relu(self.norm(self.conv(x)), inplace=not torch.is_grad_enabled())


class ResNetBlock(nn.Module):
    """x + two normed convolutions of x, ReLU and dropout between them."""

    def __init__(self, config: ResNetConfig, width: int):
        super().__init__()
        bias, mode = has_bias(config.norm, config.conv_bias), PADDINGS[config.padding]
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, padding_mode=mode, bias=bias)
        self.norm1 = norm_layer(config.norm, width)
        self.dropout = nn.Dropout(0.5 if config.dropout else 0)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, padding_mode=mode, bias=bias)
        self.norm2 = norm_layer(config.norm, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, width, H, W] → the same shape."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=not torch.is_grad_enabled())
        return x + self.norm2(self.conv2(self.dropout(y)))


class ResNetGenerator(ImageToImage):
    """img → img of the same size: two halvings, residual blocks at a quarter of the size, two doublings.

    Args:
        config: see `ResNetConfig`.
    """

    family: ClassVar[str] = "cyclegan"
    config: ResNetConfig

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.out_channels = config.in_channels, config.out_channels
        self.size_rules = SizeRules(minimum_px=max(2 ** (config.num_downs + 1), 4), multiple_of=2**config.num_downs)
        self.whole_image_norm = config.norm.startswith("instance")
        bias = has_bias(config.norm, config.conv_bias)
        widths = [config.ngf * 2**i for i in range(config.num_downs + 1)]

        pairs = list(pairwise(widths))

        def conv_norm_relu(conv: nn.Module, width: int) -> ConvNormReLU:
            return ConvNormReLU(conv, norm_layer(config.norm, width))

        first = _conv7(config.in_channels, config.ngf, bias=bias or not config.first_norm)
        self.first = ConvNormReLU(first, norm_layer(config.norm if config.first_norm else "none", config.ngf))
        self.down = nn.ModuleList([conv_norm_relu(nn.Conv2d(a, b, 3, 2, 1, bias=bias), b) for a, b in pairs])
        self.blocks = nn.ModuleList([ResNetBlock(config, widths[-1]) for _ in range(config.n_blocks)])
        ups = [conv_norm_relu(up_conv(b, a, config.upsample, kernel=3, bias=bias), a) for a, b in pairs]
        self.up = nn.ModuleList(reversed(ups))
        self.last = _conv7(config.ngf, config.out_channels, bias=True)
        init_img2img_weights(self)

    def transform(self, img: Tensor) -> Tensor:
        """img [N, in_channels, H, W] → [N, out_channels, H, W]."""
        return self._translate_keeping(img, ())[0]

    def transform_and_encode(self, img: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`transform`, and on the way what `encode` gives."""
        output, features = self._translate_keeping(img, self._encoded_stages)
        return output, [img, *features]

    def encode(self, img: Tensor) -> list[Tensor]:
        """What CUT compares, [N, C, H', W'] each: the image, each halving, the first and the middle block."""
        stages = self._encoded_stages
        return [img, *self._run_stages(img, self._stages[: stages[-1] + 1], stages)[1]]

    @property
    def _stages(self) -> tuple[nn.Module, ...]:
        return (self.first, *self.down, *self.blocks, *self.up)

    @property
    def _encoded_stages(self) -> tuple[int, ...]:
        """Places in `_stages`; of the paper's nine blocks the first and the fifth."""
        downs, blocks = self.config.num_downs, self.config.n_blocks
        middle = {downs + 1, downs + 1 + blocks // 2} if blocks else set()
        return tuple(sorted({*range(1, downs + 1), *middle} or {0}))

    def _translate_keeping(self, img: Tensor, keep: tuple[int, ...]) -> tuple[Tensor, list[Tensor]]:
        x, features = self._run_stages(img, self._stages, keep)
        return torch.tanh(self.last(x)), features

    def _run_stages(
        self, x: Tensor, stages: tuple[nn.Module, ...], keep: tuple[int, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        features = []
        for place, stage in enumerate(stages):
            x = stage(x)
            if place in keep:
                features.append(x)
        return x, features

    def transform_in_strips(self, img: Tensor, strips: StripRunner) -> Tensor:
        """`transform` in strips. Not kept: the two maps at full size, after the first layer and before the last."""
        end, halve, same = [("conv", 7, 1, 3)], [("conv", 3, 2, 1)], [("conv", 3, 1, 1)]
        double = up_steps(self.config.upsample, kernel=3)
        x: FeatureMap = strips.apply_norm(ConvMap(StoredMap(img), self.first.conv, end), self.first.norm, F.relu)
        for stage in self.down:
            x = strips.apply_norm(strips.store(ConvMap(x, stage.conv, halve), statistics=True), stage.norm, F.relu)
        x = strips.store(x)
        for block in self.blocks:
            y: FeatureMap = strips.store(ConvMap(x, block.conv1, same), statistics=True)
            y = strips.apply_norm(y, block.norm1, F.relu)
            y = strips.apply_norm(strips.store(ConvMap(y, block.conv2, same), statistics=True), block.norm2)
            strips.add(x, y)
            del y
        for stage in self.up:
            x = ConvMap(x, stage.conv, double)
            x = x if stage is self.up[-1] else strips.store(x, statistics=True)
            x = strips.apply_norm(x, stage.norm, F.relu)
        return strips.store(PointwiseMap(ConvMap(x, self.last, end), torch.tanh)).whole

    @property
    def receptive_field_px(self) -> int:
        """How far to each side, in px, the convolutions look; instance norm looks at the whole picture."""
        n, end = self.config.num_downs, ("conv", 7, 1, 3)
        halve: list[Step] = [("conv", 3, 2, 1)] * n
        double = up_steps(self.config.upsample, kernel=3) * n
        return reach_px([end, *halve, *[("conv", 3, 1, 1)] * (2 * self.config.n_blocks), *double, end], period=2**n)
