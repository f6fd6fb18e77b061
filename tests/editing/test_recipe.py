import json
from dataclasses import replace

import pytest
import torch

from ganvas.editing.direction_files import OLDER_DIRECTIONS, SHIPPED_DIRECTIONS, find_direction
from ganvas.editing.directions import Direction, load_directions
from ganvas.editing.drag import Drag
from ganvas.editing.mix import Mix, encode_latent
from ganvas.editing.move import Move
from ganvas.editing.part_steps import (
    Backdrop,
    Blush,
    Colour,
    EyeBrightening,
    HeadRoll,
    SkinSmoothing,
    TeethWhitening,
)
from ganvas.editing.post_steps import Translate, Upscale
from ganvas.editing.recipe import STEPS, Recipe
from ganvas.editing.step import EditContext
from ganvas.editing.stylise import Stylise
from ganvas.errors import BadConfig

EXAMPLES = {
    "background": Backdrop(kind="plain", colour="#ffffff"),
    "blush": Blush(amount=0.25),
    "bright_eyes": EyeBrightening(amount=0.75),
    "roll": HeadRoll(amount=-7.5),
    "colour": Colour(part="hair+brows", colour="#112233", amount=0.5),
    "drag": Drag(points=((0.4, 0.5),), targets=((0.45, 0.5),), rows=2, offset=encode_latent(torch.randn(1, 2, 8))),
    "mix": Mix(
        latent=encode_latent(torch.randn(1, 3, 8)), part="colour", layers=(1, 2), strength=0.5, origin="you.jpg"
    ),
    "move": Move(direction="smile", amount=1.5, layers=(4, 5, 6), keep=("age",)),
    "smooth_skin": SkinSmoothing(amount=0.5),
    "stylise": Stylise(style="ink", strength=0.5, fingerprint="0" * 64),
    "teeth": TeethWhitening(amount=1),
    "translate": Translate(model="vintage", strength=0.5),
    "upscale": Upscale(model="realesr-animevideov3", scale=3),
}


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_survives_json(name):
    recipe = Recipe(steps=(EXAMPLES[name],), model="faces", fingerprint="ab", source="cd", face=2, effort="fast")
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_file_gives_the_recipe_back(tmp_path):
    recipe = Recipe(model="größe", seed=7, truncation_psi=0.7).then(Move(direction="age", amount=-1))
    assert Recipe.load(recipe.save(tmp_path / "r.json")) == recipe
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_a_slider_is_set_where_it_stands():
    recipe = Recipe().with_move("smile", 1).with_move("age", 2).with_move("smile", 3)
    assert recipe.steps == (Move(direction="smile", amount=3), Move(direction="age", amount=2))
    assert recipe.amount("smile") == 3 and recipe.amount("beard") == 0
    assert recipe.with_move("smile", 0).steps == (Move(direction="age", amount=2),)


def test_a_mix_is_set_where_it_stands_part_by_part():
    colour, shape, other = Mix(seed=1, part="colour"), Mix(seed=2, part="shape"), Mix(seed=3, part="colour")
    recipe = Recipe().with_mix(colour).with_mix(shape)
    assert recipe.with_mix(other).steps == (other, shape)
    assert recipe.with_mix(Mix(seed=9, part="colour", strength=0)).steps == (shape,)


def test_a_style_is_set_where_it_stands():
    recipe = Recipe().with_style(Stylise(style="ink")).with_style(Stylise(style="oil", strength=0.5))
    weaker = Stylise(style="ink", strength=0.25)
    assert recipe.with_style(weaker).steps == (weaker, Stylise(style="oil", strength=0.5))
    assert recipe.with_style(Stylise(style="ink", strength=0)).steps == (Stylise(style="oil", strength=0.5),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "ganvas-recipe-1"),
        ('{"format": "other"}', "ganvas-recipe-1"),
        ('{"format": "ganvas-recipe-1", "stpes": []}', "unknown field of a recipe 'stpes'; known: effort"),
        ('{"format": "ganvas-recipe-1", "steps": {}}', "steps are a list"),
        ('{"format": "ganvas-recipe-1", "seed": "1"}', "seed should be int"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mvoe"}]}', "unknown step 'mvoe'; known: .*move"),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "a", "by": 1}]}',
            "'by'; known: amount",
        ),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "move"}]}', "direction"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "a", "amount": NaN}]}', "amount"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "a", "amount": "x"}]}', "amount"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "a", "layers": ["b"]}]}', "layers"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "a", "layers": 3}]}', "layers"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix"}]}', "either a seed or a latent"),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "seed": 1, "latent": "AAAA"}]}',
            "either a seed or a latent",
        ),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "seed": -1}]}',
            "seed must be a whole number from 0 to 4294967295",
        ),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "seed": 1, "part": "eyes"}]}',
            "all, colour or shape",
        ),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "seed": 1, "strength": 2}]}', "from 0 to 1"),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "seed": 1, "layers": [true]}]}',
            "list of whole numbers",
        ),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "latent": "///"}]}', "base64"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "latent": "AA"}]}', "base64"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "latent": "AHw="}]}', "not finite"),
        (
            '{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "latent": "' + "A" * 300_000 + '"}]}',
            "base64",
        ),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "mix", "latent": 5}]}', "latent must be text"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "stylise", "style": "../../etc/passwd"}]}', "64 letters"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "stylise", "style": "a", "strength": 2}]}', "from 0 to 1"),
        ('{"format": "ganvas-recipe-1", "steps": [{"step": "stylise", "style": "a", "fingerprint": "x"}]}', "64 hexa"),
    ],
)
def test_a_broken_recipe_is_refused_with_the_reason(text, says):
    with pytest.raises(BadConfig, match=says):
        Recipe.from_json(text)


