"""load(path or name): ganvas files by their card, foreign files by the first reader that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch

from ganvas.errors import BadConfig, BrokenWeights, WeightsError
from ganvas.fields import check_known
from ganvas.models.protocol import Network
from ganvas.weights import checkpoint
from ganvas.weights.contents import FileContents
from ganvas.weights.open_file import open_file
from ganvas.weights.readers import basicsr, cyclegan, ncnn, nvidia, openvino, r3gan, rosinality
from ganvas.weights.readers.unknown import unknown_weights_error
from ganvas.weights.wrapped import unwrap_weights

NETWORKS = ("G_ema", "G", "D")


class Reader(Protocol):
    """A module from_*.py; see found.py."""

    def fits(self, contents: FileContents) -> bool: ...

    def read(self, contents: FileContents, *, network: str) -> Network: ...


# A foreign file names nothing, so readers are asked in this order; the first that fits reads.
READERS: tuple[Reader, ...] = (
    nvidia,
    r3gan,
    rosinality,
    basicsr,
    cyclegan,
    ncnn,
    openvino,
)


def load(name_or_path: str | Path, *, network: str = "G_ema", device: str | torch.device = "cpu") -> Any:
    """A network from a weights file of any supported kind, or from the catalogue.

    Nothing in the file is ever executed: pickles are read as inert data.

    Args:
        name_or_path: an existing file, or a name that `ganvas models list` shows.
        network: "G_ema" (the averaged generator; for files with one network simply that), "G" or "D".
        device: where to put it.

    Returns:
        The network in eval mode, float32. Its parameters require gradients, as those of any torch module: tuning a
        loaded network then needs no second step, and forgetting `torch.no_grad()` costs memory, never a wrong result.
        `facts` tells where it came from and what the file said.

    Raises:
        WeightsError: UnsafeWeights (asks for code), BrokenWeights (damaged, or no such file), UnknownWeights (no
            family fits; the message has what was seen).
        BadConfig: an unknown name, network or device.
    """
    check_known(network, NETWORKS, what="network")
    target = _device(device)
    contents = open_file(_path_of(name_or_path))
    try:
        net = read_network(contents, network=network)
    except (WeightsError, BadConfig):
        raise
    except Exception as error:
        # The file is somebody else's and may be anything. What a reader did not foresee is its defect.
        raise BrokenWeights(
            f"{contents.path.name} cannot be read ({type(error).__name__}: {str(error)[:200]})."
        ) from error
    net.facts.setdefault("file", contents.path.name)
    return net.to(target).eval()


def read_network(contents: FileContents, *, network: str = "G_ema") -> Network:
    """The network in an opened file; see `load`.

    Raises:
        UnknownWeights: no reader fits; the message has what was seen and what is nearest.
    """
    if checkpoint.is_ours(contents):
        return checkpoint.rebuild(contents, network=network)
    for candidate in (contents, *unwrap_weights(contents, network)):
        for reader in READERS:
            if reader.fits(candidate):
                return reader.read(candidate, network=network)
    raise unknown_weights_error(contents)


def _path_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path).expanduser()
    if path.is_file() or isinstance(name_or_path, Path) or _looks_like_a_path(str(name_or_path)):
        return path
    from ganvas.weights.catalogue.catalogue import resolve

    return resolve(str(name_or_path))


def _looks_like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or Path(text).suffix.lower() in _SUFFIXES or text in ("", ".", "..", "~")


_SUFFIXES = (
    ".safetensors",
    ".pkl",
    ".pickle",
    ".pt",
    ".pth",
    ".ckpt",
    ".npy",
    ".npz",
    ".xml",
    ".param",
    ".bin",
    ".tar",
)


def _device(device: str | torch.device) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BadConfig(f"device must be 'cpu', 'cuda', 'cuda:1', …, got {device!r}") from error
