"""Feature networks by name or by file."""

from __future__ import annotations

from pathlib import Path

from ganvas.errors import UnknownWeights
from ganvas.metrics.feature_extractor import FeatureExtractor, efficientnet_extractor, inception_extractor
from ganvas.metrics.onnx_features import onnx_extractor


def open_extractor(features: Path | str, *, precision: str = "exact") -> FeatureExtractor:
    """A feature network by name or file: "efficientnet-lite0", its weights, FID's Inception, or an .onnx network.

    Raises:
        WeightsError: the file holds none of them. MissingExtra: an .onnx without the extra [onnx].
    """
    if str(features) == "efficientnet-lite0":
        return efficientnet_extractor(None, precision=precision)
    if Path(features).suffix.lower() == ".onnx":
        return onnx_extractor(features)
    try:
        return inception_extractor(features)
    except UnknownWeights:
        return efficientnet_extractor(features, precision=precision)
