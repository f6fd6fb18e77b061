"""What looks at the pictures: a frozen network, the size at which it looks and how pictures get there.

Every figure of this room is computed from the features that come out here, for real and for fake pictures by the very
same path: pixels as a file would hold them (uint8), one resize filter, one network, one precision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol as Shape

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.metrics.result import Protocol
from ganvas.models.fast_copy import LowPrecisionCopy
from ganvas.models.protocol import PRECISIONS
from ganvas.ops.precision import fast_dtype

INPUT_PX = 224  # EfficientNet-lite0's own size
RESIZE = "bicubic, antialiased"
BATCH = 32

OnExtractStep = Callable[[int, int], object]  # (pictures done, pictures in all); may raise Stopped


class DatasetLike(Shape):
    """What this room expects of a data set; `ganvas.datasets.open_image_dataset` returns one."""

    fingerprint: str

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """uint8 [N, C, R, R] and one-hot labels [N, c_dim], or None."""
        ...


class EmbeddingNetwork(Shape):
    """A network with an embedding; EfficientNetLite0 is one."""

    def embed(self, img: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A feature network with everything that decides its numbers.

    Calling it with uint8 pictures [N, C, H, W], C = 1 or 3, gives float32 features [N, F] on the CPU.
    """

    network: Any  # a Looker that is an nn.Module
    name: str = "EfficientNet-lite0"
    short: str = "EffNet"  # as in FD-EffNet
    input_px: int = INPUT_PX
    precision: str = "exact"
    fingerprint: str = ""
    resize: str = RESIZE
    preprocess: Callable[[Tensor, int], Tensor] | None = None  # (uint8 pixels, input_px) → img; None = as `resize` says
    inception: bool = False  # the network of FID and the Inception score: metrics are called so
    _fast_copy: LowPrecisionCopy = field(default_factory=LowPrecisionCopy, repr=False)

    def __post_init__(self) -> None:
        check_known(self.precision, PRECISIONS, what="precision")
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", network_fingerprint(self.network))

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        device = next(self.network.parameters()).device
        dtype = fast_dtype(device.type) if self.precision == "fast" else torch.float32
        network = self.network if dtype == torch.float32 else self._fast_copy.get(self.network, dtype)
        img = (self.preprocess or preprocess_images)(pixels.to(device), self.input_px)
        return network.embed(img.to(dtype)).float().cpu()

    def protocol(self, *, real: int, fake: int, seed: int, pictures: Any = None, **others: Any) -> Protocol:
        """How a figure was measured with these eyes; see `Protocol` for the fields.

        Args:
            pictures: the data, for its fingerprint and filter.
            others: fields of `Protocol` that are not as usual.
        """
        usual: dict[str, Any] = {
            "network": self.name,
            "network_fingerprint": self.fingerprint,
            "input_px": self.input_px,
            "resize": self.resize,
            "precision": self.precision,
            "compared_px": getattr(pictures, "img_resolution", None),
            "data": getattr(pictures, "fingerprint", None),
            "data_filter": getattr(pictures, "settings", {}).get("filter"),
        }
        return Protocol(real=real, fake=fake, seed=seed, **usual | others)


def efficientnet_extractor(
    path: Path | str | None = None, *, precision: str = "exact", device: torch.device | str = "cpu"
) -> FeatureExtractor:
    """EfficientNet-lite0 with its ImageNet weights, or with the user's own in the same layout.

    Args:
        path: see `load_efficientnet`; None = the catalogue's.
        precision: "exact" (float32) or "fast" (bfloat16 where this machine gains by it); the protocol says which.
        device: where to run it.

    Raises:
        WeightsError, FetchError: see `load_efficientnet`.
    """
    from ganvas.features.efficientnet import load_efficientnet

    network = load_efficientnet(path).to(device)
    name = "EfficientNet-lite0" if path is None else f"EfficientNet-lite0 of {Path(path).name}"
    return FeatureExtractor(network, name=name, precision=precision)


def inception_extractor(path: Path | str, *, device: torch.device | str = "cpu") -> FeatureExtractor:
    """The Inception network of FID with the weights of a file that the user has; computes in float32 only.

    Raises:
        WeightsError: the file holds something else.
    """
    from ganvas.features import inception

    network = inception.load_inception(path).to(device)
    name = "Inception 2015-12-05"
    return FeatureExtractor(
        network,
        name=name if inception.is_published_inception(path) else f"{name} of {Path(path).name}, not the common file",
        short="Inception",
        input_px=inception.INCEPTION_PX,
        resize="TensorFlow 1's bilinear",
        preprocess=inception.preprocess_for_inception,
        inception=True,
    )


