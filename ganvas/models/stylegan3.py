"""StyleGAN3: pictures as continuous signals, so that details move with what they belong to.

    z ──mapping──► w ──affine──► sine waves, turned and shifted ──► (convolution, alias-free leaky ReLU) × 14 ──► ToRGB

Every layer works on a grid with a margin of 10 pixels around the picture and passes on only frequencies that its grid
can hold; the bands widen from 2 cycles a picture to the full resolution, layer by layer. Variant T ("translation")
convolves 3×3; variant R ("rotation") convolves 1×1 with twice the channels and filters radially. No noise, no constant,
no early exit: no layer on the way holds a picture.

Parameters and buffers have the names and shapes of the published weights, so importing them is a plain load; the
filters are buffers and come from the file too. The mapping network and the discriminator are those of `stylegan2.py`,
as in the paper. Left out: what belongs to training (the R variant's blur of what D sees: see `training/`).

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (AF below).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.checks import check_ws
from ganvas.errors import BadConfig
from ganvas.fields import check_known
from ganvas.models.protocol import NOISE_MODES, PRECISIONS, StyleLayer
from ganvas.models.stylegan2 import MappingNetwork, StyleGAN2Discriminator, StyleGenerator
from ganvas.ops.equalized import LRELU_SLOPE, EqualizedLinear
from ganvas.ops.filtered_lrelu import filtered_lrelu, kaiser_lowpass
from ganvas.ops.modulation import demodulation
from ganvas.ops.precision import PreparedWeight, fast_dtype
from ganvas.ops.resample import fast_layout

Variant = Literal["t", "r"]
VARIANTS: dict[str, Mapping[str, Any]] = {  # what a field left at None means (AF, section 3.2 and appendix F)
    "t": {"channel_base": 32768, "channel_max": 512, "conv_kernel": 3, "use_radial_filters": False},
    "r": {"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True},
}


@dataclass(frozen=True, kw_only=True)
class StyleGAN3Config:
    """What a generator is built from. The defaults are the paper's, for 256 pixels, variant T."""

    variant: Variant = "t"  # "t": translates faithfully; "r": rotates too
    z_dim: int = 512
    c_dim: int = 0  # 0 = unconditional
    w_dim: int = 512
    img_resolution: int = 256  # a power of two, 16 or more
    img_channels: int = 3
    channel_base: int | None = None  # channels of a layer = channel_base / (2 · its cutoff), at most channel_max
    channel_max: int | None = None  # None, in these four: what the variant says
    conv_kernel: int | None = None
    use_radial_filters: bool | None = None
    num_mapping_layers: int = 2
    mapping_lr_mul: float = 0.01
    num_layers: int = 14  # without ToRGB
    num_critical: int = 2  # last layers, which may use the whole band of their grid
    first_cutoff: float = 2  # frequencies in cycles a picture
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # relative to the last cutoff
    margin_size: int = 10  # pixels around the picture, on every layer's grid
    filter_size: int = 6  # taps of a filter for each sample of the slower grid
    lrelu_upsampling: int = 2  # of the nonlinearity, relative to the faster grid
    output_scale: float = 0.25
    conv_clamp: float | None = 256  # limit of every layer's output
    magnitude_ema_beta: float = 0.5 ** (32 / 20_000)  # half-life of 20 k pictures at batch 32 (AF, appendix F)

    def __post_init__(self) -> None:
        _check_config(self)

    def resolve(self) -> StyleGAN3Config:
        """The same with the variant's values in place of None."""
        fields = {name: getattr(self, name) for name in VARIANTS[self.variant]}
        return dataclasses.replace(
            self, **{name: VARIANTS[self.variant][name] if value is None else value for name, value in fields.items()}
        )


