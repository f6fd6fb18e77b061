"""Would these edits fit this generator? Asked before a photo is searched for, which takes long."""

from __future__ import annotations

from typing import Any

import torch

from ganvas.editing.direction_files import directions_of, find_direction
from ganvas.editing.directions import Direction
from ganvas.editing.post_steps import RESAMPLE_ONLY
from ganvas.editing.recipe import Recipe, latent_steps_of, part_steps_of, post_steps_of
from ganvas.editing.regions import partition_steps
from ganvas.editing.step import EditContext, run_steps
from ganvas.editing.style import Style, find_style
from ganvas.errors import BadConfig
from ganvas.features.parts import PARTS_PX
from ganvas.fields import check_known
from ganvas.images.crop import Crop
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import is_aligned
from ganvas.session.finishing import NetworkLoader
from ganvas.session.part_rendering import check_part_steps
from ganvas.session.photo_parts import find_photo_parts, parse_part_names
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load


@torch.no_grad()
def check_part_region(text: str, photo: Photo, crop: Crop, generator: Any) -> None:
    """Are these parts in the square that the model will see? Of what is no face only the names are looked at.

    Args:
        text: "part:hair" or "part:hair+lips".
        photo: the whole one.
        crop: the square.
        generator: the one that it will be searched for in.

    Raises:
        BadConfig: an unknown part, or none are known. BadMask: none of it is in the picture.
    """
    names, aligned = parse_part_names(text), is_aligned(generator, "auto")
    img = crop.cut(photo.img, resolution=PARTS_PX)
    ws = torch.zeros(1, generator.num_ws, generator.w_dim)
    parts = find_photo_parts(img, generator, ws, aligned=aligned, fingerprint=fingerprint(generator))
    if aligned:
        parts.region(names)
    parts.check()
    for name in names:
        check_known(name, parts.names, what="part")


@torch.no_grad()
def check_recipe(recipe: Recipe, generator: Any, *, model: str, network: NetworkLoader = load) -> None:
    """Run all steps on latents of zeros: what a photo would be refused for is refused now.

    Args:
        recipe: of any photo.
        generator: the one that it will be applied with.
        model: what messages call it.
        network: names in finishing steps → upscalers and translators.

    Raises:
        BadConfig, BadLatent: made with another generator, or a step that does not fit or needs a direction, style or
            network that is not there. WeightsError, FetchError: a network that cannot be read or is not here.
    """
    ours = fingerprint(generator)
    if recipe.fingerprint not in ("", ours):
        raise BadConfig(
            f"this recipe was made with {recipe.model!r} ({recipe.fingerprint[:12]}), and {model} is another generator "
            f"({ours[:12]})"
        )
    directions = directions_of(ours)

    def direction(name: str) -> Direction:
        return find_direction(name, directions, model=model)

    def style(name: str, wanted: str) -> Style:
        return find_style(name, wanted, parent=ours)

    context = EditContext(generator, direction, style=style)
    ws = torch.zeros(1, generator.num_ws, generator.w_dim, device=generator.device)
    check_part_steps(part_steps_of(recipe), aligned=is_aligned(generator, "auto"))
    for cell in partition_steps(latent_steps_of(recipe)):
        run_steps(cell.steps, ws, context)
    for step in post_steps_of(recipe):
        if step.model != RESAMPLE_ONLY:
            network(step.model)
