"""RRDBNet: img → larger img with residual-in-residual dense blocks; ESRGAN and Real-ESRGAN. Its U-Net discriminator.

Wang et al. 2018, "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (the generator, section 3.1);
Rakotonirina and Rasoanaivo 2020, "ESRGAN+" (the 1×1 shortcuts); Wang et al. 2021, "Real-ESRGAN: Training Real-World
Blind Super-Resolution with Pure Synthetic Data" (pixel unshuffle for ×1 and ×2; the discriminator, section 3.3).
Left out: the noise that ESRGAN+ injects while training. Published for pictures in [0, 1]; the call takes and gives
[-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganvas.checks import check_img, check_labels
from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.img2img import ImageToImage, check_size
from ganvas.models.protocol import Network, SizeRules
from ganvas.models.receptive_field import Step, reach_px

UPSAMPLE_FACTORS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2), 16: (2, 2, 2, 2)}
RRDB_UPSAMPLINGS = ("nearest", "pixelshuffle")
RESIDUAL_SCALE = 0.2
STRIP_PIXELS = 2**14  # of the trunk's, enlarged at a time
_CONV: Step = ("conv", 3, 1, 1)


@dataclass(frozen=True, kw_only=True)
class RRDBConfig:
    """What an RRDBNet is built from; the defaults are those of RealESRGAN_x4plus."""

    img_channels: int = 3
    scale: int = 4
    unshuffle: int | None = None  # side of the cells folded into channels; None = as Real-ESRGAN: 4/scale, at least 1
    num_feat: int = 64
    num_block: int = 23  # RealESRGAN_x4plus_anime_6B has 6
    num_grow_ch: int = 32
    upsampling: str = "nearest"  # or "pixelshuffle", of some early ESRGAN files
    plus: bool = False  # the 1×1 shortcuts of ESRGAN+

    def __post_init__(self) -> None:
        check_known(self.upsampling, RRDB_UPSAMPLINGS, what="upsampling")
        if self.unshuffle is None:
            object.__setattr__(self, "unshuffle", max(4 // self.scale, 1) if self.scale in (1, 2) else 1)
        if min(self.img_channels, self.num_feat, self.num_grow_ch, self.scale, self.cell_px) < 1 or self.num_block < 0:
            raise BadConfig(f"an RRDBNet needs num_block ≥ 0 and the other numbers ≥ 1, got {self}")
        if self.scale * self.cell_px not in UPSAMPLE_FACTORS:
            raise BadConfig(
                f"an RRDBNet upsamples its features {', '.join(map(str, UPSAMPLE_FACTORS))} times; scale "
                f"{self.scale} with unshuffle {self.unshuffle} would need {self.scale * self.cell_px}"
            )

    @property
    def cell_px(self) -> int:
        """`unshuffle`, settled."""
        assert self.unshuffle is not None
        return self.unshuffle

    @property
    def ladder(self) -> tuple[int, ...]:
        """The enlargements after the trunk, in order."""
        return UPSAMPLE_FACTORS[self.scale * self.cell_px]


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=not torch.is_grad_enabled())


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and all earlier answers; x + 0.2 · the last answer."""

    def __init__(self, num_feat: int, grow: int, *, plus: bool):
        super().__init__()
        for k in range(1, 5):
            setattr(self, f"conv{k}", _conv3(num_feat + (k - 1) * grow, grow))
        self.conv5 = _conv3(num_feat + 4 * grow, num_feat)
        self.conv1x1 = nn.Conv2d(num_feat, grow, 1, bias=False) if plus else None

    def forward(self, x: Tensor, room: Tensor | None = None) -> Tensor:
        """One block.

        Args:
            x: [N, num_feat, H, W].
            room: scratch memory [N, num_feat + 4·grow, H, W]: the answers are put side by side in it, instead of being
                concatenated anew for each convolution. Without gradients only. In the type of the weights, which may be
                a shorter one than that of x.

        Returns:
            [N, num_feat, H, W].
        """
        features = _FeatureBuffer(x, room)
        second = None
        for k in range(1, 5):
            y = _lrelu(getattr(self, f"conv{k}")(features.all()))
            if self.conv1x1 is not None and k == 2:
                y = second = y + self.conv1x1(x.to(y.dtype))
            elif second is not None and k == 4:
                y = y + second
            features.put(y)
        return torch.add(x, self.conv5(features.all()).to(x.dtype), alpha=RESIDUAL_SCALE)


