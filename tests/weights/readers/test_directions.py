"""Directions and latents of other tools, in files written here as those tools write them."""

import pickle

import numpy as np
import pytest
import torch

from ganvas.errors import BadLatent, BrokenWeights, UnknownWeights, WeightsError
from ganvas.weights.readers.directions import read_directions, read_latents, shift


@pytest.fixture
def random():
    return np.random.default_rng(0)


def only(path):
    directions = read_directions(path)
    assert len(directions) == 1
    return directions[0]


@pytest.mark.parametrize(
    ("name", "space", "conditioned"),
    [
        ("stylegan_ffhq_smile_boundary", "z", False),
        ("stylegan_ffhq_age_w_boundary", "w", False),
        ("stylegan_ffhq_age_c_gender_boundary", "z", True),
    ],
)
def test_interfacegan(tmp_path, random, name, space, conditioned):
    vector = random.normal(size=(1, 512))
    vector /= np.linalg.norm(vector)
    np.save(tmp_path / f"{name}.npy", vector)
    direction = only(tmp_path / f"{name}.npy")
    assert (direction.name, direction.space, direction.layers, direction.scale) == (name, space, None, 1.0)
    assert direction.facts == {"conditioned": conditioned}
    assert torch.allclose(direction.vectors, torch.from_numpy(vector).float())
    assert direction.vectors.norm().item() == pytest.approx(1, abs=1e-5)


def test_flat_w_plus(tmp_path, random):
    vector = random.normal(size=(1, 18 * 512)).astype(np.float32)
    np.save(tmp_path / "afro.npy", vector)
    direction = only(tmp_path / "afro.npy")
    assert (direction.space, direction.vectors.shape) == ("w+", (18, 512))
    assert torch.equal(direction.vectors[3, :5], torch.from_numpy(vector)[0, 3 * 512 : 3 * 512 + 5])


def test_idinvert(tmp_path, random):
    boundary = random.normal(size=(1, 14, 512))
    np.save(tmp_path / "pose.npy", np.array({"boundary": boundary, "meta_data": {"manipulate_layers": [0, 1, 2, 3]}}))
    direction = only(tmp_path / "pose.npy")
    assert (direction.space, direction.layers, direction.format) == ("w+", (0, 1, 2, 3), "idinvert boundary")
    assert torch.allclose(direction.vectors, torch.from_numpy(boundary[0]).float())


@pytest.mark.parametrize(("shape", "space"), [((1, 512), "w"), ((512,), "w"), ((1, 18, 512), "w+")])
def test_e4e(tmp_path, shape, space):
    vector = torch.randn(shape)
    torch.save(vector, tmp_path / "age.pt")
    direction = only(tmp_path / "age.pt")
    assert (direction.space, direction.name) == (space, "age")
    assert torch.equal(direction.vectors.flatten(), vector.flatten())


def test_ganspace_components(tmp_path, random):
    count, stdev = 5, np.arange(1.0, 6.0)
    components = np.linalg.qr(random.normal(size=(64, count)))[0].T[:, None].astype(np.float32)  # [5, 1, 64]
    np.savez(
        tmp_path / "stylegan2-car_style_ipca.npz",
        act_comp=components, act_mean=np.zeros((1, 64)), act_stdev=stdev, lat_comp=components,
        lat_mean=np.ones((1, 64)), lat_stdev=stdev, var_ratio=stdev, random_stdevs=stdev,
    )  # fmt: skip
    directions = read_directions(tmp_path / "stylegan2-car_style_ipca.npz")
    assert [d.scale for d in directions] == [1, 2, 3, 4, 5]
    ws = torch.randn(2, 4, 64)
    moved = shift(ws, directions[2], 1.5)  # w + lat_comp · lat_stdev · amount
    assert torch.allclose(moved, ws + torch.from_numpy(components[2]) * 3 * 1.5, atol=1e-6)


def test_ganspace_pca_sets_the_coordinate(tmp_path, random):
    components = torch.linalg.qr(torch.randn(64, 4))[0].T[:, None].contiguous()  # [4, 1, 64]
    mean, std = torch.randn(1, 64), torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.save({"comp": components, "mean": mean, "std": std}, tmp_path / "ffhq_pca.pt")
    direction = read_directions(tmp_path / "ffhq_pca.pt")[1]
    ws = torch.randn(3, 5, 64)
    moved = shift(ws, direction, -2.0)
    along = lambda x: (x - mean) @ components[1, 0] / 2  # noqa: E731
    assert torch.allclose(along(moved), torch.full((3, 5), -2.0), atol=1e-5)  # wherever it was before
    across = (moved - ws) - ((moved - ws) @ components[1, 0])[..., None] * components[1, 0]
    assert across.abs().max() < 1e-5
    assert torch.allclose(shift(moved, direction, -2.0), moved, atol=1e-5)


