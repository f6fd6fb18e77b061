"""What a run of an upscaler shows of itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.datasets.sr_pairs import (
    PhotoDataset,
    bicubic_downscale,
    bicubic_upscale,
    to_multiple,
)
from ganvas.images.contact_sheet import make_captioned_grid
from ganvas.images.tensors import from_pixels, to_pixels
from ganvas.metrics.pixels import sr_psnr_db, sr_ssim
from ganvas.training.engine.plots import plot_log, write_sheet
from ganvas.training.engine.report import write_report
from ganvas.training.engine.tensorboard import open_tensorboard
from ganvas.training.upscaler.trainer import UpscalerTrainer
from ganvas.weights.checkpoint import save

MAX_MEASURED_PX = 512  # of a photo that is kept back, its middle is looked at


_SHOWN = 4  # photos on the sheet


SHEET_CROP_PX = 192  # of each, as large


class UpscalerSnapshotWriter:
    """PSNR and SSIM of the photos that were kept back, a sheet of them, and the weights, whenever it is time.

    Args:
        trainer: of the run.
        photos: to measure with; may be none.
    """

    def __init__(self, trainer: UpscalerTrainer, photos: PhotoDataset):
        self.trainer = trainer
        self.folder: Path | None = trainer.run.folder
        scale = trainer.config.scale
        self.truths = [to_multiple(photos.whole(i), scale, MAX_MEASURED_PX) for i in range(len(photos))]
        self.plain = [bicubic_upscale(bicubic_downscale(truth, scale), scale) for truth in self.truths]
        self.bicubic_metrics = compute_sr_metrics(self.plain, self.truths, scale)
        self._tensorboard = open_tensorboard(self.folder) if self.folder else None

    def write(self, line: Mapping[str, Any]) -> None:
        """A line of the log, for TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.write(line)

    def snapshot(self) -> dict[str, Any]:
        """Weights and a sheet into the folder; PSNR and SSIM for the log.

        Raises:
            OSError, BadConfig: the folder cannot be written.
        """
        trainer, scale = self.trainer, self.trainer.config.scale
        averaged: Any = trainer.averaged.net
        ours = [upscale_pixels(averaged, bicubic_downscale(truth, scale)) for truth in self.truths]
        metrics = compute_sr_metrics(ours, self.truths, scale)
        metrics |= {f"{name}_gain": metrics[name] - self.bicubic_metrics[name] for name in tuple(metrics)}
        if self.folder is not None:
            of = shlex.quote(str(self.folder / "model.safetensors"))
            trainer.run.note(next_steps=[["Larger pictures", f"ganvas upscale -i small.jpg -o large.png -n {of}"]])
            (self.folder / "snapshots").mkdir(exist_ok=True)
            name = f"{round(trainer.nimg / 1000):06d}"
            facts = {"trained_kimg": trainer.nimg / 1000, "trained_on": trainer.run.record.get("data", {})}
            save(averaged, self.folder / "snapshots" / f"{name}.safetensors", half=True, **facts)
            save(averaged, self.folder / "model.safetensors", **facts)
            if trainer.pair.D is not None:
                save(trainer.pair.D, self.folder / "D.safetensors", **facts)
            if ours:
                write_sheet(self._sheet(ours), self.folder / f"fakes-{name}.jpg")
            plot_log(self.folder)
            write_report(self.folder)
        return metrics

    def _sheet(self, ours: list[np.ndarray]) -> Tensor:
        """Rows of low | bicubic | ours | truth, the middles of some photos."""
        scale, rows = self.trainer.config.scale, []
        for truth, plain, our in list(zip(self.truths, self.plain, ours, strict=True))[:_SHOWN]:
            low = bicubic_downscale(truth, scale).repeat(scale, axis=0).repeat(scale, axis=1)
            rows += [_middle(pixels) for pixels in (low, plain, our, truth)]
        names = ["low", "bicubic", "ours", "truth"] + [""] * (len(rows) - 4)
        return make_captioned_grid(torch.cat(rows), names, columns=4)

    def close(self) -> None:
        """The last figures of a run that has ended."""
        if self.folder is not None:
            plot_log(self.folder)
            write_report(self.folder)
        if self._tensorboard is not None:
            self._tensorboard.close()


def _middle(pixels: np.ndarray) -> Tensor:
    """The middle SHOWN_PX square; smaller pictures on grey."""
    canvas = np.full((SHEET_CROP_PX, SHEET_CROP_PX, 3), 128, np.uint8)
    part = to_multiple(pixels, 1, SHEET_CROP_PX)
    canvas[: part.shape[0], : part.shape[1]] = part
    return from_pixels(canvas)


@torch.no_grad()
def upscale_pixels(net: nn.Module, low: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] → what the network makes of it, as pixels."""
    device = next(net.parameters()).device
    return to_pixels(net(from_pixels(low).to(device)).float().cpu())


def compute_sr_metrics(ours: list[np.ndarray], truths: list[np.ndarray], scale: int) -> dict[str, float]:
    """Mean PSNR and SSIM in RGB and PSNR in Y, `scale` pixels left out at each border; nothing for no pictures."""
    rows = []
    for our, truth in zip(ours, truths, strict=True):
        a, b = from_pixels(our), from_pixels(truth)
        rgb = sr_psnr_db(a, b, shave_px=scale), sr_ssim(a, b, shave_px=scale)
        rows.append([float(value) for value in (*rgb, sr_psnr_db(a, b, channels="y", shave_px=scale))])
    if not rows:
        return {}
    return dict(zip(("psnr", "ssim", "psnr_y"), np.mean(rows, axis=0).tolist(), strict=True))
