"""What the families without a mapping network have in common: ws is z, with the embedded label behind it.

One row, num_ws = 1, so that every craft that speaks ws works on an MLP as it does on StyleGAN. Truncation pulls z
toward zero, its mean, and leaves the label alone. Their discriminators see one fixed picture size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganvas.checks import check_img, check_labels
from ganvas.errors import BadConfig, BadImage
from ganvas.models.fast_copy import LowPrecisionCopy
from ganvas.models.protocol import GeneratorModule, Network, truncate
from ganvas.ops.precision import fast_dtype


def check_at_least(config: object, minimum: int, *names: str) -> None:
    """The whole numbers `names` of a config must be `minimum` or more; a tuple's members each.

    Raises:
        BadConfig: names the field, what it must be and what it is.
    """
    for name in names:
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= minimum for v in values):
            raise BadConfig(
                f"{type(config).__name__}.{name} must be {minimum} or more, in whole numbers; got {value!r}"
            )


def check_power_of_two(config: object, name: str, *, smallest: int, largest: int) -> None:
    """The resolution `name` of a config must be a power of two within the family's range.

    Raises:
        BadConfig: names the field and lists what is possible.
    """
    value = getattr(config, name)
    ladder = [1 << k for k in range(smallest.bit_length() - 1, largest.bit_length())]
    if value not in ladder:
        known = ", ".join(map(str, ladder))
        raise BadConfig(f"{type(config).__name__}.{name} must be one of {known}; got {value!r}")


def cpu_channels_last(x: Tensor) -> Tensor:
    """x [N, C, H, W] in the memory order in which a CPU convolves fastest; the layers after it keep it."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


class PlainGenerator(GeneratorModule):
    """A generator whose latent is z itself: mapping gives a row of z, and the embedded label behind it."""

    exits: tuple[int, ...] = ()  # smaller pictures that `synthesis` can stop at

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        self.c_dim = config.c_dim
        self.w_dim = config.z_dim + (config.c_embed_dim if config.c_dim else 0)
        self.num_ws = 1
        self.img_resolution = config.img_resolution
        self.img_channels = config.img_channels
        self._fast_copy = LowPrecisionCopy()
        self.embed = nn.Linear(config.c_dim, config.c_embed_dim, bias=False) if config.c_dim else None
        if self.embed is not None:
            # A one-hot label keeps its length of about 1. As large as z it would drown z: in trials on drawn shapes a
            # DCGAN then painted one picture a label.
            nn.init.normal_(self.embed.weight, 0, config.c_embed_dim**-0.5)

    def mapping(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1, truncation_cutoff: int | None = None
    ) -> Tensor:
        """z as the one row of ws, the embedded label behind it.

        Args:
            z: [N, z_dim] normal noise.
            c: [N, c_dim] labels, one-hot or mixed; needed where c_dim > 0.
            truncation_psi: 1 = leave z alone, 0 = the mean picture (of the label) for every seed.
            truncation_cutoff: 0 = no row is truncated; 1 or None = the one row is.

        Returns:
            [N, 1, w_dim] with w_dim = z_dim, or z_dim + c_embed_dim where the model is conditional.

        Raises:
            BadLatent: z or c of another shape, or a label missing.
        """
        self.check_mapping(z, c)
        ws = truncate(z[:, None], z.new_zeros(self.z_dim), psi=truncation_psi, cutoff=truncation_cutoff)
        if self.embed is None:
            return ws
        assert c is not None  # check_mapping has made sure
        label = self.embed(c.to(z.dtype))  # [N, c_embed_dim]
        return torch.cat([ws, label[:, None]], dim=2)

    def synthesis(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """The picture of these latents.

        Args:
            ws: [N, 1, w_dim].
            noise_mode: "const", "random" or "none"; accepted and without effect where the family has no noise.
            resolution: None, img_resolution, or one of the family's `exits`.
            precision: "exact" = float32; "fast" = bfloat16 where this machine computes it in hardware.

        Returns:
            [N, img_channels, resolution, resolution] in (-1, 1); about that range where the family ends without tanh.

        Raises:
            BadLatent: ws of another shape.
            BadConfig: an unknown noise_mode or precision, or a resolution that the family has no picture of.
        """
        self.check_synthesis(ws, noise_mode, precision)
        px = self._px(resolution)
        dtype = fast_dtype(ws.device.type) if precision == "fast" else torch.float32
        if dtype == torch.float32:
            return self.synthesize(ws, noise_mode=noise_mode, px=px)
        if torch.is_grad_enabled() or self.training or torch.compiler.is_compiling():
            with torch.autocast(ws.device.type, dtype=dtype):
                return self.synthesize(ws, noise_mode=noise_mode, px=px).to(ws.dtype)
        return self._fast_copy.get(self, dtype).synthesize(ws.to(dtype), noise_mode=noise_mode, px=px).to(ws.dtype)

    def features(self, ws: Tensor, px: int, *, noise_mode: str = "const", precision: str = "exact") -> Tensor:
        """See `GeneratorModule.features`; the family's own part is `maps`."""
        self.check_features(ws, px, noise_mode, precision)
        dtype = fast_dtype(ws.device.type) if precision == "fast" else torch.float32
        with torch.autocast(ws.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return self.maps(ws, noise_mode=noise_mode, px=px)

    def maps(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """Of a family with `feature_sizes`: ws [N, 1, w_dim], checked → [N, C, px, px]."""
        raise NotImplementedError

    def synthesize(self, ws: Tensor, *, noise_mode: str, px: int) -> Tensor:
        """The family's own part of `synthesis`: ws [N, 1, w_dim], checked → img [N, img_channels, px, px]."""
        raise NotImplementedError

    def _px(self, resolution: int | None) -> int:
        possible = (*self.exits, self.img_resolution)
        if resolution is None:
            return self.img_resolution
        if resolution not in possible:
            known = " or ".join(map(str, possible))
            why = "" if self.exits else f": {self.family} has no early exit"
            raise BadConfig(f"{self.family}.synthesis expects resolution None or {known}, got {resolution!r}{why}.")
        return resolution


class PlainDiscriminator(Network):
    """A discriminator of one picture size; labels come in by projection or beside the pixels, as each family says."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.c_dim = config.c_dim
        self.img_resolution = config.img_resolution
        self.img_channels = config.img_channels

    def check_input(self, img: Tensor, c: Tensor | None) -> None:
        """The first line of every discriminator.

        Raises:
            BadImage: img is not [N, img_channels, img_resolution, img_resolution].
            BadLatent: labels missing, superfluous or of another shape.
        """
        self.check_img(img)
        check_labels(c, who=f"{self.family}'s discriminator", c_dim=self.c_dim, batch=len(img))

    def check_img(self, img: Tensor) -> None:
        """The part of `check_input` that looks at the picture."""
        who = f"{self.family}'s discriminator"
        check_img(img, who=who, channels=self.img_channels)
        if img.shape[2:] != (self.img_resolution, self.img_resolution):
            raise BadImage(
                f"{who} expects images of {self.img_resolution} x {self.img_resolution} px, got "
                f"{img.shape[2]} x {img.shape[3]}. Resize them, or build it with another img_resolution."
            )
