"""MobileStyleGAN: StyleGAN2 distilled into depthwise-separable convolutions that paint wavelet coefficients.

    z ──mapping──► w ──affine──► styles ──┐
                   const 4×4 ──► conv ──► (inverse wavelet, conv, conv) a level ──► to_img, inverse wavelet ──► img

Belousov 2021, "MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis". This is
the network as it is used after training: demodulation is folded into the weights, noise is one fixed map a convolution,
gains are folded away. Left out: the distillation itself, so the family is imported and not trained here.

Two things are ours. Channels before an inverse wavelet stand plane by plane (see ops/wavelet.py); the reader brings
published weights into this order. And `heads`: the paper trains a picture at every level, published files keep the last
one only; `tools/learn_faces_heads.py` learns the others again, for quick previews and for inversion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.errors import BadConfig
from ganvas.models.protocol import GeneratorModule, StyleLayer, truncate
from ganvas.ops.equalized import LRELU_SLOPE, normalize_2nd_moment
from ganvas.ops.precision import fast_dtype
from ganvas.ops.resample import downscale
from ganvas.ops.wavelet import from_halves, from_wavelet, to_wavelet

START_PX = 4
PLANES = 4  # of the wavelet transform


@dataclass(frozen=True, kw_only=True)
class MobileStyleGANConfig:
    """What a generator is built from. The defaults are the published FFHQ network, 1024 px."""

    z_dim: int = 512
    w_dim: int = 512
    num_mapping_layers: int = 8
    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64)  # features at 4, 8, 16 … px
    img_channels: int = 3
    heads: tuple[int, ...] = ()  # resolutions below the last that have a picture of their own
    head_rank: int = 16  # how many directions of w such a picture listens to

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # JSON turns tuples into lists
        object.__setattr__(self, "heads", tuple(sorted(self.heads)))
        if not self.channels or any(c < PLANES or c % PLANES for c in self.channels):
            raise BadConfig(f"channels must be multiples of 4, one for each of 4, 8, 16 … px, got {self.channels}")
        if min(self.z_dim, self.w_dim, self.num_mapping_layers, self.img_channels, self.head_rank) < 1:
            raise BadConfig("z_dim, w_dim, num_mapping_layers, img_channels and head_rank must be at least 1")
        if wrong := set(self.heads) - set(self.exits):
            raise BadConfig(f"heads must be among {self.exits}, got {sorted(wrong)}")

    @property
    def img_resolution(self) -> int:
        """Twice the size of the last features."""
        return START_PX << len(self.channels)

    @property
    def exits(self) -> tuple[int, ...]:
        """Resolutions at which `synthesis` can stop early."""
        return tuple(START_PX << level for level in range(1, len(self.channels)))

    @property
    def num_ws(self) -> int:
        """One for the first convolution, three a level (enlarging, two convolutions), one for the picture."""
        return 3 * len(self.channels) - 1


class Styled(nn.Module):
    """Something whose input channels are scaled by a style, an affine map of w."""

    def __init__(self, channels: int, w_dim: int):
        super().__init__()
        self.affine = nn.Linear(w_dim, channels)
        nn.init.normal_(self.affine.weight, std=1 / math.sqrt(w_dim))
        nn.init.ones_(self.affine.bias)

    def style(self, w: Tensor, like: Tensor) -> Tensor:
        """w [N, w_dim] → [N, C, 1, 1] in the precision of `like`."""
        return self.affine(w).to(like.dtype)[:, :, None, None]


class StyledConv(Styled):
    """Modulation, convolution, noise, bias, leaky ReLU; separable but for the first one (figure 3 of the paper).

    Args:
        in_channels, out_channels: channels.
        w_dim: width of w.
        px: size of the picture, for the noise map.
        separable: depthwise 3×3, then 1×1; False = one full 3×3.
    """

    noise: Tensor

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int, px: int, separable: bool = True):
        super().__init__(in_channels, w_dim)
        self.separable = separable
        if separable:
            self.depthwise = nn.Parameter(torch.randn(in_channels, 1, 3, 3) / 3)
        taps, fan_in = (1, in_channels) if separable else (3, 9 * in_channels)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, taps, taps) * math.sqrt(2 / fan_in))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("noise", torch.randn(px, px) / 10)  # its strength is folded in

    def forward(self, x: Tensor, w: Tensor, *, noise_mode: str) -> Tensor:
        """x [N, I, H, W], w [N, w_dim] → [N, O, H, W]."""
        style, weight, bias = self.style(w, x), self.weight.to(x.dtype), self.bias.to(x.dtype)
        if self.separable:
            x = F.conv2d(modulated_depthwise(x, self.depthwise.to(x.dtype), style), weight, bias)
        else:
            x = F.conv2d(x * style, weight, bias, padding=1)
        if noise_mode != "none":
            x = x.add_(self._noise(x, noise_mode))  # the convolution's own result: nobody else needs it as it was
        return F.leaky_relu_(x, LRELU_SLOPE)

    def forward_halved(self, x: Tensor, w: Tensor) -> Tensor:
        """`forward` averaged over squares of 2×2, for an x that is even within them: both [N, C, H/2, W/2].

        Exact up to the leaky ReLU; only for separable convolutions, with the fixed noise.
        """
        depthwise = halve_kernel(self.depthwise).to(x.dtype)
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        x = F.conv2d(modulated_depthwise(x, depthwise, self.style(w, x)), weight, bias)
        noise = downscale(self.noise[None, None], x.shape[-1])[0, 0]
        return F.leaky_relu_(x.add_(noise.to(x.dtype)), LRELU_SLOPE)

    def _noise(self, x: Tensor, mode: str) -> Tensor:
        if mode == "const":
            return self.noise.to(x.dtype)
        noise = torch.randn(x.shape[0], 1, *self.noise.shape, dtype=x.dtype, device=x.device)
        return noise * self.noise.square().mean().sqrt().to(x.dtype)


def modulated_depthwise(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
    """Depthwise 3×3 of x [N, C, H, W] scaled by style [N, C, 1, 1]; weight [C, 1, 3, 3]."""
    if x.shape[0] == 1:  # a picture alone: scale the few weights instead of all the pixels
        weight, style = weight * style.transpose(0, 1), None  # type: ignore[assignment]
    return F.conv2d(x if style is None else x * style, weight, padding=1, groups=x.shape[1])


def halve_kernel(weight: Tensor) -> Tensor:
    """A 3×3 kernel [C, 1, 3, 3] for pictures of half the size: averaged over squares of 2×2, of a picture that is even
    within such squares, both give the same."""
    half = weight.new_tensor([[0.5, 0, 0], [0.5, 1, 0.5], [0, 0, 0.5]])
    return half @ weight @ half.T


class Level(nn.Module):
    """Twice the size: styled inverse wavelet, then two convolutions."""

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int, px: int):
        super().__init__()
        self.up = Styled(in_channels, w_dim)
        self.conv1 = StyledConv(in_channels // PLANES, out_channels, w_dim=w_dim, px=px)
        self.conv2 = StyledConv(out_channels, out_channels, w_dim=w_dim, px=px)

    def forward(self, x: Tensor, ws: Tensor, *, noise_mode: str) -> Tensor:
        """x [N, I, H, W], ws [N, 3, w_dim] → [N, O, 2H, 2W]."""
        x = from_halves(x * (self.up.style(ws[:, 0], x) / 2))
        x = self.conv1(x, ws[:, 1], noise_mode=noise_mode)
        return self.conv2(x, ws[:, 2], noise_mode=noise_mode)

    def forward_halved(self, x: Tensor, ws: Tensor) -> Tensor:
        """About `forward` averaged over squares of 2×2, without enlarging: x [N, I, H, W] → [N, O, H, W]."""
        means = x.shape[1] // PLANES
        x = x[:, :means] * (self.up.style(ws[:, 0], x)[:, :means] / 2)
        return self.conv2.forward_halved(self.conv1.forward_halved(x, ws[:, 1]), ws[:, 2])


class ToImg(Styled):
    """Features → wavelet coefficients of the picture: a modulated 1×1 convolution."""

    def __init__(self, channels: int, img_channels: int, *, w_dim: int):
        super().__init__(channels, w_dim)
        self.weight = nn.Parameter(torch.randn(PLANES * img_channels, channels, 1, 1) / math.sqrt(channels))
        self.bias = nn.Parameter(torch.zeros(PLANES * img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, H, W], w [N, w_dim] → img [N, img_channels, 2H, 2W] float32."""
        return wavelet_to_img(x, self.weight, self.bias, self.style(w, x))

    def synthesize_downscaled(self, x: Tensor, w: Tensor, px: int) -> Tensor:
        """`forward`, averaged down to a px that divides H. The planes of means are enough: the rest averages out."""
        means = len(self.weight) // PLANES
        x = downscale(x, px)  # a mean of places, before or after a 1×1 convolution
        return coefficients(x, self.weight[:means], self.bias[:means], self.style(w, x)) / 2


