"""How faithfully the photos of a folder are found in a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.errors import BadInput
from ganvas.evaluation.folder_figures import FolderFigures, OnFolderStep, join_strip, measure_folder
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.images.files import read_image
from ganvas.images.walk import is_image_name, walk_files
from ganvas.inversion.alignment import align_crop, cut_square, invert_photo, is_aligned
from ganvas.inversion.loss import to_rgb
from ganvas.inversion.pivotal import with_delta
from ganvas.models.protocol import paints_faces
from ganvas.weights.checkpoint import fingerprint

SMILES_FROM = 0.5  # of the face scorer: above, a face smiles


def measure_inversions(
    folder: Path,
    generator: Any,
    *,
    effort: str = "standard",
    align: str = "auto",
    seed: int = 0,
    max_sec: float | None = None,
    extractor: EfficientNetLite0 | None = None,
    on_step: OnFolderStep | None = None,
) -> FolderFigures:
    """Find every photo of a folder; figures are those of `Inversion.figures`, and whether the expression is right.

    Args:
        folder: of photos.
        generator: any.
        effort, align, seed, max_sec: see `ganvas.session.open.open_session`.
        extractor: for the feature distance; None = it is left out.

    Raises:
        BadInput: no photo could be measured.
    """
    aligned = is_aligned(generator, align)

    @torch.no_grad()
    def measure(file: Path) -> tuple[dict[str, Any], Tensor]:
        photo = read_image(file)
        crop, _ = align_crop(photo, aligned=aligned)
        with torch.enable_grad():
            inversion = invert_photo(
                photo, generator, crop, effort=effort, seed=seed, extractor=extractor, max_sec=max_sec
            )
        tuned = with_delta(generator, inversion.delta).synthesis(inversion.ws)
        latent = generator.synthesis(inversion.ws)
        strip = join_strip(to_rgb(img) for img in (cut_square(photo, crop, generator), latent, tuned))
        return dict(inversion.figures) | judge_expression(inversion.figures), strip

    protocol = {"model": fingerprint(generator)[:8], "effort": effort, "framing": "faces" if aligned else "centre"}
    if max_sec is not None:
        protocol["seconds"] = f"{max_sec:g}"
    worst_by = "identity_distance" if paints_faces(generator.family, generator.facts) else "psnr_db"
    return measure_folder(
        "inversion",
        {name: folder / name for name in list_photos(folder)},
        measure,
        worst_by=worst_by,
        shows="photo, untuned latent, found picture",
        protocol=protocol | {"seed": seed},
        on_step=on_step,
    )


def judge_expression(figures: dict[str, float]) -> dict[str, float]:
    """{"expression_right": 1 where photo and untuned latent smile both, or both do not}; nothing without a face."""
    if "latent_smile" not in figures:
        return {}
    smiles = [figures[name] > SMILES_FROM for name in ("photo_smile", "latent_smile")]
    return {"expression_right": float(smiles[0] == smiles[1])}


def list_photos(folder: Path) -> list[str]:
    """The image files below a folder, by name.

    Raises:
        BadInput: it is no folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder of photos")
    return sorted(name for name, _ in walk_files(folder) if is_image_name(name))
