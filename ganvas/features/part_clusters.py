"""Parts of what any generator paints, without a label: its own feature maps fall into clusters that people can name.

A generator holds on its way, at 32 or 64 px, what lies where: hair, wall, wheel. Standardised, projected on their main
components and clustered, the same clusters stand for the same parts in every picture it paints, so naming the clusters
once names them for good.

Papers: Collins et al. 2020, "Editing in Style: Uncovering the Local Semantics of GANs" (k-means on feature maps);
Zhang et al. 2021, "DatasetGAN"; Arthur and Vassilvitskii 2007, "k-means++".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ganvas.errors import BadConfig, BrokenWeights
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint, write_atomically

MAP_SIZES = (16, 32, 64)  # feature maps that are looked at; those that a generator has
COMPONENTS = 64
KMEANS_ROUNDS = 40  # of k-means
MAX_PLACES = 1024  # of each sample, at random: as good as all, and a quarter of the memory
CLAMP = 4.0  # standard deviations: single wild channels do not rule a cluster
SHARPNESS = 8.0  # of soft borders between parts
_FORMAT = "ganvas-parts-1"
_NAME = r"[\w-]{1,40}"


@dataclass(frozen=True, eq=False)
class PartClusters:
    """Clusters of one generator's features; `names` [K] is what people call them, "" = not named yet.

    `mean` and `std` are [1, C, 1, 1], `components` [C, D] (scaled), `centroids` [K, D].
    """

    mean: Tensor
    std: Tensor
    components: Tensor
    centroids: Tensor
    fingerprint: str
    names: tuple[str, ...] = field(default=())

    @property
    def parts(self) -> tuple[str, ...]:
        """The different names, in the order of the clusters."""
        return tuple(dict.fromkeys(filter(None, self.names)))

    def with_names(self, names: Mapping[int, str]) -> PartClusters:
        """The same with some clusters named; several may have one name.

        Raises:
            BadConfig: a cluster that is not there, or a name that is none.
        """
        new = list(self.names)
        for number, name in names.items():
            if not 0 <= number < len(new):
                raise BadConfig(f"there are clusters 0 to {len(new) - 1}, got {number}")
            if name and not re.fullmatch(_NAME, name):
                raise BadConfig(f"a part's name has letters, digits, - and _, got {name!r}")
            new[number] = name
        return replace(self, names=tuple(new))

    def distances(self, features: Tensor) -> Tensor:
        """[N, C, P, P] of `read_part_features` → squared distances to the clusters [N, K, P, P]."""
        z = ((features - self.mean) / self.std).clamp(-CLAMP, CLAMP)
        z = torch.einsum("nchw,cd->nhwd", z, self.components)
        return (
            torch.cdist(z.flatten(1, 2), self.centroids[None]).square().unflatten(1, z.shape[1:3]).permute(0, 3, 1, 2)
        )

    def parse(self, features: Tensor) -> Tensor:
        """How much of each place belongs to which of `parts`: [N, parts, P, P]; together at most 1.

        Raises:
            BadConfig: no cluster has a name.
        """
        if not self.parts:
            raise BadConfig("no part of this generator has a name yet; see 'ganvas parts learn --help'")
        d = self.distances(features)
        p = (-SHARPNESS * (d / d.amin(dim=1, keepdim=True).clamp(min=1e-9) - 1)).softmax(dim=1)
        return torch.stack([p[:, [n == part for n in self.names]].sum(dim=1) for part in self.parts], dim=1)


def read_part_features(generator: Any, ws: Tensor) -> Tensor:
    """The feature maps that clusters are made of, one over the other at the largest of their sizes: [N, C, P, P].

    Raises:
        BadConfig: a family without feature maps.
    """
    sizes = [px for px in MAP_SIZES if px in generator.feature_sizes]
    if not sizes:
        raise BadConfig(f"{generator.family} has no feature maps, so its parts cannot be told apart")
    maps = [generator.features(ws, px).float() for px in sizes]
    largest = (sizes[-1], sizes[-1])
    return torch.cat([F.interpolate(x, largest, mode="bilinear", align_corners=False) for x in maps], dim=1)


@torch.no_grad()
def learn_parts(
    generator: Any,
    *,
    clusters: int = 24,
    samples: int = 40,
    seed: int = 0,
    truncation_psi: float = 0.8,
    on_step: Callable[[int, int], Any] | None = None,
) -> PartClusters:
    """Find the parts of a generator's pictures.

    Args:
        generator: one with feature maps.
        clusters: how many; parts that people see as one may take several.
        samples: pictures to look at.
        seed: of the pictures and of the clusters.
        truncation_psi: of the pictures.
        on_step: called with (pictures looked at, pictures in all).

    Returns:
        Clusters without names: see `with_names`, and `save_part_clusters`.

    Raises:
        BadConfig: a family without feature maps, or numbers below 2.
    """
    if min(clusters, samples) < 2:
        raise BadConfig(
            f"parts are learnt from at least 2 samples in at least 2 clusters, got {samples} and {clusters}"
        )
    rng = torch.Generator().manual_seed(seed)
    maps = []
    for number in range(samples):
        z = torch.randn(1, generator.z_dim, generator=rng)
        features = read_part_features(generator, generator.mapping(z, truncation_psi=truncation_psi))[0].flatten(1)
        maps.append(features[:, torch.randperm(features.shape[1], generator=rng)[:MAX_PLACES]])
        if on_step is not None:
            on_step(number + 1, samples)
    x = torch.cat(maps, dim=1).T  # [places, C]
    mean, std = x.mean(dim=0), x.std(dim=0).clamp(min=1e-3)
    z = ((x - mean) / std).clamp(-CLAMP, CLAMP)
    components = _find_components(z)
    y = z @ components
    components, y = components / y.std(), y / y.std()
    centroids = _cluster(y, clusters, rng)
    return PartClusters(
        mean[None, :, None, None],
        std[None, :, None, None],
        components,
        centroids,
        fingerprint(generator),
        ("",) * clusters,
    )


def _find_components(z: Tensor) -> Tensor:
    """[C, D]: main components, the strong ones held back by the root of their size so that small parts count too."""
    _, strength, v = torch.linalg.svd(z.T @ z / len(z))
    count = min(COMPONENTS, len(strength))
    return v[:count].T / strength[:count].clamp(min=1e-6) ** 0.25


def _cluster(y: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """k-means from k-means++ seeds: centroids [count, D]."""
    centroids = y[torch.randint(len(y), (1,), generator=rng)]
    while len(centroids) < count:
        far = torch.cdist(y, centroids).amin(dim=1).square()
        centroids = torch.cat([centroids, y[torch.multinomial(far + 1e-12, 1, generator=rng)]])
    for _ in range(KMEANS_ROUNDS):
        nearest = torch.cdist(y, centroids).argmin(dim=1)
        members = torch.bincount(nearest, minlength=count).clamp(min=1)[:, None]
        sums = torch.zeros_like(centroids).index_add_(0, nearest, y)
        alone = torch.bincount(nearest, minlength=count)[:, None] == 0
        centroids = torch.where(alone, centroids, sums / members)
    return centroids


def part_clusters_path(generator_fingerprint: str) -> Path:
    """Where the parts of a generator are kept on this computer."""
    return store.home() / "parts" / f"{generator_fingerprint[:16]}.safetensors"


def save_part_clusters(clusters: PartClusters, path: Path | None = None) -> Path:
    """Keep the parts of a generator, where sessions of it find them; atomic."""
    path = path or part_clusters_path(clusters.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: getattr(clusters, name).contiguous() for name in ("mean", "std", "components", "centroids")}
    facts = {"format": _FORMAT, "fingerprint": clusters.fingerprint, "names": json.dumps(clusters.names)}
    write_atomically(path, lambda part: save_file(tensors, part, facts))
    return path


def load_part_clusters(path: Path) -> PartClusters:
    """What `save_part_clusters` wrote.

    Raises:
        BrokenWeights: damaged, or something else.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in ("mean", "std", "components", "centroids")}
        names = tuple(str(name) for name in json.loads(facts["names"]))
        if facts.get("format") != _FORMAT or len(names) != len(tensors["centroids"]):
            raise ValueError("it holds something else")
        return PartClusters(**tensors, fingerprint=facts["fingerprint"], names=names)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BrokenWeights(f"{path} is not a file of parts, as 'ganvas parts learn' writes it ({error})") from error


def find_part_clusters(generator_fingerprint: str) -> PartClusters | None:
    """The parts of a generator that were learnt on this computer; None where there are none."""
    path = part_clusters_path(generator_fingerprint)
    return load_part_clusters(path) if path.is_file() else None


def parse_cluster_names(texts: Iterable[str]) -> dict[int, str]:
    """`3=hair,7=hair` → {3: "hair", 7: "hair"}.

    Raises:
        BadConfig: written otherwise.
    """
    names: dict[int, str] = {}
    for part in ",".join(texts).replace(" ", "").split(","):
        number, equals, name = part.partition("=")
        if not equals or not number.isdigit():
            raise BadConfig(f"names of clusters are written as 3=hair,7=hair, got {part!r}")
        names[int(number)] = name
    return names
