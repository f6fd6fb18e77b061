"""The kernel distance against its definition, and without bias."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig
from ganvas.metrics.kid import kernel_distance, kid


def by_definition(real, fake):
    """Gretton et al. 2012, lemma 6: pair by pair, never a vector with itself."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    n, m = len(real), len(fake)
    within_real = sum(k(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_fake = sum(k(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_real + within_fake - 2 * sum(k(x, y) for x in real for y in fake) / (n * m)


def test_equals_the_sum_over_pairs():
    real, fake = torch.randn(7, 5), torch.randn(9, 5) + 0.5
    assert kernel_distance(real, fake) == pytest.approx(by_definition(real.double(), fake.double()), rel=1e-5)


def test_two_samples_of_one_crowd_are_at_zero_on_average_at_any_count():
    rng = torch.Generator().manual_seed(0)
    for count in (4, 60):
        found = [
            kernel_distance(torch.randn(count, 6, generator=rng), torch.randn(count, 6, generator=rng))
            for _ in range(400)
        ]
        assert abs(np.mean(found)) < 4 * np.std(found) / 20  # four standard errors


def test_a_shift_has_its_closed_form():
    """x ~ N(0, 1) against y = x + s in one dimension: E k is a polynomial of moments."""
    shift = 0.7

    def expected(a, b):  # E (xy + 1)³ for x ~ N(a, 1), y ~ N(b, 1), independent
        first, second, third = a * b, (a * a + 1) * (b * b + 1), (a**3 + 3 * a) * (b**3 + 3 * b)
        return third + 3 * second + 3 * first + 1

    closed = expected(0, 0) + expected(shift, shift) - 2 * expected(0, shift)
    rng = torch.Generator().manual_seed(1)
    found = [
        kernel_distance(torch.randn(500, 1, generator=rng), torch.randn(500, 1, generator=rng) + shift)
        for _ in range(60)
    ]
    assert np.mean(found) == pytest.approx(closed, abs=4 * np.std(found) / 60**0.5)
    assert np.std(found) < closed / 2


def test_the_mean_over_subsets_agrees_with_the_whole_and_repeats():
    rng = torch.Generator().manual_seed(2)
    real, fake = torch.randn(400, 6, generator=rng), torch.randn(300, 6, generator=rng) * 1.3
    value, spread = kid(real, fake, seed=3)
    assert value == pytest.approx(kernel_distance(real, fake), abs=0.3 * spread)
    assert spread > 0
    assert (value, spread) == kid(real, fake, seed=3) != kid(real, fake, seed=4)


def test_too_few_and_unfitting_are_refused():
    with pytest.raises(BadConfig, match="at least 50"):
        kid(torch.randn(49, 3), torch.randn(100, 3))
    with pytest.raises(BadConfig, match=r"\[5, 3\] and \[5, 4\]"):
        kernel_distance(torch.randn(5, 3), torch.randn(5, 4))