class _FeatureBuffer:
    """Feature maps side by side: written into `room` where there is one, concatenated where gradients need them."""

    def __init__(self, x: Tensor, room: Tensor | None):
        self.maps, self.room, self.filled = [x], room, 0
        if room is not None:
            self.put(x)

    def put(self, y: Tensor) -> None:
        if self.room is None:
            self.maps.append(y)
        else:
            self.room[:, self.filled : self.filled + y.shape[1]] = y
            self.filled += y.shape[1]

    def all(self) -> Tensor:
        if self.room is not None:
            return self.room[:, : self.filled]
        return self.maps[0] if len(self.maps) == 1 else torch.cat(self.maps, dim=1)


class RRDB(nn.Module):
    """Three dense blocks in a row; their answer is added to what went in, × 0.2."""

    def __init__(self, config: RRDBConfig):
        super().__init__()
        for j in (1, 2, 3):
            setattr(self, f"rdb{j}", DenseBlock(config.num_feat, config.num_grow_ch, plus=config.plus))

    def forward(self, x: Tensor, room: Tensor | None = None) -> Tensor:
        """x [N, num_feat, H, W] → the same shape."""
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x, room), room), room), alpha=RESIDUAL_SCALE)


class UpStep(nn.Module):
    """Enlarge, convolve, leaky ReLU."""

    def __init__(self, width: int, factor: int, upsampling: str):
        super().__init__()
        self.factor, self.shuffled = factor, upsampling == "pixelshuffle"
        self.conv = _conv3(width, width * factor**2 if self.shuffled else width)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, width, H, W] → [N, width, H·factor, W·factor]."""
        if self.shuffled:
            return _lrelu(F.pixel_shuffle(self.conv(x), self.factor))
        if self.factor == 2 and not torch.is_grad_enabled():
            return self._in_four(x)
        return _lrelu(self.conv(F.interpolate(x, scale_factor=self.factor, mode="nearest")))

    def _in_four(self, x: Tensor) -> Tensor:
        """The same without the enlarged picture: of a doubled pixel's nine neighbours only four differ.

        Each of the four pixels that one becomes is a 2×2 convolution of x, with taps that fell together added up.
        """
        n, _, height, width = x.shape
        bias = self.conv.bias
        y = torch.empty(n, len(self.conv.weight), 2 * height, 2 * width, dtype=x.dtype, device=x.device)
        y = y.contiguous(memory_format=torch.channels_last)
        for i in (0, 1):
            rows = _merge_taps(self.conv.weight, i, dim=2)
            for j in (0, 1):
                part = F.conv2d(x, _merge_taps(rows, j, dim=3), bias, padding=1)  # [N, width, H + 1, W + 1]
                y[:, :, i::2, j::2] = part[:, :, i : i + height, j : j + width]
        return _lrelu(y)


def _merge_taps(weight: Tensor, odd: int, *, dim: int) -> Tensor:
    """Three taps on a doubled line → two on the line itself, for its even or its odd pixels."""
    first, middle, last = weight.split(1, dim=dim)
    return torch.cat([first + middle, last] if odd else [first, middle + last], dim=dim)


class RRDBNet(ImageToImage):
    """img → img `scale` times larger.

    Args:
        config: see `RRDBConfig`.
    """

    family: ClassVar[str] = "rrdbnet"
    config: RRDBConfig

    def __init__(self, config: RRDBConfig):
        super().__init__()
        self.config = config
        self.img_channels, self.scale = config.img_channels, config.scale
        self.size_rules = SizeRules(minimum_px=config.cell_px, multiple_of=config.cell_px)
        width = config.num_feat
        self.conv_first = _conv3(config.img_channels * config.cell_px**2, width)
        self.body = nn.ModuleList([RRDB(config) for _ in range(config.num_block)])
        self.conv_body = _conv3(width, width)
        self.up = nn.ModuleList([UpStep(width, factor, config.upsampling) for factor in config.ladder])
        self.conv_hr = _conv3(width, width)
        self.conv_last = _conv3(width, config.img_channels)
        self.init_weights()

    def init_weights(self) -> None:
        """Kaiming's scheme; a tenth of it inside the dense blocks (ESRGAN, section 3.1)."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and "rdb" in name:
                nn.init.kaiming_normal_(module.weight)
                with torch.no_grad():
                    module.weight *= 0.1
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def transform(self, img: Tensor) -> Tensor:
        """img [N, C, H, W] in [-1, 1] → [N, C, H·scale, W·scale]."""
        return self._transform(img, self.body)

    def transform_fast(self, img: Tensor, dtype: torch.dtype) -> Tensor:
        """The convolutions of the blocks in `dtype`; what they are added to, and what follows, in the exact type.

        Sums of 70 blocks in bfloat16 lose a level or more in every pixel; like this it is a fifth of one (measured).
        """
        return self._transform(img, self._fast_copy.get(self.body, dtype))

    def _transform(self, img: Tensor, body: nn.ModuleList) -> Tensor:
        x = (img + 1) / 2  # to [0, 1]; the zeros around the picture mean black
        x = F.pixel_unshuffle(x, self.config.cell_px).contiguous(memory_format=torch.channels_last)
        x = self.conv_first(x)
        x = x + self.conv_body(self.trunk(x, body))
        return (self._tail(x) if torch.is_grad_enabled() else self._tail_in_strips(x)) * 2 - 1

    def _tail(self, x: Tensor) -> Tensor:
        """x [N, num_feat, H, W] → the picture in [0, 1]: all that happens at the larger sizes."""
        for step in self.up:
            x = step(x)
        return self.conv_last(_lrelu(self.conv_hr(x)))

    def _tail_in_strips(self, x: Tensor) -> Tensor:
        """The same, some rows at a time: the large feature maps, 16 times the trunk's, are never there whole."""
        height, factor = x.shape[2], self.scale * self.config.cell_px
        halo = reach_px(self._tail_path(), scale=factor, period=factor)
        strips = []
        rows = max(8, STRIP_PIXELS // x.shape[3])
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            start = max(0, top - halo)
            strip = self._tail(x[:, :, start : bottom + halo])
            strips.append(strip[:, :, (top - start) * factor : (bottom - start) * factor])
        return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)

    def trunk(self, x: Tensor, body: nn.ModuleList | None = None) -> Tensor:
        """x [N, num_feat, H, W] → the same shape, through all blocks: the network's own, or a copy of them."""
        body, room = self.body if body is None else body, None
        if not torch.is_grad_enabled() and len(body):
            channels = self.config.num_feat + 4 * self.config.num_grow_ch
            shape, dtype = (x.shape[0], channels, *x.shape[2:]), next(body.parameters()).dtype
            room = torch.empty(shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)
        for done, block in enumerate(body, 1):
            x = block(x, room)
            if self.on_progress is not None:
                self.on_progress(done / len(body))
        return x

    @property
    def working_bytes(self) -> tuple[float, float]:
        """Memory that a call without gradients takes: (for each pixel of the input, besides)."""
        config, factor = self.config, self.scale * self.config.cell_px
        trunk = 4 * (config.num_feat + 4 * config.num_grow_ch + 5 * config.num_feat) / config.cell_px**2
        pictures = 4 * 4 * config.img_channels * self.scale**2
        return trunk + pictures, 4 * 3 * STRIP_PIXELS * config.num_feat * factor**2

    @property
    def receptive_field_px(self) -> int:
        """How far to each side, in input px, an output pixel can look; of which a few dozen matter."""
        path: list[Step] = [("cells", self.config.cell_px), *[_CONV] * (2 + 15 * self.config.num_block)]
        return reach_px(path + self._tail_path(), scale=self.scale, period=self.scale * self.config.cell_px)

    def _tail_path(self) -> list[Step]:
        path: list[Step] = []
        for factor in self.config.ladder:
            grow: Step = ("grow", factor)
            path += [_CONV, grow] if self.config.upsampling == "pixelshuffle" else [grow, _CONV]
        return [*path, _CONV, _CONV]


