"""Styles as files and steps, and what lies between two generators."""

import json

import pytest
import torch
from safetensors.torch import save_file

import ganvas
from ganvas.editing.recipe import Recipe
from ganvas.editing.step import EditContext, run_steps
from ganvas.editing.style import (
    STYLE_FORMAT,
    Style,
    apply_style,
    find_style,
    list_styles,
    load_style,
    low_rank_factors,
    low_rank_product,
    save_style,
    styles_folder,
    sum_deltas,
)
from ganvas.editing.stylise import Stylise, fine_share, swap_layers
from ganvas.errors import BadConfig, BadLatent, BrokenWeights, WeightsError
from ganvas.models import FAMILIES
from ganvas.weights.checkpoint import fingerprint
from ganvas.weights.interpolate import interpolate_networks
from tests.contracts import TINY, wake

WEIGHT = "synthesis.b16.conv1.weight"


def tiny(family="stylegan2", seed=0):
    torch.manual_seed(seed)
    larger = {"img_resolution": 64} if family == "stylegan3" else {}  # at 16 px all its layers are of one size
    G = ganvas.build(family, **{**TINY[family].fields, **larger}).eval().requires_grad_(False)
    wake(G)
    return G


def style_of(G, name="ink", scale=0.1, seed=1):
    rng = torch.Generator().manual_seed(seed)
    weight = dict(G.named_parameters())[WEIGHT]
    tensors = {
        WEIGHT + ":up": scale * torch.randn(weight.shape[0], 2, generator=rng),
        WEIGHT + ":down": torch.randn(2, *weight.shape[1:], generator=rng),
        "synthesis.b16.torgb.bias": scale * torch.randn(3, generator=rng),
    }
    return Style(name=name, tensors=tensors, parent=fingerprint(G), facts={"example": "a drawing"})


def latents(G, n=1):
    return G.mapping(torch.randn(n, G.z_dim, generator=torch.Generator().manual_seed(2)))


def test_a_style_comes_back_from_its_file():
    G = tiny()
    style = style_of(G)
    path = save_style(style)
    assert path == styles_folder() / "ink.safetensors"
    again = load_style(path)
    assert (again.name, again.parent, again.facts) == (style.name, style.parent, style.facts)
    assert again.fingerprint == style.fingerprint
    for name, tensor in style.delta(G).items():
        assert torch.allclose(again.delta(G)[name], tensor, atol=2e-3)
    assert list_styles(style.parent).keys() == {"ink"} and list_styles("0" * 64) == {}
    assert [file.name for file in styles_folder().iterdir()] == ["ink.safetensors"]


def test_strength_leads_from_the_parent_to_the_style():
    G, ws = tiny(), latents(tiny())
    style = style_of(G)
    plain, full = G.synthesis(ws), apply_style(G, style).synthesis(ws)
    assert torch.equal(apply_style(G, style, 0).synthesis(ws), plain)
    half = apply_style(G, style, 0.5)
    before, delta = dict(G.named_parameters()), style.delta(G)
    for name, parameter in half.named_parameters():
        expected = before[name] + 0.5 * delta[name] if name in delta else before[name]
        assert torch.allclose(parameter, expected)
    assert (full - plain).abs().max() > 1e-3
    assert torch.equal(G.synthesis(ws), plain)  # the parent was not touched


def test_two_styles_add_up():
    G = tiny()
    a, b = style_of(G), style_of(G, "oil", seed=3)
    total = sum_deltas(G, [(a, 0.5), (b, 1)], [({WEIGHT: torch.ones_like(dict(G.named_parameters())[WEIGHT])}, 2)])
    assert torch.allclose(total[WEIGHT], 0.5 * a.delta(G)[WEIGHT] + b.delta(G)[WEIGHT] + 2, atol=1e-6)
    assert sum_deltas(G, [(a, 0)]) == {}


def test_a_step_hands_its_style_to_whoever_paints():
    G = tiny()
    style, ws = style_of(G), latents(G)
    steps = (Stylise(style="ink", strength=0.5),)
    edited = run_steps(steps, ws, EditContext(G, lambda name: None, style=lambda name, print_: style))
    assert torch.equal(edited.ws, ws) and edited.styles == ((style, 0.5),)
    assert edited.key != run_steps((), ws, EditContext(G, lambda name: None)).key
    with pytest.raises(BadConfig, match="is not supported here"):
        steps[0].apply(ws, EditContext(G, lambda name: None))


def test_thin_factors_are_the_nearest_of_their_rank():
    tensor = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    for rank in (1, 3):
        s = torch.linalg.svdvals(tensor.flatten(1))
        error = (low_rank_product(*low_rank_factors(tensor, rank)) - tensor).square().sum()
        assert torch.allclose(error, s[rank:].square().sum(), rtol=1e-3)
    assert torch.allclose(low_rank_product(*low_rank_factors(tensor, 6)), tensor, atol=1e-4)


