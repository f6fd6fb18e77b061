"""The log of a run for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas.training.engine.run_folder import number_of


class TensorBoard:
    """Writes the rows of a log as TensorBoard events, into run_dir/tensorboard. Needs the extra [tensorboard].

    Raises:
        MissingExtra: it is not installed.
    """

    def __init__(self, run_dir: Path | str):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            from ganvas.errors import MissingExtra

            raise MissingExtra("TensorBoard events", "tensorboard") from error
        self._writer: Any = SummaryWriter(str(Path(run_dir) / "tensorboard"))

    def write(self, row: Mapping[str, Any]) -> None:
        """All numbers of one row of the log, at its nimg; an event as text."""
        nimg = int(row["nimg"])
        for key, value in row.items():
            number = number_of(value)
            if key not in ("nimg", "kimg") and number is not None and math.isfinite(number):
                self._writer.add_scalar(key, number, nimg)
        if row.get("event"):
            self._writer.add_text("event", str(row["event"]), nimg)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def open_tensorboard(run_dir: Path | str) -> TensorBoard | None:
    """A TensorBoard writer, or None if the extra is not installed."""
    from ganvas.errors import MissingExtra

    try:
        return TensorBoard(run_dir)
    except MissingExtra:
        return None
