"""Precision, recall, density and coverage against their definitions and cases with a known answer."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig
from ganvas.metrics import precision_recall as room
from ganvas.metrics.precision_recall import density_coverage, expected_coverage, precision_recall


def by_definition(real, fake, k):
    """The four equations, vector by vector."""
    real, fake = real.double().numpy(), fake.double().numpy()

    def radius(crowd, i):
        return np.sort([np.linalg.norm(crowd[i] - other) for j, other in enumerate(crowd) if j != i])[k - 1]

    def inside(point, crowd, radii):
        return [np.linalg.norm(point - centre) <= r for centre, r in zip(crowd, radii, strict=True)]

    of_real, of_fake = ([radius(crowd, i) for i in range(len(crowd))] for crowd in (real, fake))
    precision = np.mean([any(inside(x, real, of_real)) for x in fake])
    recall = np.mean([any(inside(x, fake, of_fake)) for x in real])
    table = np.array([inside(x, real, of_real) for x in fake])
    return precision, recall, table.sum() / (k * len(fake)), table.any(axis=0).mean()


@pytest.mark.parametrize("k", [1, 3])
def test_equal_the_definitions(k, monkeypatch):
    monkeypatch.setattr(room, "ROWS_PER_BLOCK", 7)  # so that the blocks are joined, too
    real, fake = torch.randn(40, 4), torch.randn(30, 4) * 0.7 + 0.5
    expected = by_definition(real, fake, k)
    assert (*precision_recall(real, fake, k=k), *density_coverage(real, fake, k=k)) == pytest.approx(expected)


def test_a_generator_that_shows_one_half_has_half_the_recall():
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(600, 8, generator=rng) * 0.1
    real[300:, 0] += 100
    fake = torch.randn(600, 8, generator=rng) * 0.1
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    assert precision > 0.85 and 0.4 < recall <= 0.5
    assert density > 0.9 and 0.4 < coverage <= 0.5


def test_a_generator_that_also_makes_nonsense_has_half_the_precision():
    rng = torch.Generator().manual_seed(1)
    real = torch.randn(600, 8, generator=rng) * 0.1
    fake = torch.randn(600, 8, generator=rng) * 0.1
    fake[300:] += 100
    precision, recall = precision_recall(real, fake)
    assert 0.4 < precision <= 0.5 and recall > 0.85


def test_the_same_pictures_are_perfect_even_far_from_the_origin():
    crowd = torch.rand(100, 20) + 1000
    assert precision_recall(crowd, crowd.clone()) == (1.0, 1.0)
    same = torch.zeros(10, 4) + 7  # all alike: every ball has radius zero
    assert precision_recall(same, same.clone()) == (1.0, 1.0)
    assert precision_recall(same, same + 1) == (0.0, 0.0)


@pytest.mark.parametrize(("n", "m"), [(400, 400), (400, 100)])
def test_the_expected_coverage_is_what_equal_crowds_get(n, m):
    rng = torch.Generator().manual_seed(2)
    found = [density_coverage(torch.randn(n, 3, generator=rng), torch.randn(m, 3, generator=rng)) for _ in range(20)]
    assert np.mean([coverage for _, coverage in found]) == pytest.approx(expected_coverage(n, m), abs=0.02)
    assert np.mean([density for density, _ in found]) == pytest.approx(1, abs=0.06)


def test_too_few_and_unfitting_are_refused():
    with pytest.raises(BadConfig, match="more than k = 3"):
        precision_recall(torch.randn(3, 2), torch.randn(9, 2))
    with pytest.raises(BadConfig, match=r"\[9, 2\] and \[9, 3\]"):
        density_coverage(torch.randn(9, 2), torch.randn(9, 3))
