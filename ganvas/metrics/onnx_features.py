"""Any network of a user's own as an .onnx file, for metrics on its features (extra [onnx])."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import BadInput, MissingExtra
from ganvas.metrics.feature_extractor import INPUT_PX, FeatureExtractor


class _OnnxNetwork(nn.Module):
    """An .onnx graph as a network that embeds; an .onnx holds no code, only a graph of known operations."""

    def __init__(self, path: Path):
        super().__init__()
        self.register_parameter("place", nn.Parameter(torch.zeros(()), requires_grad=False))
        self._session = _open_session(path)
        first = self._session.get_inputs()[0]
        self.input_name, shape = first.name, first.shape
        if first.type != "tensor(float)" or len(shape) != 4 or shape[1] not in (3, "3"):
            raise BadInput(f"{path} should take float32 [N, 3, H, W], takes {first.type} {shape}")
        self.one_by_one = shape[0] == 1
        self.input_px = shape[2] if isinstance(shape[2], int) else INPUT_PX

    def embed(self, img: Tensor) -> Tensor:
        """img [N, 3, H, W] in [-1, 1] → its first output, [N, F]."""
        pieces = img.split(1) if self.one_by_one else (img,)
        rows = [self._session.run(None, {self.input_name: piece.cpu().numpy()})[0] for piece in pieces]
        return torch.cat([torch.from_numpy(row).float().flatten(1) for row in rows])


def onnx_extractor(path: Path | str) -> FeatureExtractor:
    """A user's own network; it is given img in [-1, 1] at the size that it says, and its first output is taken.

    Raises:
        BadInput: no .onnx, or one that takes something else. MissingExtra: onnxruntime is not installed.
    """
    path = Path(path)
    network = _OnnxNetwork(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FeatureExtractor(network, name=path.name, short=path.stem, input_px=network.input_px, fingerprint=digest)


def _open_session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("features of an .onnx network", "onnx") from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no class in common
        raise BadInput(f"{path} cannot be opened as an .onnx network: {str(error).splitlines()[0][:200]}") from error
