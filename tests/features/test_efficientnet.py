"""The published weights are not needed: a state dict of their layout with random numbers, and the network written out
once more from the paper's table with unfolded batch norms, as the oracle."""

import pytest
import torch
import torch.nn.functional as F

from ganvas.errors import FetchError, GanvasError, WeightsError
from ganvas.features.efficientnet import TAPS, EfficientNetLite0, feature_distance, load_efficientnet

#            repeats, kernel, stride, expand, channels
TABLE = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192)]
TABLE += [(1, 3, 1, 6, 320)]


def published_layout(seed=0):
    rng = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, out, into, kernel):
        state[f"{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=rng) / (into * kernel**2) ** 0.5

    def norm(name, channels):
        state[f"{name}.weight"] = torch.rand(channels, generator=rng) + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=rng) * 0.2
        state[f"{name}.running_mean"] = torch.randn(channels, generator=rng) * 0.2
        state[f"{name}.running_var"] = torch.rand(channels, generator=rng) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    block, channels = 0, 32
    for repeats, kernel, _, expand, out in TABLE:
        for _ in range(repeats):
            inner = channels * expand
            if expand > 1:
                conv(f"_blocks.{block}._expand_conv", inner, channels, 1)
                norm(f"_blocks.{block}._bn0", inner)
            conv(f"_blocks.{block}._depthwise_conv", inner, 1, kernel)
            norm(f"_blocks.{block}._bn1", inner)
            conv(f"_blocks.{block}._project_conv", out, inner, 1)
            norm(f"_blocks.{block}._bn2", out)
            block, channels = block + 1, out
    conv("_conv_head", 1280, channels, 1)
    norm("_bn1", 1280)
    state["_fc.weight"], state["_fc.bias"] = (
        torch.randn(1000, 1280, generator=rng) / 36,
        torch.randn(1000, generator=rng),
    )
    return state


def slow_forward(state, x):
    """(the four taps, logits) by the paper's table, batch norms and padding written out."""

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        kernel, pads = weight.shape[2], []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", stride=2), "_bn0"))
    taps, block = [x], 0
    for repeats, _, first_stride, expand, _ in TABLE:
        for repeat in range(repeats):
            name, into = f"_blocks.{block}", x
            if expand > 1:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            stride = first_stride if repeat == 0 else 1
            x = F.relu6(norm(conv(x, f"{name}._depthwise_conv", stride, groups=x.shape[1]), f"{name}._bn1"))
            x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + into if x.shape == into.shape else x
            block += 1
            if block in TAPS:
                taps.append(x)
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))
    return taps, F.linear(x, state["_fc.weight"], state["_fc.bias"])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    state = published_layout()
    path = tmp_path_factory.mktemp("efficientnet") / "lite0.pth"
    torch.save(state, path)
    return state, path


@pytest.mark.parametrize("size", [(64, 64), (97, 50)])
def test_it_is_the_network_of_the_paper(weights, size):
    state, path = weights
    net, x = load_efficientnet(path), torch.rand(2, 3, *size) * 2 - 1
    taps, logits = slow_forward(state, x)
    for ours, theirs in zip(net.features(x), taps, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4)
    assert torch.allclose(net(x), logits, atol=1e-4, rtol=1e-4)
    assert net.embed(x).shape == (2, 1280)


def test_it_is_frozen_but_lets_gradients_through(weights):
    net, x = load_efficientnet(weights[1]), torch.rand(1, 3, 64, 64, requires_grad=True)
    feature_distance(net.features(x), net.features(torch.zeros(1, 3, 64, 64))).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_the_distance_is_zero_for_the_same_and_four_for_opposites():
    a = [torch.randn(2, 5, 4, 4)]
    assert torch.allclose(feature_distance(a, a), torch.zeros(2), atol=1e-6)
    assert torch.allclose(feature_distance(a, [-a[0]]), torch.full((2,), 4.0), atol=1e-4)
    assert torch.allclose(feature_distance(a, [3 * a[0]]), torch.zeros(2), atol=1e-5)  # contrast alone is no distance


def test_the_parameter_count_is_the_published_one():
    # 4.65 M with batch norms' gains and biases; folding leaves a bias for every gain and bias pair.
    published = sum(v.numel() for k, v in published_layout().items() if k.split(".")[-1] in ("weight", "bias"))
    gains = sum(v.numel() for k, v in published_layout().items() if "_bn" in k and k.endswith(".weight"))
    assert published == 4_652_008
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == published - gains


def test_other_files_are_named(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"EfficientNet-Lite0.*conv\.weight"):
        load_efficientnet(tmp_path / "other.pth")


def test_without_the_weights_the_message_has_the_command():
    with pytest.raises((FetchError, GanvasError), match="ganvas models get efficientnet-lite0"):
        load_efficientnet()
