"""A smooth closed walk through latents, for animations.

In ws the path is a periodic Catmull-Rom spline: it passes every key, its speed never jumps, and the last frame leads
into the first. Where ws = z (families without a mapping network) a straight cut between two normal vectors passes
near the origin, where no sample ever is; there the walk goes along the sphere (Shoemake 1985, "slerp").
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import BadConfig


def latent_walk(keys: Tensor, *, frames: int, on_sphere: bool = False) -> Tensor:
    """A loop through the keys.

    Args:
        keys: [K, num_ws, w_dim] latents to pass in this order; two or more.
        frames: pictures in the whole loop; the first is keys[0], and it is not repeated at the end.
        on_sphere: True where ws = z.

    Returns:
        [frames, num_ws, w_dim].

    Raises:
        BadConfig: fewer than two keys, or fewer frames than keys.
    """
    if len(keys) < 2 or frames < len(keys):
        raise BadConfig(
            f"an interpolation needs two keyframes or more and at least one frame for each, got {len(keys)} "
            f"keyframes, {frames} frames"
        )
    at = torch.arange(frames, device=keys.device, dtype=torch.float32) * len(keys) / frames
    index = at.long()
    t = (at - index)[:, None, None].to(keys)
    before, here, there, beyond = (keys[(index + step) % len(keys)] for step in (-1, 0, 1, 2))
    if on_sphere:
        return _slerp(here, there, t)
    slope_here, slope_there = (there - before) / 2, (beyond - here) / 2
    h00, h10 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t
    h01, h11 = -2 * t**3 + 3 * t**2, t**3 - t**2
    return h00 * here + h10 * slope_here + h01 * there + h11 * slope_there


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    cosine = (a * b).sum(dim=-1, keepdim=True) / (a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True))
    angle = cosine.clamp(-1, 1).acos().clamp(min=1e-6)
    return ((1 - t) * angle).sin() / angle.sin() * a + (t * angle).sin() / angle.sin() * b
