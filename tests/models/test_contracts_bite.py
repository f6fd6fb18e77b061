"""The contracts can fail: networks with one planted fault each are caught by the check that is meant for it."""

import dataclasses
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from ganvas.errors import BadLatent
from ganvas.models import FAMILIES
from ganvas.models.mlp import MLPConfig, MLPDiscriminator, MLPDiscriminatorConfig, MLPGenerator
from tests import contracts
from tests.contracts import Case


class IgnoresPsi(MLPGenerator):
    def mapping(self, z, c=None, *, truncation_psi=1, truncation_cutoff=None):
        return super().mapping(z, c)


class IgnoresCutoff(MLPGenerator):
    def mapping(self, z, c=None, *, truncation_psi=1, truncation_cutoff=None):
        return super().mapping(z, c, truncation_psi=truncation_psi)


class DrawsConstantNoise(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        img = super().synthesize(ws, noise_mode=noise_mode, px=px)
        return img if noise_mode == "none" else img * (0.5 + 0.5 * torch.rand(()))


class MixesTheBatch(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        return super().synthesize(ws - 0.1 * ws.mean(dim=0), noise_mode=noise_mode, px=px)


class ForgetsTheLabel(MLPGenerator):
    def mapping(self, z, c=None, **truncation):
        return super().mapping(z, None if c is None else torch.ones_like(c), **truncation)


class TakesAnyLatent(MLPGenerator):
    def synthesis(self, ws, **how):
        return super().synthesis(ws.reshape(-1, ws.shape[-1])[:, None, : self.w_dim], **how)


class ChangesItsLatent(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        return super().synthesize(ws.mul_(0.9), noise_mode=noise_mode, px=px)


class LeavesAParameterIdle(MLPGenerator):
    def __init__(self, config):
        super().__init__(config)
        self.spare = nn.Parameter(torch.ones(1))


class KeepsDoubles(MLPGenerator):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("precise", torch.ones(1, dtype=torch.float64))


class StopsAnywhere(MLPGenerator):
    def synthesis(self, ws, *, resolution=None, **how):
        return super().synthesis(ws, **how)


class ShowsFeaturesOfAnotherSize(MLPGenerator):
    feature_sizes = (4, 8)

    def maps(self, ws, *, noise_mode, px):
        return ws.expand(-1, 8, -1)[:, :, :8, None].expand(-1, -1, -1, 8)


class PaintsTooBrightly(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        return 1.5 * super().synthesize(ws, noise_mode=noise_mode, px=px)


class IsSloppyWhenFast(MLPGenerator):
    def synthesis(self, ws, *, precision="exact", **how):
        img = super().synthesis(ws, precision=precision, **how)
        return (img * 4).round() / 4 if precision == "fast" else img


class KeepsAStaleCopy(MLPGenerator):
    def synthesis(self, ws, *, precision="exact", **how):
        if precision == "fast" and not hasattr(self, "kept"):
            self.kept = super().synthesis(ws, precision=precision, **how)
        return self.kept if precision == "fast" else super().synthesis(ws, precision=precision, **how)


class HidesState(MLPGenerator):
    def __init__(self, config):
        super().__init__(config)
        self.secret = torch.randn(()).tanh()

    def synthesize(self, ws, *, noise_mode, px):
        return self.secret * super().synthesize(ws, noise_mode=noise_mode, px=px)


class BranchesOnValues(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        img = super().synthesize(ws, noise_mode=noise_mode, px=px)
        return img if img.mean().item() > 0 else img + 0


class BreaksTheGradient(MLPGenerator):
    def synthesize(self, ws, *, noise_mode, px):
        return super().synthesize(ws.detach() + 0 * ws, noise_mode=noise_mode, px=px)


@dataclass(kw_only=True)
class ThawedConfig:
    img_resolution: int = 64
    img_channels: int = 3
    z_dim: int = 100
    c_dim: int = 0
    c_embed_dim: int = 64
    widths: tuple = (256, 512, 1024)


@dataclass(frozen=True, kw_only=True)
class ListConfig(MLPConfig):
    def __post_init__(self):
        object.__setattr__(self, "widths", list(self.widths))


class OpaqueSquare(torch.autograd.Function):
    """x², with a right gradient of which there is no right gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 * ctx.saved_tensors[0].detach()


class HasNoSecondDerivative(MLPDiscriminator):
    def forward(self, img, c=None):
        return OpaqueSquare.apply(super().forward(img, c))


class DropsOutAlways(MLPDiscriminator):
    def forward(self, img, c=None):
        return super().forward(nn.functional.dropout(img, 0.5, True), c)


class JudgesAnySize(MLPDiscriminator):
    def forward(self, img, c=None):
        return super().forward(img[:, : self.img_channels], c)


class IgnoresItsLabel(MLPDiscriminator):
    def forward(self, img, c=None):
        return super().forward(img, None if c is None else torch.ones_like(c))


class SaysTheSame(MLPDiscriminator):
    def forward(self, img, c=None):
        return 0 * super().forward(img, c)


GENERATORS = [
    (IgnoresPsi, contracts.generator_truncates),
    (IgnoresCutoff, contracts.generator_truncates_leading_rows_only),
    (DrawsConstantNoise, contracts.generator_is_repeatable),
    (MixesTheBatch, contracts.generator_pictures_of_a_batch_are_independent),
    (ForgetsTheLabel, contracts.generator_uses_its_labels),
    (TakesAnyLatent, contracts.generator_refuses_what_does_not_fit),
    (ChangesItsLatent, contracts.generator_is_repeatable),
    (LeavesAParameterIdle, contracts.generator_trains_all_its_parameters),
    (KeepsDoubles, contracts.holds_nothing_that_mps_cannot),
    (StopsAnywhere, contracts.generator_exits_where_it_says),
    (ShowsFeaturesOfAnotherSize, contracts.generator_shows_its_features),
    (PaintsTooBrightly, contracts.generator_keeps_its_shapes),
    (IsSloppyWhenFast, contracts.generator_fast_is_close_to_exact),
    (KeepsAStaleCopy, contracts.generator_fast_follows_its_weights),
    (HidesState, contracts.generator_round_trips),
    (BranchesOnValues, contracts.generator_compiles),
    (BreaksTheGradient, contracts.generator_gives_gradients_to_ws),
]
DISCRIMINATORS = [
    (HasNoSecondDerivative, contracts.discriminator_r1_has_second_derivatives),
    (DropsOutAlways, contracts.discriminator_is_repeatable),
    (JudgesAnySize, contracts.discriminator_refuses_what_does_not_fit),
    (IgnoresItsLabel, contracts.discriminator_uses_its_labels),
    (SaysTheSame, contracts.discriminator_tells_pictures_apart),
    (SaysTheSame, contracts.discriminator_trains_all_its_parameters),
]
CAUGHT = (AssertionError, RuntimeError, BadLatent, TypeError, IndexError, pytest.fail.Exception)


def caught(check, case):
    with pytest.raises(CAUGHT):
        check(case)


@pytest.mark.parametrize(("faulty", "check"), GENERATORS, ids=lambda x: x.__name__)
def test_a_faulty_generator_is_caught(faulty, check, monkeypatch):
    case = Case("mlp", "G", conditional=faulty is ForgetsTheLabel)
    check(case)
    monkeypatch.setitem(FAMILIES, "mlp", replace(FAMILIES["mlp"], network=faulty))
    caught(check, case)


@pytest.mark.parametrize(("faulty", "check"), DISCRIMINATORS, ids=lambda x: x.__name__)
def test_a_faulty_discriminator_is_caught(faulty, check, monkeypatch):
    case = Case("mlp", "D", conditional=faulty is IgnoresItsLabel)
    check(case)
    monkeypatch.setitem(FAMILIES, "mlp", replace(FAMILIES["mlp"], discriminator=faulty))
    caught(check, case)


@pytest.mark.parametrize("faulty", [ThawedConfig, ListConfig])
def test_a_faulty_config_is_caught(faulty, monkeypatch):
    case = Case("mlp", "G", conditional=False)
    monkeypatch.setitem(FAMILIES, "mlp", replace(FAMILIES["mlp"], config=faulty))
    caught(contracts.config_is_frozen_and_survives_json, case)


def test_a_family_without_a_tiny_config_is_caught(monkeypatch):
    from tests.models.test_contracts import test_every_family_is_under_contract

    monkeypatch.setitem(FAMILIES, "newcomer", FAMILIES["mlp"])
    with pytest.raises(AssertionError, match="newcomer"):
        test_every_family_is_under_contract()


def test_both_variants_of_a_family_that_knows_labels_are_checked():
    found = [case for case in contracts.cases("generator", "G") if case.family == "mlp"]
    assert [case.conditional for case in found] == [False, True]
    assert {f.name for f in dataclasses.fields(MLPDiscriminatorConfig)} >= {"c_dim"}
