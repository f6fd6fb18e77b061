"""Gradients of a step: cleaned, measured, in portions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganvas.errors import BadConfig

_TINY = 1e-12  # a gradient shorter than this has no direction to follow
MAX_GRADIENT = 1e5  # what an infinite gradient becomes


@torch.no_grad()
def clean_gradients(params: Iterable[nn.Parameter]) -> int:
    """Before an optimiser's step: NaN in a gradient becomes 0, ±infinity ±1e5; how many entries were so.

    One bad sample then costs one odd step instead of the run. A count that stays above 0 is a matter for a watchdog.

    Source: what StyleGAN2-ADA and its descendants do at each step; none of them counts.
    """
    gradients = [p.grad for p in params if p.grad is not None]
    if not gradients or bool(_norms(gradients).isfinite().all()):
        return 0
    bad = sum(int(g.isfinite().logical_not().sum()) for g in gradients)
    for gradient in gradients:
        torch.nan_to_num(gradient, nan=0.0, posinf=MAX_GRADIENT, neginf=-MAX_GRADIENT, out=gradient)
    return bad


@torch.no_grad()
def queue_clean_gradients(params: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """`clean_gradients` and `gradient_norm` without waiting for a GPU: every gradient is rewritten, none is looked at.

    Returns:
        Two scalars on the device: 1 where there was anything to clean, else 0; and the norm of what was cleaned.
    """
    gradients = [p.grad for p in params if p.grad is not None]
    if not gradients:
        return torch.zeros(()), torch.zeros(())
    bad = _norms(gradients).isfinite().all().logical_not().float()
    for gradient in gradients:
        torch.nan_to_num(gradient, nan=0.0, posinf=MAX_GRADIENT, neginf=-MAX_GRADIENT, out=gradient)
    return bad, _norms(gradients).norm()


@torch.no_grad()
def gradient_norm(params: Iterable[nn.Parameter]) -> float:
    """The Euclidean norm of all gradients together; 0 where there are none."""
    gradients = [p.grad for p in params if p.grad is not None]
    return float(_norms(gradients).cpu().double().norm()) if gradients else 0.0


@torch.no_grad()
def clip_weights(params: Iterable[nn.Parameter], largest: float) -> None:
    """After a critic's step: every weight to [-largest, largest], so that its slopes are bounded.

    Source: Arjovsky et al. 2017, "Wasserstein GAN", algorithm 1 (0.01 there).
    """
    weights: list[Tensor] = list(params)
    torch._foreach_clamp_min_(weights, -largest)
    torch._foreach_clamp_max_(weights, largest)


def backward_by_ratio(main: Tensor, adversarial: Tensor, params: Iterable[nn.Parameter], *, ratio: float) -> Tensor:
    """Backward through two losses of a generator, the adversarial one weighted by how strongly both pull now.

    Args:
        main: the loss that compares with something, such as L1.
        adversarial: the discriminator's part.
        params: get the gradients of main + weight · adversarial.
        ratio: that ‖∇main‖ shall be to ‖weight · ∇adversarial‖.

    Returns:
        The weight, ‖∇main‖ / (ratio · ‖∇adversarial‖), a scalar.

    Source: the rule of TF-GAN's `combine_adversarial_loss`; Esser et al. 2021, "Taming Transformers for High-Resolution
    Image Synthesis", eq. 7, has it with ratio 1 and the last layer only.
    """
    learning = list(params)
    of_main, of_adversarial = (
        torch.autograd.grad(loss, learning, retain_graph=loss is main, allow_unused=True)
        for loss in (main, adversarial)
    )
    norms = [_norms([g for g in each if g is not None]).norm() for each in (of_main, of_adversarial)]
    weight = norms[0] / (ratio * norms[1]).clamp(min=_TINY)
    for p, a, b in zip(learning, of_main, of_adversarial, strict=True):
        b = None if b is None else weight * b
        p.grad = b if a is None else a if b is None else a + b
    return weight


def _norms(gradients: list[Tensor]) -> Tensor:
    """The norm of each gradient, in float32 at least: [len(gradients)]."""
    return torch.stack([norm.float() for norm in torch._foreach_norm(gradients)])


def split_batch(batch: int, largest: int) -> list[slice]:
    """Cut a batch into as few portions as keep each at `largest` or below, as even as can be: gradient accumulation.

    Each portion's loss is summed over its pictures and divided by `batch`, never by its own size; the gradients of
    all portions then add up to those of the whole batch.

    Raises:
        BadConfig: a number below 1.
    """
    if batch < 1 or largest < 1:
        raise BadConfig(f"split_batch expects a batch and a largest slice of 1 or more, got {batch} and {largest}")
    count = -(-batch // largest)
    edges = [batch * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
