"""What a run of a translator shows of itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganvas.images.contact_sheet import grid, make_captioned_grid
from ganvas.training.engine.snapshots import SnapshotWriter
from ganvas.training.losses import l1
from ganvas.training.translator.trainer import OPPOSITE

_SHOWN = 6  # pictures on the sheet, of each domain
_SHEET_PX = 1536  # a sheet is no longer than this: fewer pictures on it


class TranslatorSnapshotWriter(SnapshotWriter):
    """Weights and a sheet of pictures that were held out; of pairs, how far the answers are from the examples."""

    def measure(self) -> dict[str, Any]:
        """See `SnapshotWriter`: L1 of pairs that were held out, in [-1, 1]."""
        trainer = self.trainer
        if trainer.config.pairing != "paired" or trainer.held_out is trainer.dataset:
            return {}
        way, images = trainer.config.direction, trainer.held_out_batch(len(trainer.held_out.rows_a))
        output = trainer.translate(trainer.averaged.net[way], images.source(way))
        return {"l1_kept_back": round(float(l1(output, images.target(way)).mean()), 5)}

    def show(self, name: str) -> None:
        """See `SnapshotWriter`."""
        for way, net in self.trainer.averaged.net.items():
            self.save_network(net, f"snapshots/{name}-{way}", half=True, direction=way)
            self.save_network(net, way, direction=way)
        self.write_fakes(self.sheet(), name)
        model = f"-n {shlex.quote(str(self.folder))}"
        command = f"ganvas translate -i IN -o OUT {model} --direction"
        self.trainer.run.note(next_steps=[[f"Pictures, {way}", f"{command} {way}"] for way in self.trainer.config.ways])

    def sheet(self) -> Tensor:
        """Rows of A | A to B | and back, both ways where both are learnt; of pairs, of question | answer | example."""
        trainer, config = self.trainer, self.trainer.config
        images = trainer.held_out_batch(max(1, min(_SHOWN, _SHEET_PX // config.resolution)))
        nets, columns = trainer.averaged.net, []
        for way in config.ways:
            source, output = images.source(way), trainer.translate(nets[way], images.source(way))
            columns += [(way[0], source), (f"{way[0]} to {way[-1]}", output)]
            if config.pairing == "paired":
                columns.append((way[-1], images.target(way)))
            elif OPPOSITE[way] in nets:
                columns.append(("and back", trainer.translate(nets[OPPOSITE[way]], output)))
        coloured = [img.cpu().expand(-1, 3, -1, -1) for _, img in columns]
        return label_columns(coloured, [name for name, _ in columns])


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
