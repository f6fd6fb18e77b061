"""Spectral normalisation against the singular values that torch computes in full."""

import pytest
import torch
from torch import nn

from ganvas.ops.spectral import SpectralConv2d, SpectralConvTranspose2d, SpectralLinear, run_power_iterations

LAYERS = {
    "conv": lambda: SpectralConv2d(3, 5, 3, padding=1),
    "transposed": lambda: SpectralConvTranspose2d(3, 5, 4, stride=2, padding=1),
    "linear": lambda: SpectralLinear(7, 5),
}
INPUTS = {"conv": (2, 3, 6, 6), "transposed": (2, 3, 6, 6), "linear": (2, 7)}


def largest(layer):
    matrix = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    return torch.linalg.matrix_norm(matrix.flatten(1), 2)


@pytest.fixture(params=LAYERS)
def kind(request):
    torch.manual_seed(0)
    return request.param


def test_weight_is_divided_by_its_largest_singular_value(kind):
    layer = LAYERS[kind]().eval()
    run_power_iterations(layer, steps=200)
    assert torch.allclose(layer.compute_weight(), layer.weight / largest(layer), rtol=1e-4)


def test_layer_equals_the_plain_layer_with_that_weight(kind):
    layer = LAYERS[kind]().eval()
    run_power_iterations(layer, steps=200)
    plain = {"conv": nn.Conv2d, "transposed": nn.ConvTranspose2d, "linear": nn.Linear}[kind]
    shape = {"conv": (3, 5, 3, 1, 1), "transposed": (3, 5, 4, 2, 1), "linear": (7, 5)}[kind]
    other = plain(*shape)
    with torch.no_grad():
        other.weight.copy_(layer.weight / largest(layer))
        other.bias.copy_(layer.bias)
    x = torch.randn(INPUTS[kind])
    assert torch.allclose(layer(x), other(x), atol=1e-5)


def test_training_finds_the_singular_value_and_eval_leaves_it(kind):
    layer = LAYERS[kind]().train()
    x = torch.randn(INPUTS[kind])
    for _ in range(200):
        layer(x)
    assert torch.allclose(layer.compute_weight(), layer.weight / largest(layer), rtol=1e-4)
    layer.eval()
    u = layer.weight_u.clone()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(layer.weight_u, u)


def test_gradient_is_that_of_the_definition(kind):
    layer = LAYERS[kind]().double().eval()
    run_power_iterations(layer, steps=500)
    probe = torch.randn_like(layer.weight)
    (ours,) = torch.autograd.grad((layer.compute_weight() * probe).sum(), layer.weight)
    (definition,) = torch.autograd.grad(((layer.weight / largest(layer)) * probe).sum(), layer.weight)
    assert torch.allclose(ours, definition, rtol=1e-5, atol=1e-8)


def test_two_forwards_before_one_backward(kind):
    """What every discriminator step does: real and fake, then the gradient of both."""
    layer = LAYERS[kind]().train()
    x = torch.randn(INPUTS[kind])
    (layer(x).sum() + layer(2 * x).square().sum()).backward()
    assert layer.weight.grad.isfinite().all()


def test_autocast_does_not_reach_the_power_iteration(kind):
    layer = LAYERS[kind]().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer.compute_weight().dtype == torch.float32
        assert layer(torch.randn(INPUTS[kind])).dtype == torch.bfloat16


def test_a_zero_weight_stays_zero(kind):
    layer = LAYERS[kind]()
    nn.init.zeros_(layer.weight)
    assert not layer.compute_weight().any()
