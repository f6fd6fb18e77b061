"""What edits did to the photos of a folder: is it the same person, is the face whole, is the rest untouched?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BadImage, BadInput
from ganvas.evaluation.folder_figures import FolderFigures, OnFolderStep, join_strip, measure_folder
from ganvas.evaluation.inversions import list_photos
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.faces import FaceFinder
from ganvas.features.identity import identity_distance
from ganvas.features.naturalness import CRITIC_PX, score_naturalness
from ganvas.fields import check_known
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.inversion.alignment import align_crop

ONE_LEVEL = 2 / 255  # of img; a smaller difference is that of writing a file
EditPair = Callable[[], tuple[Photo, Photo]]  # the photo and its edit, read or made when it is their turn


def pair_edits(originals: Path, edited: Path) -> tuple[dict[str, EditPair], dict[str, str]]:
    """Photos of a folder and their edits in another, paired by name without suffix; and photos that have none.

    Raises:
        BadInput: no folder, or not one pair.
    """
    results = {str(PurePath(name).with_suffix("")): edited / name for name in list_photos(edited)}
    pairs: dict[str, EditPair] = {}
    missing: dict[str, str] = {}
    for name in list_photos(originals):
        result = results.get(str(PurePath(name).with_suffix("")))
        if result is None:
            missing[name] = f"{edited} holds no edit of that name"
        else:
            pairs[name] = _reader(originals / name, result)
    if not pairs:
        raise BadInput(f"no file of {edited} is named as one of {originals}: an edit has its photo's name")
    return pairs, missing


def _reader(photo: Path, result: Path) -> EditPair:
    return lambda: (read_image(photo), read_image(result))


def measure_edits(
    pairs: Mapping[str, EditPair],
    *,
    protocol: Mapping[str, Any] | None = None,
    missing: Mapping[str, str] | None = None,
    align: str = "faces",
    extractor: EfficientNetLite0 | None = None,
    on_step: OnFolderStep | None = None,
) -> FolderFigures:
    """Compare photos with their edits.

    Args:
        pairs: file → the photo and its edit, of one size; see `pair_edits`.
        protocol: how the edits were made, where that is known.
        missing: files that are known to have no edit.
        align: "faces" = the largest face of each photo; "centre" = photos that are framed as FFHQ's are already.
        extractor: for the critic; None = it is left out.

    Returns:
        identity_distance; critic (below 0 the face looks broken) and critic_lost; outside_changed, the share of pixels
        beyond the square of the face that moved by more than a level of 255, and outside_levels, the largest move;
        inside_levels, the mean move within.

    Raises:
        BadInput: not one pair could be measured.
    """
    check_known(align, ("faces", "centre"), what="align")
    finder = FaceFinder() if align == "faces" else None

    @torch.no_grad()
    def measure(pair: EditPair) -> tuple[dict[str, Any], Tensor]:
        with torch.enable_grad():  # by a recipe the photo is searched for here
            photo, edit = pair()
        if photo.size != edit.size:
            raise BadImage(f"the photo has {photo.size} pixels, its edit {edit.size}: they are compared pixel by pixel")
        crop, _ = align_crop(photo, aligned=align == "faces", finder=finder)
        before, after = (crop.cut(each.img, resolution=CRITIC_PX) for each in (photo, edit))
        figures = {"identity_distance": float(identity_distance(before, after)), **compare_outside(photo, edit, crop)}
        if extractor is not None:
            old, new = score_naturalness(extractor.features(torch.cat([before, after]))).tolist()
            figures |= {"critic": new, "critic_lost": old - new}
        return figures, join_strip([before, after])

    facts = {"framing": align, "critic": "none" if extractor is None else f"{CRITIC_PX} px", **(protocol or {})}
    return measure_folder(
        "edits",
        pairs,
        measure,
        worst_by="identity_distance",
        shows="photo, edit",
        protocol=facts,
        failed=missing,
        on_step=on_step,
    )


def compare_outside(photo: Photo, edit: Photo, crop: Crop) -> dict[str, float]:
    """How far pixels moved beyond a square of the photo, and within it, in levels of 255."""
    moved = (photo.img - edit.img).abs().amax(dim=1)[0] / ONE_LEVEL  # [H, W]
    outside = ~cover(crop, photo)
    beyond = moved[outside]
    return {
        "outside_changed": float((beyond > 1).float().mean()) if len(beyond) else 0.0,
        "outside_levels": float(beyond.max()) if len(beyond) else 0.0,
        "inside_levels": float(moved[~outside].mean()),
    }


def cover(crop: Crop, photo: Photo) -> Tensor:
    """bool [H, W]: the photo's pixels that a square reaches."""
    window = crop.window(width=photo.width, height=photo.height)
    inside = torch.zeros(1, 1, photo.height, photo.width)
    window.crop(inside).copy_(crop.coverage(window))
    return inside[0, 0] > 0
