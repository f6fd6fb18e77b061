"""What keeps a run on its feet: clean gradients, frozen layers, mixed styles, batches in portions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganvas.errors import BadConfig, BadInput
from ganvas.models.protocol import Generator

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
def gradient_norm(params: Iterable[nn.Parameter]) -> float:
    """The Euclidean norm of all gradients together; 0 where there are none."""
    gradients = [p.grad for p in params if p.grad is not None]
    return float(_norms(gradients).cpu().double().norm()) if gradients else 0.0


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
        raise BadConfig(f"portions takes a batch and a largest portion of 1 or more, got {batch} and {largest}")
    count = -(-batch // largest)
    edges = [batch * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


# ---------------------------------------------------------------------------------------------------------------------
# FreezeD


def freeze_discriminator(D: nn.Module, layers: int, *, img: Tensor | None = None) -> list[str]:
    """Stop the first layers from learning: when a trained pair goes on to few new pictures, they know enough.

    A layer is a convolution or a linear map together with the normalisation behind it, in the order in which the
    picture meets them; what only a label goes through is not counted. For StyleGAN2 that is the count of published
    recipes: 4 layers in the first block, 3 in each other one, so 10 and 13 freeze three and four blocks.

    Args:
        D: any discriminator.
        layers: how many; 0 = none. All layers learn again first, so a second call replaces the first.
        img: [N, C, H, W] a picture that D takes; needed only if D does not say img_channels and img_resolution.

    Returns:
        The names of the frozen layers. Their parameters have requires_grad False: give the optimiser only those that
        have it, and do not switch D back as a whole.

    Raises:
        BadConfig: fewer than 0, or so many that nothing is left to learn; says how many layers D has.

    Source: Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs".
    """
    D.requires_grad_(True)
    if layers == 0:
        return []
    order = layers_in_order(D, img=img)
    if not isinstance(layers, int) or not 0 < layers < len(order):
        raise BadConfig(
            f"freeze_discriminator can freeze 0 to {len(order) - 1} layers of this {type(D).__name__}, which has "
            f"{len(order)} from {order[0][0]} to {order[-1][0]}; got {layers!r}"
        )
    for _, modules in order[:layers]:
        for module in modules:
            module.requires_grad_(False)
    return [name for name, _ in order[:layers]]


def layers_in_order(D: nn.Module, *, img: Tensor | None = None) -> list[tuple[str, list[nn.Module]]]:
    """The layers of a discriminator as its picture meets them: (name, [the layer, the normalisation behind it]).

    Found by sending one picture through and watching which modules it passes, so it holds for any network.

    Raises:
        BadInput: D does not say which pictures it takes, and none was given.
    """
    met: list[tuple[str, nn.Module]] = []
    names = {module: name for name, module in D.named_modules()}

    def note(module: nn.Module, _: Any, out: Any) -> None:
        # Parameters take no gradients here, so what does depends on the picture, and a label's layers do not.
        if isinstance(out, Tensor) and out.requires_grad and all(module is not known for _, known in met):
            met.append((names[module], module))

    hooks = [module.register_forward_hook(note) for module in names if _has_weights(module)]
    try:
        with _preserve_modes(D), torch.enable_grad():
            D.requires_grad_(False).eval()
            picture = _probe(D, img).requires_grad_(True)
            c_dim = getattr(D, "c_dim", 0)
            D(picture, picture.new_zeros(len(picture), c_dim)) if c_dim else D(picture)
    finally:
        for hook in hooks:
            hook.remove()
    order: list[tuple[str, list[nn.Module]]] = []
    for name, module in met:
        if order and all(p.ndim < 2 for p in module.parameters()):
            order[-1][1].append(module)
        else:
            order.append((name, [module]))
    return order


def _has_weights(module: nn.Module) -> bool:
    """It has parameters of its own, be it through torch.nn.utils.parametrizations."""
    if isinstance(module, parametrize.ParametrizationList):
        return False  # counted as the layer it belongs to
    return bool(module._parameters) or parametrize.is_parametrized(module)


def _probe(D: nn.Module, img: Tensor | None) -> Tensor:
    first = next(D.parameters())
    if img is not None:
        return img.detach().to(first).clone()
    try:
        px = D.img_resolution
        return torch.zeros(1, D.img_channels, px, px, dtype=first.dtype, device=first.device)
    except AttributeError:
        raise BadInput(
            f"{type(D).__name__} does not say which pictures it takes (img_channels, img_resolution): give one as img."
        ) from None


@contextmanager
def _preserve_modes(net: nn.Module) -> Iterator[None]:
    """Modes and requires_grad come back as they were."""
    modes = {module: module.training for module in net.modules()}
    learning = {p: p.requires_grad for p in net.parameters()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for p, flag in learning.items():
            p.requires_grad_(flag)


# ---------------------------------------------------------------------------------------------------------------------
# Style mixing


def apply_style_mixing(
    G: Generator, z: Tensor, c: Tensor | None = None, prob: float = 0.9, *, rng: torch.Generator
) -> Tensor:
    """Latents for training: some pictures take their later rows from a second z, so that rows learn to stand alone.

    Args:
        G: a generator; one with a single row (num_ws = 1) has nothing to mix.
        z: [N, z_dim].
        c: [N, c_dim] labels, the same for both latents.
        prob: share of pictures that are mixed; each at its own row, from 1 to num_ws − 1.
        rng: draws the second z, who is mixed, and where.

    Returns:
        ws [N, num_ws, w_dim]; row 0 always comes from z.

    Raises:
        BadConfig: prob is not a probability.

    Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 3.1.
    """
    if not 0 <= prob <= 1:
        raise BadConfig(f"the share of mixed styles is from 0 to 1, got {prob}")
    ws = G.mapping(z, c)
    if prob == 0 or G.num_ws == 1:
        return ws
    other = torch.randn(z.shape, generator=rng, device=rng.device).to(z)
    row = torch.randint(1, G.num_ws, (len(z), 1), generator=rng, device=rng.device)
    mixed = torch.rand(len(z), 1, generator=rng, device=rng.device) < prob
    second = (torch.arange(G.num_ws, device=rng.device) >= row) & mixed  # [N, num_ws]
    return torch.where(second[:, :, None].to(ws.device), G.mapping(other, c), ws)
