"""The guard: edits that break the picture up are found, with how far each slider holds."""

from dataclasses import replace

import pytest
import torch

from ganvas.editing.directions import Direction
from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, Region
from ganvas.editing.step import EditedLatents
from ganvas.errors import EditWarning, Stopped
from ganvas.inversion.latent_space import latent_length, latent_space
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.session.breakup import Breakup, ease_moves, find_breakups
from ganvas.session.open import open_seed
from ganvas.session.tuned_generator import MAX_LATENT_LENGTH, TunedGenerator


class Brittle:
    """A renderer whose pictures break up where the amounts of a recipe are too large for `holds`."""

    def __init__(self, holds):
        self.holds, self.looks = holds, 0

    def is_broken(self, recipe):
        self.looks += 1
        return not self.holds({step.direction: step.amount for step in recipe.steps if isinstance(step, Move)})


def recipe_of(**amounts):
    recipe = Recipe(model="m", fingerprint="0" * 64)
    for name, amount in amounts.items():
        recipe = recipe.with_move(name, amount)
    return recipe


def test_a_slider_that_goes_too_far_is_named_with_how_far_it_holds():
    brittle = Brittle(lambda at: abs(at.get("smile", 0)) <= 0.9)
    (found,) = find_breakups(brittle, recipe_of(age=2, smile=-1.5))
    assert found.direction == "smile" and -0.9 <= found.holds_to <= -0.8 and not found.together
    assert found.words() == f"smile: at -1.50 the picture breaks up; it holds to {found.holds_to:+.2f}"
    brittle.looks = 0
    assert find_breakups(brittle, recipe_of(age=2, smile=0.9)) == () and brittle.looks == 1  # what holds costs one look


def test_of_two_that_are_too_much_together_either_may_be_smaller():
    brittle = Brittle(lambda at: sum(map(abs, at.values())) <= 3)
    found = {one.direction: one for one in find_breakups(brittle, recipe_of(age=2, smile=-2))}
    assert 0.9 <= found["age"].holds_to <= 1 and -1 <= found["smile"].holds_to <= -0.9
    both = find_breakups(brittle, recipe_of(age=4, smile=-4))  # no one of them mends it
    assert [one.together for one in both] == [True, True]
    assert 1.2 <= both[0].holds_to <= 1.5 and both[1].holds_to == -both[0].holds_to and "eased off" in both[0].words()


def test_a_search_ends_where_its_caller_has_something_else_to_do():
    def give_way():
        raise Stopped("a slider moves")

    with pytest.raises(Stopped):
        find_breakups(Brittle(lambda at: False), recipe_of(smile=1), on_look=give_way)


def test_moves_are_eased_where_they_stand_with_all_they_carry():
    region = Region(parts=("hair",))
    steps = (
        Move(direction="age", amount=2, keep=("smile",)),
        InRegion(Move(direction="smile", amount=-2, layers=(0, 1)), region),
    )
    recipe = replace(recipe_of(), steps=steps)
    eased = ease_moves(recipe, {1: 0.5}).steps
    assert eased == (steps[0], InRegion(Move(direction="smile", amount=-1, layers=(0, 1)), region))
    assert ease_moves(recipe, {0: 0.0}).steps == steps[1:]


@pytest.fixture(scope="module")
def tuned(generator):
    ws = generator.mapping(latents_from_seeds([3], 16))
    return TunedGenerator(generator, Inversion(ws=ws), None)


def test_natural_latents_have_a_length_of_one_and_far_ones_are_broken_for_any_generator(generator, tuned):
    space = latent_space(generator)
    natural = generator.mapping(latents_from_seeds(range(200), 16))
    assert latent_length(space, natural).square().mean() == pytest.approx(1, abs=0.1)
    v = space.from_ws(tuned.inversion.ws)
    far = space.to_ws(v * (1.5 * MAX_LATENT_LENGTH / latent_length(space, tuned.inversion.ws)))
    assert tuned.is_broken(EditedLatents(far.expand_as(natural[:1])))
    assert not tuned.is_broken(EditedLatents(natural[:1]))
    one_row = tuned.inversion.ws.clone()
    one_row[:, 2] = far[:, 0]  # a single layer that leaves is enough
    assert tuned.is_broken(EditedLatents(one_row))
    assert not tuned.is_broken(tuned.unedited)


def test_a_photo_that_lies_far_out_itself_may_be_edited(generator):
    space = latent_space(generator)
    ws = space.to_ws(space.from_ws(generator.mapping(latents_from_seeds([3], 16)))[:, :1] * 5)
    odd = TunedGenerator(generator, Inversion(ws=ws), None)
    assert odd.latent_length(odd.unedited) > MAX_LATENT_LENGTH
    assert not odd.is_broken(EditedLatents(space.to_ws(space.from_ws(ws) * 0.98)))
    assert odd.is_broken(EditedLatents(space.to_ws(space.from_ws(ws) * 1.5)))


@pytest.mark.parametrize(
    ("unedited", "edited", "broken"),
    [(4, 1, False), (7, 1, False), (4, -1, True), (0.5, -4, False), (-3, -7, False), (-3, -9, True)],
)
def test_the_critic_is_asked_about_faces(tuned, monkeypatch, unedited, edited, broken):
    other = EditedLatents(tuned.inversion.ws * 0.999)
    says = {tuned.unedited.key: unedited, other.key: edited}
    monkeypatch.setattr(TunedGenerator, "naturalness", lambda self, latents: float(says[latents.key]))
    assert not tuned.is_broken(other)  # no face: nobody is asked
    monkeypatch.setattr(TunedGenerator, "_sees_faces", True)
    assert tuned.is_broken(other) == broken


def test_a_session_warns_when_a_broken_picture_is_rendered(generator):
    session = open_seed(7, model=generator)
    along = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    session.renderer.directions = {"smile": Direction("smile", along)}
    session.set("smile", 0.01)
    session.render()
    session.set("smile", 500)
    with pytest.warns(EditWarning, match=r"smile: at \+500\.00 the picture breaks up; it holds to"):
        session.render()
    (found,) = session.find_breakups()
    assert isinstance(found, Breakup) and session.is_broken()
    session.set("smile", found.holds_to)
    assert not session.is_broken() and session.find_breakups() == ()
