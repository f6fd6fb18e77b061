"""Result of an inversion, with fidelity metrics; saved as one .npz, with the tuning as .safetensors next to it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganvas.errors import BadLatent
from ganvas.weights.checkpoint import write_atomically

_FORMAT = "ganvas-inversion-1"


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """A picture in latent space.

    `ws` [1, num_ws, w_dim] with the generator, changed by `delta` (parameter name → difference), shows the picture.
    `figures` say how well: psnr_db, ssim, feature_distance, identity_distance (faces, or with an embedder), seconds; as
    `latent_…` the same of the latent before the tuning. `latent_identity` (faces) is for `describe_identity`.
    `stage` and `step` tell where a stopped search goes on; `finished` is False until it is through.
    """

    ws: Tensor
    delta: dict[str, Tensor] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    effort: str = "standard"
    seed: int = 0
    fingerprint: str = ""
    source: str = ""  # hash of the picture that was searched for
    crop: tuple[float, float, float, float] | None = None  # x, y, side, angle_deg in the photo
    finished: bool = True
    stage: int = 0
    step: int = 0
    moments: dict[str, Tensor] = field(default_factory=dict, repr=False)  # of Adam, where a search was stopped

    def save(self, path: Path | str) -> Path:
        """Write `NAME.npz` and, if there is a tuning, `NAME.delta.safetensors`; each whole or not at all.

        Raises:
            BadConfig: the folder is not there or cannot be written.
        """
        path = Path(path).with_suffix(".npz")
        plain = {name: getattr(self, name) for name in _CARD_FIELDS}
        card = json.dumps({"format": _FORMAT, **plain, "has_delta": bool(self.delta)})
        arrays = {"w": self.ws.numpy(), "card": np.array(card)}
        arrays |= {f"moment {name}": tensor.numpy() for name, tensor in self.moments.items()}
        if self.delta:
            tensors = {name: tensor.contiguous() for name, tensor in self.delta.items()}
            write_atomically(_delta_path(path), lambda part: save_file(tensors, part))
        write_atomically(path, lambda part: _save_npz(part, arrays))
        if not self.delta:
            _delta_path(path).unlink(missing_ok=True)  # that of an earlier inversion under this name
        return path

    @classmethod
    def load(cls, path: Path | str) -> Inversion:
        """Read what `save` wrote.

        Raises:
            BadLatent: the file, or the tuning beside it, is missing, damaged or something else.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                card = json.loads(str(arrays["card"]))
                ws = torch.from_numpy(arrays["w"])
                moments = {
                    n.removeprefix("moment "): torch.from_numpy(arrays[n]) for n in arrays if n.startswith("moment ")
                }
            if card["format"] != _FORMAT or ws.ndim != 3 or not ws.isfinite().all():
                raise ValueError("another format")
            plain = {name: card[name] for name in _CARD_FIELDS}
            plain["crop"] = None if plain["crop"] is None else tuple(map(float, plain["crop"]))
            delta = load_file(_delta_path(path)) if card["has_delta"] else {}
        except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
            raise BadLatent(f"{path} is not an inversion that ganvas saved, or it is damaged ({error})") from error
        return cls(ws=ws.float(), delta=delta, moments=moments, **plain)


_CARD_FIELDS = ("figures", "effort", "seed", "fingerprint", "source", "crop", "finished", "stage", "step")


def _delta_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.delta.safetensors")


def _save_npz(path: str, arrays: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)
