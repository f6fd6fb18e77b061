"""Make compact-x4, the upscaler that ships, again: free photos, `ganvas train-upscaler`, a card.

    apt-get download lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers
    for deb in *.deb; do dpkg -x $deb WALLPAPERS; done
    python tools/learn_compact.py photos WALLPAPERS --faces FACES --out DATA
    T="ganvas train-upscaler --data DATA/train --valid DATA/held"
    $T --name first --kimg 38 --set schedule=constant
    $T --name second --kimg 20 --set lr=3e-4 --seed 1 --init-from runs/first/model.safetensors
    python tools/learn_compact.py solve runs/second/model.safetensors --data DATA/train --widen --out solved
    python tools/learn_compact.py ship solved.safetensors runs/first runs/second --measured DATA/held OTHERS

`photos` shrinks every photo two to four times, which takes away the traces of JPEG and sensor, and keeps eight photos
back whole. FACES: square portraits at 256 px that were at least 450 px before. `solve` finds the last layer that is
best in the mean of squares, which is what PSNR means, by solving for it; --widen first gives the network three more
features that carry the picture itself, as fresh ones have (the first run was begun before they had). `ship` writes the
weights as float16 with a card that says what they learnt from and how good they are, and prints size and hash for the
catalogue.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import ganvas
from ganvas.datasets.sr_pairs import SRDataset, SRPairConfig, bicubic_downscale, bicubic_upscale, to_multiple
from ganvas.models.srvgg import SRVGG
from ganvas.training.engine.run_folder import read_record
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.training.upscaler.snapshots import compute_sr_metrics, upscale_pixels
from ganvas.training.upscaler.train import as_photo_dataset
from ganvas.weights.catalogue.sources import SHIPPED_WEIGHTS

ABOUT_PX = 1600  # longer side that photos are shrunk to, roughly
SCALE = 4
BATCH = 16  # of `solve`: crops at a time
RIDGE = 1e-6  # of the mean square of what the last layer sees

# Which photos, by whom, under which licence (as each package's debian/copyright or metadata says).
PHOTOS: dict[str, tuple[str, str]] = {
    "Bridge_by_Sander_Klootwijk": ("Sander Klootwijk", "CC-BY-SA-4.0"),
    "Picture_0B_by_freespace": ("Trevor 'Freespace'", "CC-BY-4.0"),
    "Picture_1A_by_freespace": ("Trevor 'Freespace'", "CC-BY-4.0"),
    "aitzgorri_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "life_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "sunset_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "free_by_Peter_Nerlich": ("Peter Nerlich", "CC-BY-SA-4.0"),
    "greentock_by_Peter_Nerlich": ("Peter Nerlich", "CC-BY-SA-4.0"),
    "seeding_by_Clements_Engelhardt": ("Clemens Engelhardt", "CC0-1.0"),
    "Kleiber_by_Lukas_Baubkus": ("Lukas Baubkus", "CC-BY-SA-3.0"),
    "Aqua": ("Charles Barbin", "GPL-2+"),
    "LadyBird": ("Charles Barbin", "GPL-2+"),
    "TwoWings": ("Charles Barbin, Hylke Bons", "GPL-2+"),
    "YellowFlower": ("Charles Barbin", "GPL-2+"),
    "Blinds": ("Lennart Poettering, Andrea Cimitan", "GPL-2+"),
    "FreshFlower": ("Jens Ansorg", "GPL-2+"),
    "GreenMeadow": ("Timothy Schellhase, Lapo Calamandrei", "GPL-2+"),
    "Storm": ("Sergey Nazarov", "GPL-2+"),
    "Wood": ("Jean-François Fortin Tam", "GPL-2+"),
    "BytheWater": ("Maciej Wiklo", "LGPL-3"),
    "ColorfulCups": ("Dmitri Popov", "LGPL-3"),
    "FallenLeaf": ("Martin Klapetek", "LGPL-3"),
    "Grey": ("Sigi Sagi", "LGPL-3"),
    "OneStandsOut": ("Risto Saukonpää", "LGPL-3"),
    "summer_1am": ("Risto Saukonpää", "LGPL-3"),
}
HELD: dict[str, tuple[str, str]] = {
    "Dragonfly_by_Bolly": ("'Bolly'", "CC-BY-SA-4.0"),
    "Wine_by_Jakkub_Mede": ("Jakub Mede", "CC-BY-4.0"),
    "friends_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "picosdeeuropa_by_Aitzol_Berasategi": ("Aitzol Berasategi", "CC-BY-4.0"),
    "Dune": ("Marco Cogoni, Hylke Bons", "GPL-2+"),
    "Garden": ("Charles Barbin", "GPL-2+"),
    "RainDrops": ("'blackcombwhistler07'", "GPL-2+"),
    "EveningGlow": ("Ian Hex", "LGPL-3"),
}


def photos(wallpapers: Path, faces: Path | None, out: Path) -> None:
    """Fill out/train and out/held."""
    found = {_name(path): path for path in sorted(wallpapers.rglob("*.jpg")) if _is_large(path)}
    for folder, table in (("train", PHOTOS), ("held", HELD)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for name in table:
            img = Image.open(found[name]).convert("RGB")
            less = max(2, round(max(img.size) / ABOUT_PX))
            small = img.resize((img.width // less, img.height // less), Image.Resampling.LANCZOS)
            small.save(out / folder / f"{name}.png")
            print(f"{folder}: {name}, {img.size} → {small.size}")
    for path in sorted(faces.iterdir()) if faces is not None else []:
        shutil.copyfile(path, out / "train" / f"face_{path.name}")


def _name(path: Path) -> str:
    """Of the photo; Plasma's are called after their folder."""
    return path.parents[2].name if path.parent.name == "images" else path.stem


