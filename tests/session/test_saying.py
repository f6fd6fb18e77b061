"""A sentence on a photo: the recipe holds the sliders that it set."""

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction, save_directions
from ganvas.editing.move import Move
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, Stroke
from ganvas.errors import BadConfig
from ganvas.session.auto_amount import find_amount
from ganvas.session.open import open_seed
from ganvas.session.saying import dials_of, follow
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint
from tests.session.test_session import Scored

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}


@pytest.fixture
def session():
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(3)
    learnt = [
        Direction(name, 3 * torch.randn(1, 16, generator=rng), low=-2, high=2, fingerprint=fingerprint(G))
        for name in ("smile", "age", "glasses")
    ]
    folder = store.home() / "directions"
    folder.mkdir(parents=True)
    save_directions(learnt, folder / "mine.safetensors", licence="CC0-1.0", origin="a test")
    return open_seed(1, model=G)


def test_a_sentence_sets_sliders_in_one_change_and_keeps_what_it_names(session):
    done = session.say("smile a little, much younger, keep the glasses")
    assert done.words() == "smile +0.5, age -1.5, keep glasses"
    kept = ("glasses",)
    assert session.recipe.steps == (
        Move(direction="smile", amount=0.5, keep=kept),
        Move(direction="age", amount=-1.5, keep=kept),
    )
    assert Recipe.from_json(session.recipe.to_json()) == session.recipe  # the sliders are saved, not the sentence
    assert "little" not in session.recipe.to_json()
    assert session.undo() and session.recipe.steps == ()


def test_what_is_kept_is_taken_out_of_the_move(session):
    """The latents do not move along the kept direction; without it they do."""
    glasses = session.directions["glasses"].vector.flatten()

    def moved():
        ws = session.renderer.edit_latents(session.recipe.steps).ws - session.inversion.ws
        return abs(float(ws[0, 0] @ glasses / glasses.norm()))

    session.say("smile a lot")
    assert moved() > 0.1
    session.say("keep the glasses")  # for what was moved before
    assert moved() < 1e-4


def test_more_goes_on_from_where_the_slider_stands_up_to_its_end(session):
    session.say("smile 1")
    steps = (("a bit more smile", 1.5), ("smile more", 2.0), ("smile more", 2.0), ("smile a little", 0.5))
    for sentence, amount in steps:
        session.say(sentence)
        assert session.amount("smile") == amount
    session.say("조금 덜 웃게")
    assert session.recipe.steps == ()  # back at 0: no step is left


def test_it_applies_in_the_region(session):
    session.set_region([Stroke(points=((16, 16),), radius=8)])
    session.say("smile")
    (step,) = session.recipe.steps
    assert isinstance(step, InRegion) and step.step == Move(direction="smile", amount=1)
    session.say("keep the age")
    assert session.recipe.steps[0].step.keep == ("age",)


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("smile, add a beard", "'beard'.*does not have; its dials: age, glasses, smile|its dials: smile"),
        ("smile, xyzzy", "unknown word 'xyzzy'"),
        ("keep the glasses", "only says what to keep"),
        ("ten years younger", "measured in years"),
    ],
)
def test_what_cannot_be_done_changes_nothing(session, sentence, says):
    with pytest.raises(BadConfig, match=says):
        session.say(sentence)
    assert len(session.history) == 1


def test_only_faces_have_automatic_amounts_and_years(session):
    assert not any(dial.auto or dial.years for dial in dials_of(session.directions, aligned=False))
    faces = {dial.name: (dial.auto, dial.years) for dial in dials_of(session.directions, aligned=True)}
    assert faces == {"smile": (True, False), "age": (False, True), "glasses": (False, False)}


@pytest.fixture
def plain_scores(monkeypatch):
    monkeypatch.setattr("ganvas.session.auto_amount.score_faces", lambda img, attribute: img)


def test_years_count_from_what_the_photo_shows_now(plain_scores):
    recipe = Recipe(model="m", fingerprint="0" * 64)
    renderer = Scored(lambda amount: 40.0 + 20 * amount)
    younger = find_amount(renderer, recipe, "age", "-10y", aligned=True)
    assert younger.reached and younger.amount == pytest.approx(-0.5, abs=0.05)
    again = recipe.with_move("age", younger.amount)
    twice = find_amount(renderer, again, "age", "-10y", aligned=True)
    assert twice.amount == pytest.approx(-1.0, abs=0.06)  # ten more
    older = find_amount(renderer, again, "age", "+20 years", aligned=True)
    assert older.amount == pytest.approx(0.5, abs=0.06)


def test_searches_are_told(plain_scores, session):
    renderer = Scored(lambda amount: 40.0 + 20 * amount)
    instruction = session.understand("much older")
    recipe, searches = follow(instruction, renderer, session.recipe, aligned=True)
    assert recipe.amount("age") == 1.5 and searches == []
    told = []
    session.aligned = True
    session.renderer.preview = lambda recipe, **_: torch.tensor(40.0 + 20 * recipe.amount("age"))
    session.renderer.is_broken = lambda recipe: False
    session.say("ten years older", on_auto=told.append)
    assert [auto.direction for auto in told] == ["age"] and told[0] is session.last_auto
    assert session.amount("age") == pytest.approx(0.5, abs=0.05)