def test_too_many_steps_are_refused():
    step = {"step": "move", "direction": "a"}
    with pytest.raises(BadConfig, match="1000 steps at most"):
        Recipe.from_json(json.dumps({"format": "ganvas-recipe-1", "steps": [step] * 1001}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"nowhere\.json"):
        Recipe.load(tmp_path / "nowhere.json")


def test_move_moves_its_layers_only():
    direction = Direction("smile", torch.ones(1, 4), layers=(1, 2))
    bench = EditContext(generator=None, direction={"smile": direction}.__getitem__)
    ws = torch.randn(2, 5, 4)
    moved = Move(direction="smile", amount=2).apply(ws, bench)
    assert torch.equal(moved[:, [0, 3, 4]], ws[:, [0, 3, 4]])
    assert torch.allclose(moved[:, 1:3], ws[:, 1:3] + 2)
    only_first = Move(direction="smile", amount=2, layers=(0,)).apply(ws, bench)
    assert torch.allclose(only_first[:, 0], ws[:, 0] + 2) and torch.equal(only_first[:, 1:], ws[:, 1:])


def test_keep_takes_the_other_direction_out():
    smile, age = torch.tensor([[1.0, 1, 0]]), torch.tensor([[0.0, 2, 0]])
    directions = {"smile": Direction("smile", smile), "age": Direction("age", age)}
    bench = EditContext(generator=None, direction=directions.__getitem__)
    ws = torch.randn(1, 4, 3)
    moved = Move(direction="smile", amount=1, keep=("age",)).apply(ws, bench) - ws
    assert torch.allclose(moved, torch.tensor([2.0, 0, 0]).expand(1, 4, 3), atol=1e-6)  # as far along smile as before
    assert torch.allclose((moved[0, 0] @ smile[0]), (smile @ smile.T)[0, 0])
    with pytest.raises(BadConfig, match="vanishes when orthogonalised"):
        Move(direction="age", keep=("age",)).apply(ws, bench)


def test_a_recipe_from_before_keeps_what_its_sliders_meant():
    """Shipped sliders that were learnt anew are found by recipes that name them, those that do not say an edition get
    the first."""
    now = {d.name: d for d in load_directions(SHIPPED_DIRECTIONS / "faces.safetensors").values()}
    older = load_directions(OLDER_DIRECTIONS / "faces-1.safetensors")
    before = Recipe.from_json('{"format": "ganvas-recipe-1", "steps": [{"step": "move", "direction": "age"}]}')
    after = Recipe.from_json(Recipe().with_move("age", 1).to_json())
    for recipe, wanted in ((before, older["age"]), (after, now["age"])):
        (move,) = recipe.steps
        found = find_direction(move.wanted, now, model="faces")
        assert found.vector.equal(wanted.vector)
    assert before.with_step(replace(before.steps[0], amount=2.0)).steps[0].edition == 1
    assert not older["age"].vector.equal(now["age"].vector)
    second = load_directions(OLDER_DIRECTIONS / "faces-2.safetensors")
    for edition in (1, 2):  # learnt anew after the second only
        assert find_direction(f"glasses@{edition}", now, model="faces").vector.equal(second["glasses"].vector)
    eyes = find_direction("eyes_open@3", now, model="faces")
    assert now["eyes_open"].discs and not eyes.discs and eyes.low > now["eyes_open"].low  # they did not shut then
    third = load_directions(OLDER_DIRECTIONS / "faces-3.safetensors")
    for edition in (2, 3):
        assert find_direction(f"age@{edition}", now, model="faces").vector.equal(third["age"].vector)
    assert find_direction("yaw@2", now, model="faces") is now["yaw"]
    assert find_direction("mouth_width@1", now, model="faces") is now["mouth_width"]  # there was none
    mine = {"age": Direction("age", older["age"].vector * 2, fingerprint=older["age"].fingerprint)}
    assert find_direction("age@1", mine, model="faces") is mine["age"]  # the user's own goes before those that ship
    with pytest.raises(BadConfig, match=r"unknown direction 'agee'.*did you mean age"):
        find_direction("agee@1", now, model="faces")
