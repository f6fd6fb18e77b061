import pytest
import torch

from ganvas.errors import BadConfig, BadLatent
from ganvas.inversion.pivotal import compute_delta, parameter_scale, tunable_parameters, use_delta, with_delta
from tests.inversion.generators import every_family, picture_of, tiny


def delta_of(G, size=0.1):
    random = torch.Generator().manual_seed(3)
    return {
        name: size * parameter_scale(p) * torch.randn(p.shape, generator=random)
        for name, p in tunable_parameters(G).items()
    }


@every_family
@torch.no_grad()
def test_a_tuned_generator_is_a_copy_that_leaves_the_original_alone(family):
    G = tiny(family)
    before, kept = picture_of(G), {name: t.clone() for name, t in G.state_dict().items()}
    with use_delta(G, delta_of(G)) as other:
        assert not torch.allclose(picture_of(other), before, atol=1e-3)
        assert not any(p.requires_grad for p in other.parameters())
    assert all(torch.equal(t, kept[name]) for name, t in G.state_dict().items())
    assert torch.equal(picture_of(G), before)
    assert all(p.requires_grad for p in G.parameters()), "nor is it frozen"


@torch.no_grad()
def test_what_steers_is_not_tuned_and_shares_its_memory():
    G = tiny("mobilestylegan", heads=(32,))
    names = tunable_parameters(G)
    assert names.keys() >= {"conv.weight", "levels.0.conv1.depthwise", "levels.2.conv2.bias", "to_img.weight"}
    assert not any(word in name for name in names for word in ("affine", "map.", "noise", "heads", "const"))
    other = with_delta(G, delta_of(G))
    ours, theirs = dict(G.named_parameters()), dict(other.named_parameters())
    for name in ours:
        assert (ours[name].data_ptr() == theirs[name].data_ptr()) == (name not in names)
    for ours_buffer, theirs_buffer in zip(G.buffers(), other.buffers(), strict=True):
        assert ours_buffer.data_ptr() == theirs_buffer.data_ptr()


@torch.no_grad()
def test_a_share_lies_between():
    G = tiny("stylegan2")
    delta = delta_of(G)
    assert with_delta(G, delta, share=0).state_dict().keys() == G.state_dict().keys()
    for name, difference_ in delta.items():
        half = dict(with_delta(G, delta, share=0.5).named_parameters())[name]
        assert torch.allclose(half, dict(G.named_parameters())[name] + difference_ / 2, atol=1e-6)
    with use_delta(G, delta, share=0) as same:
        assert torch.equal(picture_of(same), picture_of(G))
    with use_delta(G, {}) as same:
        assert same is G


@torch.no_grad()
def test_the_difference_is_what_was_added():
    G = tiny("stylegan2")
    delta = delta_of(G)
    found = compute_delta(with_delta(G, delta), G)
    assert found.keys() == delta.keys()
    for name in delta:
        assert found[name].dtype == torch.float16
        assert torch.allclose(found[name].float(), delta[name], atol=1e-3 * float(delta[name].abs().max()) + 1e-6)
    one = next(iter(delta))
    assert compute_delta(with_delta(G, {one: delta[one]}), G).keys() == {one}


def test_a_delta_of_another_generator_is_refused():
    G = tiny("stylegan2")
    with pytest.raises(BadLatent, match="another generator"):
        with_delta(G, {"levels.0.conv1.weight": torch.ones(1)})
    with pytest.raises(BadLatent, match="another generator"):
        with_delta(G, {"synthesis.b4.conv1.weight": torch.ones(1)})
    with pytest.raises(BadConfig, match="share"):
        with_delta(G, {}, share=2)
