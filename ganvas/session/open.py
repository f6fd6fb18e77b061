"""Open a session: on a photo, or on a picture from a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.editing.direction_files import directions_of
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadLatent
from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet_if_available
from ganvas.features.faces import FaceFinder
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop, is_aligned
from ganvas.inversion.loss import to_rgb
from ganvas.inversion.optimise import OnInversionStep, invert
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.session.session import SeedSession, Session
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load


def open_session(
    photo: Photo | Path | str,
    *,
    model: Any = "faces",
    effort: str = "standard",
    face: int | None = None,
    align: str = "auto",
    inversion: Inversion | Path | str | None = None,
    seed: int = 0,
    max_sec: float | None = None,
    on_step: OnInversionStep | None = None,
    finder: FaceFinder | None = None,
    extractor: EfficientNetLite0 | None = None,
) -> Session:
    """Put a photo on the bench.

    Args:
        photo: a Photo, or a file.
        model: a catalogue name, the path of a weights file, or a loaded generator.
        effort: "fast", "standard" or "best": how long the photo is searched for in the generator.
        face: which face, 1 = the largest; None = the largest.
        align: "faces" cuts a face as FFHQ's are, "centre" the middle square of the photo, "auto" chooses by the model.
        inversion: one that was found before for this photo and face, or its file: nothing is searched then.
        seed: of the inversion.
        max_sec: stop the search after this long and go on with what was found.
        on_step: called with (step, steps in all, picture so far); returning True stops the search.
        finder: a FaceFinder to use; None = one with the catalogue's weights.
        extractor: EfficientNet-Lite0; None = the catalogue's, where it is on this computer.

    Raises:
        NoFace: none in the photo, or no such number.
        BadImage, BadConfig, BadLatent, WeightsError, FetchError: what is handed in does not fit or is not here.
    """
    photo = photo if isinstance(photo, Photo) else read_image(photo)
    generator = load(model) if isinstance(model, (str, Path)) else model
    aligned = is_aligned(generator, align)
    source_inversion = Inversion.load(inversion) if isinstance(inversion, (str, Path)) else inversion
    crop, detected_face = align_crop(photo, aligned=aligned, inversion=source_inversion, face=face, finder=finder)
    extractor = load_efficientnet_if_available() if extractor is None else extractor
    size = generator.img_resolution
    if source_inversion is None:
        target = crop.cut(photo.img, resolution=size)
        target = target if generator.img_channels == 3 else target.mean(dim=1, keepdim=True)
        source_inversion = invert(
            target, generator, effort=effort, seed=seed, extractor=extractor, max_sec=max_sec, on_step=on_step
        )
        source_inversion = replace(source_inversion, crop=(crop.x, crop.y, crop.side, crop.angle_deg))
    name = fingerprint(generator)
    if source_inversion.fingerprint != name:
        raise BadLatent("this inversion was made with another generator; search again, without it")
    recipe = Recipe(
        model=str(model) if isinstance(model, (str, Path)) else generator.family,
        fingerprint=name,
        source=source_inversion.source,
        face=face,
        effort=effort,
        seed=seed,
    )
    session = Session(photo, generator, crop, source_inversion, recipe, directions_of(name), aligned=aligned)
    session.extractor, session.face = extractor, detected_face
    return session


def open_seed(
    seed: int,
    *,
    model: Any = "faces",
    name: str | None = None,
    c: Tensor | None = None,
    truncation_psi: float = 0.7,
) -> SeedSession:
    """Put a picture from a seed on the bench, instead of a photo.

    Args:
        seed: as everybody's galleries mean it.
        model: a catalogue name, the path of a weights file, or a loaded generator.
        name: what the recipe calls the model; None = as it was given.
        c: [1, c_dim], the label for a conditional generator.
        truncation_psi: 1 = as learnt, toward 0 = nearer to the mean picture.

    Raises:
        BadConfig: a seed that is none. WeightsError, FetchError: the model cannot be read, or is not here.
    """
    generator = load(model) if isinstance(model, (str, Path)) else model
    size = generator.img_resolution
    with torch.no_grad():
        z = latents_from_seeds([seed], generator.z_dim, device=generator.device)
        ws = generator.mapping(z, c, truncation_psi=truncation_psi)
        img = to_rgb(generator.synthesis(ws).clamp(-1, 1)).cpu()
    label = fingerprint(generator)
    crop = Crop(x=size / 2, y=size / 2, side=size)
    recipe = Recipe(
        model=name or (str(model) if isinstance(model, (str, Path)) else generator.family),
        fingerprint=label,
        seed=seed,
        truncation_psi=truncation_psi,
    )
    inversion = Inversion(ws=ws, fingerprint=label, crop=(crop.x, crop.y, crop.side, 0.0), seed=seed)
    return SeedSession(
        Photo(img=img), generator, crop, inversion, recipe, directions_of(label), aligned=is_aligned(generator, "auto")
    )
