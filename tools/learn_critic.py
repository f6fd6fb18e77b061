"""Teach the critic of faces (ganvas/features/naturalness.py) to tell whole faces from broken ones.

    python tools/learn_critic.py photos FOLDER... --out photos.npz          aligned photos of 256 px, and breaks of them
    python tools/learn_critic.py people INVERSIONS --out people.npz         .npz of `ganvas invert`, edited and broken
    python tools/learn_critic.py samples 96 --out samples.npz               samples of the model `faces`, the same
    python tools/learn_critic.py learn photos.npz people.npz samples.npz --out face-critic.safetensors

The first three write textures with the kind of each picture ("whole", "mild" and "end" of sliders, or a break) and who
it shows; `--directions FILE` takes older sliders, whose far ends break faces. Half of the people and seeds is taught,
the other half tells the figures. Each kind of break is also left out of the teaching once, to tell how well the critic
knows what it was never shown. Logistic regression with a ridge, whole and broken pictures with equal weight.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from planted_breaks import LATENT_BREAKS, PICTURE_BREAKS, PX, LatentBreaks, move_far
from safetensors.torch import save_file
from torch import Tensor

import ganvas
from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import load_directions
from ganvas.features.efficientnet import load_efficientnet
from ganvas.features.naturalness import measure_textures
from ganvas.inversion.latent_space import latent_space
from ganvas.inversion.pivotal import with_delta
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.weights.checkpoint import fingerprint

WHOLE = ("whole", "mild", "end")
REAL_SHARE = 0.95  # of the photos that lie above 0
RIDGES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
UNSURE = ("far end", "pair")  # some are whole: a beard, a child, long hair


class Planted(NamedTuple):
    """A picture with what it is."""

    img: Tensor  # [1, 3, PX, PX]
    kind: str
    source: str
    group: str  # who it shows: all pictures of one are taught, or none is


def plant_in_photos(folders: list[Path], seed: int) -> Iterator[Planted]:
    """Aligned photos as they are, and broken ones."""
    random, previous = Random(seed), None
    for folder in folders:
        for file in sorted(folder.iterdir()):
            pixels = np.array(Image.open(file).convert("RGB").resize((PX, PX), Image.Resampling.LANCZOS))
            img = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
            yield Planted(img, "whole", folder.name, file.stem)
            for kind, plant in PICTURE_BREAKS.items():
                if previous is not None and random.random() < 0.33:
                    yield Planted(plant(img, previous, random), kind, folder.name, file.stem)
            previous = img


def plant_in_people(folder: Path, generator: Any, directions: Any, seed: int) -> Iterator[Planted]:
    """Inversions with more and less of their tuning, mild edits of them, and broken ones."""
    space = latent_space(generator)
    for number, file in enumerate(sorted(folder.glob("*.npz"))):
        inversion, random = Inversion.load(file), Random(seed + number)
        for share in (0.0, 0.5, 1.0):
            tuned = with_delta(generator, inversion.delta, share=share)
            yield Planted(move_far(inversion.ws, {}, directions, tuned), "whole", "person", file.stem)
        half = with_delta(generator, inversion.delta, share=0.5)
        breaks = LatentBreaks(half, directions, space, random)
        for kind, img in _plant_in_latent(breaks, inversion.ws, rounds=3):
            yield Planted(img, kind, "person", file.stem)
        untuned = LatentBreaks(generator, directions, space, random)
        for _ in range(2):
            yield Planted(untuned.overshoot(inversion), "overshoot", "person", file.stem)


def plant_in_samples(count: int, generator: Any, directions: Any, seed: int) -> Iterator[Planted]:
    """Samples; five of six by an early exit, which is quick."""
    space = latent_space(generator)
    for number in range(count):
        random = Random(seed + number)
        painter = generator if number % 6 == 0 else _EarlyExit(generator)
        breaks = LatentBreaks(painter, directions, space, random)
        psi = random.uniform(0.5, 0.8)
        ws = generator.mapping(latents_from_seeds([number], generator.z_dim), truncation_psi=psi)
        yield Planted(move_far(ws, {}, directions, painter), "whole", "sample", f"seed {number}")
        for kind, img in _plant_in_latent(breaks, ws, rounds=1):
            yield Planted(img, kind, "sample", f"seed {number}")


def _plant_in_latent(breaks: LatentBreaks, ws: Tensor, *, rounds: int) -> Iterator[tuple[str, Tensor]]:
    for _ in range(rounds):
        yield "mild", breaks.mild(ws)
        yield "end", breaks.end(ws)
        for kind, plant in LATENT_BREAKS.items():
            yield kind, plant(breaks, ws)


class _EarlyExit:
    """A generator that paints small pictures by its early exit."""

    def __init__(self, generator: Any):
        self.generator = generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self.generator, name)

    def synthesize_downscaled(self, ws: Tensor, px: int, *, precision: str) -> Tensor:
        return self.generator.synthesis(ws, resolution=px, precision=precision)


@torch.no_grad()
def write_textures(planted: Iterator[Planted], out: Path) -> None:
    """Look at all pictures and write what the critic sees of them."""
    extractor, rows = load_efficientnet(), []
    for one in planted:
        textures = measure_textures(extractor.features(one.img.clamp(-1, 1)))[0].half().numpy()
        rows.append((textures, one.kind, one.source, one.group))
        if len(rows) % 100 == 0:
            print(f"{len(rows)} pictures", flush=True)
    names = ("textures", "kind", "source", "group")
    np.savez(out, allow_pickle=False, **dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True)))


class Table(NamedTuple):
    """All textures with what they are of."""

    textures: Tensor
    kind: np.ndarray
    source: np.ndarray
    group: np.ndarray

    def take(self, rows: np.ndarray) -> Table:
        return Table(self.textures[torch.from_numpy(rows)], self.kind[rows], self.source[rows], self.group[rows])

    @property
    def whole(self) -> np.ndarray:
        return np.isin(self.kind, WHOLE)


def read_tables(files: list[Path]) -> Table:
    """What `write_textures` wrote, together."""
    parts = [np.load(file) for file in files]
    textures = torch.from_numpy(np.concatenate([part["textures"] for part in parts])).float()
    return Table(textures, *(np.concatenate([part[name] for part in parts]) for name in ("kind", "source", "group")))


def is_taught(group: np.ndarray) -> np.ndarray:
    """Half of all people and seeds, by their names, so that it stays the same half."""
    return np.array([zlib.crc32(name.encode()) % 2 == 0 for name in group])


def fit(table: Table, ridge: float) -> tuple[Tensor, Tensor]:
    """(weight [D], bias) of textures as they are."""
    mean, std = table.textures.mean(dim=0), table.textures.std(dim=0) + 1e-3
    x, target = (table.textures - mean) / std, torch.from_numpy(table.whole).float()
    weight = _weights(table)
    w, b = torch.zeros(x.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([w, b], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        errors = F.binary_cross_entropy_with_logits(x @ w + b, target, reduction="none")
        value = (weight * errors).sum() + ridge * w.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    w, b = w.detach(), b.detach()
    return w / std, b - (w * mean / std).sum()


def _weights(table: Table) -> Tensor:
    """Sum to 1: half for whole pictures, half for broken ones; in each half every kind of every source alike."""
    cells = np.char.add(np.char.add(table.kind, "/"), table.source)
    weight = np.zeros(len(cells))
    for side in (table.whole, ~table.whole):
        names, counts = np.unique(cells[side], return_counts=True)
        for name, count in zip(names, counts, strict=True):
            weight[cells == name] = 0.5 / len(names) / count
    return torch.from_numpy(weight).float()


def trim(table: Table, ridge: float) -> Table:
    """Without sliders beyond their ends that came out whole, to a critic that learnt from surer breaks."""
    sure = table.take(~np.isin(table.kind, UNSURE))
    weight, bias = fit(sure, ridge)
    whole = (table.textures @ weight + bias).numpy() > find_border(sure.textures @ weight + bias, sure)
    return table.take(~(np.isin(table.kind, UNSURE) & whole))


def find_border(scores: Tensor, table: Table) -> float:
    """The score that REAL_SHARE of the photos reach: those of people and samples do not count."""
    photos = (table.kind == "whole") & ~np.isin(table.source, ("person", "sample"))
    return torch.quantile(scores[torch.from_numpy(photos)], 1 - REAL_SHARE).item()


def auc(whole: Tensor, broken: Tensor) -> float:
    """Share of pairs in the right order."""
    return (whole[:, None] > broken[None]).float().mean().item()


def report(table: Table, scores: Tensor, border: float, kinds: list[str]) -> None:
    """Print, for each kind, the AUC against all whole pictures and the share below the border."""
    whole = scores[torch.from_numpy(table.whole)]
    for kind in kinds:
        mine = scores[torch.from_numpy(table.kind == kind)]
        if len(mine):
            caught = (mine < border).float().mean().item()
            print(f"  {kind:13} {len(mine):5}  AUC {auc(whole, mine):.3f}  below the border {caught:.1%}", flush=True)


def learn(files: list[Path], out: Path) -> None:
    """Choose the ridge on left-out kinds, report, and write the weights learnt on everything."""
    table = read_tables(files)
    taught, kept = table.take(is_taught(table.group)), table.take(~is_taught(table.group))
    kinds = sorted(set(table.kind) - set(WHOLE))
    print(f"{len(taught.kind)} pictures taught, {len(kept.kind)} kept apart")
    ridge = max(RIDGES, key=lambda one: _mean_auc_of_unseen(taught, kept, kinds, one))
    print(f"ridge {ridge:g}\nkinds that were taught, on people who were not:")
    weight, bias = fit(trim(taught, ridge), ridge)
    scores = kept.textures @ weight + bias
    report(kept, scores, find_border(scores, kept), [*WHOLE, *kinds])
    print("each kind when it was not taught:")
    for kind in kinds:
        w, b = fit(trim(taught.take(taught.kind != kind), ridge), ridge)
        scores = kept.textures @ w + b
        report(kept, scores, find_border(scores, kept), [kind])
    weight, bias = fit(trim(table, ridge), ridge)
    bias = bias - find_border(table.textures @ weight + bias, table)
    out.parent.mkdir(parents=True, exist_ok=True)
    origin = (
        "tools/learn_critic.py on textures of EfficientNet-Lite0: free aligned photos, inversions and samples of faces"
    )
    save_file(
        {"weight": weight.contiguous(), "bias": bias.contiguous()}, out, {"origin": origin, "ridge": f"{ridge:g}"}
    )


def _mean_auc_of_unseen(taught: Table, kept: Table, kinds: list[str], ridge: float) -> float:
    aucs = []
    for kind in kinds:
        weight, _ = fit(taught.take(taught.kind != kind), ridge)
        scores = kept.textures @ weight
        mine = torch.from_numpy(kept.kind == kind)
        aucs.append(auc(scores[torch.from_numpy(kept.whole)], scores[mine]))
    print(f"ridge {ridge:g}: mean AUC of kinds not taught {sum(aucs) / len(aucs):.4f}", flush=True)
    return sum(aucs) / len(aucs)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("photos", "people", "samples", "learn"))
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--directions", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    paths = [Path(source) for source in a.sources]
    if a.what == "learn":
        learn(paths, a.out)
    elif a.what == "photos":
        write_textures(plant_in_photos(paths, a.seed), a.out)
    else:
        generator = ganvas.load("faces")
        directions = load_directions(a.directions) if a.directions else directions_of(fingerprint(generator))
        people = a.what == "people"
        plant = plant_in_people(paths[0], generator, directions, a.seed) if people else None
        samples = plant or plant_in_samples(int(a.sources[0]), generator, directions, a.seed)
        write_textures(samples, a.out)


if __name__ == "__main__":
    main()
