"""S space: the scales of each layer's input channels, one step nearer to the picture than ws; read and shifted here.

    ws ──affine, a layer──► styles [N, S] ──► modulated convolutions

A shift of the styles is no shift of ws: layers that share a row of ws, or have more channels than w has numbers, get
what no ws could give them. So it travels beside ws, into the synthesis.

Paper: Wu et al. 2021, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image Generation". Their segmentation
maps, which name channels by the region they change, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganvas.checks import check_ws
from ganvas.errors import BadConfig, BadLatent
from ganvas.models.protocol import StyleLayer


def style_layers(generator: Any) -> list[StyleLayer]:
    """Where styles enter, layer by layer.

    Raises:
        BadConfig: the family has none; the message names those that have.
    """
    layers: list[StyleLayer] = generator.style_layers() if hasattr(generator, "style_layers") else []
    if not layers:
        raise BadConfig(
            f"{getattr(generator, 'family', type(generator).__name__)} has no style channels: space 's' and SeFa are "
            "for stylegan2, stylegan3 and mobilestylegan. Space 'w' works with every generator."
        )
    return layers


def style_slices(generator: Any) -> list[tuple[StyleLayer, slice]]:
    """Each layer with its place in the flat styles [N, S]."""
    at, slices = 0, []
    for layer in style_layers(generator):
        slices.append((layer, slice(at, at + layer.channels)))
        at += layer.channels
    return slices


def styles_of(ws: Tensor, generator: Any) -> Tensor:
    """The styles that latents ask for.

    Args:
        ws: [N, num_ws, w_dim].
        generator: one with style layers.

    Returns:
        [N, S], all layers side by side in the order of painting.

    Raises:
        BadLatent: ws of another generator. BadConfig: no style layers.
    """
    check_ws(ws, who="styles_of", num_ws=generator.num_ws, w_dim=generator.w_dim)
    return torch.cat([layer.affine(ws[:, layer.row]) for layer in style_layers(generator)], dim=1)


@contextmanager
def shift_styles(generator: Any, shift: Tensor | None) -> Iterator[None]:
    """While inside, everything the generator paints has its styles shifted; None = not at all.

    Args:
        generator: one with style layers; its weights are not touched.
        shift: [S] or [N, S], added to the styles.

    Raises:
        BadLatent: another number of channels.
    """
    if shift is None:
        yield
        return
    slices = style_slices(generator)
    if shift.shape[-1] != slices[-1][1].stop:
        raise BadLatent(
            f"a style shift needs {slices[-1][1].stop} channels for this generator, got {list(shift.shape)}"
        )
    handles = [
        layer.affine.register_forward_hook(lambda _, __, style, part=shift[..., part]: style + part.to(style))
        for layer, part in slices
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def synthesize_with_shift(generator: Any, ws: Tensor, shift: Tensor | None = None, **options: Any) -> Tensor:
    """`generator.synthesis(ws, **options)` with its styles shifted."""
    with shift_styles(generator, shift):
        img: Tensor = generator.synthesis(ws, **options)
    return img