def test_a_style_of_another_generator_is_refused():
    G = tiny()
    other = style_of(G)
    for tensors in (
        {"nowhere.weight": torch.zeros(3)},
        {WEIGHT: torch.zeros(3)},
        {WEIGHT + ":up": torch.zeros(8, 2)},
        {WEIGHT + ":up": torch.zeros(8, 2), WEIGHT + ":down": torch.zeros(3, 8, 3, 3)},
        {WEIGHT + ":up": torch.zeros(10**7, 1), WEIGHT + ":down": torch.zeros(1, 10**7)},  # 400 TB, were it multiplied
    ):
        with pytest.raises(BadLatent, match="belongs to another generator"):
            Style(name="a", tensors=tensors, parent=other.parent).delta(G)


def test_a_style_is_found_by_name_and_fingerprint():
    G = tiny()
    style, parent = style_of(G), fingerprint(G)
    with pytest.raises(BadConfig, match=r"no style 'ink' in .*styles of this generator: none; learn one"):
        find_style("ink", parent=parent)
    save_style(style)
    assert find_style("ink", parent=parent).fingerprint == style.fingerprint
    renamed = styles_folder() / "pen.safetensors"
    save_style(Style(name="pen", tensors=style.tensors, parent=style.parent), renamed)
    (styles_folder() / "ink.safetensors").unlink()
    assert find_style("ink", style.fingerprint, parent=parent).name == "pen"  # the same style under another name
    save_style(style_of(G, seed=9))
    with pytest.raises(BadConfig, match="a different style of that name"):
        find_style("ink", "0" * 64, parent=parent)
    with pytest.raises(BadConfig, match="learnt on another generator"):
        find_style("ink", parent="1" * 64)


def test_damaged_and_hostile_files_are_refused(tmp_path):
    G = tiny()
    header = {"format": STYLE_FORMAT, "name": "ink", "parent": "0" * 64, "facts": "{}"}
    cases = {
        "no card": ({"a": torch.zeros(2)}, {}),
        "another format": ({"a": torch.zeros(2)}, header | {"format": "other"}),
        "a path for a name": ({"a": torch.zeros(2)}, header | {"name": "../evil"}),
        "no parent": ({"a": torch.zeros(2)}, header | {"parent": "faces"}),
        "deep facts": ({"a": torch.zeros(2)}, header | {"facts": "[" * 50_000}),
        "facts that are a list": ({"a": torch.zeros(2)}, header | {"facts": "[]"}),
        "not finite": ({"a": torch.tensor([float("nan")])}, header),
        "whole numbers": ({"a": torch.zeros(2, dtype=torch.int32)}, header),
    }
    for what, (tensors, card) in cases.items():
        path = tmp_path / f"{what}.safetensors"
        save_file(tensors, path, card)
        with pytest.raises(WeightsError, match=what):
            load_style(path)
    (tmp_path / "y.safetensors").write_bytes(b"not a file of ours")
    with pytest.raises(WeightsError):
        load_style(tmp_path / "y.safetensors")
    with pytest.raises(BrokenWeights, match="not finite"):
        save_style(Style(name="a", tensors={WEIGHT: torch.full((2,), float("inf"))}, parent=fingerprint(G)))


