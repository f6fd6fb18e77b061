"""How unlike two pictures are: the loss that an inversion makes small.

Pixels at three scales, features of EfficientNet-Lite0 (where its weights are on this computer; else differences of
neighbouring pixels stand in), and, if the caller brings a network for it, the identity of the face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.ops.compare import psnr_db, ssim
from ganvas.ops.shrink import shrunk

Embedder = Callable[[Tensor], Tensor]
REPORT_PX = 256  # figures are of pictures of this size
SMALLEST_SEEN_PX = 32  # below, features say little


@dataclass(frozen=True, kw_only=True)
class LikenessConfig:
    """The weights of the parts."""

    pixels: float = 1.0  # mean absolute difference, the middle of the picture counting more
    coarse: float = 2.0  # mean squared difference at 64 px, and again at 32 px
    features: float = 0.5
    edges: float = 0.5  # differences of neighbours, only where there are no features
    identity: float = 0.5
    centre: float = 0.8  # how much more the middle counts: weight 1 − centre + centre · bell


class Likeness:
    """The loss toward one target picture; call it with pictures of any size."""

    def __init__(
        self,
        target: Tensor,
        *,
        eyes: EfficientNetLite0 | None = None,
        embedder: Embedder | None = None,
        config: LikenessConfig | None = None,
    ):
        """`target` is [1, C, S, S] in [-1, 1]."""
        self.config = config or LikenessConfig()
        self.target, self.eyes, self.embedder = target, eyes, embedder
        self._sizes: dict[int, Tensor] = {}
        self._seen: dict[int, list[Tensor]] = {}
        self._known = None if embedder is None else embedder(coloured(target)).detach()

    def __call__(self, img: Tensor, *, identity: bool = True) -> Tensor:
        """img [1, C, R, R] → the loss, one number."""
        size = img.shape[3]
        target = self.at(size)
        loss = self.config.pixels * (self._bell(size) * (img - target).abs()).mean()
        for coarse in (64, 32):
            if coarse <= size:
                loss = loss + self.config.coarse * F.mse_loss(shrunk(img, coarse), shrunk(target, coarse))
        if self.eyes is not None and size >= SMALLEST_SEEN_PX:
            loss = loss + self.config.features * self.feature_distance(img)
        else:
            loss = loss + self.config.edges * sum(
                (a - b).abs().mean() for a, b in zip(_edges(img), _edges(target), strict=True)
            )
        if identity and self.embedder is not None and self._known is not None:
            near = (self.embedder(coloured(img)) - self._known).square().sum(dim=1).mean()
            loss = loss + self.config.identity * near
        return loss

    def feature_distance(self, img: Tensor) -> Tensor:
        """The perceptual distance to the target at img's size; needs `eyes`."""
        assert self.eyes is not None
        size = img.shape[3]
        if size not in self._seen:
            with torch.no_grad():
                self._seen[size] = self.eyes.features(coloured(self.at(size)))
        return feature_distance(self.eyes.features(coloured(img)), self._seen[size]).mean()

    def at(self, size: int) -> Tensor:
        """The target at another size: smaller by area, larger by cubic interpolation."""
        if size not in self._sizes:
            img = shrunk(self.target, size)
            if img.shape[3] < size:
                img = F.interpolate(img, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
            self._sizes[size] = img
        return self._sizes[size]

    def _bell(self, size: int) -> Tensor:
        at = (torch.arange(size, dtype=torch.float32, device=self.target.device) + 0.5) / size * 2 - 1
        bell = (-(at[None].square() + at[:, None].square()) / 0.5).exp()
        weight = 1 - self.config.centre + self.config.centre * bell
        return weight / weight.mean()


@torch.no_grad()
def figures_of(
    img: Tensor, target: Tensor, *, eyes: EfficientNetLite0 | None = None, embedder: Embedder | None = None
) -> dict[str, float]:
    """How faithful a full picture is, both averaged down to 256 px (or the smaller of the two).

    Returns:
        psnr_db, ssim; feature_distance and identity_distance where there are networks for them.
    """
    px = min(REPORT_PX, img.shape[3], target.shape[3])
    img, target = shrunk(img, px), shrunk(target, px)
    figures = {"psnr_db": float(psnr_db(img, target)), "ssim": float(ssim(img, target))}
    ours, theirs = coloured(img), coloured(target)
    if eyes is not None and px >= SMALLEST_SEEN_PX:
        figures["feature_distance"] = float(feature_distance(eyes.features(ours), eyes.features(theirs)))
    if embedder is not None:
        figures["identity_distance"] = float((embedder(ours) - embedder(theirs)).norm(dim=1))
    return figures


def coloured(img: Tensor) -> Tensor:
    """Grey pictures with three equal channels."""
    return img.expand(-1, 3, -1, -1)


def _edges(img: Tensor) -> tuple[Tensor, Tensor]:
    return img[:, :, 1:] - img[:, :, :-1], img[:, :, :, 1:] - img[:, :, :, :-1]