def _is_large(path: Path) -> bool:
    """Plasma has each photo in several sizes."""
    return path.parent.name != "images" or path.stem == "2560x1600"


# ---------------------------------------------------------------------------------------------------------------------
# The last layer, solved for


def solve(path: Path, data: Path, out: Path, *, pairs: int, widen: bool) -> None:
    """A network with the best last layer for these photos.

    Args:
        path: a trained SRVGG.
        data: photos.
        out: the new file.
        pairs: crops, half of them anywhere, half where there is detail.
        widen: give it three features that carry the picture, first.
    """
    net: SRVGG = ganvas.load(path)
    net = carrying_picture(net) if widen else net
    photos, config = as_photo_dataset(data, UpscalerConfig()), net.config
    size = config.num_feat * 9 + 1
    squares = torch.zeros(size, size, dtype=torch.float64)
    targets = torch.zeros(size, net.img_channels * SCALE**2, dtype=torch.float64)
    with torch.no_grad():
        for candidates in (1, 3):
            source = SRDataset(photos, SRPairConfig(candidates=candidates), seed=77)
            for start in range(0, pairs // 2, BATCH):
                seen, wanted = _equations(net, *source.take(start, BATCH))
                squares += (seen.T @ seen).double()
                targets += (seen.T @ wanted).double()
        ridge = RIDGE * squares.diagonal().mean() * torch.eye(size, dtype=torch.float64)
        solution = torch.linalg.solve(squares + ridge, targets)
        last = net.body[-1]
        last.weight.copy_(solution[:-1].T.reshape(last.weight.shape))
        last.bias.copy_(solution[-1])
    ganvas.save(net, out)


def _equations(net: SRVGG, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the last layer sees at each pixel, [P, 9 · width + 1], and what it should say, [P, 3 · 16]."""
    unit = (low + 1) / 2
    features = F.unfold(net.body[:-1](unit), 3, padding=1).view(len(low), -1, *low.shape[2:])
    missing = F.pixel_unshuffle((high + 1) / 2 - F.interpolate(unit, scale_factor=SCALE, mode="nearest"), SCALE)
    seen, wanted = (
        x.permute(0, 2, 3, 1).flatten(0, 2) for x in (features, missing)
    )  # edges, too: beyond them is black
    return torch.cat([seen, torch.ones(len(seen), 1)], dim=1), wanted


@torch.no_grad()
def carrying_picture(net: SRVGG) -> SRVGG:
    """The same function with three more features, in front, that hold the picture itself."""
    more = net.img_channels
    wider = SRVGG(dataclasses.replace(net.config, num_feat=net.config.num_feat + more)).eval()
    layers = [(a, b) for a, b in zip(net.body, wider.body, strict=True) if isinstance(a, torch.nn.Conv2d)]
    for number, (ours, new) in enumerate(layers):
        new.weight.zero_()
        new.bias.zero_()
        top, left = (0 if ours is layers[-1][0] else more), (0 if number == 0 else more)
        new.weight[top:, left:], new.bias[top:] = ours.weight, ours.bias
        if top:
            new.weight[:more] = _delta(new.weight[:more])
    return wider


def _delta(weight: torch.Tensor) -> torch.Tensor:
    """Of this shape [3, in, 3, 3], what leaves the first three features as they are."""
    delta = torch.zeros_like(weight)
    for channel in range(len(weight)):
        delta[channel, channel, 1, 1] = 1
    return delta


# ---------------------------------------------------------------------------------------------------------------------
# Into the package


def ship(path: Path, runs: list[Path], measured: list[Path]) -> None:
    """Weights and card into the package."""
    net = ganvas.load(path)
    records = [read_record(run) for run in runs]
    net.facts = {
        "name": "compact-x4",
        "licence": "Apache-2.0",
        "task": "four times larger, for photos that were shrunk cleanly (bicubic); from scratch, pixel loss (L1) alone",
        "photos": {name: f"{who}, {licence}" for name, (who, licence) in PHOTOS.items()},
        "photos_from": "Debian: lomiri-wallpapers-16.04 and -20.04, mate-backgrounds, plasma-workspace-wallpapers",
        "faces": "127 synthetic portraits of faker-js/assets-person-portrait (CC0-1.0), 1 of SFHQ-T2I (MIT)",
        "trained_kimg": sum(record["nimg"] for record in records) / 1000,
        "trained": [{"kimg": record["nimg"] / 1000, "config": record["config"]} for record in records],
        "last_layer": "solved for the least squares over training crops, after the runs",
        "measured": {folder.name: gains(net, folder) for folder in measured},
        "measured_how": "made 4 times smaller by Pillow's bicubic and large again: means of the network's picture and "
        "of Pillow's bicubic, RGB and luma, border of 4 px left out",
    }
    path = ganvas.save(net, SHIPPED_WEIGHTS / "compact-x4.safetensors", half=True)
    print(json.dumps(net.facts["measured"], indent=1))
    print(f"size_bytes={path.stat().st_size}, sha256={hashlib.sha256(path.read_bytes()).hexdigest()!r}")


def gains(net: torch.nn.Module, folder: Path) -> dict[str, float]:
    """Means over the photos of a folder."""
    opened, rows = as_photo_dataset(folder, UpscalerConfig(low_px=8)), []
    for index in range(len(opened)):
        truth = to_multiple(opened.whole(index), SCALE)
        low = bicubic_downscale(truth, SCALE)
        ours, plain = (
            compute_sr_metrics([img], [truth], SCALE) for img in (upscale_pixels(net, low), bicubic_upscale(low, SCALE))
        )
        rows.append([ours["psnr"], plain["psnr"], ours["ssim"], plain["ssim"], ours["psnr_y"], plain["psnr_y"]])
    names = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic", "psnr_y", "psnr_y_bicubic")
    return {"photos": len(opened)} | {k: round(float(v), 4) for k, v in zip(names, np.mean(rows, axis=0), strict=True)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    first = parts.add_parser("photos")
    first.add_argument("wallpapers", type=Path)
    first.add_argument("--faces", type=Path)
    first.add_argument("--out", type=Path, required=True)
    second = parts.add_parser("solve")
    second.add_argument("path", type=Path)
    second.add_argument("--data", type=Path, required=True)
    second.add_argument("--out", type=Path, required=True)
    second.add_argument("--pairs", type=int, default=512)
    second.add_argument("--widen", action="store_true")
    third = parts.add_parser("ship")
    third.add_argument("path", type=Path)
    third.add_argument("runs", type=Path, nargs="+")
    third.add_argument("--measured", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    if options.part == "photos":
        photos(options.wallpapers, options.faces, options.out)
    elif options.part == "solve":
        solve(options.path, options.data, options.out, pairs=options.pairs, widen=options.widen)
    else:
        ship(options.path, options.runs, options.measured)


if __name__ == "__main__":
    main()