def test_a_session_paints_in_a_style_and_its_recipe_says_which(tmp_path):
    from ganvas.images.photo import Photo
    from ganvas.inversion.result import Inversion

    G = tiny()
    style = style_of(G, scale=1.0)
    save_style(style)
    photo = Photo(img=torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    found = Inversion(ws=latents(G), fingerprint=fingerprint(G))
    session = ganvas.open_session(photo, model=G, inversion=found)
    step = session.stylise("ink", 0.5)
    assert step.fingerprint == load_style(styles_folder() / "ink.safetensors").fingerprint
    half = session.render_crop().img
    assert torch.allclose(half, apply_style(G, style, 0.5).synthesis(found.ws).clamp(-1, 1), atol=1e-2)
    assert not torch.equal(session.render().img, photo.img)
    carried = Recipe.from_json(session.render().recipe)
    session.stylise("ink", 1)
    assert session.recipe.steps == (Stylise(style="ink", fingerprint=step.fingerprint),)
    assert not torch.equal(session.render_crop().img, half)
    session.replay(carried)
    assert torch.equal(session.render_crop().img, half)
    session.stylise("ink", 0)
    assert torch.equal(session.render().img, photo.img)
    with pytest.raises(BadConfig, match=r"no style 'oil'.*styles of this generator: ink"):
        session.stylise("oil")
    (styles_folder() / "ink.safetensors").unlink()
    again = ganvas.open_session(photo, model=G, inversion=found)
    with pytest.raises(BadConfig, match="no style 'ink'"):
        again.replay(carried)


def test_a_session_takes_colours_from_a_seed_and_from_an_inversion(tmp_path):
    from ganvas.editing.layers import rows_of
    from ganvas.images.photo import Photo
    from ganvas.inversion.result import Inversion

    G = tiny()
    photo = Photo(img=torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    found = Inversion(ws=latents(G), fingerprint=fingerprint(G))
    session = ganvas.open_session(photo, model=G, inversion=found)
    other = Inversion(ws=latents(G, 2)[1:].half().float(), fingerprint=fingerprint(G))
    other.save(tmp_path / "you.npz")
    step = session.mix(tmp_path / "you.npz", part="colour")
    assert step.origin == "you.npz"
    expected = found.ws.clone()
    expected[:, rows_of("colour", G)] = other.ws[:, rows_of("colour", G)]
    assert torch.equal(session.render_crop().img, G.synthesis(expected).clamp(-1, 1))
    session.mix(3, part="colour", strength=0.5)
    assert len(session.recipe.steps) == 1 and session.recipe.steps[0].seed == 3
    session.mix(3, part="colour", strength=0)
    assert session.recipe.steps == ()
    Inversion(ws=other.ws, fingerprint="0" * 64).save(tmp_path / "them.npz")
    with pytest.raises(BadLatent, match="another generator"):
        session.mix(tmp_path / "them.npz")


# ---------------------------------------------------------------------------------------------------------------------
# Between two generators


@pytest.mark.parametrize("family", ["stylegan2", "stylegan3", "mobilestylegan", "dcgan", "r3gan", "fastgan"])
def test_a_hard_swap_takes_every_layer_from_one_or_the_other(family):
    a, b = tiny(family), tiny(family, seed=5)
    made = swap_layers(a, b, at_px=16)
    ours, theirs = a.state_dict(), b.state_dict()
    from_b = 0
    for name, value in made.state_dict().items():
        px = a.place_px(name)
        fine = px is not None and px >= 16 and value.is_floating_point()
        assert torch.equal(value, (theirs if fine else ours)[name]), name
        from_b += fine
    assert 0 < from_b < len(ours)
    assert torch.equal(swap_layers(a, b, at_px=1e9).state_dict()[name], ours[name])


@pytest.mark.parametrize("family", [f for f, row in FAMILIES.items() if row.kind == "generator" and f != "mlp"])
def test_what_paints_has_a_place(family):
    G = tiny(family)
    sizes = {name: G.place_px(name) for name, _ in G.named_parameters()}
    unplaced = {name.split(".")[0] for name, px in sizes.items() if px is None}
    assert unplaced <= {"mapping", "map", "embed"}
    placed = [px for px in sizes.values() if px is not None]
    assert max(placed) == G.img_resolution and min(placed) < G.img_resolution
    assert G.place_px("nowhere") is None


def test_a_smooth_swap_is_a_logistic_curve_over_doublings():
    assert fine_share(16, at_px=16, width=0) == 1 and fine_share(8, at_px=16, width=0) == 0
    assert fine_share(16, at_px=16, width=1) == 0.5
    assert fine_share(32, at_px=16, width=1) == pytest.approx(1 / (1 + 2.718281828**-4))
    assert fine_share(8, at_px=16, width=2) == pytest.approx(1 - fine_share(32, at_px=16, width=2))
    assert fine_share(4, at_px=1024, width=1e-3) == pytest.approx(0)
    a, b = tiny(), tiny(seed=5)
    made = swap_layers(a, b, at_px=16, width=2).state_dict()[WEIGHT]
    assert torch.allclose(made, (a.state_dict()[WEIGHT] + b.state_dict()[WEIGHT]) / 2, atol=1e-6)


def test_a_swapped_generator_is_saved_and_loads(tmp_path):
    made = swap_layers(tiny(), tiny(seed=5), at_px=8, width=1)
    again = ganvas.load(ganvas.save(made, tmp_path / "s.safetensors"))
    assert torch.allclose(again.synthesis(latents(made)), made.synthesis(latents(made)), atol=1e-5)
    assert json.loads(json.dumps(again.facts))["swapped"]["at_px"] == 8


def test_a_blend_is_between():
    a, b, ws = tiny(), tiny(seed=5), latents(tiny())
    for share, end in ((1, a), (0, b)):
        assert torch.equal(interpolate_networks(a, b, share).synthesis(ws), end.synthesis(ws))


def test_what_cannot_be_swapped_is_named():
    with pytest.raises(BadConfig, match="the same architecture"):
        swap_layers(tiny(), tiny("dcgan"), at_px=16)
    with pytest.raises(BadConfig, match="mlp does not define"):
        swap_layers(tiny("mlp"), tiny("mlp", 1), at_px=16)
    for wrong in ({"at_px": 0}, {"at_px": 16, "width": -1}, {"at_px": float("nan")}):
        with pytest.raises(BadConfig, match="at_px"):
            swap_layers(tiny(), tiny(), **wrong)
