"""The oracle here is a generator with known structure: scores that are a linear function of w, plus noise."""

import pytest
import torch
from safetensors.torch import save_file

from ganvas.editing.directions import Direction, learn_direction, load_directions, move, save_directions
from ganvas.errors import BadConfig, BadLatent, BrokenWeights


def cosine(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


def planted(samples, dim, noise, seed=0):
    rng = torch.Generator().manual_seed(seed)
    w = torch.randn(samples, dim, generator=rng)
    slope = torch.nn.functional.normalize(torch.randn(dim, generator=rng), dim=0)
    return w, slope, w @ slope + noise * torch.randn(samples, generator=rng)


def test_a_planted_direction_is_found():
    w, slope, scores = planted(samples=20_000, dim=512, noise=0.5)
    found = learn_direction(w, scores, name="planted")
    assert cosine(found.vector, slope) >= 0.99
    assert found.facts["r2"] == pytest.approx(1 / 1.25, abs=0.03)  # the share of the variance that is not noise


def test_amount_one_is_one_standard_deviation_of_the_score():
    w, slope, scores = planted(samples=5_000, dim=32, noise=0)
    found = learn_direction(w, 7 * scores, name="planted", ridge=1e-6)
    assert (7 * (found.vector @ slope)).item() == pytest.approx((7 * scores).std().item(), rel=1e-3)


def test_a_confounder_can_be_held_still():
    rng = torch.Generator().manual_seed(1)
    w = torch.randn(20_000, 512, generator=rng)
    wanted, other = torch.linalg.qr(torch.randn(512, 2, generator=rng))[0].T
    scores = w @ (0.8 * wanted + 0.6 * other) + 0.5 * torch.randn(20_000, generator=rng)
    assert cosine(learn_direction(w, scores, name="mixed").vector, wanted) < 0.9
    held = learn_direction(w, scores, name="held", keep=[other])
    assert cosine(held.vector, wanted) >= 0.99
    assert abs(cosine(held.vector, other)) < 1e-5


def test_yes_and_no_marks_are_enough():
    w, slope, scores = planted(samples=5_000, dim=64, noise=0.5)
    assert cosine(learn_direction(w, (scores > 0).float(), name="marked").vector, slope) > 0.97


def test_scores_without_meaning_have_no_r2():
    w, _, _ = planted(samples=2_000, dim=16, noise=0)
    found = learn_direction(w, torch.randn(2_000, generator=torch.Generator().manual_seed(3)), name="noise")
    assert found.facts["r2"] < 0.02


def test_what_cannot_be_learnt_is_said():
    w, _, scores = planted(samples=100, dim=8, noise=0)
    with pytest.raises(BadConfig, match="differ"):
        learn_direction(w, torch.ones(100), name="flat")
    with pytest.raises(BadConfig, match="vanishes"):
        learn_direction(w, scores, name="gone", keep=list(torch.eye(8)))
    with pytest.raises(BadLatent, match=r"\[100, 8\], \[99\]"):
        learn_direction(w, scores[:99], name="short")


def test_a_direction_of_another_generator_is_refused():
    with pytest.raises(BadLatent, match="another generator"):
        move(torch.randn(1, 5, 8), Direction("smile", torch.ones(1, 9)), 1.0)


def test_a_file_gives_its_directions_back(tmp_path):
    smile = Direction("smile", torch.randn(1, 8), low=-2.5, fingerprint="ab", facts={"r2": 0.5})
    pose = Direction("pose", torch.randn(5, 8), layers=(0, 1), fingerprint="ab")
    path = save_directions([smile, pose], tmp_path / "d.safetensors", licence="CC0-1.0", origin="a test")
    back = load_directions(path)
    assert list(back) == ["smile", "pose"]
    assert torch.equal(back["pose"].vector, pose.vector)
    assert back["pose"].layers == (0, 1)
    assert (back["smile"].low, back["smile"].layers, back["smile"].fingerprint) == (-2.5, None, "ab")
    assert back["smile"].facts == {"r2": 0.5, "licence": "CC0-1.0", "origin": "a test"}


def test_one_file_is_of_one_generator(tmp_path):
    with pytest.raises(BadConfig, match="one generator"):
        save_directions(
            [Direction("a", torch.ones(1, 8), fingerprint="x"), Direction("b", torch.ones(1, 8), fingerprint="y")],
            tmp_path / "d.safetensors",
            licence="",
            origin="",
        )


@pytest.mark.parametrize(
    "card",
    ["{", "[]", '{"smile": {}}', '{"smile": {"layers": null, "low": 3, "high": -3, "facts": {}}}', '{"other": {}}'],
)
def test_a_damaged_card_is_said(tmp_path, card):
    header = {"format": "ganvas-directions-1", "fingerprint": "ab", "directions": card}
    save_file({"smile": torch.ones(1, 8)}, tmp_path / "d.safetensors", header)
    with pytest.raises(BrokenWeights, match="card"):
        load_directions(tmp_path / "d.safetensors")


def test_another_kind_of_file_is_said(tmp_path):
    save_file({"smile": torch.ones(1, 8)}, tmp_path / "d.safetensors")
    with pytest.raises(BrokenWeights, match="does not hold ganvas directions"):
        load_directions(tmp_path / "d.safetensors")
