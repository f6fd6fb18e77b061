"""For a training loop of one's own: batches without end, and a checkpoint of everything that learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.datasets.sampler import Sampler
from ganvas.errors import BrokenWeights
from ganvas.training.engine.state import read_state, write_state
from ganvas.training.engine.trainer import load_adam


class BatchLoader:
    """Batches of a data set without end, every picture once before any comes again.

    Args:
        pictures: `ganvas.datasets.open_image_dataset(…)`, or whatever has its length and its `batch`.
        batch_size: pictures in a batch.
        seed: of their order.
        mirror: show half of them mirrored.
        device: of the batches.

    Attributes:
        nimg: pictures given so far. The order is a function of it: set it, and the batches go on from there.
    """

    def __init__(self, pictures: Any, *, batch_size: int, seed: int = 0, mirror: bool = False, device: str = "cpu"):
        self.pictures, self.batch_size, self.device, self.nimg = pictures, batch_size, device, 0
        self._sampler = Sampler(len(pictures), seed=seed, mirror=mirror)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """img [N, C, R, R] in [-1, 1], and c [N, c_dim], or None where there are no labels."""
        while True:
            indices, mirrored = self._sampler.take(self.nimg, self.batch_size)
            pixels, c = self.pictures.batch(indices)
            img = pixels.to(self.device).float().div_(127.5).sub_(1)
            flipped = torch.from_numpy(mirrored).to(img.device)[:, None, None, None]
            self.nimg += self.batch_size
            yield torch.where(flipped, img.flip(3), img), None if c is None else c.to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"nimg": self.nimg}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.nimg = state["nimg"]


def save_checkpoint(path: str | Path, **parts: Any) -> None:
    """Write what a loop needs to go on as if it had not stopped; the file is whole or not there, and no pickle.

    Args:
        path: of the file; one that stands there stays until the new one is whole.
        parts: by names of your own, whatever has `state_dict`: both networks, both optimisers, an average, a
            `BatchLoader`. torch's own randomness is saved with them.

    Raises:
        BrokenWeights: a part has values that are not finite; nothing is written.
    """
    state = {name: part.state_dict() for name, part in parts.items()}
    write_state({"parts": state, "rng": torch.get_rng_state()}, Path(path))


def load_checkpoint(path: str | Path, **parts: Any) -> None:
    """The inverse of `save_checkpoint`, into parts of the same names.

    Raises:
        BrokenWeights: the file is damaged, holds other parts, or parts of another shape.
    """
    state = read_state(Path(path))
    held = state.get("parts", {})
    if set(held) != set(parts):
        raise BrokenWeights(f"{path} holds {', '.join(held) or 'no parts'}; asked for were {', '.join(parts)}")
    for name, part in parts.items():
        restore = load_adam if isinstance(part, torch.optim.Optimizer) else type(part).load_state_dict
        try:
            restore(part, held[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise BrokenWeights(f"{name} of {path} does not fit: {error}") from error
    torch.set_rng_state(state["rng"])