def wavelet_to_img(x: Tensor, weight: Tensor, bias: Tensor, style: Tensor) -> Tensor:
    """x [N, C, H, W], weight [P, C, 1, 1], bias [P], style [N, C, 1, 1] → img [N, P/4, 2H, 2W], precise as weight."""
    return from_wavelet(coefficients(x, weight, bias, style))


def coefficients(x: Tensor, weight: Tensor, bias: Tensor, style: Tensor) -> Tensor:
    """What `wavelet_to_img` makes the picture of: [N, P, H, W], precise as weight."""
    if x.shape[0] == 1:
        planes = F.conv2d(x, weight.to(x.dtype) * style, bias.to(x.dtype))
    else:
        planes = F.conv2d(x * style, weight.to(x.dtype), bias.to(x.dtype))
    return planes.to(weight.dtype)


class ExitHead(nn.Module):
    """A picture before the last level: wavelet coefficients as a linear map of features, gently steered by w.

    What later levels would still change (colour, light) is not in the features, but partly predictable from w.

    Args:
        channels: of the features.
        img_channels: of the picture.
        w_dim: width of w.
        rows: how many rows of ws later levels would take; the head listens to a learnt average of them.
        rank: how many directions of w scale the features.
    """

    def __init__(self, channels: int, img_channels: int, *, w_dim: int, rows: int, rank: int):
        super().__init__()
        self.rows = rows
        self.attention = nn.Parameter(torch.zeros(rows))
        self.listen = nn.Linear(w_dim, rank, bias=False)
        self.scale = nn.Linear(rank, channels)
        self.shift = nn.Linear(w_dim, PLANES * img_channels)
        self.weight = nn.Parameter(torch.randn(PLANES * img_channels, channels, 1, 1) / math.sqrt(channels))
        nn.init.normal_(self.scale.weight, std=0.02)
        nn.init.ones_(self.scale.bias)
        nn.init.zeros_(self.shift.bias)
        nn.init.normal_(self.shift.weight, std=0.02 / math.sqrt(w_dim))

    def steer(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """ws [N, num_ws, w_dim] → scale of the features [N, C, 1, 1], shift of the coefficients [N, P, 1, 1]."""
        w = (self.attention.softmax(dim=0)[:, None] * ws[:, -self.rows :]).sum(dim=1)  # [N, w_dim]
        return self.scale(self.listen(w))[:, :, None, None], self.shift(w)[:, :, None, None]

    def forward(self, x: Tensor, ws: Tensor) -> Tensor:
        """x [N, C, H, W], ws [N, num_ws, w_dim] → img [N, img_channels, 2H, 2W] float32."""
        scale, shift = self.steer(ws)
        coefficients = F.conv2d(x * scale.to(x.dtype), self.weight.to(x.dtype))
        return from_wavelet(coefficients.to(ws.dtype) + shift)

    def at(self, ws: Tensor) -> tuple[Tensor, Tensor]:
        """The head at one latent [1, num_ws, w_dim]: weight [P, C, 1, 1] and bias [P]."""
        scale, shift = self.steer(ws)
        return self.weight * scale, shift.flatten()


@dataclass(frozen=True)
class LocalHead:
    """A head that is right for one latent and nearly so around it; see `MobileStyleGANGenerator.fit_head`."""

    resolution: int
    weight: Tensor  # [4·img_channels, C, 1, 1]
    bias: Tensor  # [4·img_channels]


class Mapping(nn.Module):
    """z → w: normalised, then fully connected layers with leaky ReLU of gain √2."""

    w_avg: Tensor

    def __init__(self, config: MobileStyleGANConfig):
        super().__init__()
        widths = [config.z_dim] + [config.w_dim] * config.num_mapping_layers
        self.layers = nn.ModuleList(_fully_connected(a, b) for a, b in pairwise(widths))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(self, z: Tensor) -> Tensor:
        """z [N, z_dim] → w [N, w_dim]."""
        x = normalize_2nd_moment(z)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LRELU_SLOPE) * math.sqrt(2)
        return x


