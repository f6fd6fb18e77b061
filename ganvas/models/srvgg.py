"""SRVGGNetCompact: img → larger img with a plain stack of convolutions; the upscaler for a CPU.

From Real-ESRGAN (Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data"), whose later releases call it "compact". The network adds its result to the enlarged input. It is published
for pictures in [0, 1]; the call takes and gives [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.img2img import ImageToImage
from ganvas.models.protocol import SizeRules
from ganvas.models.receptive_field import reach_px

ACTIVATIONS = ("prelu", "relu", "leakyrelu")
LAST_SCALE = 0.1  # of the last layer's first weights


@dataclass(frozen=True, kw_only=True)
class SRVGGConfig:
    """What an SRVGG is built from; the defaults are those of realesr-animevideov3."""

    img_channels: int = 3
    scale: int = 4
    num_feat: int = 64
    num_conv: int = 16  # between the first and the last convolution; realesr-general-x4v3 has 32
    act: str = "prelu"  # or "relu", "leakyrelu" (slope 0.1)

    def __post_init__(self) -> None:
        check_known(self.act, ACTIVATIONS, what="act")
        if self.num_conv < 0 or min(self.scale, self.num_feat, self.img_channels) < 1:
            raise BadConfig(f"an SRVGG needs num_conv ≥ 0 and scale, num_feat and img_channels ≥ 1, got {self}")


def _activation(act: str, width: int) -> nn.Module:
    if act == "prelu":
        return nn.PReLU(num_parameters=width)
    in_place = False  # the same module runs with and without gradients
    return nn.ReLU(in_place) if act == "relu" else nn.LeakyReLU(0.1, in_place)


def bilinear_taps(scale: int) -> Tensor:
    """What each of the scale² pixels that one becomes takes of its 3×3 neighbours: [scale², 3, 3], rows first."""
    off = (torch.arange(scale) + 0.5) / scale - 0.5  # of the new pixel's middle from the old one's
    line = torch.stack([(-off).clamp(min=0), 1 - off.abs(), off.clamp(min=0)], dim=1)  # [scale, 3]
    return torch.einsum("ya,xb->yxab", line, line).reshape(scale**2, 3, 3)


class SRVGG(ImageToImage):
    """img → img `scale` times larger.

    Args:
        config: see `SRVGGConfig`.
    """

    family: ClassVar[str] = "srvgg"
    config: SRVGGConfig

    def __init__(self, config: SRVGGConfig):
        super().__init__()
        self.config = config
        self.img_channels, self.scale = config.img_channels, config.scale
        self.size_rules = SizeRules()
        width = config.num_feat
        body: list[nn.Module] = [nn.Conv2d(config.img_channels, width, 3, padding=1), _activation(config.act, width)]
        for _ in range(config.num_conv):
            body += [nn.Conv2d(width, width, 3, padding=1), _activation(config.act, width)]
        self.body = nn.Sequential(*body, nn.Conv2d(width, config.img_channels * config.scale**2, 3, padding=1))
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Kaiming's scheme; the picture goes through the first feature maps and begins as its bilinear enlargement.

        With PyTorch's own default the picture has faded to a millionth after 16 layers, and learning waits for it. As
        it is never negative, the activations leave it as it is; the last layer has to learn only what is missing.
        """
        slope = {"prelu": 0.25, "relu": 0.0, "leakyrelu": 0.1}[self.config.act]
        *inner, last = (module for module in self.body if isinstance(module, nn.Conv2d))
        for conv in (*inner, last):
            nn.init.kaiming_normal_(conv.weight, a=slope)
            conv.bias.zero_()
        last.weight *= LAST_SCALE
        if self.config.num_feat < self.img_channels:
            return  # too narrow to carry it
        for conv in inner:
            for channel in range(self.img_channels):
                conv.weight[channel] = 0
                conv.weight[channel, channel, 1, 1] = 1
        for channel, weight in enumerate(last.weight.view(self.img_channels, self.scale**2, -1, 3, 3)):
            weight[:, : self.img_channels] = 0
            weight[:, channel] = bilinear_taps(self.scale)
            weight[:, channel, 1, 1] -= 1  # the nearest pixel is added in any case

    def transform(self, img: Tensor) -> Tensor:
        """img [N, C, H, W] in [-1, 1] → [N, C, H·scale, W·scale]."""
        x = (img + 1) / 2  # to [0, 1]; the zeros around the picture mean black
        detail = F.pixel_shuffle(self.body(x.contiguous(memory_format=torch.channels_last)), self.scale)
        return (detail + F.interpolate(x, scale_factor=self.scale, mode="nearest")) * 2 - 1

    @property
    def receptive_field_px(self) -> int:
        """How far to each side, in input px, an output pixel looks; in effect it is far less."""
        convs = [("conv", 3, 1, 1)] * (self.config.num_conv + 2)
        return reach_px([*convs, ("grow", self.scale)], scale=self.scale, period=self.scale)
