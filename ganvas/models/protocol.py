"""The interface of models, and what all generators have in common.

`ws` is the one latent every craft works on. A family without a mapping network has num_ws = 1 and ws = z (with the
label beside it where the model is conditional).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganvas.checks import check_labels, check_ws, check_z
from ganvas.errors import BadConfig, BadLatent
from ganvas.fields import check_known
from ganvas.ops.resample import downscale

NOISE_MODES = ("const", "random", "none")
PRECISIONS = ("exact", "fast")


@dataclass(frozen=True, kw_only=True)
class SizeRules:
    """Which picture sizes a network takes; callers pad by these rules, never by guess."""

    minimum_px: int = 1
    multiple_of: int = 1
    square: bool = False


@runtime_checkable
class Generator(Protocol):
    """z → ws → img."""

    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """z [N, z_dim] → ws [N, num_ws, w_dim]."""
        ...

    def synthesis(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """ws [N, num_ws, w_dim] → img [N, img_channels, H, W] in [-1, 1]."""
        ...


@runtime_checkable
class Discriminator(Protocol):
    """img → logits, [N] or, from a patch discriminator, [N, P]."""

    c_dim: int
    img_resolution: int
    img_channels: int

    def __call__(self, img: Tensor, c: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Upscaler(Protocol):
    """img → img `scale` times larger."""

    scale: int
    img_channels: int
    size_rules: SizeRules

    def __call__(self, img: Tensor) -> Tensor: ...


@runtime_checkable
class Translator(Protocol):
    """img → img of the same size in another domain."""

    in_channels: int
    out_channels: int
    size_rules: SizeRules
    whole_image_norm: bool  # True: normalisation sees the whole picture, so plain tiling is wrong

    def __call__(self, img: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class StyleLayer:
    """One affine map from a row of ws to a style: a scale for each input channel of one layer.

    `name` is the map's name among the generator's modules, `row` the row of ws it reads.
    """

    name: str
    row: int
    affine: nn.Module  # [N, w_dim] → [N, channels]

    @property
    def channels(self) -> int:
        """How many numbers the style has."""
        bias: Tensor = self.affine.bias  # type: ignore[assignment]
        return bias.numel()


class Network(nn.Module):
    """A module that knows its family and the config it was built from; what checkpoints are written from."""

    family: ClassVar[str]
    previews: ClassVar[tuple[str, ...]] = ()  # parts and fields that only serve previews: not what the network *is*
    config: Any

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, Any] = {}  # licence, source, training facts: whatever the file they came from said

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def paints_faces(family: str, facts: object) -> bool:
    """Does such a generator paint faces cut as FFHQ's are?

    MobileStyleGAN is published for faces alone; files of others say in their facts what they were trained on.
    """
    return family == "mobilestylegan" or "ffhq" in str(facts).lower()


class GeneratorModule(Network):
    """The call `G(z, c)`, shared by all families: mapping and synthesis in a row."""

    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    img_resolution: int
    img_channels: int

    def mapping(
        self, z: Tensor, c: Tensor | None = None, *, truncation_psi: float = 1, truncation_cutoff: int | None = None
    ) -> Tensor:
        """z [N, z_dim], c [N, c_dim] → ws [N, num_ws, w_dim]; see `Generator`."""
        raise NotImplementedError

    def synthesis(
        self, ws: Tensor, *, noise_mode: str = "const", resolution: int | None = None, precision: str = "exact"
    ) -> Tensor:
        """ws [N, num_ws, w_dim] → img; see `Generator`."""
        raise NotImplementedError

    def synthesize_downscaled(self, ws: Tensor, px: int, *, precision: str = "exact") -> Tensor:
        """The whole picture averaged down: what `synthesis` paints, smaller. No early exit, so nothing is left out.

        Args:
            ws: [N, num_ws, w_dim].
            px: size of the result; at img_resolution or above, the picture as it is.
            precision: as in `synthesis`.

        Returns:
            [N, img_channels, px, px], about [-1, 1] (not clipped).

        Raises:
            BadLatent, BadConfig: as `synthesis`.
        """
        return downscale(self.synthesis(ws, precision=precision), px)

    def synthesize_draft(self, ws: Tensor, px: int) -> Tensor:
        """`synthesize_downscaled` for a moving slider: as quick as the family can, and a little off where it gains."""
        return self.synthesize_downscaled(ws, px, precision="fast")

    @property
    def feature_sizes(self) -> tuple[int, ...]:
        """The sizes at which `features` can look into the synthesis, rising; empty where a family has no such maps."""
        return ()

    def features(self, ws: Tensor, px: int, *, noise_mode: str = "const", precision: str = "exact") -> Tensor:
        """What the synthesis holds on its way, at one size; what lies where in them lies there in the picture.

        Args:
            ws: [N, num_ws, w_dim].
            px: one of `feature_sizes`.
            noise_mode, precision: as in `synthesis`.

        Returns:
            [N, C, px, px], with gradients to ws; of the precision of the arithmetic.

        Raises:
            BadLatent: ws of another shape.
            BadConfig: another size, an unknown noise_mode or precision, or a family without feature maps.
        """
        self.check_features(ws, px, noise_mode, precision)
        raise NotImplementedError

    def style_layers(self) -> list[StyleLayer]:
        """The generator's style channels ("S space"), layer by layer as it paints; empty where styles scale nothing.

        Source: Wu et al. 2021, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image Generation", section 3.
        """
        return []

    def place_px(self, name: str) -> int | None:
        """At which picture size a part of the network paints; None where it is not tied to one (the mapping network).

        Args:
            name: of a module, parameter or buffer, as in `state_dict`.
        """
        return None

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float = 1,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
        resolution: int | None = None,
        precision: str = "exact",
    ) -> Tensor:
        """z → img in one go; the arguments are those of `mapping` and `synthesis`."""
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise_mode=noise_mode, resolution=resolution, precision=precision)

    def check_mapping(self, z: Tensor, c: Tensor | None) -> None:
        """The first line of every `mapping`."""
        check_z(z, who=f"{self.family}.mapping", z_dim=self.z_dim)
        check_labels(c, who=f"{self.family}.mapping", c_dim=self.c_dim, batch=z.shape[0])

    def check_synthesis(self, ws: Tensor, noise_mode: str, precision: str) -> None:
        """The first line of every `synthesis`."""
        check_ws(ws, who=f"{self.family}.synthesis", num_ws=self.num_ws, w_dim=self.w_dim)
        check_known(noise_mode, NOISE_MODES, what="noise_mode")
        check_known(precision, PRECISIONS, what="precision")

    def check_features(self, ws: Tensor, px: int, noise_mode: str, precision: str) -> None:
        """The first line of every `features`."""
        self.check_synthesis(ws, noise_mode, precision)
        if not self.feature_sizes:
            raise BadConfig(f"{self.family} has no feature maps: its features have no spatial position")
        if px not in self.feature_sizes:
            raise BadConfig(f"{self.family}.features expects px to be one of {self.feature_sizes}, got {px!r}")


def truncate(ws: Tensor, w_avg: Tensor, *, psi: float = 0.7, cutoff: int | None = None) -> Tensor:
    """Pull latents toward the mean latent: fewer surprises, cleaner pictures.

    Args:
        ws: [N, num_ws, w_dim] latents.
        w_avg: [w_dim], the running mean of w that the mapping network keeps.
        psi: 1 = leave ws alone, 0 = the mean picture for every seed.
        cutoff: truncate only this many leading rows; None = all.

    Returns:
        [N, num_ws, w_dim]; ws itself is left as it was.

    Raises:
        BadLatent: ws and w_avg come from different generators.

    Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", appendix B.
    """
    if ws.shape[-1] != w_avg.shape[-1]:
        raise BadLatent(
            f"truncate expects ws and w_avg of the same generator, got w_dim {ws.shape[-1]} and {w_avg.shape[-1]}."
        )
    if psi == 1:
        return ws
    pulled = w_avg.to(ws).lerp(ws, psi)
    if cutoff is None:
        return pulled
    return torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], dim=1)
