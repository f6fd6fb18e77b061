"""S space on every family that has it: read, shifted, and as steps of a recipe."""

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction, apply_direction, project_out, style_shift
from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe
from ganvas.editing.step import EditContext, run_steps
from ganvas.editing.style_space import shift_styles, style_layers, style_slices, styles_of, synthesize_with_shift
from ganvas.errors import BadConfig, BadLatent
from tests.editing.discovery.test_sefa import TINY, tiny


def latents(G, count=2, seed=0):
    return G.mapping(torch.randn(count, G.z_dim, generator=torch.Generator().manual_seed(seed))).detach()


@pytest.mark.parametrize("family", TINY)
def test_every_style_layer_is_one_of_the_generators_own(family):
    G = tiny(family)
    modules = dict(G.named_modules())
    layers = style_layers(G)
    assert all(modules[layer.name] is layer.affine for layer in layers)
    assert {layer.row for layer in layers} >= set(range(1, G.num_ws))
    styles = [name for name in modules if name.endswith(".affine") and name != "synthesis.input.affine"]
    assert sorted(layer.name for layer in layers) == sorted(styles)


@pytest.mark.parametrize("family", TINY)
@torch.no_grad()
def test_the_row_of_a_style_layer_is_the_one_it_reads(family):
    """Told from outside: its input, caught while the picture is painted from rows that all differ."""
    G = tiny(family)
    ws = torch.randn(1, G.num_ws, G.w_dim)
    for layer in style_layers(G):
        seen = []
        handle = layer.affine.register_forward_hook(lambda _, args, __, seen=seen: seen.append(args[0]))
        G.synthesis(ws)
        handle.remove()
        assert torch.equal(seen[0], ws[:, layer.row]), layer.name


@pytest.mark.parametrize("family", TINY)
@torch.no_grad()
def test_the_shift_that_a_move_of_w_means_paints_the_same_picture(family):
    G = tiny(family)
    ws = latents(G)
    moved = ws.clone()
    moved[:, 1:] += 0.3 * torch.randn(1, 1, G.w_dim)  # row 0 of StyleGAN3 turns and shifts, which is no style
    shift = styles_of(moved, G) - styles_of(ws, G)
    assert torch.allclose(synthesize_with_shift(G, ws, shift), G.synthesis(moved), atol=1e-5)
    assert torch.allclose(synthesize_with_shift(G, ws[:1], shift[0]), G.synthesis(moved[:1]), atol=1e-5)
    assert not torch.allclose(synthesize_with_shift(G, ws, shift), G.synthesis(ws), atol=1e-3)


@pytest.mark.parametrize("family", TINY)
@torch.no_grad()
def test_afterwards_the_generator_is_as_it_was(family):
    G = tiny(family)
    ws = latents(G)
    before = G.synthesis(ws)
    with pytest.raises(RuntimeError, match="stop"), shift_styles(G, torch.ones(style_slices(G)[-1][1].stop)):
        raise RuntimeError("stop")
    assert torch.equal(G.synthesis(ws), before)
    assert torch.equal(synthesize_with_shift(G, ws), before)


@torch.no_grad()
def test_layers_limit_a_shift_to_their_styles():
    G = tiny("stylegan2")
    total = style_slices(G)[-1][1].stop
    shift = style_shift(Direction("all", torch.ones(1, total), space="s"), 2.0, G, layers=(1,))
    for layer, part in style_slices(G):
        assert (shift[part] == (2 if layer.row == 1 else 0)).all(), layer.name
    assert sum(layer.row == 1 for layer in style_layers(G)) == 2, "a ToRGB and the next block's first convolution"


@torch.no_grad()
def test_moves_in_both_spaces_add_up_in_a_recipe():
    G = tiny("stylegan2")
    ws, total = latents(G, 1), style_slices(G)[-1][1].stop
    known = {
        "w": Direction("w", torch.randn(1, 8)),
        "a": Direction("a", torch.randn(1, total), space="s"),
        "b": Direction("b", torch.randn(1, total), space="s"),
    }
    steps = (
        Move(direction="a", amount=2.0, space="s"),
        Move(direction="w"),
        Move(direction="b", amount=-1.0, layers=(0, 1)),
    )
    recipe = Recipe.from_json(Recipe(steps=steps).to_json())
    assert recipe.steps == steps
    moved, shift, _ = run_steps(recipe.steps, ws, EditContext(G, known.__getitem__))
    assert torch.allclose(moved, ws + known["w"].vector)
    by_hand = 2 * known["a"].vector[0] + style_shift(known["b"], -1.0, G, layers=(0, 1))
    assert torch.allclose(shift, by_hand)
    assert run_steps((), ws, EditContext(G, known.__getitem__)) == (ws, None, ())
    assert apply_direction(ws, known["a"], 2.0, G)[0] is ws


def test_recipes_from_before_there_were_spaces_load():
    old = '{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "smile", "amount": 1.5}]}'
    assert Recipe.from_json(old).steps == (Move(direction="smile", amount=1.5, edition=1),)


def test_what_does_not_fit_is_said():
    G = tiny("stylegan2")
    smile = Direction("smile", torch.ones(1, 9), space="s")
    with pytest.raises(BadLatent, match=r"9 style channels.*another generator"):
        style_shift(smile, 1.0, G)
    with pytest.raises(BadConfig, match="apply it with move"):
        style_shift(Direction("w", torch.ones(1, 8)), 1.0, G)
    with pytest.raises(BadConfig, match="no style channels"):
        styles_of(torch.randn(1, 1, 64), ganvas.build("dcgan", img_resolution=16, z_dim=64))
    with pytest.raises(BadConfig, match="is not supported here"):
        Move(direction="smile").apply(latents(G), EditContext(G, lambda name: smile))
    with pytest.raises(BadConfig, match="is for space 'w'"):
        Move(direction="smile", space="w").apply(latents(G), EditContext(G, lambda name: smile))
    with pytest.raises(BadConfig, match="space must be w, "):
        Move(direction="smile", space="z")
    with pytest.raises(BadConfig, match="different spaces"):
        project_out(smile, [Direction("w", torch.ones(1, 8))])
