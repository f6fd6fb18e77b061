"""The Fréchet distance against closed forms, a slow definition, and what it must refuse."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadImage
from ganvas.metrics.frechet import (
    MIN_IMAGES_FD,
    ROWS_PER_UPDATE,
    Statistics,
    estimate_floor,
    fd_effnet,
    frechet_distance,
    real_statistics,
)
from tests.metrics.makers import NoiseGenerator, NoisePictures, small_eyes


def covariance(size, *, seed=0, rank=None):
    rows = torch.randn(size, rank or size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows @ rows.T / size


def root_by_newton(matrix, steps=60):
    """The principal square root of a positive definite matrix: Denman and Beavers 1976, another way than ours."""
    y, z = matrix.clone(), torch.eye(len(matrix), dtype=matrix.dtype)
    for _ in range(steps):
        y, z = (y + z.inverse()) / 2, (z + y.inverse()) / 2
    return y


def by_definition(mean1, cov1, mean2, cov2):
    """Heusel et al. 2017, equation 6, with the root of the unsymmetric product C1 C2."""
    return float((mean1 - mean2).square().sum() + torch.trace(cov1 + cov2 - 2 * root_by_newton(cov1 @ cov2)))


def test_equals_the_definition_with_another_root():
    mean1, mean2 = torch.randn(2, 12, dtype=torch.float64)
    cov1, cov2 = covariance(12, seed=1), covariance(12, seed=2)
    ours = frechet_distance(mean1, cov1, mean2, cov2)
    assert ours == pytest.approx(by_definition(mean1, cov1, mean2, cov2), rel=1e-8)
    assert ours == pytest.approx(frechet_distance(mean2, cov2, mean1, cov1), rel=1e-12)


def test_diagonal_gaussians_have_a_closed_form():
    mean1, mean2 = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0, 5.0])
    spread1, spread2 = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0, 2.0, 0.25])
    expected = float((mean1 - mean2).square().sum() + (spread1 - spread2).square().sum())
    ours = frechet_distance(mean1, torch.diag(spread1**2), mean2, torch.diag(spread2**2))
    assert ours == pytest.approx(expected, rel=1e-12)


def test_shifted_means_count_their_square_alone():
    cov = covariance(20)
    mean = torch.zeros(20, dtype=torch.float64)
    assert frechet_distance(mean, cov, mean + 0.5, cov) == pytest.approx(20 * 0.25, rel=1e-10)


@pytest.mark.parametrize("rank", [40, 7, 1])
def test_a_crowd_is_at_no_distance_from_itself_whatever_its_rank(rank):
    cov, mean = covariance(40, rank=rank) * 1e4, torch.randn(40, dtype=torch.float64)
    assert frechet_distance(mean, cov, mean, cov) < 1e-8 * float(torch.trace(cov))


def test_turning_the_space_changes_nothing():
    turn = torch.linalg.qr(torch.randn(15, 15, dtype=torch.float64)).Q
    mean1, mean2 = torch.randn(2, 15, dtype=torch.float64)
    cov1, cov2 = covariance(15, seed=3), covariance(15, seed=4, rank=5)
    straight = frechet_distance(mean1, cov1, mean2, cov2)
    turned = frechet_distance(turn @ mean1, turn @ cov1 @ turn.T, turn @ mean2, turn @ cov2 @ turn.T)
    assert turned == pytest.approx(straight, rel=1e-9)


def test_crowds_of_lower_rank_in_separate_corners():
    """Where the two share no direction, (C1 C2)^½ is zero and only the traces remain."""
    cov1, cov2 = torch.zeros(2, 6, 6, dtype=torch.float64)
    cov1[:3, :3], cov2[3:, 3:] = covariance(3, seed=5), covariance(3, seed=6)
    mean = torch.zeros(6)
    expected = float(torch.trace(cov1) + torch.trace(cov2))
    assert frechet_distance(mean, cov1, mean, cov2) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(mean, cov1, mean, cov1 * 0) == pytest.approx(float(torch.trace(cov1)), rel=1e-10)


def test_statistics_equal_numpys_however_the_rows_come():
    rows = (
        torch.randn(2 * ROWS_PER_UPDATE + 77, 9) * torch.arange(1.0, 10) + 1000
    )  # a far mean is where naive sums lose digits
    expected_mean, expected_cov = rows.double().mean(dim=0), np.cov(rows.double().numpy().T)
    for sizes in ([len(rows)], [1] * 3 + [len(rows) - 3], [ROWS_PER_UPDATE, ROWS_PER_UPDATE, 77]):
        made = Statistics.of(rows.split(sizes))
        assert made.count == len(rows)
        assert torch.allclose(made.mean, expected_mean, rtol=1e-12)
        assert np.allclose(made.cov, expected_cov, rtol=1e-9)


def test_parts_merge_into_the_whole():
    rows = torch.randn(500, 5)
    parts = [Statistics.of([part]) for part in rows.split([2, 250, 248])]
    whole, merged = Statistics.of([rows]), parts[0].merge(parts[1]).merge(parts[2])
    assert merged.count == 500
    assert torch.allclose(merged.mean, whole.mean) and torch.allclose(merged.cov, whole.cov)


@pytest.mark.parametrize("seed", [8, 14])
def test_images_that_are_nearly_all_alike_have_a_distance(seed):
    """On these crowds eigh does not converge with MKL."""
    rng = torch.Generator().manual_seed(seed)
    alike = torch.rand(1, 1280, generator=rng)
    rows = alike + 1e-9 * torch.randn(300, 1280, generator=rng) * (torch.rand(300, 1, generator=rng) < 0.1)
    one = Statistics.of([rows])
    other = Statistics.of([alike.expand(300, -1) + 1.0])
    assert frechet_distance(one.mean, one.cov, other.mean, other.cov) == pytest.approx(1280, rel=1e-6)


def test_the_other_solver_finds_the_same_root(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    one, other = (Statistics.of([torch.randn(50, 20, generator=rng) * k]) for k in (1, 2))
    usual = frechet_distance(one.mean, one.cov, other.mean, other.cov)

    def fail(cov):
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    assert frechet_distance(one.mean, one.cov, other.mean, other.cov) == pytest.approx(usual, rel=1e-9)
    with pytest.raises(BadConfig, match="no negative eigenvalues"):
        frechet_distance(one.mean, -one.cov, other.mean, other.cov)


@pytest.mark.parametrize(
    ("means", "covs", "said"),
    [
        ((3, 4), (3, 4), r"got \[\[3\], \[3, 3\], \[4\], \[4, 4\]\]"),
        ((3, 3), (3, 4), "of one F"),
    ],
)
def test_shapes_that_do_not_fit_are_named(means, covs, said):
    with pytest.raises(BadConfig, match=said):
        frechet_distance(torch.zeros(means[0]), torch.eye(covs[0]), torch.zeros(means[1]), torch.eye(covs[1]))


def test_what_is_no_covariance_is_refused():
    mean = torch.zeros(2)
    for matrix in ([[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [0.0, float("nan")]]):
        with pytest.raises(BadConfig, match="covariance"):
            frechet_distance(mean, torch.tensor(matrix), mean, torch.eye(2))
    with pytest.raises(BadConfig, match="finite"):
        Statistics.of([torch.tensor([[1.0], [float("nan")]])])
    with pytest.raises(BadConfig, match="at least two"):
        Statistics.of([torch.zeros(1, 3)])


@pytest.mark.parametrize(
    ("features", "real", "fake"), [(30, 400, 400), (30, 400, 200), (300, 200, 200), (300, 240, 400)]
)
def test_the_floor_is_what_equal_crowds_really_get(features, real, fake):
    """Samples of one Gaussian with a falling spectrum, of more and of fewer vectors than features."""
    spread = torch.arange(1.0, features + 1, dtype=torch.float64) ** -0.5
    rng = torch.Generator().manual_seed(1)

    def crowd(count):
        return Statistics.of([torch.randn(count, features, generator=rng, dtype=torch.float64) * spread], halves=True)

    trials, floors = [], []
    for _ in range(12):
        one, other = crowd(real), crowd(fake)
        trials.append(frechet_distance(one.mean, one.cov, other.mean, other.cov))
        floors.append(estimate_floor(one, fake))
    assert np.mean(floors) == pytest.approx(np.mean(trials), rel=0.15)


def test_halves_are_every_second_vector_however_they_come():
    rows = torch.randn(2 * ROWS_PER_UPDATE + 100, 6)
    made = Statistics.of(rows.split(64), halves=True)
    first, second = Statistics.of([rows[0::2]]), Statistics.of([rows[1::2]])
    assert made.halves == pytest.approx(frechet_distance(first.mean, first.cov, second.mean, second.cov), rel=1e-9)
    assert made.count == len(rows) and torch.allclose(made.cov, Statistics.of([rows]).cov)
    assert estimate_floor(Statistics.of([rows]), 100) is None
    assert estimate_floor(Statistics.of([torch.ones(50, 3)], halves=True), 100) == 0
    with pytest.raises(BadConfig, match="at least two"):
        Statistics.of([], halves=True)


def test_a_generator_like_the_data_is_near_the_floor_and_others_are_far():
    extractor, pictures = small_eyes(), NoisePictures(600)
    even = float(torch.tensor(1 / 3).sqrt())  # the spread of uniform numbers in [-1, 1]
    near = fd_effnet(NoiseGenerator(spread=even), pictures, num=600, seed=0, extractor=extractor)
    dull = fd_effnet(NoiseGenerator(spread=even / 3), pictures, num=600, seed=0, extractor=extractor)
    bright = fd_effnet(NoiseGenerator(spread=even, shift=0.2), pictures, num=600, seed=0, extractor=extractor)
    assert near.value < 5 * near.floor
    assert dull.value > 20 * near.value and bright.value > 20 * near.value


def test_the_protocol_says_all_that_must_be_equal():
    extractor, pictures = small_eyes(), NoisePictures(500)
    figure = fd_effnet(NoiseGenerator(), pictures, num=300, seed=5, extractor=extractor)
    protocol = figure.protocol
    assert figure.name == "FD-Pool" and "FID" not in figure.line()
    assert (protocol.real, protocol.fake, protocol.seed, protocol.data) == (300, 300, 5, "noise-500-0")
    assert (protocol.network, protocol.network_fingerprint, protocol.input_px) == ("pool", extractor.fingerprint, 8)
    for part in ("300 real", "300 fake", "bicubic", "pool", "seed 5", "perfect generator", extractor.fingerprint[:8]):
        assert part in figure.line()
    assert any("not FID" in caution for caution in figure.cautions)


def test_too_few_pictures_are_refused_on_either_side():
    extractor = small_eyes()
    with pytest.raises(BadConfig, match=f"at least {MIN_IMAGES_FD} fake images, got 50"):
        fd_effnet(NoiseGenerator(), NoisePictures(500), num=50, seed=0, extractor=extractor)
    with pytest.raises(BadConfig, match=f"at least {MIN_IMAGES_FD} real images, got 50"):
        fd_effnet(NoiseGenerator(), NoisePictures(50), num=500, seed=0, extractor=extractor)


def test_the_same_seed_gives_the_same_figure_and_leaves_the_generator_as_it_was():
    extractor, pictures = small_eyes(), NoisePictures(300)
    G = NoiseGenerator().train()
    state = torch.get_rng_state()
    first = fd_effnet(G, pictures, num=250, seed=1, extractor=extractor)
    assert first == fd_effnet(G, pictures, num=250, seed=1, extractor=extractor)
    assert first != fd_effnet(G, pictures, num=250, seed=2, extractor=extractor)
    assert G.training and torch.equal(state, torch.get_rng_state())


def test_a_diverged_generator_is_no_figure():
    with pytest.raises(BadImage, match="not finite"):
        fd_effnet(NoiseGenerator(spread=float("nan")), NoisePictures(300), num=250, seed=1, extractor=small_eyes())


def test_labels_of_fakes_are_drawn_as_the_data_has_them():
    G = NoiseGenerator(c_dim=2)
    fd_effnet(G, NoisePictures(300, labels=True), num=400, seed=1, extractor=small_eyes())
    share = torch.cat(G.labels)[:, 0].mean()
    assert len(torch.cat(G.labels)) == 400 and 0.4 < share < 0.6
    with pytest.raises(BadConfig, match="conditional"):
        fd_effnet(G, NoisePictures(300), num=250, seed=1, extractor=small_eyes())


def test_statistics_of_the_data_are_kept_under_what_they_are_of(tmp_path):
    extractor = small_eyes()

    def measured(pictures, **changes):
        settings = {"num": 250, "seed": 0, "extractor": extractor, "cache": tmp_path} | changes
        pictures.looked_at.clear()
        made = real_statistics(pictures, **settings)
        return made, bool(pictures.looked_at)

    pictures = NoisePictures(300)
    first, looked = measured(pictures)
    again, looked_again = measured(pictures)
    assert looked and not looked_again
    assert again.count == 250 and torch.equal(first.cov, again.cov) and torch.equal(first.mean, again.mean)
    assert again.halves == first.halves is not None
    for changes in ({"num": 260}, {"seed": 1}, {"extractor": small_eyes(precision="fast")}):
        assert measured(pictures, **changes)[1]
    assert measured(NoisePictures(300, seed=1))[1]
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"broken")
    assert torch.equal(measured(pictures)[0].cov, first.cov)
