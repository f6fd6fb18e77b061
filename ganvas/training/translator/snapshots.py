"""What a run of a translator shows of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganvas.images.contact_sheet import grid, make_captioned_grid
from ganvas.training.engine.plots import plot_log, write_sheet
from ganvas.training.engine.report import write_report
from ganvas.training.engine.tensorboard import open_tensorboard
from ganvas.training.losses import l1
from ganvas.training.translator.trainer import OPPOSITE, TranslatorTrainer
from ganvas.weights.checkpoint import save

_SHOWN = 6  # pictures on the sheet, of each domain


_SHEET_PX = 1536  # a sheet is no longer than this: fewer pictures on it


class TranslatorSnapshotWriter:
    """Weights and a sheet of pictures that were kept back, whenever it is time; nothing for a run without a folder."""

    def __init__(self, trainer: TranslatorTrainer):
        self.trainer, self.folder = trainer, trainer.run.folder
        self._tensorboard = open_tensorboard(self.folder) if self.folder else None

    def write(self, line: Mapping[str, Any]) -> None:
        """A line of the log, for TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.write(line)

    def snapshot(self) -> dict[str, Any]:
        """Weights and a sheet into the folder; of pairs, how far the answers are from the examples, for the log.

        Raises:
            OSError, BadConfig: the folder cannot be written.
        """
        trainer = self.trainer
        if self.folder is not None:
            (self.folder / "snapshots").mkdir(exist_ok=True)
            name = f"{round(trainer.nimg / 1000):06d}"
            facts = {"trained_kimg": trainer.nimg / 1000, "trained_on": trainer.run.record.get("data", {})}
            for way, net in trainer.translators.items():
                save(net, self.folder / "snapshots" / f"{name}-{way}.safetensors", half=True, direction=way, **facts)
                save(net, self.folder / f"{way}.safetensors", direction=way, **facts)
            write_sheet(self.sheet(), self.folder / f"fakes-{name}.jpg")
            trainer.run.note(next_steps=self._next_steps())
            self._draw()
        return self._measure()

    def close(self) -> None:
        """The last figures of a run that has ended."""
        if self.folder is not None:
            self._draw()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _draw(self) -> None:
        assert self.folder is not None
        plot_log(self.folder)
        write_report(self.folder)

    def _measure(self) -> dict[str, Any]:
        """L1 of pairs that were kept back, in [-1, 1]."""
        trainer = self.trainer
        if trainer.config.pairing != "paired" or trainer.kept is trainer.domains:
            return {}
        way, images = trainer.config.direction, trainer.held_out_batch(len(trainer.kept.rows_a))
        output = trainer.translate(trainer.translators[way], images.source(way))
        return {"l1_kept_back": round(float(l1(output, images.target(way)).mean()), 5)}

    def sheet(self) -> Tensor:
        """Rows of A | A to B | and back | B | B to A | and back; of pairs, of question | answer | example."""
        trainer, config = self.trainer, self.trainer.config
        images = trainer.held_out_batch(max(1, min(_SHOWN, _SHEET_PX // config.resolution)))
        nets, columns = trainer.translators, []
        for way in config.ways:
            source, output = images.source(way), trainer.translate(nets[way], images.source(way))
            columns += [(way[0], source), (f"{way[0]} to {way[-1]}", output)]
            if config.pairing == "paired":
                columns.append((way[-1], images.target(way)))
            else:
                columns.append(("and back", trainer.translate(nets[OPPOSITE[way]], output)))
        return label_columns([img.cpu() for _, img in columns], [name for name, _ in columns])

    def _next_steps(self) -> list[list[str]]:
        import shlex

        of = f"-n {shlex.quote(str(self.folder))}"
        return [
            [f"Pictures, {way}", f"ganvas translate -i IN -o OUT {of} --direction {way}"]
            for way in self.trainer.config.ways
        ]


def label_columns(columns: Sequence[Tensor], names: Sequence[str]) -> Tensor:
    """Pictures side by side, a column each, with the columns' names below: [1, 3, H, W]."""
    rows = min(len(img) for img in columns)
    last = make_captioned_grid(torch.stack([img[rows - 1] for img in columns]), names, columns=len(columns))
    if rows == 1:
        return last
    gap_px = (last.shape[3] - sum(img.shape[3] for img in columns)) // max(len(columns) - 1, 1)
    above = grid(
        torch.stack([img[row] for row in range(rows - 1) for img in columns]), columns=len(columns), gap_px=gap_px
    )
    return torch.cat([above, above.new_ones(1, 3, gap_px, above.shape[3]), last], dim=2)
