"""FreezeD: the first layers of a discriminator stay as they are while it learns from few pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganvas.errors import BadConfig, BadInput


def freeze_discriminator(D: nn.Module, layers: int, *, img: Tensor | None = None) -> list[str]:
    """Freeze the first layers of a discriminator, for fine-tuning on few images.

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
        raise BadInput(f"{type(D).__name__} has no img_channels and img_resolution: pass an example as img.") from None


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