@pytest.mark.parametrize("protocol", [2, 4])
def test_ganspace_direction(tmp_path, random, protocol):
    component = random.normal(size=(1, 512)).astype(np.float32)
    content = {
        "name": "Frizzy hair", "lat_comp": component, "act_comp": component, "latent_space": "W",
        "lat_stdev": np.float32(2.5), "act_stdev": np.float32(1), "edit_type": "latent", "edit_start": 2, "edit_end": 6,
        "component_index": 31, "truncation": 0.7,
        "decomposition": {"name": "stylegan2", "n": 10**6}, "num_components": 80, "version": 0,
    }  # fmt: skip
    with (tmp_path / "hair.pkl").open("wb") as file:
        pickle.dump(content, file, protocol=protocol)
    direction = only(tmp_path / "hair.pkl")
    assert (direction.name, direction.layers, direction.scale, direction.space) == (
        "Frizzy hair",
        (2, 3, 4, 5),
        2.5,
        "w",
    )
    assert direction.facts == {"component_index": 31, "truncation": 0.7}
    ws = torch.zeros(1, 8, 512)
    moved = shift(ws, direction, 2)
    assert torch.allclose(moved[0, 3], torch.from_numpy(component[0]) * 5)
    assert moved[0, [0, 1, 6, 7]].abs().max() == 0


def test_another_generator_is_refused_with_both_numbers(tmp_path):
    torch.save(torch.randn(1, 18, 64), tmp_path / "d.pt")
    direction = only(tmp_path / "d.pt")
    with pytest.raises(BadLatent, match=r"\[N, 18, 64\], got \[1, 14, 64\]"):
        shift(torch.zeros(1, 14, 64), direction, 1)
    with pytest.raises(BadLatent, match=r"\[N, 18, 64\], got \[1, 18, 32\]"):
        shift(torch.zeros(1, 18, 32), direction, 1)
    np.save(tmp_path / "x_boundary.npy", np.ones((1, 64)))
    with pytest.raises(BadLatent, match="is in z space"):
        shift(torch.zeros(1, 14, 64), only(tmp_path / "x_boundary.npy"), 1)


def test_projected_latents(tmp_path, random):
    ws = random.normal(size=(1, 14, 512)).astype(np.float32)
    np.savez(tmp_path / "projected_w.npz", w=ws)
    found = read_latents(tmp_path / "projected_w.npz")
    assert [latent.name for latent in found] == ["projected_w"]
    assert torch.equal(found[0].ws, torch.from_numpy(ws))
    latent = torch.randn(14, 512)
    torch.save(
        {"me.png": {"img": torch.randn(3, 8, 8), "latent": latent, "noise": [torch.randn(1)]}}, tmp_path / "me.pt"
    )
    found = read_latents(tmp_path / "me.pt")
    assert (found[0].name, found[0].format) == ("me.png", "rosinality projector")
    assert torch.equal(found[0].ws, latent[None])
    steps = [random.normal(size=(14, 512)) for _ in range(5)]
    np.save(tmp_path / "latents.npy", np.array({"a.jpg": steps, "b.jpg": np.stack(steps)}))
    found = read_latents(tmp_path / "latents.npy")
    assert [latent.name for latent in found] == ["a.jpg", "b.jpg"]
    assert all(torch.allclose(latent.ws[0], torch.from_numpy(steps[-1]).float()) for latent in found)


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], "x", {"boundary": "x"}, {"comp": 1, "mean": 2, "std": 3}])
def test_other_files_are_described(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"x\.pt"):
        read_directions(tmp_path / "x.pt")
    with pytest.raises(UnknownWeights, match=r"x\.pt"):
        read_latents(tmp_path / "x.pt")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    np.save(tmp_path / "d.npy", np.full((1, 512), np.nan))
    with pytest.raises(BrokenWeights, match="not finite"):
        read_directions(tmp_path / "d.npy")
