"""The two networks as the training loop meets them: a family of ours, or anybody's own modules.

Whatever the networks are, the loop asks for three things: latents, pictures of latents, logits of pictures. A FastGAN
adds a small picture beside the full one, and asks its discriminator to paint.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadInput, FetchError, WeightsError
from ganvas.models import build
from ganvas.models.fastgan import FastGANDiscriminator, FastGANGenerator, Reconstruction
from ganvas.models.protocol import Generator, Network
from ganvas.models.stylegan2 import StyleGAN2Discriminator
from ganvas.training.engine.trainer import autocast
from ganvas.training.generator.config import TrainConfig
from ganvas.training.losses import l1
from ganvas.training.perceptual import Distance, load_feature_distance
from ganvas.training.style_mixing import apply_style_mixing


class Images(NamedTuple):
    """What a discriminator is shown."""

    img: Tensor  # [N, C, R, R]
    small: Tensor | None = None  # FastGAN's own small version of a fake; None = img, made smaller


class GANPair:
    """A generator and a discriminator that learn together.

    Args:
        G, D: of one family of ours, or any modules: G(z) or G(z, c) → img, with an attribute `z_dim`; D(img) or
            D(img, c) → logits [N], [N, 1] or patches.
        c_dim: length of a label; 0 = none.
        tells_D: the discriminator is told the label of what it judges.
        dtype: in which networks compute where that is allowed; float32 = everywhere.
        compiled: run the generator through torch.compile.
        fixed: latents and labels of the fixed batch of virtual batch normalisation (`use_virtual_batch_norm`).

    Raises:
        BadInput: no z_dim, or a module that does not take labels where there are some.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        *,
        c_dim: int,
        tells_D: bool = True,
        dtype: torch.dtype,
        compiled: bool = False,
        fixed: tuple[Tensor, Tensor | None] | None = None,
    ):
        self.G, self.D, self.c_dim, self.dtype = G, D, c_dim, dtype
        self.tells_D, self.fixed = tells_D and c_dim > 0, fixed
        self.ours = isinstance(G, Generator)
        if not isinstance(getattr(G, "z_dim", None), int):
            raise BadInput(f"{type(G).__name__} needs an integer attribute z_dim, the length of its noise.")
        self.z_dim: int = G.z_dim  # type: ignore[assignment]
        self.rebuilds = isinstance(G, FastGANGenerator) and isinstance(D, FastGANDiscriminator)
        self.judges_apart = isinstance(D, StyleGAN2Discriminator)  # see `discriminate_together`
        _check_labels(G, D, c_dim, c_dim if tells_D else 0)
        self._synthesis = _synthesis_fn(G, compiled)

    def cast(self) -> AbstractContextManager[Any]:
        """Inside, convolutions and matrix products run in `dtype`."""
        return autocast(next(self.G.parameters()).device, self.dtype)

    def latents(self, z: Tensor, c: Tensor | None, *, mixing: float, rng: torch.Generator) -> Tensor | None:
        """z [N, z_dim] → ws [N, num_ws, w_dim], some of two styles; None for modules without a mapping."""
        return apply_style_mixing(self.G, z, c, mixing, rng=rng) if self.ours else None  # type: ignore[arg-type]

    def synthesize(self, z: Tensor, c: Tensor | None, ws: Tensor | None) -> Images:
        """The pictures of these latents, in float32."""
        if self.fixed is None:
            return self._synthesize(z, c, ws)
        fixed_z, fixed_c = self.fixed
        z, c = torch.cat([fixed_z, z]), None if c is None or fixed_c is None else torch.cat([fixed_c, c])
        ws = None if ws is None else torch.cat([self.G.mapping(fixed_z, fixed_c), ws])
        img, small = self._synthesize(z, c, ws)
        return Images(img[len(fixed_z) :], None if small is None else small[len(fixed_z) :])

    def _synthesize(self, z: Tensor, c: Tensor | None, ws: Tensor | None) -> Images:
        if ws is None:
            with self.cast():
                img = self.G(z, c) if self.c_dim else self.G(z)
            return Images(img.float())
        if self.rebuilds:
            with self.cast():
                img, small = self.G.synthesize_both_sizes(ws)
            return Images(img.float(), small.float())
        precision = "exact" if self.dtype == torch.float32 else "fast"
        return Images(self._synthesis(ws, noise_mode="random", precision=precision).float())

    @torch.no_grad()
    def fakes(self, z: Tensor, c: Tensor | None, *, mixing: float, rng: torch.Generator) -> Images:
        """The pictures of this noise; nothing flows back into G."""
        images = self.synthesize(z, c, self.latents(z, c, mixing=mixing, rng=rng))
        return Images(images.img.detach(), images.small)

    def discriminate(self, images: Images, c: Tensor | None) -> Tensor:
        """Logits in float32: [N], or [N, P] of patches."""
        c = c if self.tells_D else None
        with self.cast():
            if self.rebuilds:
                logits = self.D(images.img, c, small=images.small)
            else:
                logits = self.D(images.img, c) if self.tells_D else self.D(images.img)
        return _rows(logits.float(), len(images.img))

    def discriminate_together(
        self, real: Tensor, fake: Tensor, c: Tensor | None, fake_c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The logits [N] of reals and of fakes from one pass, the same as from two; for D that `judges_apart`.

        One pass of 2N pictures is cheaper than two of N. It is open to a discriminator in which no picture sees
        another, or only those of its own batch, and whose buffers do not move: no batch or spectral normalisation.
        """
        with self.cast():
            labels = torch.cat([c, fake_c]) if self.tells_D and c is not None and fake_c is not None else None
            logits = self.D(torch.cat([real, fake]), labels, batches=2)
        of_real, of_fake = logits.float().chunk(2)
        return of_real, of_fake

    def forward_with_reconstruction(
        self, images: Images, c: Tensor | None, *, quadrant: int, distance: Distance
    ) -> tuple[Tensor, Tensor]:
        """FastGAN's self-supervision: logits of real pictures, and how well D rebuilds them, [N].

        Source: Liu et al. 2021, "Towards Faster and Stabilized GAN Training …", section 3.2, eq. 4.
        """
        with self.cast():
            logits, rebuilt = self.D.forward_with_reconstruction(images.img, c, small=images.small, quadrant=quadrant)
        targets: Reconstruction = self.D.targets(images.img, small=images.small, quadrant=quadrant)
        error = sum(
            (distance(a.float(), b) for a, b in zip(rebuilt, targets, strict=True)),
            torch.zeros(len(images.img)).to(logits),
        )
        return logits.float(), error

    @torch.no_grad()
    def follow_mean_w(self, mean_w: Tensor, beta: float) -> None:
        """Let `w_avg` follow the mean w [w_dim] of a batch, where the family has one; never to something not finite."""
        if hasattr(self.G, "update_w_avg"):
            safe = torch.where(mean_w.isfinite().all(), mean_w, self.G.w_avg.to(mean_w))  # type: ignore[arg-type]
            self.G.update_w_avg(safe[None, None], beta=beta)


def _synthesis_fn(G: nn.Module, compiled: bool) -> Any:
    synthesis = getattr(G, "synthesis", None)
    return torch.compile(synthesis) if compiled and synthesis is not None else synthesis


def _rows(logits: Tensor, batch: int) -> Tensor:
    """[N], [N, 1], [N, 1, h, w] … → [N] or [N, P]."""
    if logits.ndim == 0 or logits.shape[0] != batch:
        raise BadInput(
            f"a discriminator must return one or several logits for each of {batch} images, got {list(logits.shape)}"
        )
    logits = logits.flatten(1) if logits.ndim > 1 else logits
    return logits[:, 0] if logits.ndim == 2 and logits.shape[1] == 1 else logits


def _check_labels(G: nn.Module, D: nn.Module, of_G: int, of_D: int) -> None:
    for name, net, c_dim in (("generator", G, of_G), ("discriminator", D, of_D)):
        has = getattr(net, "c_dim", c_dim)
        if has != c_dim:
            raise BadInput(
                f"the {name} expects labels of size {has}, and is given {c_dim or 'none'}. Set "
                "labels ('none', 'auto', 'folders', a CSV), or build it with another c_dim."
            )


# ---------------------------------------------------------------------------------------------------------------------
# Building


def build_pair(config: TrainConfig, *, resolution: int, channels: int, c_dim: int) -> tuple[Network, Network]:
    """Fresh networks of the config's family, for pictures of this kind. Draws from torch's global randomness.

    Raises:
        BadConfig: a field that the family does not have, or a resolution that it cannot make.
    """
    if config.family == "own":
        raise BadConfig("family='own' is for your own modules: pass them to ganvas.train(generator=…, discriminator=…)")
    common = {"img_resolution": resolution, "img_channels": channels}
    G = build(config.family, **{**config.generator, **common, "c_dim": c_dim})
    D = build(
        config.family, network="D", **{**config.discriminator, **common, "c_dim": c_dim if tells_D(config) else 0}
    )
    if config.codes or config.categories:
        G.facts |= {"codes": config.codes, "categories": config.categories}
    return G, D


def tells_D(config: TrainConfig) -> bool:
    """Is the discriminator told the label of a picture? Else it is to name it, or there is none in the data."""
    return config.class_weight == 0 and config.categories == 0


def perceptual_distance(device: torch.device) -> Distance:
    """How unlike two pictures are, [N]: EfficientNet-Lite0's features and L1, or L1 alone without its weights."""
    try:
        feature_distance = load_feature_distance(device)
    except (FetchError, WeightsError, BadConfig):
        return l1

    def distance(a: Tensor, b: Tensor) -> Tensor:
        a, b = (x if x.shape[1] == 3 else x[:, :1].expand(-1, 3, -1, -1) for x in (a, b))
        return feature_distance(a, b) + l1(a, b)

    return distance
