"""pix2pix: img → img from pairs. The U-Net generator, and the PatchGAN that judges every patch of a picture.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", appendix 6.1.
Besides the paper's transposed convolutions the U-Net can enlarge by resizing and convolving, which leaves no
checkerboard (Odena et al. 2016, "Deconvolution and Checkerboard Artifacts"). The PatchGAN is also CycleGAN's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.checks import check_img, check_labels
from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.models.img2img import ImageToImage
from ganvas.models.protocol import Network, SizeRules
from ganvas.models.receptive_field import Step, reach_px
from ganvas.models.row_strips import ConcatMap, ConvMap, FeatureMap, PointwiseMap, StoredMap, StripRunner

NORM_NAMES = ("batch", "instance", "instance-affine", "none")
UPSAMPLE_MODES = ("transposed", "bilinear", "nearest")


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """What a pix2pix generator is built from; the defaults are the paper's for 256 px."""

    in_channels: int = 3
    out_channels: int = 3
    num_downs: int = 8  # halvings: 8 takes multiples of 256 px, 7 of 128 px
    ngf: int = 64  # channels of the outermost level; doubled up to 8 times as many
    norm: str = "batch"  # one of NORMS
    conv_bias: bool | None = None  # None = as published: biases beside instance norm only
    dropout: bool = True  # 0.5, in the inner levels, while training
    upsample: str = "transposed"  # or "bilinear", "nearest": resize, then convolve

    def __post_init__(self) -> None:
        check_known(self.norm, NORM_NAMES, what="norm")
        check_known(self.upsample, UPSAMPLE_MODES, what="upsample")
        if self.num_downs < 2 or min(self.ngf, self.in_channels, self.out_channels) < 1:
            raise BadConfig(f"a U-Net needs num_downs ≥ 2 and at least one channel everywhere, got {self}")


@dataclass(frozen=True, kw_only=True)
class PatchGANConfig:
    """What a patch discriminator is built from; the defaults judge 70×70 px patches of a pair."""

    img_resolution: int = 256  # what it is trained at; it judges any size
    in_channels: int = 6  # input and output of the generator together
    ndf: int = 64
    n_layers: int = 3  # 0 judges single pixels, 1 patches of 16 px, 2 of 34, 3 of 70, 4 of 142, 5 of 286
    norm: str = "batch"
    conv_bias: bool | None = None  # None = as published: biases beside instance norm only

    def __post_init__(self) -> None:
        check_known(self.norm, NORM_NAMES, what="norm")
        if self.n_layers < 0 or min(self.ndf, self.in_channels) < 1:
            raise BadConfig(f"a PatchGAN needs n_layers ≥ 0 and at least one channel everywhere, got {self}")
        if self.img_resolution < self.smallest_px:
            raise BadConfig(f"a PatchGAN with n_layers = {self.n_layers} needs img_resolution ≥ {self.smallest_px}")

    @property
    def smallest_px(self) -> int:
        """The smallest side that leaves one patch."""
        return 3 * 2**self.n_layers if self.n_layers else 1


