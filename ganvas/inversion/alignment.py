"""Which square of a photo a generator knows, and where that square lies in its latent space.

Whoever looks for a photo in a generator does it in two calls: `align_crop` chooses the square, `invert_photo` finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    crop: Crop | None = None,
    inversion: Inversion | None = None,
    face: Face | int | None = None,
    finder: FaceFinder | None = None,
) -> tuple[Crop, Face | None]:
    """The square to work on, and the face in it where one is known.

    Args:
        photo: any.
        aligned: True = a face, upright and cut as FFHQ's are; False = the middle square.
        crop: a square of the caller's own, instead of either.
        inversion: one that may know its square; then it is that one.
        face: which face, 1 = the largest; None = the largest; a Face that was found before: none is looked for.
        finder: a FaceFinder to use; None = one with the catalogue's weights.

    Raises:
        NoFace: none in the photo, or no such number.
    """
    if crop is None and inversion is not None and inversion.crop is not None:
        x, y, side, angle_deg = inversion.crop
        crop = Crop(x=x, y=y, side=side, angle_deg=angle_deg)
    if crop is not None:
        return crop, face if isinstance(face, Face) else None
    if aligned:
        chosen = face if isinstance(face, Face) else choose_face(find_faces(photo.img, finder=finder), face)
        return Crop.from_landmarks(chosen.points), chosen
    return Crop(x=photo.width / 2, y=photo.height / 2, side=min(photo.size)), None


def cut_square(photo: Photo, crop: Crop, generator: Any) -> Tensor:
    """A square of a photo at a generator's size and with its channels, [1, img_channels, R, R]."""
    img = crop.cut(photo.img, resolution=generator.img_resolution)
    return img if generator.img_channels == 3 else img.mean(dim=1, keepdim=True)


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
        align, face, finder: see `is_aligned` and `align_crop`.

    Returns:
        [1, img_channels, R, R], and where it lies in the photo.

    Raises:
        NoFace: none in the photo, or no such number. BadImage: the file is no picture.
    """
    photo = photo if isinstance(photo, Photo) else read_image(photo)
    crop, _ = align_crop(photo, aligned=is_aligned(generator, align), face=face, finder=finder)
    return cut_square(photo, crop, generator), crop


def invert_photo(
    photo: Photo,
    generator: Any,
    crop: Crop,
    *,
    effort: str = "standard",
    stages: Sequence[InversionStage] | None = None,
    seed: int = 0,
    extractor: EfficientNetLite0 | None = None,
    max_sec: float | None = None,
    on_step: OnInversionStep | None = None,
) -> Inversion:
    """Find a square of a photo in a generator; the inversion knows which square it is of.

    Args:
        photo: any.
        generator: any that keeps the protocol.
        crop: from `align_crop`.
        effort, stages, seed, extractor, max_sec, on_step: see `ganvas.inversion.optimise.invert`.
    """
    inversion = invert(
        cut_square(photo, crop, generator),
        generator,
        effort=effort,
        stages=stages,
        seed=seed,
        extractor=extractor,
        max_sec=max_sec,
        on_step=on_step,
    )
    return replace(inversion, crop=(crop.x, crop.y, crop.side, crop.angle_deg))


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
        align, face, finder: see `crop_for_generator`.
        effort, seed, extractor, on_step: see `ganvas.inversion.optimise.invert`.

    Raises:
        BadLatent: an inversion that was made with another generator. NoFace, BadImage: see `crop_for_generator`.
    """
    if isinstance(photo, (str, Path)) and Path(photo).suffix.lower() == ".npz":
        inversion = Inversion.load(photo)
        if inversion.fingerprint != fingerprint(generator):
            raise BadLatent(f"{photo} was made with another generator; invert the photo again, with this one")
        return inversion
    photo = photo if isinstance(photo, Photo) else read_image(photo)
    crop, _ = align_crop(photo, aligned=is_aligned(generator, align), face=face, finder=finder)
    return invert_photo(
        photo,
        generator,
        crop,
        effort=effort,
        stages=latent_stages(effort),
        seed=seed,
        extractor=extractor,
        on_step=on_step,
    )
