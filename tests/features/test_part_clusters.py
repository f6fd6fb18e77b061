"""Parts without a label: a generator that paints a square on a ground is found out, named, kept and read again."""

import pytest
import torch
import torch.nn.functional as F

import ganvas
from ganvas.errors import BadConfig, BrokenWeights
from ganvas.features import part_clusters
from ganvas.features.part_clusters import (
    find_part_clusters,
    learn_parts,
    load_part_clusters,
    parse_cluster_names,
    read_part_features,
    save_part_clusters,
)


class Squares:
    """Paints a square, left or right as z says; its features say at 32 and 16 px what is where."""

    family, feature_sizes, z_dim, num_ws = "squares", (8, 16, 32), 4, 1

    def mapping(self, z, *, truncation_psi=1.0):
        return z[:, None]

    def features(self, ws, px):
        x = torch.linspace(-1, 1, px)
        inside = ((x[:, None].abs() < 0.4) & ((x[None] - 0.5 * ws[:, 0, :1, None].sign()).abs() < 0.4)).float()
        noise = torch.randn(len(ws), 6, px, px, generator=torch.Generator().manual_seed(px))
        return torch.cat(
            [inside[:, None] * 3 + 0.1 * noise[:, :3], 2 - inside[:, None] * 2 + 0.1 * noise[:, 3:]], dim=1
        )


@pytest.fixture
def found(monkeypatch):
    monkeypatch.setattr(part_clusters, "fingerprint", lambda generator: "5" * 64)
    return learn_parts(Squares(), clusters=2, samples=4)


def test_clusters_are_the_parts_that_the_generator_paints(found):
    ws = torch.tensor([[[1.0, 0, 0, 0]], [[-1.0, 0, 0, 0]]])
    features = read_part_features(Squares(), ws)
    assert features.shape == (2, 12, 32, 32)
    nearest = found.distances(features).argmin(dim=1)
    square = int(nearest[0, 16, 24])
    named = found.with_names({square: "square"})
    p = named.parse(features)
    truth = F.interpolate(Squares().features(ws, 32)[:, :1] / 3, (32, 32)).clamp(0, 1)
    assert p.shape == (2, 1, 32, 32) and (p - truth).abs().mean() < 0.06


def test_the_same_seed_gives_the_same_parts(found):
    assert torch.equal(learn_parts(Squares(), clusters=2, samples=4).centroids, found.centroids)


def test_they_are_kept_by_generator_and_come_back(found, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    assert find_part_clusters("5" * 64) is None
    named = found.with_names({0: "ground", 1: "square"}).with_names({0: "wall"})
    path = save_part_clusters(named)
    again = find_part_clusters("5" * 64)
    assert again is not None and again.parts == ("wall", "square") and torch.equal(again.centroids, found.centroids)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenWeights, match="is not a file of parts"):
        load_part_clusters(path)


def test_what_does_not_fit_says_so(found):
    with pytest.raises(BadConfig, match="clusters 0 to 1, got 7"):
        found.with_names({7: "hair"})
    with pytest.raises(BadConfig, match="letters, digits"):
        found.with_names({0: "a part"})
    with pytest.raises(BadConfig, match="has a name yet"):
        found.parse(read_part_features(Squares(), torch.ones(1, 1, 4)))
    with pytest.raises(BadConfig, match="no feature maps"):
        learn_parts(ganvas.build("mlp", img_resolution=8, z_dim=4), clusters=2, samples=2)
    with pytest.raises(BadConfig, match="at least 2 samples"):
        learn_parts(Squares(), clusters=2, samples=1)


def test_names_as_typed():
    assert parse_cluster_names(["3=hair, 7=hair", "2=skin"]) == {3: "hair", 7: "hair", 2: "skin"}
    with pytest.raises(BadConfig, match="written as 3=hair,7=hair"):
        parse_cluster_names(["hair=3"])