def norm_layer(norm: str, channels: int) -> nn.Module:
    """The normalisation called `norm`, one of NORMS, for [N, channels, H, W]."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm.startswith("instance"):
        return nn.InstanceNorm2d(channels, affine=norm == "instance-affine")
    return nn.Identity()


def has_bias(norm: str, conv_bias: bool | None) -> bool:
    """Whether the convolutions before a normalisation carry biases."""
    return norm.startswith("instance") if conv_bias is None else conv_bias


def init_img2img_weights(net: nn.Module) -> None:
    """Convolutions N(0, 0.02) without bias, gains N(1, 0.02), as both papers do."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, (nn.BatchNorm2d, nn.InstanceNorm2d)) and module.weight is not None:
            nn.init.normal_(module.weight, 1, 0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class ResizeConv(nn.Conv2d):
    """Enlarge ×2, then a 3×3 convolution with mirrored borders: every output pixel is made of as many taps."""

    def __init__(self, in_channels: int, out_channels: int, mode: str, *, bias: bool):
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode="reflect", bias=bias)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] → [N, C', 2H, 2W]."""
        corners = {"align_corners": False} if self.mode == "bilinear" else {}
        return super().forward(F.interpolate(x, scale_factor=2, mode=self.mode, **corners))


def up_conv(in_channels: int, out_channels: int, upsample: str, *, kernel: int, bias: bool) -> nn.Module:
    """×2 by a transposed convolution of this kernel (3 or 4), or by resizing and convolving."""
    if upsample == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
    return ResizeConv(in_channels, out_channels, upsample, bias=bias)


def up_steps(upsample: str, *, kernel: int) -> list[Step]:
    """The steps of `up_conv`, for `reach_px`."""
    if upsample == "transposed":
        return [("transposed", kernel, 2, 1)]
    return [("bilinear" if upsample == "bilinear" else "grow", 2), ("conv", 3, 1, 1)]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class UNetLevel(nn.Module):
    """One level of the U-Net: halve on the way in, double on the way out."""

    def __init__(self, config: UNetConfig, depth: int):
        super().__init__()
        outermost, innermost = depth == 0, depth == config.num_downs - 1
        bias = has_bias(config.norm, config.conv_bias)
        outside, inside = (config.ngf * min(2**d, 8) for d in (max(depth - 1, 0), depth))
        self.outermost = outermost
        self.down = nn.Conv2d(config.in_channels if outermost else outside, inside, 4, 2, 1, bias=bias)
        self.down_norm = nn.Identity() if outermost or innermost else norm_layer(config.norm, inside)
        self.up = up_conv(
            inside * (1 if innermost else 2),  # the deeper level's answer comes with a copy of what went in
            config.out_channels if outermost else outside,
            config.upsample,
            kernel=4,
            bias=bias or outermost,
        )
        self.up_norm = nn.Identity() if outermost else norm_layer(config.norm, outside)
        self.dropout = nn.Dropout(0.5 if config.dropout and 4 <= depth < config.num_downs - 1 else 0)

    def inward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] → [N, C', H/2, W/2]."""
        return self.down_norm(self.down(x if self.outermost else F.leaky_relu(x, 0.2)))

    def outward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] → [N, C', 2H, 2W]."""
        x = self.up(F.relu(x))
        return torch.tanh(x) if self.outermost else self.dropout(self.up_norm(x))


class UNet(ImageToImage):
    """img → img of the same size, by way of ever smaller pictures and back, each level handing its view across.

    Args:
        config: see `UNetConfig`.
    """

    family: ClassVar[str] = "pix2pix"
    config: UNetConfig

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.out_channels = config.in_channels, config.out_channels
        self.size_rules = SizeRules(minimum_px=2**config.num_downs, multiple_of=2**config.num_downs)
        self.whole_image_norm = config.norm.startswith("instance")
        self.levels = nn.ModuleList([UNetLevel(config, depth) for depth in range(config.num_downs)])
        init_img2img_weights(self)

    def transform(self, img: Tensor) -> Tensor:
        """img [N, in_channels, H, W] → [N, out_channels, H, W]."""
        views, x = [], img
        for level in self.levels:
            x = level.inward(x)
            views.append(x)
        for depth in reversed(range(len(views))):
            x = x if depth == len(views) - 1 else torch.cat([views[depth], x], dim=1)
            x = self.levels[depth].outward(x)
        return x

    def transform_in_strips(self, img: Tensor, strips: StripRunner) -> Tensor:
        """`transform` in strips; all views are kept until the way back has used them."""
        halve, double = [("conv", 4, 2, 1)], up_steps(self.config.upsample, kernel=4)
        x: FeatureMap = StoredMap(img)
        views: list[FeatureMap] = []
        for level in self.levels:
            x = x if level.outermost else PointwiseMap(x, _leaky)
            x = strips.apply_norm(strips.store(ConvMap(x, level.down, halve), statistics=True), level.down_norm)
            views.append(x)
        back: FeatureMap | None = None
        for level in reversed(self.levels):
            x = views.pop() if back is None else ConcatMap(views.pop(), back)
            back = ConvMap(PointwiseMap(x, F.relu), level.up, double)
            if level.outermost:
                return strips.store(PointwiseMap(back, torch.tanh)).whole
            back = strips.apply_norm(strips.store(back, statistics=True), level.up_norm)
        raise AssertionError("the last level is the outermost")

    @property
    def receptive_field_px(self) -> int:
        """How far to each side, in px, the convolutions look; normalisation may look farther."""
        n = self.config.num_downs
        up = up_steps(self.config.upsample, kernel=4)
        return reach_px([("conv", 4, 2, 1)] * n + up * n, period=2**n)


class PatchGAN(Network):
    """img → one logit a patch: is this patch real? pix2pix shows it input and output as one picture of 6 channels.

    Args:
        config: see `PatchGANConfig`.
    """

    family: ClassVar[str] = "pix2pix"
    config: PatchGANConfig

    def __init__(self, config: PatchGANConfig):
        super().__init__()
        self.config = config
        self.c_dim = 0
        self.img_channels = config.in_channels
        self.img_resolution = config.img_resolution
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for index, (width_in, width_out, kernel, stride) in enumerate(self.plan()):
            inner = 0 < index < len(self.plan()) - 1
            bias = has_bias(config.norm, config.conv_bias)
            # Neither paper normalises the first and the last layer; only the pixel version drops the last bias too.
            bias = bias if inner or (index and config.n_layers == 0) else True
            self.convs.append(nn.Conv2d(width_in, width_out, kernel, stride, int(kernel == 4), bias=bias))
            self.norms.append(norm_layer(config.norm, width_out) if inner else nn.Identity())
        init_img2img_weights(self)

    def plan(self) -> list[tuple[int, int, int, int]]:
        """(channels in, channels out, kernel, stride) of each convolution."""
        n, ndf, first = self.config.n_layers, self.config.ndf, self.config.in_channels
        if n == 0:
            return [(first, ndf, 1, 1), (ndf, 2 * ndf, 1, 1), (2 * ndf, 1, 1, 1)]
        widths = [first] + [ndf * min(2**i, 8) for i in range(n + 1)] + [1]
        return [(widths[i], widths[i + 1], 4, 2 if i < n else 1) for i in range(n + 2)]

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """img [N, in_channels, H, W] in [-1, 1] → logits [N, P]; `logits_map` keeps them in their places."""
        check_img(img, who="PatchGAN", channels=self.img_channels)
        check_labels(c, who="PatchGAN", c_dim=0, batch=len(img))
        return self.logits_map(img).flatten(1)

    def logits_map(self, img: Tensor) -> Tensor:
        """img [N, in_channels, H, W] → logits [N, 1, H', W'], each where its patch is."""
        check_img(img, who="PatchGAN", channels=self.img_channels)
        if min(img.shape[-2:]) < self.config.smallest_px:
            raise BadImage(f"PatchGAN expects at least {self.config.smallest_px} px a side, got {list(img.shape[-2:])}")
        x = img
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x))
            x = x if conv is self.convs[-1] else F.leaky_relu(x, 0.2)
        return x

    @property
    def patch_px(self) -> int:
        """The side of the patch that one logit judges."""
        low = high = 0
        for _, _, kernel, stride in reversed(self.plan()):
            low, high = low * stride, high * stride + kernel - 1
        return high - low + 1


NormalizedNetwork = TypeVar("NormalizedNetwork", bound=Network)


def with_picture_statistics(net: NormalizedNetwork) -> NormalizedNetwork:
    """The same weights, but batch norm uses the statistics of the input image, as in pix2pix's test mode.

    The published pix2pix results normalise by each test picture's own statistics; the running averages of training
    give another, often duller picture. A network without batch norm comes back as an equal copy.

    Returns:
        A new network in eval mode, its `norm` "instance-affine" where it was "batch".
    """
    config = net.config
    if config.norm == "batch":
        config = replace(config, norm="instance-affine", conv_bias=has_bias("batch", config.conv_bias))
    network_copy: Any = type(net)(config)  # type: ignore[call-arg]
    wanted = network_copy.state_dict().keys()
    network_copy.load_state_dict({name: value for name, value in net.state_dict().items() if name in wanted})
    network_copy.facts = dict(net.facts)
    return network_copy.to(net.device).eval()
