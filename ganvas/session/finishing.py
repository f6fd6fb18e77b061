"""Finishing steps: what is done to the whole photo once it is painted (upscaling, translation)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from ganvas.editing.post_steps import RESAMPLE_ONLY, PostStep, Translate, Upscale
from ganvas.images.photo import Photo
from ganvas.translation import translate
from ganvas.upscaling.upscale import resize_lanczos, upscale

NetworkLoader = Callable[[str], Any]  # the name in a finishing step → its network
OnFinishStep = Callable[[int, int], Any]  # steps done, steps in all


def apply_post_steps(
    photo: Photo, steps: Iterable[PostStep], network: NetworkLoader, on_step: OnFinishStep | None = None
) -> Photo:
    """A painted photo with its finishing steps, in order."""
    for step in steps:
        photo = _apply_post_step(photo, step, network, on_step)
    return photo


def _apply_post_step(photo: Photo, step: PostStep, network: NetworkLoader, on_step: OnFinishStep | None) -> Photo:
    if step.model == RESAMPLE_ONLY:
        return resize_lanczos(photo, scale=step.scale) if isinstance(step, Upscale) else photo
    net = network(step.model)
    if isinstance(step, Upscale):
        return upscale(photo, model=net, scale=step.scale, strength=step.strength, on_step=on_step)
    return translate(photo, model=net, strength=step.strength, direction=step.direction, on_step=on_step)


def translate_preview(img: Tensor, steps: Iterable[PostStep], network: NetworkLoader) -> Tensor:
    """A picture for the screen in the domain that the steps ask for; larger pixels would not show there."""
    return apply_post_steps(Photo(img=img), [s for s in steps if isinstance(s, Translate)], network).img


def size_after(size: tuple[int, int], steps: Iterable[PostStep]) -> tuple[int, int]:
    """(width, height) of a photo after its finishing steps."""
    width, height = size
    for step in steps:
        if isinstance(step, Upscale):
            width, height = (max(1, round(side * step.scale)) for side in (width, height))
    return width, height
