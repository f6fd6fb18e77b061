"""What a run of an upscaler shows of itself."""

from __future__ import annotations

import shlex
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
from ganvas.metrics.pixels import compute_sr_metrics
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.upscaler.trainer import UpscalerTrainer

MAX_MEASURED_PX = 512  # of a photo that is kept back, its middle is looked at
_SHOWN = 4  # photos on the sheet
SHEET_CROP_PX = 192  # of each, as large


class UpscalerSnapshotWriter(SnapshotWriter):
    """PSNR and SSIM of the photos that were held out, a sheet of them, and the weights.

    Args:
        trainer: of the run.
        photos: to measure with; may be none.
    """

    def __init__(self, trainer: UpscalerTrainer, photos: PhotoDataset):
        super().__init__(trainer)
        scale = trainer.config.scale
        self.truths = [to_multiple(photos.whole(i), scale, MAX_MEASURED_PX) for i in range(len(photos))]
        self.lows = [bicubic_downscale(truth, scale) for truth in self.truths]
        self.plain = [bicubic_upscale(low, scale) for low in self.lows]
        self.bicubic_metrics = compute_sr_metrics(self.plain, self.truths, scale)
        self._ours: list[np.ndarray] = []  # of the latest snapshot

    def measure(self) -> dict[str, Any]:
        """See `SnapshotWriter`."""
        self._ours = [upscale_pixels(self.trainer.averaged.net, low) for low in self.lows]
        metrics = compute_sr_metrics(self._ours, self.truths, self.trainer.config.scale)
        return metrics | {f"{name}_gain": value - self.bicubic_metrics[name] for name, value in metrics.items()}

    def show(self, name: str) -> None:
        """See `SnapshotWriter`."""
        trainer = self.trainer
        assert self.folder is not None
        self.save_network(trainer.averaged.net, f"snapshots/{name}", half=True)
        self.save_network(trainer.averaged.net, "model")
        if trainer.D is not None:
            self.save_network(trainer.D, "D")
        if self._ours:
            self.write_fakes(self._sheet(), name)
        model = shlex.quote(str(self.folder / "model.safetensors"))
        trainer.run.note(next_steps=[["Larger pictures", f"ganvas upscale -i small.jpg -o large.png -n {model}"]])

    def _sheet(self) -> Tensor:
        """Rows of low | bicubic | ours | truth, the middles of some photos."""
        scale, rows = self.trainer.config.scale, []
        for low, *others in list(zip(self.lows, self.plain, self._ours, self.truths, strict=True))[:_SHOWN]:
            low = low.repeat(scale, axis=0).repeat(scale, axis=1)
            rows += [_middle(pixels) for pixels in (low, *others)]
        names = ["low", "bicubic", "ours", "truth"] + [""] * (len(rows) - 4)
        return make_captioned_grid(torch.cat(rows), names, columns=4)


def _middle(pixels: np.ndarray) -> Tensor:
    """The middle square of SHEET_CROP_PX; smaller pictures on grey."""
    canvas = np.full((SHEET_CROP_PX, SHEET_CROP_PX, 3), 128, np.uint8)
    part = to_multiple(pixels, 1, SHEET_CROP_PX)
    canvas[: part.shape[0], : part.shape[1]] = part
    return from_pixels(canvas)


@torch.no_grad()
def upscale_pixels(net: nn.Module, low: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] → what the network makes of it, as pixels."""
    device = next(net.parameters()).device
    return to_pixels(net(from_pixels(low).to(device)).float().cpu())