@dataclass(frozen=True, kw_only=True)
class UNetDiscriminatorConfig:
    """What Real-ESRGAN's discriminator is built from."""

    img_resolution: int = 256  # what it is trained at; it judges any multiple of 8
    in_channels: int = 3
    num_feat: int = 64
    skip_connection: bool = True  # each enlarged map is added to the one of its size on the way in

    def __post_init__(self) -> None:
        if min(self.in_channels, self.num_feat) < 1:
            raise BadConfig(f"a U-Net discriminator needs at least one channel everywhere, got {self}")
        if self.img_resolution < 8 or self.img_resolution % 8:
            raise BadConfig(f"a U-Net discriminator needs img_resolution a multiple of 8, got {self.img_resolution}")


class UNetDiscriminator(Network):
    """img → one logit a pixel; spectral norm on all convolutions but the first and the last.

    Args:
        config: see `UNetDiscriminatorConfig`.
    """

    family: ClassVar[str] = "rrdbnet"
    config: UNetDiscriminatorConfig

    def __init__(self, config: UNetDiscriminatorConfig):
        super().__init__()
        self.config = config
        self.c_dim = 0
        self.img_channels = config.in_channels
        self.img_resolution = config.img_resolution
        self.size_rules = SizeRules(minimum_px=8, multiple_of=8)
        n = config.num_feat
        self.conv0 = _conv3(config.in_channels, n)
        for k, (a, b) in enumerate([(n, 2 * n), (2 * n, 4 * n), (4 * n, 8 * n)], 1):
            setattr(self, f"conv{k}", spectral_norm(nn.Conv2d(a, b, 4, 2, 1, bias=False)))
        for k, (a, b) in enumerate([(8 * n, 4 * n), (4 * n, 2 * n), (2 * n, n), (n, n), (n, n)], 4):
            setattr(self, f"conv{k}", spectral_norm(nn.Conv2d(a, b, 3, 1, 1, bias=False)))
        self.conv9 = _conv3(n, 1)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """img [N, C, H, W] in [-1, 1] → logits [N, H·W]; `logits_map` keeps them in their places."""
        check_img(img, who="UNetDiscriminator", channels=self.img_channels)
        check_labels(c, who="UNetDiscriminator", c_dim=0, batch=len(img))
        return self.logits_map(img).flatten(1)

    def logits_map(self, img: Tensor) -> Tensor:
        """img [N, C, H, W], sides multiples of 8 → logits [N, 1, H, W]."""
        check_img(img, who="UNetDiscriminator", channels=self.img_channels)
        check_size(img, self.size_rules, who="UNetDiscriminator")
        views = [F.leaky_relu(self.conv0((img + 1) / 2), 0.2)]
        for k in (1, 2, 3):
            views.append(F.leaky_relu(getattr(self, f"conv{k}")(views[-1]), 0.2))
        x = views.pop()
        for k in (4, 5, 6):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(getattr(self, f"conv{k}")(x), 0.2)
            view = views.pop()
            x = x + view if self.config.skip_connection else x
        for k in (7, 8):
            x = F.leaky_relu(getattr(self, f"conv{k}")(x), 0.2)
        return self.conv9(x)
