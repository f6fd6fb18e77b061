"""Has a generator learnt training pictures by heart? Its fakes beside the training pictures nearest to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.datasets.duplicates import DuplicateIndex, hash_image
from ganvas.images.contact_sheet import grid
from ganvas.metrics.feature_extractor import DatasetLike, FeatureExtractor, fake_pixels, real_pixels
from ganvas.metrics.precision_recall import squared_distances

SHOWN_FAKES, SHOWN_NEIGHBOURS = 8, 3


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A fake that looks like a training picture, or like its mirror image."""

    fake: int  # which of the fakes
    real: int  # which of the training pictures


def find_copies(fakes: Iterable[Tensor], pictures: DatasetLike, *, on_step: Any = None) -> list[Copy]:
    """The fakes that are, to the eye, a picture of the data: all of the data are looked at.

    Args:
        fakes: uint8 [n, C, R, R], batch by batch, of the data's size.
        pictures: the data.

    A copy is found by its sketch (see `ganvas.datasets.duplicates`), through changes of quality and small changes of
    colour; not when it is shifted or cropped.
    """
    index, count, done = DuplicateIndex(), len(pictures), 0
    for batch in real_pixels(pictures, np.arange(count)):
        for pixels in batch.numpy():
            index.add(hash_image(pixels))
            index.add(hash_image(pixels[:, :, ::-1]))
        done += len(batch)
        if on_step is not None:
            on_step(done, count)
    copies, number = [], 0
    for batch in fakes:
        for pixels in batch.numpy():
            match = index.find_similar(hash_image(pixels))
            if match is not None:
                copies.append(Copy(fake=number, real=match // 2))
            number += 1
    return copies


def find_nearest(real: Tensor, fake: Tensor, *, k: int = SHOWN_NEIGHBOURS) -> tuple[Tensor, Tensor]:
    """The k nearest real vectors of each fake one: (distances [M, k], rising; indices [M, k]).

    Args:
        real, fake: [N, F] and [M, F] features.
    """
    nearest = [squares.topk(k, dim=1, largest=False) for squares in squared_distances(fake, real)]
    return torch.cat([each.values for each in nearest]).sqrt(), torch.cat([each.indices for each in nearest])


def draw_nearest(
    G: Any,
    pictures: DatasetLike,
    *,
    num: int,
    seed: int,
    extractor: FeatureExtractor,
    on_step: Callable[[int, int], object] | None = None,
) -> Tensor:
    """A sheet: the fakes that are nearest to the data, each at the left of its three nearest pictures.

    Args:
        num: fakes that are looked at; all of the data are.
        seed: of the latents.

    Returns:
        img [1, C, H, W].
    """
    real = torch.cat([extractor(pixels) for pixels in real_pixels(pictures, np.arange(len(pictures)))])
    batches_of_fakes = list(
        fake_pixels(G, num=num, seed=seed, pictures=pictures, precision=extractor.precision, on_step=on_step)
    )
    distances, indices = find_nearest(real, torch.cat([extractor(pixels) for pixels in batches_of_fakes]))
    fakes, rows = torch.cat(batches_of_fakes), []
    for place in distances[:, 0].argsort()[:SHOWN_FAKES].tolist():
        rows += [fakes[place : place + 1], pictures.batch(indices[place].numpy())[0]]
    return grid(torch.cat(rows).float().div(127.5).sub(1), columns=1 + SHOWN_NEIGHBOURS, gap_px=2)