def _fully_connected(width_in: int, width_out: int) -> nn.Linear:
    layer = nn.Linear(width_in, width_out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(width_in))
    nn.init.zeros_(layer.bias)
    return layer


class MobileStyleGANGenerator(GeneratorModule):
    """z → ws → img. See `protocol.Generator`.

    Args:
        config: the architecture.
    """

    family: ClassVar[str] = "mobilestylegan"
    previews: ClassVar[tuple[str, ...]] = ("heads", "head_rank")

    def __init__(self, config: MobileStyleGANConfig):
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.c_dim, self.num_ws = config.z_dim, config.w_dim, 0, config.num_ws
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        channels, w_dim = config.channels, config.w_dim
        self.map = Mapping(config)
        self.const = nn.Parameter(torch.randn(channels[0], START_PX, START_PX))
        self.conv = StyledConv(channels[0], channels[0], w_dim=w_dim, px=START_PX, separable=False)
        self.levels = nn.ModuleList(
            Level(channels[i], channels[i + 1], w_dim=w_dim, px=START_PX << (i + 1)) for i in range(len(channels) - 1)
        )
        self.to_img = ToImg(channels[-1], config.img_channels, w_dim=w_dim)
        self.heads = nn.ModuleDict({str(px): self._new_head(px) for px in config.heads})

    def _new_head(self, px: int) -> ExitHead:
        config, level = self.config, self.config.exits.index(px)
        rows = self.num_ws - 3 * level - 1
        return ExitHead(
            config.channels[level], config.img_channels, w_dim=config.w_dim, rows=rows, rank=config.head_rank
        )

    @property
    def w_avg(self) -> Tensor:
        """[w_dim], the mean of w, toward which truncation pulls."""
        return self.map.w_avg

    def style_layers(self) -> list[StyleLayer]:
        """Every convolution, enlarging and the picture; each reads a row of ws of its own."""
        levels = [f"levels.{i}.{part}" for i in range(len(self.levels)) for part in ("up", "conv1", "conv2")]
        names = [f"{part}.affine" for part in ("conv", *levels, "to_img")]
        return [StyleLayer(name, row, self.get_submodule(name)) for row, name in enumerate(names)]

    def place_px(self, name: str) -> int | None:
        """See `GeneratorModule.place_px`; a preview's head is placed with the picture it makes."""
        part, _, rest = name.partition(".")
        if part in ("levels", "heads"):
            number = int(rest.partition(".")[0])
            return number if part == "heads" else START_PX << (number + 1)
        return {"const": START_PX, "conv": START_PX, "to_img": self.img_resolution}.get(part)

    def mapping(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1, truncation_cutoff: int | None = None
    ) -> Tensor:
        """z [N, z_dim] → ws [N, num_ws, w_dim], every row the same w. The family takes no labels.

        Raises:
            BadLatent: z of another shape, or labels.
        """
        self.check_mapping(z, c)
        ws = self.map(z)[:, None].repeat(1, self.num_ws, 1)
        return truncate(ws, self.w_avg, psi=truncation_psi, cutoff=truncation_cutoff)

    def synthesis(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """Paint the picture of these latents.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: "const" (the fixed maps: repeatable), "random" (fresh of the same strength), "none".
            resolution: a smaller picture: early exit through a head where there is one, else averaged down from the
                next larger picture there is. None = img_resolution.
            precision: "exact" = float32; "fast" = bfloat16 inside, where this machine gains by it.

        Returns:
            [N, img_channels, resolution, resolution], about [-1, 1] (not clipped).

        Raises:
            BadLatent: ws of another shape.
            BadConfig: an unknown noise_mode, precision or resolution.
        """
        self.check_synthesis(ws, noise_mode, precision)
        px = self._check_exit(resolution)
        drawn_px = min(r for r in (*self.config.heads, self.img_resolution) if r >= px)
        x = self._features(ws, drawn_px // 2, noise_mode=noise_mode, precision=precision)
        img = self.to_img(x, ws[:, -1]) if drawn_px == self.img_resolution else self.heads[str(drawn_px)](x, ws)
        return F.avg_pool2d(img, drawn_px // px) if drawn_px > px else img

    def synthesize_downscaled(self, ws: Tensor, px: int, *, precision: str = "exact") -> Tensor:
        """See `GeneratorModule.synthesize_downscaled`; to half the size or less without making the large one."""
        half = self.img_resolution // 2
        if px > half or half % px:
            return super().synthesize_downscaled(ws, px, precision=precision)
        self.check_synthesis(ws, "const", precision)
        x = self._features(ws, half, noise_mode="const", precision=precision)
        return self.to_img.synthesize_downscaled(x, ws[:, -1], px)

    def synthesize_draft(self, ws: Tensor, px: int) -> Tensor:
        """See `GeneratorModule.synthesize_draft`: to a quarter of the size or less, the last level is painted at half
        its size. On `faces` 2 levels (mean) from the picture averaged down, in .54 of its time.
        """
        quarter = self.img_resolution // 4
        if px > quarter or quarter % px or len(self.levels) == 0:
            return super().synthesize_draft(ws, px)
        self.check_synthesis(ws, "const", "fast")
        x = self._features(ws, quarter, noise_mode="const", precision="fast")
        first = 3 * len(self.levels) - 2
        x = self.levels[-1].forward_halved(x, ws[:, first : first + 3])
        return self.to_img.synthesize_downscaled(x, ws[:, -1], px)

    def _features(self, ws: Tensor, px: int, *, noise_mode: str, precision: str) -> Tensor:
        """What the level of this size hands on: [N, C, px, px], in the precision of the arithmetic."""
        dtype = fast_dtype(ws.device.type) if precision == "fast" else ws.dtype
        x = self.const.to(dtype)[None].contiguous(memory_format=torch.channels_last)
        x = self.conv(x.expand(ws.shape[0], -1, -1, -1), ws[:, 0], noise_mode=noise_mode)
        return self._climb(x, ws, px, noise_mode=noise_mode)

    def _climb(self, x: Tensor, ws: Tensor, px: int, *, noise_mode: str) -> Tensor:
        """From the features of one level to those of a later one."""
        first, last = (int(math.log2(size // START_PX)) for size in (x.shape[-1], px))
        for i in range(first, last):
            x = self.levels[i](x, ws[:, 3 * i + 1 : 3 * i + 4], noise_mode=noise_mode)
        return x

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """All levels."""
        return tuple(START_PX << level for level in range(len(self.config.channels)))

    def features(self, ws: Tensor, px: int, *, noise_mode: str = "const", precision: str = "exact") -> Tensor:
        """What the level of this size hands on, [N, C, px, px]; see `GeneratorModule.features`."""
        self.check_features(ws, px, noise_mode, precision)
        return self._features(ws, px, noise_mode=noise_mode, precision=precision)

    @torch.no_grad()
    def fit_head(self, ws: Tensor, resolution: int, *, full: Tensor | None = None, ridge: float = 1e-4) -> LocalHead:
        """The head whose picture is nearest to the full one, averaged down, for this latent alone.

        Closed form: ridge regression of the wavelet coefficients on the features of all places. Costs a full picture
        and a small system of equations; 31 to 32 dB at 256 px, and hardly less for latents nearby.

        Args:
            ws: [1, num_ws, w_dim].
            resolution: of the early exit.
            full: `synthesis(ws)`, if the caller has it.
            ridge: pull toward zero (toward the learnt head, where there is one), as a share of the mean energy.

        Returns:
            For `wavelet_to_img`.
        """
        self._check_exit(resolution)
        x = self.features(ws, resolution // 2)
        if full is None:
            full = self.to_img(self._climb(x, ws, self.img_resolution // 2, noise_mode="const"), ws[:, -1])
        target = to_wavelet(F.avg_pool2d(full, self.img_resolution // resolution))
        prior = self._prior(ws, resolution, x.shape[1])  # [P, C + 1]
        ones = x.new_ones(1, x.shape[2] * x.shape[3])
        a = torch.cat([x[0].flatten(1), ones])  # [C + 1, H·W]
        missing = target[0].flatten(1) - prior @ a  # [P, H·W]
        gram = a @ a.T
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        solution = prior + torch.linalg.solve(gram, a @ missing.T).T
        return LocalHead(resolution, solution[:, :-1, None, None].contiguous(), solution[:, -1].contiguous())

    def _prior(self, ws: Tensor, resolution: int, channels: int) -> Tensor:
        """The learnt head at this latent, bias last, [P, C + 1]; zeros where there is none."""
        if str(resolution) not in self.heads:
            return ws.new_zeros(PLANES * self.img_channels, channels + 1)
        weight, bias = self.heads[str(resolution)].at(ws)
        return torch.cat([weight.flatten(1), bias[:, None]], dim=1)

    def synthesize_with_head(self, ws: Tensor, head: LocalHead, *, precision: str = "exact") -> Tensor:
        """The picture of an early exit through a local head: ws [1, num_ws, w_dim] → [1, img_channels, R, R]."""
        x = self.features(ws, head.resolution // 2, precision=precision)
        coefficients = F.conv2d(x, head.weight.to(x.dtype), head.bias.to(x.dtype))
        return from_wavelet(coefficients.to(ws.dtype))

    def _check_exit(self, resolution: int | None) -> int:
        known = (*self.config.exits, self.img_resolution)
        if resolution is not None and resolution not in known:
            raise BadConfig(f"resolution must be one of {known} or None, got {resolution}")
        return resolution or self.img_resolution
