"""Every family of FAMILIES keeps the contracts of tests/contracts.py."""

import pytest
import torch

from ganvas.models import FAMILIES
from ganvas.ops import precision
from tests import contracts


@pytest.fixture(autouse=True)
def fast_means_bfloat16(monkeypatch):
    """Whatever this machine is good at, and however busy: "fast" is the other arithmetic here."""
    monkeypatch.setattr(precision, "_seconds", lambda dtypes: {d: 1.0 if d == torch.bfloat16 else 2.0 for d in dtypes})
    precision.fast_dtype.cache_clear()
    yield
    precision.fast_dtype.cache_clear()


def together(kind: str, network: str, checks: list) -> list:
    return [
        pytest.param(case, check, id=f"{case}-{check.__name__}")
        for case in contracts.cases(kind, network)
        for check in checks
    ]


def test_every_family_is_under_contract():
    assert FAMILIES.keys() - contracts.TINY.keys() == set(), "add the family to TINY in tests/contracts.py"
    assert {row.kind for row in FAMILIES.values()} <= contracts.CHECKS.keys()


@pytest.mark.parametrize(("case", "check"), together("generator", "G", contracts.NETWORK_CHECKS))
def test_network(case, check):
    check(case)


@pytest.mark.parametrize(("case", "check"), together("generator", "G", contracts.GENERATOR_CHECKS))
def test_generator(case, check):
    check(case)


@pytest.mark.parametrize(
    ("case", "check"),
    [
        parameters
        for kind in contracts.CHECKS
        for parameters in together(kind, "D", contracts.NETWORK_CHECKS + contracts.DISCRIMINATOR_CHECKS)
    ],
)
def test_discriminator(case, check):
    check(case)


@pytest.mark.parametrize(
    ("case", "check"), together("upscaler", "G", contracts.NETWORK_CHECKS + contracts.UPSCALER_CHECKS)
)
def test_upscaler(case, check):
    check(case)


@pytest.mark.parametrize(
    ("case", "check"), together("translator", "G", contracts.NETWORK_CHECKS + contracts.TRANSLATOR_CHECKS)
)
def test_translator(case, check):
    check(case)
