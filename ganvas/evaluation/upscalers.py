"""How near an upscaler comes to the truth: photos of a folder made smaller by us, enlarged again and compared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.degrade import DegradeConfig, degrade
from ganvas.datasets.sr_pairs import bicubic_downscale, bicubic_upscale, open_photo_dataset, to_multiple
from ganvas.errors import BadConfig
from ganvas.evaluation.folder_figures import SHOWN_PX, FolderFigures, OnFolderStep, join_strip, measure_folder
from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.fields import check_known
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels, to_pixels
from ganvas.metrics.pixels import compute_sr_metrics
from ganvas.upscaling.upscale import upscale
from ganvas.weights.checkpoint import fingerprint

DEGRADATIONS = ("bicubic", "real")
SMALLEST_LOW_PX = 16


def measure_upscaler(
    folder: Path,
    net: Any,
    *,
    degradation: str = "bicubic",
    largest_px: int = 1024,
    precision: str = "exact",
    seed: int = 0,
    extractor: EfficientNetLite0 | None = None,
    on_step: OnFolderStep | None = None,
) -> FolderFigures:
    """Compare what an upscaler makes of small pictures with the photos that they were made of.

    Args:
        folder: of sharp photos, or a .zip.
        net: an upscaler, run as `ganvas upscale` runs it.
        degradation: "bicubic" = as papers make pictures small; "real" = blurred, noisy and compressed, as Real-ESRGAN's
            training pictures are (a shift of half a pixel or so is part of it, and PSNR and SSIM then say little).
        largest_px: of a photo, at most its middle of this size.
        seed: of "real".
        extractor: for the feature distance; None = it is left out.

    Returns:
        psnr_db, ssim, luma_psnr_db, with `scale` pixels left out at each border as in papers; psnr_gain_db over
        bicubic; feature_distance; sec_per_megapixel of the result.

    Raises:
        BadConfig: an unknown degradation, or a network that does not enlarge. BadInput: no usable photo.
    """
    check_known(degradation, DEGRADATIONS, what="degradation")
    scale = int(net.scale)
    if scale < 2:
        raise BadConfig(f"this network enlarges {scale} times: there is nothing to compare")
    photos = open_photo_dataset(folder, smallest_px=SMALLEST_LOW_PX * scale)

    @torch.no_grad()
    def measure(index: int) -> tuple[dict[str, Any], Tensor]:
        truth = to_multiple(photos.whole(index), scale, largest_px)
        low = _shrink(truth, scale, degradation, seed + index)
        started = time.perf_counter()
        ours = to_pixels(upscale(Photo(img=from_pixels(low)), model=net, precision=precision).img)
        seconds = time.perf_counter() - started
        plain = bicubic_upscale(low, scale)
        figures = compute_sr_metrics([ours], [truth], scale)
        gain = figures["psnr"] - compute_sr_metrics([plain], [truth], scale)["psnr"]
        row = {"psnr_db": figures["psnr"], "ssim": figures["ssim"], "luma_psnr_db": figures["psnr_y"]}
        row |= {"psnr_gain_db": gain, "sec_per_megapixel": seconds / (truth.shape[0] * truth.shape[1] / 1e6)}
        if extractor is not None:
            maps = [extractor.features(from_pixels(pixels)) for pixels in (ours, truth)]
            row["feature_distance"] = float(feature_distance(*maps))
        return row, _strip(low, plain, ours, truth, scale)

    protocol = {
        "model": fingerprint(net)[:8],
        "scale": scale,
        "degradation": degradation,
        "largest": f"{largest_px} px",
    }
    return measure_folder(
        "upscaler",
        {name: index for index, name in enumerate(photos.names)},
        measure,
        worst_by="psnr_db",
        shows="middle of the small picture, bicubic, ours, the photo",
        protocol=protocol | {"precision": precision, "seed": seed},
        failed=dict(photos.skipped),
        on_step=on_step,
    )


def _shrink(truth: np.ndarray, scale: int, degradation: str, seed: int) -> np.ndarray:
    if degradation == "bicubic":
        return bicubic_downscale(truth, scale)
    rng = np.random.default_rng(seed)
    return to_pixels(degrade(from_pixels(truth), scale=scale, rng=rng, config=DegradeConfig()))


def _strip(low: np.ndarray, plain: np.ndarray, ours: np.ndarray, truth: np.ndarray, scale: int) -> Tensor:
    """The middles of the small picture, of bicubic, ours and the truth."""
    low = low.repeat(scale, axis=0).repeat(scale, axis=1)
    side = min(SHOWN_PX, *truth.shape[:2])
    return join_strip(from_pixels(to_multiple(pixels, side, side)) for pixels in (low, plain, ours, truth))
