import pytest
import torch

from ganvas.errors import BadConfig, BrokenWeights, Stopped
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.inversion.encoder import (
    LatentEncoder,
    find_encoder,
    fit_encoder,
    fit_ridge,
    keep_encoder,
    list_encoders,
    look_at,
    user_encoders,
)
from ganvas.inversion.latent_space import latent_space
from ganvas.weights.checkpoint import fingerprint
from tests.inversion.generators import every_family, tiny


def planted(rows=400, features=30, axes=3):
    random = torch.Generator().manual_seed(3)
    x = torch.randn(rows, features, generator=random) + 2
    weight = torch.randn(axes, features, generator=random)
    return x, weight, x @ weight.T - 5


def test_a_planted_linear_map_is_recovered():
    x, weight, y = planted()
    found, centre, start, certainty, _ = fit_ridge(x, y + 0.01 * torch.randn(y.shape))
    assert torch.allclose(found, weight, atol=0.2)
    assert (certainty > 0.99).all()
    assert torch.allclose((x - centre) @ found.T + start, y, atol=1)


def test_both_ways_to_solve_are_ridge_regression():
    for rows in (25, 200):  # fewer and more samples than features
        x, _, y = planted(rows)
        found, _, _, _, ridge = fit_ridge(x, y)
        train = rows - min(300, rows // 5)
        a = (x[:train] - x[:train].mean(dim=0)).double()
        penalty = ridge * a.square().sum() / train * torch.eye(30)
        expected = torch.linalg.inv(a.T @ a + penalty) @ a.T @ (y[:train] - y[:train].mean(dim=0)).double()
        assert torch.allclose(found.double(), expected.T, atol=1e-3)


def test_what_cannot_be_foretold_is_not_certain():
    x, _, y = planted()
    noise = torch.randn(len(y), 1, generator=torch.Generator().manual_seed(4))
    *_, certainty, _ = fit_ridge(x, torch.cat([y, noise], dim=1))
    assert certainty[-1] < 0.1 < certainty[0]


@every_family
def test_a_generators_own_pictures_are_told_apart(family):
    G = tiny(family)
    encoder = fit_encoder(G, samples=600)
    space = latent_space(G)
    v = 0.8 * torch.randn(1, 1, space.dim, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        img = G.synthesis(space.to_ws(v)).clamp(-1, 1)
        start = encoder.find_start(img, G, space)
        guessed = G.synthesis(space.to_ws(start)).clamp(-1, 1)
        mean = G.synthesis(space.to_ws(torch.zeros_like(v))).clamp(-1, 1)
    assert start.shape == v.shape
    assert (guessed - img).square().mean() < (mean - img).square().mean()
    assert "colours" in encoder.parts
    assert ("face" in encoder.parts) == (family == "mobilestylegan")


def test_it_looks_through_an_extractor_where_there_is_one():
    G, extractor = tiny("stylegan2"), EfficientNetLite0()
    encoder = fit_encoder(G, samples=40, extractor=extractor)
    assert encoder.needs_extractor
    img = torch.zeros(2, 3, 32, 32)
    assert encoder.predict(img, extractor=extractor).shape == (2, len(encoder.start))
    with pytest.raises(BadConfig, match="efficientnet-lite0"):
        encoder.predict(img)


def test_every_class_of_a_conditional_generator_has_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    G = tiny("mlp", c_dim=3)
    with pytest.raises(BadConfig, match="classes"):
        fit_encoder(G, samples=20)
    with pytest.raises(BadConfig, match="no classes"):
        fit_encoder(tiny("mlp"), samples=20, label=1)
    keep_encoder(fit_encoder(G, samples=20, label=2))
    assert find_encoder(G, label=2) is not None
    assert find_encoder(G, label=1) is None


def test_the_same_samples_give_the_same_encoder_and_may_end_early():
    G = tiny("mlp")
    told = []
    a, b = (fit_encoder(G, samples=48, seed=5) for _ in range(2))
    assert torch.equal(a.weight, b.weight)
    early = fit_encoder(G, samples=480, on_step=lambda n, total, img: told.append((n, total)) or n >= 40)
    assert told[-1] == (40, 480)
    assert early.facts["samples"] == 40
    assert fit_encoder(G, samples=480, max_sec=1e-6).facts["samples"] == 24  # never fewer than can be learnt from

    def stop(*_):
        raise Stopped("enough")

    with pytest.raises(Stopped):
        fit_encoder(G, samples=48, on_step=stop)
    with pytest.raises(BadConfig, match="at least"):
        fit_encoder(G, samples=3)


def test_a_kept_encoder_is_found_by_its_generator(monkeypatch, tmp_path):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    G = tiny("mlp")
    assert find_encoder(G) is None
    kept = fit_encoder(G, samples=60)
    path = keep_encoder(kept)
    assert path.parent == user_encoders()
    assert path in [file for file, _ in list_encoders()]
    found = find_encoder(G)
    assert found.fingerprint == fingerprint(G)
    assert (found.parts, found.px, found.facts) == (kept.parts, kept.px, kept.facts)
    img = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.allclose(found.predict(img), kept.predict(img), atol=0.02)  # float16
    assert find_encoder(tiny("stylegan2")) is None


def test_the_one_that_ships_is_whole():
    shipped = [encoder for file, encoder in list_encoders() if file.name == "faces-encoder.safetensors"]
    assert len(shipped) == 1
    assert shipped[0].parts == ("features", "colours", "face")
    seen = look_at(torch.zeros(1, 3, 128, 128), parts=shipped[0].parts, px=128, extractor=EfficientNetLite0())
    assert seen.shape[1] == shipped[0].weight.shape[1]


def test_damaged_and_other_files_are_named(tmp_path):
    path = fit_encoder(tiny("mlp"), samples=20).save(tmp_path / "e.safetensors")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenWeights):
        LatentEncoder.load(path)
    from ganvas.editing.direction_files import SHIPPED_DIRECTIONS

    with pytest.raises(BrokenWeights, match="does not hold a ganvas encoder"):
        LatentEncoder.load(SHIPPED_DIRECTIONS / "faces.safetensors")
