"""Schedules, and Adam for lazy regularisation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ganvas.errors import BadConfig

if TYPE_CHECKING:  # configs, which `ganvas --help` reads, have schedules, too
    import torch
    from torch import nn


def cosine(start: float, end: float, done: float, total: float) -> float:
    """From `start` to `end` along half a cosine, `end` ever after.

    Args:
        start, end: the two values.
        done: how far the run is, in any unit (images, steps); below 0 counts as 0.
        total: where `end` is reached, in the same unit; 0 = at once.

    Source: Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5; R3GAN lets the
    learning rate, β2, γ, the averaging and the augmentation follow it.
    """
    part = 1.0 if done >= total else max(done, 0) / total
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def constant_then_linear(done: float, total: float, *, start: float) -> float:
    """1 until a share `start` of the way, then along a line to 0 at `total`, and 0 ever after.

    Args:
        done: how far the run is, in any unit; total: in the same unit.
        start: 0 = it falls from the first step on, 1 = it never falls.

    Source: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", section
    4: the learning rate is kept for the first half of the run and falls to 0 over the second.
    """
    if done <= start * total or start == 1:
        return 1.0
    return max((1 - done / total) / (1 - start), 0.0)


def constant(value: float, done: float = 0, total: float = 0) -> float:
    """`value`, always; for a place that expects a schedule."""
    return value


def lazy_ratio(every: int | None) -> float:
    """k/(k + 1) for a regulariser that makes a step of its own after every k-th ordinary one.

    Args:
        every: k; None, 0 or 1 = it has no step of its own (it is off, or part of every ordinary step): 1.0.

    Raises:
        BadConfig: a negative number.
    """
    if every is not None and every < 0:
        raise BadConfig(f"a lazy regulariser runs every 1, 2, … steps (0 or None = off), got {every}")
    return every / (every + 1) if every and every > 1 else 1.0


def lazy_adam(
    params: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    every: int | None = None,
    *,
    eps: float = 1e-8,
    fused: bool = False,
) -> torch.optim.Adam:
    """Adam for a loss and a regulariser that share it, the regulariser once in `every` steps.

    Adam then makes k + 1 steps where the paper counts k, so lr becomes lr·k/(k+1) and each β becomes β^(k/(k+1)); the
    regulariser's loss is to be multiplied by k. Two time scales are two optimisers with different `lr`.

    Args:
        params: as torch.optim.Adam takes them.
        lr, betas: as they would be without the regulariser.
        every: k; None, 0 or 1 = plain Adam.
        eps: of Adam.
        fused: one kernel for all parameters, where torch has it.

    Raises:
        BadConfig: a negative `every`.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B.
    """
    import torch

    rates = _rates(lr, betas, every)
    return torch.optim.Adam(params, lr=rates[0], betas=rates[1], eps=eps, fused=fused or None)


def set_adam(
    optimizer: torch.optim.Optimizer, *, lr: float, betas: tuple[float, float], every: int | None = None
) -> None:
    """Give a running Adam new rates, by the rule of `lazy_adam`; for schedules."""
    rates = _rates(lr, betas, every)
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = rates


def _rates(lr: float, betas: tuple[float, float], every: int | None) -> tuple[float, tuple[float, float]]:
    ratio = lazy_ratio(every)
    return lr * ratio, (float(betas[0]) ** ratio, float(betas[1]) ** ratio)  # Adam refuses an int beside a float
