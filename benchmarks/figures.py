"""What the figures of `ganvas evaluate` say about pictures whose flaw is known, and what they cost.

    python benchmarks/figures.py --data photos --num 1000

Half of the photos are the data; the other half, as they are, blurred, noisy, or fewer and shown more often, are the
"fakes". The first row is what a perfect generator would get.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.datasets.image_dataset import open_image_dataset
from ganvas.metrics.feature_extractor import FeatureExtractor, efficientnet_extractor
from ganvas.metrics.frechet import Statistics, estimate_floor, frechet_distance
from ganvas.metrics.kid import kid
from ganvas.metrics.precision_recall import density_coverage, precision_recall


def blurred(pixels: Tensor, share: float) -> Tensor:
    """Shrunk to this share of the size and enlarged again."""
    small = F.interpolate(pixels.float(), scale_factor=share, mode="area")
    return F.interpolate(small, pixels.shape[2:], mode="bicubic").round().clamp(0, 255).to(torch.uint8)


def noisy(pixels: Tensor, levels: float) -> Tensor:
    """With Gaussian noise of so many levels of 255."""
    noise = levels * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    return (pixels + noise).round().clamp(0, 255).to(torch.uint8)


def repeated(pixels: Tensor, share: float) -> Tensor:
    """Only this share of the pictures, each shown so much more often: a generator that has lost modes."""
    kept = max(int(len(pixels) * share), 1)
    return pixels[torch.arange(len(pixels)) % kept]


FLAWS = {
    "as they are": lambda pixels: pixels,
    "half of them, twice": lambda pixels: repeated(pixels, 0.5),
    "blurred, 3/4 of the size": lambda pixels: blurred(pixels, 0.75),
    "blurred, half the size": lambda pixels: blurred(pixels, 0.5),
    "noise of 8 levels": lambda pixels: noisy(pixels, 8),
}


def features(extractor: FeatureExtractor, pixels: Tensor) -> tuple[Tensor, float]:
    """[N, F], and the CPU seconds that 1,000 pictures take."""
    start = time.process_time()
    found = torch.cat([extractor(batch) for batch in pixels.split(32)])
    return found, (time.process_time() - start) / len(pixels) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--precision", default="fast")
    options = parser.parse_args()
    pictures = open_image_dataset(options.data, resolution=options.resolution)
    order = np.random.default_rng(0).permutation(len(pictures))[: 2 * options.num]
    pixels = pictures.batch(order)[0]
    extractor = efficientnet_extractor(precision=options.precision)
    real, cost = features(extractor, pixels[::2])
    reference = Statistics.of([real], halves=True)
    print(f"{len(real)} against {len(pixels) // 2} pictures, {options.precision}: {cost:.1f} CPU seconds per 1,000")
    print(f"floor of the distance {estimate_floor(reference, len(pixels) // 2):.1f}")
    print(f"{'':32s}{'FD':>8s}{'KID':>9s}{'prec.':>7s}{'recall':>7s}{'dens.':>7s}{'cover.':>7s}")
    for name, flaw in FLAWS.items():
        fake = features(extractor, flaw(pixels[1::2]))[0]
        crowd = Statistics.of([fake])
        distance = frechet_distance(reference.mean, reference.cov, crowd.mean, crowd.cov)
        shares = (*precision_recall(real, fake), *density_coverage(real, fake))
        print(f"{name:32s}{distance:8.1f}{kid(real, fake)[0]:9.4f}" + "".join(f"{share:7.2f}" for share in shares))


if __name__ == "__main__":
    main()
