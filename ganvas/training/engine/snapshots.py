"""What a run shows of itself: weights, sheets, curves, TensorBoard events and a report, in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from ganvas.models.protocol import Network
from ganvas.training.engine.plots import plot_log, write_sheet
from ganvas.training.engine.report import write_report
from ganvas.training.engine.tensorboard import open_tensorboard
from ganvas.training.engine.trainer import Trainer
from ganvas.weights.checkpoint import save, write_atomically


class SnapshotWriter:
    """Writes into the run's folder whenever it is time. A subclass says what is measured and what is shown.

    A run without a folder, and all but the leading process of several, only measures.
    """

    def __init__(self, trainer: Trainer):
        self.trainer: Any = trainer
        self.folder: Path | None = trainer.run.folder if trainer.world.is_main else None
        self._tensorboard = open_tensorboard(self.folder) if self.folder else None

    def write(self, line: Mapping[str, Any]) -> None:
        """A line of the log, for TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.write(line)

    def snapshot(self, *, report: bool = True) -> dict[str, Any]:
        """Measure, and show how far the run is. Returns what belongs into the log.

        Args:
            report: draw curves and report as well; the last snapshot leaves them to `close`.

        Raises:
            OSError, BadConfig: the folder cannot be written.
        """
        metrics = self.measure()
        if self.folder is not None:
            (self.folder / "snapshots").mkdir(exist_ok=True)
            self.show(f"{round(self.trainer.nimg / 1000):06d}")
            if report:
                self._report()
        return metrics

    def close(self) -> None:
        """The last curves and report of a run that has ended."""
        if self.folder is not None:
            self._report()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def measure(self) -> dict[str, Any]:
        """Metrics of the averaged network for the log."""
        return {}

    def show(self, name: str) -> None:
        """Write weights and pictures; `name` is that of this snapshot."""
        raise NotImplementedError

    def save_network(self, net: nn.Module, stem: str, *, half: bool = False, **facts: Any) -> None:
        """FOLDER/STEM.safetensors: a family of ours with its card, anybody's module as plain weights."""
        assert self.folder is not None
        path = self.folder / f"{stem}.safetensors"
        if isinstance(net, Network):
            trained = {"trained_kimg": self.trainer.nimg / 1000, "trained_on": self.trainer.run.record.get("data", {})}
            save(net, path, half=half, **trained, **facts)
            return
        tensors = {key: value.detach().cpu().contiguous().clone() for key, value in net.state_dict().items()}
        write_atomically(path, lambda temporary: save_file(tensors, temporary, {"format": "pt"}))

    def write_fakes(self, img: Tensor, name: str) -> None:
        """A sheet of what the network makes."""
        assert self.folder is not None
        write_sheet(img, self.folder / f"fakes-{name}.jpg")

    def _report(self) -> None:
        assert self.folder is not None
        plot_log(self.folder)
        write_report(self.folder)
