"""Does a style learnt from one example look like the example on other faces, and do these stay who they are?

    python benchmarks/stylise.py STYLE --example drawing.png [--photos DIR --count 6] [--strength 1 0.75 0.5]

STYLE is a name from `ganvas stylise` (or its file), taught to `faces`. Judged are faces of seeds and, with --photos,
portraits that are inverted first. Feature distance: EfficientNet-Lite0's of the picture to the example, both at 256 px,
by the means and correlations of its channels, so that it does not matter where things are (Gatys et al. 2016).
Identity: dlib's network, which nothing here has seen (tools/scorers.py); the same person is below .6. A drawing moves
that network by itself: `--drawn` measures by how much, on the example and the photo it was drawn from.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from ganvas.editing.style import Style, apply_style, find_style, load_style
from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet
from ganvas.images.contact_sheet import grid
from ganvas.images.files import write_image
from ganvas.inversion.alignment import crop_for_generator
from ganvas.models.seeds import latents_from_seeds
from ganvas.ops.allocator import keep_freed_memory
from ganvas.ops.resample import downscale
from ganvas.session.open import open_session
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.load import load
from scorers import Identity

PX = 256


def paint_of(img: Tensor, extractor: EfficientNetLite0) -> list[Tensor]:
    """How a picture is painted, wherever: correlations of unit features, [C, C] a tap."""
    found = []
    for tap in extractor.features(img):
        unit = torch.nn.functional.normalize(tap[0].flatten(1), dim=0)  # [C, H·W]
        found.append(unit @ unit.T / unit.shape[1])
    return found


def paint_distance(a: list[Tensor], b: list[Tensor]) -> float:
    """Frobenius distance, summed over taps."""
    return sum((x - y).norm().item() for x, y in zip(a, b, strict=True))


def of_seeds(G: Any, style: Style, strength: float, seeds: range) -> tuple[Tensor, Tensor]:
    """Plain and stylised, [N, 3, PX, PX]."""
    ws = G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=0.7)
    S = apply_style(G, style, strength)
    plain, painted = (torch.cat([downscale(one.synthesis(w[None]), PX) for w in ws]).clamp(-1, 1) for one in (G, S))
    return plain, painted


def of_photos(
    G: Any, style: Style, strengths: list[float], files: list[Path]
) -> dict[float, list[tuple[Tensor, Tensor]]]:
    """The photo's own square and the stylised one, by strength; every photo is inverted once, effort fast."""
    made: dict[float, list[tuple[Tensor, Tensor]]] = {strength: [] for strength in strengths}
    for file in files:
        session = open_session(file, model=G, align="centre", effort="fast")
        plain = session.crop.cut(session.photo.img, resolution=PX)
        for strength in strengths:
            session.stylise(style.name, strength)
            made[strength].append((plain, downscale(session.render_crop().img, PX)))
    return made


@torch.no_grad()
def main() -> None:
    """Read the command line, measure, print, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("style")
    parser.add_argument("--example", type=Path, required=True)
    parser.add_argument("--drawn", type=Path, help="the photo that the example was drawn from")
    parser.add_argument("--photos", type=Path, help="a folder of aligned portraits")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--strength", type=float, nargs="+", default=[1.0, 0.75, 0.5])
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    G, extractor, identity = load("faces"), load_efficientnet(), Identity()
    file = Path(options.style)
    style = load_style(file) if file.is_file() else find_style(options.style, parent=fingerprint(G))
    example = downscale(crop_for_generator(options.example, G, align="centre")[0], PX)
    goal = paint_of(example, extractor)
    if options.drawn:
        photo = downscale(crop_for_generator(options.drawn, G)[0], PX)
        print(f"the example and its photo: identity distance {identity.distance(example, photo).item():.2f}")
    pairs = {strength: of_seeds(G, style, strength, range(options.count)) for strength in options.strength}
    if options.photos:
        files = sorted(options.photos.glob("*.*"))[: options.count]
        pairs = {
            s: tuple(torch.cat(side) for side in zip(*rows, strict=True))
            for s, rows in of_photos(G, style, options.strength, files).items()
        }
    for strength, (plain, painted) in pairs.items():
        before, after = (
            statistics.mean(paint_distance(paint_of(x[None], extractor), goal) for x in side)
            for side in (plain, painted)
        )
        apart = identity.distance(plain, painted).tolist()
        below = sum(d < 0.6 for d in apart)
        print(
            f"strength {strength:g}, {len(plain)} faces: distance to the example {before:.2f} -> {after:.2f},", end=" "
        )
        print(
            f"identity distance mean {statistics.mean(apart):.2f}, worst {max(apart):.2f}, below .6: {below}",
            flush=True,
        )
    if options.sheet:
        plain = next(iter(pairs.values()))[0]
        rows = [torch.cat([plain, *(painted for _, painted in pairs.values())])]
        write_image(grid(torch.cat(rows), columns=len(plain)), options.sheet)


if __name__ == "__main__":
    main()
