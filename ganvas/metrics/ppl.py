"""Perceptual path length: how far a picture jumps when its latent moves a little; less means a smoother space.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 4.1, at
path ends as in Karras et al. 2020. Distances are ours, on EfficientNet-lite0 features instead of VGG's, so the numbers
compare only among themselves.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import BadConfig
from ganvas.features.efficientnet import feature_distance
from ganvas.metrics.feature_extractor import DatasetLike, FeatureExtractor, OnExtractStep, eval_mode, latents_and_labels
from ganvas.metrics.result import MetricResult

EPSILON = 1e-4  # of a path from one latent to the next
TRIM = 0.01  # of the distances at either end, as in the paper's own measurements
MIN_PATHS_PPL = 100


@torch.no_grad()
def path_lengths(
    G: Any,
    *,
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    pictures: DatasetLike | None = None,
    epsilon: float = EPSILON,
    on_step: OnExtractStep | None = None,
) -> Tensor:
    """Squared perceptual speed at `num` random places: [num] float64, distance / ε².

    The path is straight in w where the generator has a mapping network, else it follows the sphere of z. Always in
    float32 and without rounding to pixels: a step is smaller than either would leave.
    """
    lengths = []
    for done, z, c in latents_and_labels(G, num=num, seed=seed, pictures=pictures, per_item=2):
        with eval_mode(G):
            here, there = _step(G, z, c, epsilon)
            both = torch.cat([here, there])
            img = G.synthesis(both, noise_mode="const")
            ours, theirs = zip(
                *(maps.chunk(2) for maps in extractor.network.features(_resize_for_extractor(img, extractor))),
                strict=True,
            )
        lengths.append(feature_distance(list(ours), list(theirs)).double().cpu() / epsilon**2)
        if on_step is not None:
            on_step(done, num)
    return torch.cat(lengths)


def _step(G: Any, z: Tensor, c: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """ws at the beginning of a path and ε further: z [2N, …] are N pairs of ends, one label a pair."""
    start, end = z.chunk(2)
    if G.num_ws > 1:
        ws, towards = G.mapping(start, c), G.mapping(end, c)
        return ws, ws.lerp(towards, epsilon)
    return G.mapping(start, c), G.mapping(slerp(start, end, epsilon), c)


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Along the great circle from start to end, [N, F]; lengths go evenly from one to the other."""
    unit, target = F.normalize(start, dim=-1), F.normalize(end, dim=-1)
    across = F.normalize(target - (unit * target).sum(-1, keepdim=True) * unit, dim=-1)  # ⊥ start, towards end
    angle = share * torch.acos((unit * target).sum(-1, keepdim=True).clamp(-1, 1))
    length = torch.lerp(start.norm(dim=-1, keepdim=True), end.norm(dim=-1, keepdim=True), share)
    return length * (torch.cos(angle) * unit + torch.sin(angle) * across)


def _resize_for_extractor(img: Tensor, extractor: FeatureExtractor) -> Tensor:
    """As the eyes see pictures, without rounding: [N, 3, input_px, input_px]."""
    if img.shape[2:] != (extractor.input_px, extractor.input_px):
        img = F.interpolate(img, (extractor.input_px, extractor.input_px), mode="bicubic", antialias=True)
    return img.float().expand(-1, 3, -1, -1)


def ppl(
    G: Any,
    *,
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    pictures: DatasetLike | None = None,
    epsilon: float = EPSILON,
    on_step: OnExtractStep | None = None,
) -> MetricResult:
    """Perceptual path length of a generator: the mean of `path_lengths` without the outer hundredths.

    Args:
        pictures: where a conditional generator's labels are drawn from.

    Raises:
        BadConfig: fewer than `MIN_PATHS_PPL` places; eyes without feature maps; a conditional generator and no labels.
    """
    if num < MIN_PATHS_PPL:
        raise BadConfig(f"the path length needs at least {MIN_PATHS_PPL} samples, got {num}")
    if not hasattr(extractor.network, "features"):
        raise BadConfig(f"the path length needs feature maps, but {extractor.name} has none")
    lengths = path_lengths(
        G, num=num, seed=seed, extractor=extractor, pictures=pictures, epsilon=epsilon, on_step=on_step
    )
    trimmed_lengths = trim_outliers(lengths)
    details = f"path ends in {'w' if G.num_ws > 1 else 'z'}, step {epsilon:g}"
    return MetricResult(
        name=f"PPL-{extractor.short}",
        value=float(trimmed_lengths.mean()),
        spread=float(trimmed_lengths.std() / len(trimmed_lengths) ** 0.5),
        protocol=extractor.protocol(real=0, fake=num, seed=seed, precision="exact", details=details),
        cautions=("not the published PPL, which uses VGG features",),
    )


def trim_outliers(lengths: Tensor) -> Tensor:
    """Without the lowest and the highest hundredth."""
    low = torch.quantile(lengths, TRIM, interpolation="lower")
    high = torch.quantile(lengths, 1 - TRIM, interpolation="higher")
    return lengths[(lengths >= low) & (lengths <= high)]
