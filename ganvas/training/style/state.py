"""What a killed teaching of a style leaves on the disk, so that the same call goes on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, BrokenWeights
from ganvas.training.engine.state import read_state, write_state

STATE_EVERY_SEC = 20.0  # between two saves


class StyleStateFile:
    """The file in which a teaching is kept until its style is saved.

    Args:
        path: of the file; None = nothing is kept.
        request: all that decides the result, as plain values: a file of another request is not taken up.
    """

    def __init__(self, path: Path | None, request: Mapping[str, Any]):
        self.path, self.request = path, dict(request)
        self._saved_sec = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """What an earlier call of the same request has left; None = nothing. What is of no use is warned of."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state = read_state(self.path)
        except BrokenWeights as error:
            warnings.warn(f"starting anew: {error}", stacklevel=2)
            return None
        before = state["request"]
        changed = [name for name, value in self.request.items() if before.get(name) != value]
        if changed:
            warnings.warn(f"starting anew: the teaching in {self.path} had other {', '.join(changed)}", stacklevel=2)
        return None if changed else state

    def write(self, state: Callable[[], Mapping[str, Any]], *, must: bool = False) -> None:
        """Keep the state where the last save is long ago, or it must be; what cannot be written is warned of."""
        if self.path is None or not (must or time.monotonic() - self._saved_sec >= STATE_EVERY_SEC):
            return
        self._saved_sec = time.monotonic()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_state({"request": self.request, **state()}, self.path)
        except (OSError, BadConfig, BrokenWeights) as error:
            warnings.warn(f"the state cannot be saved ({error}); teaching continues", stacklevel=2)

    def delete(self) -> None:
        """It is of no further use."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
