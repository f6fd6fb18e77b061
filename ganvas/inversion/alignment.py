"""Which square of a photo a generator knows, and where that square lies in its latent space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ganvas.errors import BadLatent
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.faces import Face, FaceFinder, choose_face, find_faces
from ganvas.fields import check_known
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.optimise import EFFORT_STAGES, InversionStage, OnInversionStep, invert
from ganvas.inversion.result import Inversion
from ganvas.models.protocol import paints_faces
from ganvas.weights.checkpoint import fingerprint

ALIGNS = ("auto", "centre", "faces")


def is_aligned(generator: Any, align: str) -> bool:
    """Does this generator want faces cut as FFHQ's are? "auto" = where it is known for them.

    Raises:
        BadConfig: another word than "auto", "centre" or "faces".
    """
    check_known(align, ALIGNS, what="align")
    return align == "faces" or (align == "auto" and paints_faces(generator.family, generator.facts))


def align_crop(
    photo: Photo,
    *,
    aligned: bool,
    inversion: Inversion | None = None,
    face: int | None = None,
    finder: FaceFinder | None = None,
) -> tuple[Crop, Face | None]:
    """The square to work on, and the face in it where one was looked for.

    Args:
        photo: any.
        aligned: True = a face, upright and cut as FFHQ's are; False = the middle square.
        inversion: an inversion that knows its square.
        face: which face, 1 = the largest; None = the largest.
        finder: a FaceFinder to use; None = one with the catalogue's weights.

    Raises:
        NoFace: none in the photo, or no such number.
    """
    if inversion is not None and inversion.crop is not None:
        x, y, side, angle_deg = inversion.crop
        return Crop(x=x, y=y, side=side, angle_deg=angle_deg), None
    if aligned:
        chosen = choose_face(find_faces(photo.img, finder=finder), face)
        return Crop.from_landmarks(chosen.points), chosen
    return Crop(x=photo.width / 2, y=photo.height / 2, side=min(photo.size)), None


def crop_for_generator(
    photo: Photo | Path | str,
    generator: Any,
    *,
    align: str = "auto",
    face: int | None = None,
    finder: FaceFinder | None = None,
) -> tuple[Tensor, Crop]:
    """The square of a photo as the generator's training pictures were framed, at its size and with its channels.

    Args:
        photo: a Photo, or a file.
        generator: any that keeps the protocol.
        align, face, finder: see `align_crop`.

    Returns:
        [1, img_channels, R, R], and where it lies in the photo.

    Raises:
        NoFace: none in the photo, or no such number. BadImage: the file is no picture.
    """
    photo = photo if isinstance(photo, Photo) else read_image(photo)
    crop, _ = align_crop(photo, aligned=is_aligned(generator, align), face=face, finder=finder)
    img = crop.cut(photo.img, resolution=generator.img_resolution)
    return img if generator.img_channels == 3 else img.mean(dim=1, keepdim=True), crop


def latent_stages(effort: str = "standard") -> tuple[InversionStage, ...]:
    """The stages of an effort that search a latent, without those that tune the generator."""
    check_known(effort, EFFORT_STAGES, what="effort")
    return tuple(stage for stage in EFFORT_STAGES[effort] if stage.kind != "tune")


def find_reference(
    photo: Photo | Path | str,
    generator: Any,
    *,
    align: str = "auto",
    face: int | None = None,
    effort: str = "standard",
    seed: int = 0,
    extractor: EfficientNetLite0 | None = None,
    finder: FaceFinder | None = None,
    on_step: OnInversionStep | None = None,
) -> Inversion:
    """Where a picture lies in latent space, without tuning: all that mixing needs, in a third of the time.

    Args:
        photo: a Photo or a file; a .npz that `Inversion.save` wrote is taken as it is.
        generator: any that keeps the protocol.
        align, face, finder: see `align_crop`.
        effort, seed, extractor, on_step: see `ganvas.inversion.optimise.invert`.

    Raises:
        BadLatent: an inversion that was made with another generator. NoFace, BadImage: see `crop_for_generator`.
    """
    if isinstance(photo, (str, Path)) and Path(photo).suffix.lower() == ".npz":
        inversion = Inversion.load(photo)
        if inversion.fingerprint != fingerprint(generator):
            raise BadLatent(f"{photo} was made with another generator; invert the photo again, with this one")
        return inversion
    img, crop = crop_for_generator(photo, generator, align=align, face=face, finder=finder)
    inversion = invert(
        img, generator, stages=latent_stages(effort), effort=effort, seed=seed, extractor=extractor, on_step=on_step
    )
    return replace(inversion, crop=(crop.x, crop.y, crop.side, crop.angle_deg))