def _check_config(config: StyleGAN3Config) -> None:
    check_known(config.variant, VARIANTS, what="variant")
    res = config.img_resolution
    if res < 16 or res & (res - 1):
        raise BadConfig(f"img_resolution must be a power of two, 16 or more, got {res}")
    if config.conv_kernel is not None and config.conv_kernel % 2 == 0:
        raise BadConfig(f"conv_kernel must be odd, got {config.conv_kernel}")
    base, most = config.channel_base, config.channel_max
    if config.img_channels < 1 or (most is not None and most < 1) or (base is not None and base < res):
        raise BadConfig(
            f"channel_base must be at least img_resolution ({res}), and channel_max and img_channels at least 1, "
            f"got {base}, {most} and {config.img_channels}"
        )
    if config.c_dim < 0 or config.num_mapping_layers < 1:
        raise BadConfig(
            "c_dim must be 0 (no labels) or more and num_mapping_layers 1 or more, "
            f"got {config.c_dim} and {config.num_mapping_layers}"
        )
    if not 0 <= config.num_critical < config.num_layers:
        raise BadConfig(
            f"num_critical must be at least 0 and below num_layers, got {config.num_critical} and {config.num_layers}"
        )
    if config.filter_size < 1 or config.lrelu_upsampling < 1 or config.margin_size < 0:
        raise BadConfig(
            "filter_size and lrelu_upsampling must be 1 or more and margin_size 0 or more, "
            f"got {config.filter_size}, {config.lrelu_upsampling} and {config.margin_size}"
        )
    if not 0 <= config.magnitude_ema_beta <= 1:
        raise BadConfig(f"magnitude_ema_beta must be between 0 and 1, got {config.magnitude_ema_beta}")
    if not 0 < config.first_cutoff < config.first_stopband or config.first_cutoff > res / 2:
        raise BadConfig(
            f"first_cutoff must be above 0, below first_stopband and at most half of img_resolution, "
            f"got {config.first_cutoff}, {config.first_stopband} and {res}"
        )


# ---------------------------------------------------------------------------------------------------------------------
# Which frequencies, grids and channels each layer has


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A layer's output: its grid and the frequencies on it, in cycles a picture."""

    cutoff: float  # of the band that the layer passes on, f_c
    half_width: float  # of the transition band, f_h
    sampling_rate: int  # samples a picture, s
    size: int  # samples with the margins, a side
    channels: int


def grids(config: StyleGAN3Config) -> list[Grid]:
    """The output of each layer L0 … L{num_layers}, the last of which is ToRGB (AF, section 3.3, and appendix F.1)."""
    config = config.resolve()
    assert config.channel_base is not None and config.channel_max is not None
    res, last = config.img_resolution, config.num_layers
    last_cutoff = res / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    rows = []
    for i in range(last + 1):
        exponent = min(i / (last - config.num_critical), 1)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** exponent
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** exponent
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, res)))
        channels = round(min(config.channel_base / 2 / cutoff, config.channel_max))
        rows.append(
            Grid(
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                sampling_rate=rate,
                size=res if i >= last - 1 else rate + 2 * config.margin_size,
                channels=config.img_channels if i == last else max(channels, 1),
            )
        )
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Synthesis


