"""Open a session: on a photo, or on a picture from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.editing.direction_files import directions_of
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadLatent
from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet_if_available
from ganvas.features.faces import Face, FaceFinder
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop, invert_photo, is_aligned
from ganvas.inversion.loss import to_rgb
from ganvas.inversion.optimise import OnInversionStep
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.session.finishing import NetworkLoader
from ganvas.session.renderer import Renderer, SeedRenderer
from ganvas.session.session import Session
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load


def open_session(
    photo: Photo | Path | str,
    *,
    model: Any = "faces",
    name: str | None = None,
    effort: str = "standard",
    face: Face | int | None = None,
    crop: Crop | None = None,
    align: str = "auto",
    inversion: Inversion | Path | str | None = None,
    seed: int = 0,
    max_sec: float | None = None,
    on_crop: Callable[[Photo, Crop], Any] | None = None,
    on_step: OnInversionStep | None = None,
    finder: FaceFinder | None = None,
    extractor: EfficientNetLite0 | None = None,
    network: NetworkLoader = load,
) -> Session:
    """Open a photo to edit it.

    Args:
        photo: a Photo, or a file.
        model: a catalogue name, the path of a weights file, or a loaded generator.
        name: what the recipe calls the model; None = as it was given.
        effort: "fast", "standard" or "best": how long the photo is searched for in the generator.
        face: which face, 1 = the largest; None = the largest; a Face that was found before: none is looked for.
        crop: a square of the caller's own instead; no face is looked for.
        align: "faces" cuts a face as FFHQ's are, "centre" the middle square of the photo, "auto" chooses by the model.
        inversion: one that was found before for this photo and face, or its file: nothing is searched then.
        seed: of the inversion.
        max_sec: stop the search after this long and use what was found.
        on_crop: called before the search with the photo and the square that the model will see; may raise.
        on_step: called with (step, steps in all, picture so far); returning True stops the search.
        finder: a FaceFinder to use; None = one with the catalogue's weights.
        extractor: EfficientNet-Lite0; None = the catalogue's, where it is on this computer.
        network: names in finishing steps → upscalers and translators.

    Raises:
        NoFace: no face in the photo, or no such face number. BadImage, BadConfig, BadLatent, WeightsError, FetchError:
        invalid or missing input.
    """
    photo = photo if isinstance(photo, Photo) else read_image(photo)
    generator = load(model) if isinstance(model, (str, Path)) else model
    aligned = is_aligned(generator, align)
    inversion = Inversion.load(inversion) if isinstance(inversion, (str, Path)) else inversion
    crop, chosen = align_crop(photo, aligned=aligned, crop=crop, inversion=inversion, face=face, finder=finder)
    if on_crop is not None:
        on_crop(photo, crop)
    extractor = load_efficientnet_if_available() if extractor is None else extractor
    if inversion is None:
        inversion = invert_photo(
            photo, generator, crop, effort=effort, seed=seed, extractor=extractor, max_sec=max_sec, on_step=on_step
        )
    if inversion.fingerprint != fingerprint(generator):
        raise BadLatent("this inversion was made with another generator; invert again, without it")
    recipe = Recipe(
        model=name or _name_of(model),
        fingerprint=inversion.fingerprint,
        source=inversion.source,
        face=face.number if isinstance(face, Face) else face,
        effort=effort,
        seed=seed,
    )
    renderer = Renderer(
        photo,
        generator,
        crop,
        inversion,
        directions=directions_of(inversion.fingerprint),
        model=recipe.model,
        extractor=extractor,
        network=network,
        aligned=aligned,
    )
    return Session(renderer, recipe, aligned=aligned, face=chosen)


def open_seed(
    seed: int,
    *,
    model: Any = "faces",
    name: str | None = None,
    c: Tensor | None = None,
    truncation_psi: float = 0.7,
    network: NetworkLoader = load,
) -> Session:
    """Open a picture from a seed, instead of a photo.

    Args:
        seed: as everybody's galleries mean it.
        model: a catalogue name, the path of a weights file, or a loaded generator.
        name: what the recipe calls the model; None = as it was given.
        c: [1, c_dim], the label for a conditional generator.
        truncation_psi: 1 = as learnt, toward 0 = nearer to the mean picture.
        network: names in finishing steps → upscalers and translators.

    Raises:
        BadConfig: invalid seed. WeightsError, FetchError: the model cannot be read, or is not here.
    """
    generator = load(model) if isinstance(model, (str, Path)) else model
    size = generator.img_resolution
    with torch.no_grad():
        z = latents_from_seeds([seed], generator.z_dim, device=generator.device)
        ws = generator.mapping(z, c, truncation_psi=truncation_psi)
        img = to_rgb(generator.synthesis(ws).clamp(-1, 1)).cpu()
    label, aligned = fingerprint(generator), is_aligned(generator, "auto")
    crop = Crop(x=size / 2, y=size / 2, side=size)
    inversion = Inversion(ws=ws, fingerprint=label, crop=(crop.x, crop.y, crop.side, 0.0), seed=seed)
    recipe = Recipe(model=name or _name_of(model), fingerprint=label, seed=seed, truncation_psi=truncation_psi)
    renderer = SeedRenderer(
        Photo(img=img),
        generator,
        crop,
        inversion,
        directions=directions_of(label),
        model=recipe.model,
        network=network,
        aligned=aligned,
    )
    return Session(renderer, recipe, aligned=aligned)


def _name_of(model: Any) -> str:
    """What a recipe calls a model that was given so."""
    return str(model) if isinstance(model, (str, Path)) else str(model.family)