def network_fingerprint(network: nn.Module) -> str:
    """SHA-256 over names, shapes and weights, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def preprocess_images(pixels: Tensor, input_px: int) -> Tensor:
    """uint8 [N, C, H, W] → img [N, 3, input_px, input_px] in [-1, 1]; larger pictures are filtered before they shrink.

    Raises:
        BadImage: another type or shape.
    """
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise BadImage(f"expected uint8 images [N, 1 or 3, H, W], got {pixels.dtype} {list(pixels.shape)}")
    img = pixels.float().div_(127.5).sub_(1)
    if img.shape[2:] != (input_px, input_px):
        img = F.interpolate(img, (input_px, input_px), mode="bicubic", antialias=True).clamp_(-1, 1)
    return img.expand(-1, 3, -1, -1)


def to_uint8(img: Tensor) -> Tensor:
    """img [N, C, H, W] in [-1, 1] → uint8, as a file would hold it.

    Raises:
        BadImage: not-a-number in it; the generator diverged, and no figure of it means anything.
    """
    if not torch.isfinite(img).all():
        raise BadImage("the generator's images have values that are not finite: it has diverged")
    return img.float().mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)


def lanczos_resize(pixels: Tensor, size: int) -> Tensor:
    """uint8 [N, C, H, W] → [N, C, size, size] by Lanczos' filter, as data sets shrink photos."""
    small = [
        np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.LANCZOS)).reshape(size, size, -1)
        for each in pixels.permute(0, 2, 3, 1).squeeze(3).cpu().numpy()
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)


def choose_indices(count: int, num: int | None, seed: int) -> np.ndarray:
    """Which of `count` real pictures are looked at: all, or `num` of them drawn without repetition."""
    if num is None or num >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:num])


def real_features(
    pictures: DatasetLike,
    *,
    num: int | None,
    seed: int,
    extractor: FeatureExtractor,
    on_step: OnExtractStep | None = None,
) -> Iterator[Tensor]:
    """Features [n, F] of the chosen real pictures, batch by batch."""
    indices, done = choose_indices(len(pictures), num, seed), 0
    for pixels in real_pixels(pictures, indices):
        yield extractor(pixels)
        done += len(pixels)
        if on_step is not None:
            on_step(done, len(indices))


def real_pixels(pictures: DatasetLike, indices: np.ndarray) -> Iterator[Tensor]:
    """uint8 [n, C, R, R] of these pictures, batch by batch."""
    for start in range(0, len(indices), BATCH):
        yield pictures.batch(indices[start : start + BATCH])[0]


def fake_features(
    G: Any,
    *,
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    pictures: DatasetLike | None = None,
    on_step: OnExtractStep | None = None,
) -> Iterator[Tensor]:
    """Features [n, F] of `num` pictures of a generator, batch by batch; see `fake_pixels`."""
    for pixels in fake_pixels(G, num=num, seed=seed, pictures=pictures, precision=extractor.precision, on_step=on_step):
        yield extractor(pixels)


def fake_pixels(
    G: Any,
    *,
    num: int,
    seed: int,
    pictures: DatasetLike | None = None,
    precision: str = "exact",
    on_step: OnExtractStep | None = None,
) -> Iterator[Tensor]:
    """uint8 [n, C, R, R] of `num` pictures of a generator, batch by batch; the same for a seed at any batch size.

    Args:
        G: a generator; it is run in eval mode, with constant noise and without truncation.
        precision: "exact" or "fast", of the generator.
        pictures: the data: where a conditional generator's labels are drawn from, as often as it has them. Fakes larger
            than its pictures are shrunk to their size, in the way that photos are.

    Raises:
        BadConfig: a conditional generator and data without labels.
        BadImage: its pictures are not finite.
    """
    size = getattr(pictures, "img_resolution", G.img_resolution)
    for done, z, c in latents_and_labels(G, num=num, seed=seed, pictures=pictures):
        with eval_mode(G), torch.no_grad():
            pixels = to_uint8(G.synthesis(G.mapping(z, c), noise_mode="const", precision=precision))
        yield lanczos_resize(pixels, size) if size < pixels.shape[2] else pixels
        if on_step is not None:
            on_step(done, num)


class eval_mode:
    """Inside `with`, the network is in eval mode; afterwards it is as it was."""

    def __init__(self, network: Any):
        self.network = network
        self.training = getattr(network, "training", False)

    def __enter__(self) -> None:
        if self.training:
            self.network.eval()

    def __exit__(self, *_: object) -> None:
        if self.training:
            self.network.train()


def latents_and_labels(
    G: Any, *, num: int, seed: int, pictures: DatasetLike | None, per_item: int = 1
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """(items done, z [n * per_item, z_dim], labels [n, c_dim] or None), batch by batch, on the generator's device.

    Raises:
        BadConfig: a conditional generator and data without labels.
    """
    device = next(G.parameters()).device
    if G.c_dim and getattr(G, "facts", {}).get("categories") == G.c_dim:
        pictures = _Categories(G.c_dim)
    z = torch.randn(num, per_item, G.z_dim, generator=torch.Generator().manual_seed(seed))
    rows = np.random.default_rng(seed).integers(len(pictures), size=num) if G.c_dim and pictures is not None else None
    for start in range(0, num, BATCH):
        batch = z[start : start + BATCH].transpose(0, 1).flatten(0, 1).to(device)
        c = None if G.c_dim == 0 else _labels(pictures, rows, slice(start, start + BATCH)).to(device)
        yield min(start + BATCH, num), batch, c


class _Categories:
    """Labels of a generator whose classes are not in the data (InfoGAN): each as often as any other."""

    fingerprint = "categories"

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """No pictures, and a label for each index."""
        return torch.empty(0), torch.eye(self.count)[torch.from_numpy(indices)]


def _labels(pictures: DatasetLike | None, rows: np.ndarray | None, part: slice) -> Tensor:
    c = None if pictures is None or rows is None else pictures.batch(rows[part])[1]
    if c is None:
        raise BadConfig("this generator is conditional, but the data has no labels to sample: use labelled data")
    return c