class SynthesisInput(nn.Module):
    """Sine waves in place of a learned constant, turned and shifted as w says (AF, section 3.1 and appendix F.2).

    Args:
        w_dim: width of w.
        grid: the first layer's grid; the waves lie within its band.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, *, w_dim: int, grid: Grid):
        super().__init__()
        self.size, self.sampling_rate, self.bandwidth = grid.size, grid.sampling_rate, grid.cutoff
        channels = grid.channels
        radius = self.bandwidth * torch.rand(channels).sqrt()  # uniform over the disc
        angle = 2 * math.pi * torch.rand(channels)
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualizedLinear(w_dim, 4)
        self.register_buffer("transform", torch.eye(3))  # the user's, on top of what w asks for
        self.register_buffer("freqs", torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))  # [C, 2]
        self.register_buffer("phases", torch.rand(channels) - 0.5)  # in whole turns
        with torch.no_grad():  # at the start every w asks for no turn and no shift
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))

    def forward(self, w: Tensor) -> Tensor:
        """w [N, w_dim] → [N, C, size, size], channels last."""
        place = self.placement(w)
        freqs = self.freqs @ place[:, :2, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ place[:, :2, 2:]).squeeze(2)  # [N, C]
        # A picture that is shrunk by `transform` asks for frequencies that the grid cannot hold: fade them out.
        headroom = self.sampling_rate / 2 - self.bandwidth
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / headroom).clamp(0, 1)  # [N, C]
        turns = self._points(w) @ freqs.transpose(1, 2) + phases[:, None]  # [N, size², C]
        x = torch.sin(2 * math.pi * turns) * amplitudes[:, None]
        x = x @ (self.weight / math.sqrt(self.weight.shape[1])).t()
        return x.unflatten(1, (self.size, self.size)).permute(0, 3, 1, 2)

    def placement(self, w: Tensor) -> Tensor:
        """[N, 3, 3], from a point of the picture to where it lies among the waves: first `transform`, then w's shift
        and turn. The picture is 1 wide, its middle is (0, 0)."""
        t = self.affine(w)  # [N, 4]: cosine and sine, not yet of unit length, and a shift
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, dx, dy = t.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).unflatten(1, (3, 3))
        shift = torch.stack([one, zero, -dx, zero, one, -dy, zero, zero, one], dim=1).unflatten(1, (3, 3))
        return turn @ shift @ self.transform

    def _points(self, like: Tensor) -> Tensor:
        """[size², 2], x and y of each sample, row by row; x to the right, y down."""
        side = torch.arange(self.size, device=like.device, dtype=like.dtype)
        side = (side + 0.5 - self.size / 2) / self.sampling_rate
        y, x = torch.meshgrid(side, side, indexing="ij")
        return torch.stack([x, y], dim=2).flatten(0, 1)


class StyleGAN3SynthesisLayer(nn.Module):
    """Modulated convolution and filtered leaky ReLU (AF, figure 4b); ToRGB is one with neither filter nor bend.

    Args:
        before, after: the grids that the layer reads and writes.
        config: resolved.
        is_torgb: the last layer: 1×1, not demodulated, linear.
        is_critical: uses the whole band of its grid; its filter is never radial.
    """

    up_filter: Tensor | None
    down_filter: Tensor | None
    magnitude_ema: Tensor

    def __init__(self, before: Grid, after: Grid, config: StyleGAN3Config, *, is_torgb: bool, is_critical: bool):
        super().__init__()
        self.is_torgb, self.clamp, self.ema_beta = is_torgb, config.conv_clamp, config.magnitude_ema_beta
        self.kernel = 1 if is_torgb else config.conv_kernel or 1
        self.affine = EqualizedLinear(config.w_dim, before.channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, self.kernel, self.kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.prepared = PreparedWeight()
        self._set_filters(before, after, config, radial=bool(config.use_radial_filters) and not is_critical)

    def _set_filters(self, before: Grid, after: Grid, config: StyleGAN3Config, *, radial: bool) -> None:
        """The bend happens on a grid finer than both; up_filter leads to it, down_filter back (AF, appendix F.1)."""
        rate = max(before.sampling_rate, after.sampling_rate) * (1 if self.is_torgb else config.lrelu_upsampling)
        self.up, self.down = rate // before.sampling_rate, rate // after.sampling_rate
        up_taps = 1 if self.up == 1 or self.is_torgb else config.filter_size * self.up
        down_taps = 1 if self.down == 1 or self.is_torgb else config.filter_size * self.down
        up_filter = kaiser_lowpass(up_taps, cutoff=before.cutoff, width=2 * before.half_width, sampling_rate=rate)
        down_filter = kaiser_lowpass(
            down_taps, cutoff=after.cutoff, width=2 * after.half_width, sampling_rate=rate, radial=radial
        )
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        # As many zeros around as bring the result to the size of the grid, evenly on both sides.
        total = (after.size - 1) * self.down + 1 - (before.size + self.kernel - 1) * self.up + up_taps + down_taps - 2
        first = (total + self.up) // 2
        self.padding = (first, total - first)

    def forward(self, x: Tensor, w: Tensor, *, dtype: torch.dtype) -> Tensor:
        """x [N, I, h, w], w [N, w_dim] → [N, O, h', w']; the convolution runs in `dtype`."""
        if self.training:
            self._update_magnitude_ema(x)
        styles = self.affine(w)  # [N, I]
        if self.is_torgb:
            return self._to_rgb(x, styles / math.sqrt(self.weight.shape[1]), dtype)
        return filtered_lrelu(
            self._convolve(x, styles, dtype),
            self.up_filter,
            self.down_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            slope=LRELU_SLOPE,
            clamp=self.clamp,
            scale=demodulation(self.weight, styles, prepared=self.prepared),
            bias=self.bias,
        )

    def _to_rgb(self, x: Tensor, styles: Tensor, dtype: torch.dtype) -> Tensor:
        x = self._convolve(x, styles, dtype).to(styles.dtype) + self.bias[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _convolve(self, x: Tensor, styles: Tensor, dtype: torch.dtype) -> Tensor:
        """The convolution with its input modulated, in `dtype`; demodulation and bias come after.

        Around the input lie kernel − 1 zeros, so that the margin does not shrink.
        """
        x = x * (styles * self.magnitude_ema.rsqrt())[:, :, None, None]  # at unit magnitude (AF, appendix F.3)
        x, weight = x.to(dtype), self._weight_in(dtype)
        return _pointwise(x, weight) if self.kernel == 1 else F.conv2d(x, weight, padding=self.kernel - 1)

    def _weight_in(self, dtype: torch.dtype) -> Tensor:
        trains = torch.is_grad_enabled() and self.weight.requires_grad
        if dtype == self.weight.dtype or trains or torch.compiler.is_compiling():
            return self.weight.to(dtype)
        return self.prepared.plain(self.weight, dtype)

    @torch.no_grad()
    def _update_magnitude_ema(self, x: Tensor) -> None:
        magnitude = x.detach().to(self.magnitude_ema).square().mean()
        self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.ema_beta))


def _pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """A 1×1 convolution. On a CPU each row goes as a sample of its own: with one thread and fewer than 16 samples torch
    would take a routine of half the speed. Channels last, this is the same memory in the same order."""
    if x.device.type != "cpu":
        return F.conv2d(x, weight)
    n, h = x.shape[0], x.shape[2]
    rows = x.transpose(1, 2).reshape(n * h, x.shape[1], 1, -1)  # [N·H, I, 1, W]
    return F.conv2d(rows, weight).reshape(n, h, weight.shape[0], -1).transpose(1, 2)


class StyleGAN3SynthesisNetwork(nn.Module):
    """ws → img."""

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.config = config = config.resolve()
        table = grids(config)
        self.num_ws = config.num_layers + 2  # the input and every layer, ToRGB among them, have a row of their own
        self.input = SynthesisInput(w_dim=config.w_dim, grid=table[0])
        self.layer_names = [f"L{i}_{grid.size}_{grid.channels}" for i, grid in enumerate(table)]
        for i, name in enumerate(self.layer_names):
            layer = StyleGAN3SynthesisLayer(
                table[max(i - 1, 0)],
                table[i],
                config,
                is_torgb=i == config.num_layers,
                is_critical=i >= config.num_layers - config.num_critical,
            )
            self.add_module(name, layer)

    def place_px(self, part: str) -> int | None:
        """`L3_52_512` → the samples a picture that the layer hands on, without margins."""
        if part == "input":
            return self.input.sampling_rate
        at = self.layer_names.index(part) if part in self.layer_names else None
        return None if at is None else grids(self.config)[at].sampling_rate

    def layers(self) -> list[StyleGAN3SynthesisLayer]:
        """From the input on; the last is ToRGB."""
        return [self.get_submodule(name) for name in self.layer_names]  # type: ignore[misc]

    def forward(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """Paint the picture of these latents.

        Args:
            ws: [N, num_ws, w_dim].
            noise_mode: checked and ignored: the family has no noise.
            resolution: None or img_resolution: no layer on the way holds a picture.
            precision: "exact" = float32; "fast" = convolutions in what this machine was measured to be fastest at.

        Returns:
            [N, img_channels, img_resolution, img_resolution], about [-1, 1] (not clipped).

        Raises:
            BadLatent: ws of a wrong shape.
            BadConfig: an unknown mode, or another resolution.
        """
        check_ws(ws, who="synthesis", num_ws=self.num_ws, w_dim=self.config.w_dim)
        check_known(noise_mode, NOISE_MODES, what="noise_mode")
        check_known(precision, PRECISIONS, what="precision")
        self._check_resolution(resolution)
        dtype = fast_dtype(ws.device.type) if precision == "fast" else ws.dtype
        x = fast_layout(self.input(ws[:, 0]))
        for i, layer in enumerate(self.layers()):
            x = layer(x, ws[:, i + 1], dtype=dtype)
        return x * self.config.output_scale

    def feature_layers(self) -> dict[int, int]:
        """Samples a picture → the last layer of that rate, ToRGB left out."""
        return {grid.sampling_rate: i for i, grid in enumerate(grids(self.config)[:-1])}

    def features(self, ws: Tensor, px: int, *, precision: str) -> Tensor:
        """The maps of one sampling rate without their margins, [N, C, px, px]; see `GeneratorModule.features`."""
        dtype = fast_dtype(ws.device.type) if precision == "fast" else ws.dtype
        x = fast_layout(self.input(ws[:, 0]))
        last = self.feature_layers()[px]
        for i, layer in enumerate(self.layers()[: last + 1]):
            x = layer(x, ws[:, i + 1], dtype=dtype)
        margin = (x.shape[-1] - px) // 2
        return x[:, :, margin : margin + px, margin : margin + px]

    def _check_resolution(self, resolution: int | None) -> None:
        if resolution not in (None, self.config.img_resolution):
            raise BadConfig(
                "stylegan3 has no early exit: no intermediate layer holds an image, so resolution must "
                f"be None or {self.config.img_resolution}, got {resolution}. Downscale the output instead."
            )


class StyleGAN3Generator(StyleGenerator):
    """z → ws → img.

    Args:
        config: the architecture.
    """

    family: ClassVar[str] = "stylegan3"

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        synthesis = StyleGAN3SynthesisNetwork(config)
        self.num_ws = synthesis.num_ws
        mapping = MappingNetwork(
            z_dim=config.z_dim,
            c_dim=config.c_dim,
            w_dim=config.w_dim,
            num_ws=self.num_ws,
            num_layers=config.num_mapping_layers,
            lr_mul=config.mapping_lr_mul,
        )
        self._adopt(mapping, synthesis)

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """One for each sampling rate."""
        return tuple(self.synthesis.feature_layers())

    def features(self, ws: Tensor, px: int, *, noise_mode: str = "const", precision: str = "exact") -> Tensor:
        """See `GeneratorModule.features`."""
        self.check_features(ws, px, noise_mode, precision)
        return self.synthesis.features(ws, px, precision=precision)

    def style_layers(self) -> list[StyleLayer]:
        """All layers but the input, whose affine map turns and shifts the waves and scales nothing."""
        names = [f"{name}.affine" for name in self.synthesis.layer_names]
        return [StyleLayer(f"synthesis.{n}", i + 1, self.synthesis.get_submodule(n)) for i, n in enumerate(names)]

    @torch.no_grad()
    def set_transform(self, *, rotate_deg: float = 0, translate: tuple[float, float] = (0, 0)) -> None:
        """Turn and shift every picture from now on, by turning and shifting what it grows from.

        The picture is turned about its middle, then shifted; both variants shift faithfully, only variant "r" turns
        faithfully. Stored in the buffer `synthesis.input.transform`; called without arguments, it undoes itself.

        Args:
            rotate_deg: counter-clockwise, in degrees.
            translate: (x, y) to the right and down, as a share of the picture's side; 0.5 = half a picture.
        """
        angle = math.radians(rotate_deg)
        cos, sin = math.cos(angle), math.sin(angle)
        dx, dy = translate
        # Where a point of the picture came from: shift back, then turn back. With y down, counter-clockwise by `angle`
        # takes (x, y) to (cos·x + sin·y, −sin·x + cos·y).
        back = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
        shift = torch.tensor([[1, 0, -dx], [0, 1, -dy], [0, 0, 1]], dtype=torch.float64)
        self.synthesis.get_buffer("input.transform").copy_(back @ shift)


class StyleGAN3Discriminator(StyleGAN2Discriminator):
    """img (and label) → logits [N]: StyleGAN2's, unchanged (AF, appendix F.4)."""

    family: ClassVar[str] = "stylegan3"
