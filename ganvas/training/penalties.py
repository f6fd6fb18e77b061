"""Penalties that keep a discriminator smooth and a generator even: each returns one number per picture, [N].

Every one of them is a squared gradient that must itself be differentiated, so `D` must be made of twice differentiable
operations (everything in `models/` is). Gradients come in float32 even where the networks compute in bfloat16.

`D` may be any function (img, c=None) → logits; without labels it is called as D(img). One that augments first,
`lambda img, c=None: D(augment(img), c)`, is penalised with respect to the pictures before the augmentation, as in
Huang et al. 2024 (R3GAN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadInput

DiscriminatorFn = Callable[..., Tensor]
_TINY = 1e-12  # keeps the slope of √x finite at 0


def r1_penalty(D: DiscriminatorFn, img: Tensor, c: Tensor | None = None, *, gamma: float) -> Tensor:
    """γ/2 · ‖∂D(img)/∂img‖², summed over all pixels, for real pictures: D becomes flat where the data lie.

    Args:
        D: (img, c=None) → logits [N] or [N, P]; of P patches the mean counts.
        img: [N, C, H, W] real pictures; their own gradients are not touched.
        c: [N, c_dim] labels.
        gamma: weight; higher = steadier and blurrier. StyleGAN2-ADA: 0.0002 · resolution² / batch.

    Returns:
        [N], differentiable with respect to D's parameters.

    Source: Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", eq. 9.
    """
    check_img(img, who="r1_penalty", channels=None)
    img = img.detach().requires_grad_(True)
    return slope_penalty(_discriminate(D, img, c), img, gamma=gamma)


def r2_penalty(D: DiscriminatorFn, img: Tensor, c: Tensor | None = None, *, gamma: float) -> Tensor:
    """`r1_penalty` on generated pictures (same paper, eq. 10): D becomes flat where the fakes lie.

    The pictures are detached: nothing flows into the generator.
    """
    return r1_penalty(D, img, c, gamma=gamma)


def slope_penalty(logits: Tensor, img: Tensor, *, gamma: float) -> Tensor:
    """R1 or R2 from logits that were computed anyway, which saves a pass through D when the penalty is due every step.

    Args:
        logits: [N] or [N, P], computed from `img`.
        img: [N, C, H, W], with `requires_grad` before D saw it.
        gamma: weight.

    Returns:
        [N].

    Raises:
        BadInput: `img` takes no gradients.
    """
    return gamma / 2 * _slopes(logits, img).square().sum(dim=1)


def gradient_penalty(
    D: DiscriminatorFn,
    real: Tensor,
    fake: Tensor,
    c: Tensor | None = None,
    *,
    weight: float = 10.0,
    target: float = 1.0,
    one_sided: bool = False,
    rng: torch.Generator,
) -> Tensor:
    """weight · (‖∂D(x̂)/∂x̂‖ / target − 1)² with x̂ drawn on the line between a real and a fake picture.

    Args:
        D: (img, c=None) → logits [N] or [N, P].
        real, fake: [N, C, H, W] each.
        c: [N, c_dim] labels.
        weight: λ of the paper.
        target: the slope that D should have.
        one_sided: punish only slopes above the target.
        rng: draws the N places on the lines.

    Returns:
        [N].

    Raises:
        BadInput: real and fake pictures of different shapes, or a D with batch normalisation.
        BadConfig: a target that is not positive.

    Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", eq. 3; the one-sided form, section 4.
    """
    if real.shape != fake.shape:
        raise BadInput(
            "gradient_penalty interpolates real and fake images: it expects two batches of the same "
            f"shape, got {list(real.shape)} and {list(fake.shape)}."
        )
    if target <= 0:
        raise BadConfig(f"gradient_penalty's target must be above 0, got {target}")
    refuse_batch_norm(D)
    place = torch.rand(len(real), generator=rng, device=rng.device).to(real.device)
    place = place.view(-1, *[1] * (real.ndim - 1)).to(real.dtype)
    img = real.detach().lerp(fake.detach().to(real.dtype), place).requires_grad_(True)
    excess = (_slopes(_discriminate(D, img, c), img).square().sum(dim=1) + _TINY).sqrt() / target - 1
    return weight * (excess.relu() if one_sided else excess).square()


def refuse_batch_norm(D: DiscriminatorFn) -> None:
    """A gradient penalty asks for the slope at each picture; batch normalisation mixes the pictures of a batch.

    Raises:
        BadInput: D is a module with batch normalisation in train mode; says which layer, and what to use instead.
    """
    if not isinstance(D, nn.Module):
        return
    for name, module in D.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            raise BadInput(
                "gradient_penalty needs a discriminator without batch normalisation, but "
                f"{name or 'this one'} is one (Gulrajani et al. 2017, section 4). Build it without "
                "(dcgan: norm='none' or 'spectral'), or use another loss with R1."
            )


class PathLength:
    """The generator's penalty of StyleGAN2: a step in w should change the picture by the same amount everywhere.

    For img [N, C, H, W] painted from ws [N, num_ws, w_dim] and noise y ~ N(0, 1)/√(H·W) it measures
    ℓ = √(mean over rows of Σ (∂(img·y)/∂w)²), moves the running mean a ← a + decay·(mean ℓ − a), and returns
    weight · (ℓ − a)².

    Args:
        weight: of the penalty.
        decay: how fast the running mean follows.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 3.2 and appendix B.
    """

    def __init__(self, weight: float = 2.0, decay: float = 0.01):
        self.weight, self.decay = weight, decay
        self.mean = torch.zeros([])  # a; averaged over processes by whoever trains on several

    def __call__(self, img: Tensor, ws: Tensor, rng: torch.Generator) -> Tensor:
        """img painted from ws → [N].

        Raises:
            BadInput: ws takes no gradients, or img was not painted from it.
        """
        lengths = self.lengths(img, ws, rng)
        self.mean = self.mean.to(lengths).lerp(lengths.detach().mean(), self.decay)
        return self.weight * (lengths - self.mean).square()

    def lengths(self, img: Tensor, ws: Tensor, rng: torch.Generator) -> Tensor:
        """ℓ of each picture, [N], without moving the mean."""
        if not ws.requires_grad:
            raise BadInput("PathLength needs ws with gradients: call ws.requires_grad_() before G.synthesis(ws).")
        noise = torch.randn(img.shape, generator=rng, device=rng.device).to(img.device)
        noise = noise / (img.shape[2] * img.shape[3]) ** 0.5
        slopes = _gradient(
            (_at_least_float32(img) * noise).sum(), ws, who="PathLength", what="img"
        )  # [N, num_ws, w_dim]
        return (slopes.square().sum(dim=2).mean(dim=1) + _TINY).sqrt()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"mean": self.mean.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.mean = state["mean"].clone()


def _discriminate(D: DiscriminatorFn, img: Tensor, c: Tensor | None) -> Tensor:
    return D(img) if c is None else D(img, c)


def _slopes(logits: Tensor, img: Tensor) -> Tensor:
    """∂D/∂img of each picture as a row of float32: [N, C·H·W]."""
    logits = logits if logits.ndim == 1 else logits.flatten(1).mean(dim=1)
    return _gradient(_at_least_float32(logits).sum(), img, who="a penalty", what="logits").flatten(1)


def _gradient(total: Tensor, x: Tensor, *, who: str, what: str) -> Tensor:
    if not x.requires_grad:
        raise BadInput(f"{who} differentiates {what} by a tensor without gradients: call requires_grad_() first.")
    (gradient,) = torch.autograd.grad(total, x, create_graph=True, allow_unused=True)
    if gradient is None:
        raise BadInput(f"{who} differentiates {what} by a tensor that it does not depend on.")
    return _at_least_float32(gradient)


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
