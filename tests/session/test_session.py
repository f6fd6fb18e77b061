"""A photo on the bench, with a tiny generator made on the spot; its directions lie in the user's own folder."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ganvas.editing.directions import Direction, save_directions
from ganvas.editing.drag import Drag, DragConfig
from ganvas.editing.move import Move
from ganvas.editing.post_steps import Upscale
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import InRegion, Stroke
from ganvas.editing.step import EditedLatents
from ganvas.errors import BadConfig, BadLatent, BadMask, NoFace, Stopped
from ganvas.features.faces import Face
from ganvas.features.parts import PARTS, PARTS_PX
from ganvas.images.crop import Crop
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.result import Inversion
from ganvas.models import build
from ganvas.session.auto_amount import (
    AUTO_TARGETS,
    AutoTarget,
    EyeTarget,
    check_number,
    find_amount,
    find_smallest_amount,
)
from ganvas.session.open import open_session
from ganvas.session.tuned_generator import MAX_CACHED_IMAGES, TunedGenerator
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint

FACE_POINTS = torch.tensor([[35.0, 25.0], [55.0, 25.0], [45.0, 35.0], [38.0, 45.0], [52.0, 45.0]])


@pytest.fixture
def photo():
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (1, 3, 60, 90), generator=rng)
    return Photo(img=pixels / 127.5 - 1)


@pytest.fixture
def found(generator):
    """An inversion as if it had been searched, with a tuning."""
    rng = torch.Generator().manual_seed(2)
    ws = generator.mapping(torch.randn(1, 16, generator=rng))
    name = "synthesis.b16.conv1.weight"
    delta = {name: 0.2 * torch.randn(dict(generator.named_parameters())[name].shape, generator=rng)}
    return Inversion(
        ws=ws, delta=delta, figures={"psnr_db": 20.0}, fingerprint=fingerprint(generator), source="a photo"
    )


@pytest.fixture
def session(generator, photo, found):
    rng = torch.Generator().manual_seed(3)
    learnt = [
        Direction(name, 3 * torch.randn(1, 16, generator=rng), fingerprint=fingerprint(generator))
        for name in ("smile", "age")
    ]
    folder = store.home() / "directions"
    folder.mkdir(parents=True)
    save_directions(learnt, folder / "mine.safetensors", licence="CC0-1.0", origin="a test")
    return open_session(photo, model=generator, inversion=found)


def test_an_edit_changes_the_square_and_nothing_else(session, photo):
    session.set("smile", 1.5)
    result = session.render()
    changed = (result.img != photo.img).any(dim=1)[0]
    assert changed[:, 15:75].any()  # the middle square of a 90 x 60 photo
    assert not changed[:, :15].any()
    assert not changed[:, 75:].any()
    assert result.size == photo.size


def test_without_an_edit_the_photo_is_the_photo(session, photo):
    assert torch.equal(session.render().img, photo.img)
    session.set("smile", 1)
    session.set("smile", 0)
    assert session.recipe.steps == ()
    assert torch.equal(session.render().img, photo.img)


def test_undo_and_redo_give_the_same_pixels(session):
    pictures = [session.render().img]
    for name, amount in (("smile", 1), ("age", -2), ("smile", 2)):
        session.set(name, amount)
        pictures.append(session.render().img)
    assert not torch.equal(pictures[-1], pictures[-2])
    for picture in reversed(pictures[:-1]):
        assert session.undo()
        assert torch.equal(session.render().img, picture)
    assert not session.undo()
    for picture in pictures[1:]:
        assert session.redo()
        assert torch.equal(session.render().img, picture)
    assert not session.redo()


def test_a_new_change_ends_what_could_be_redone(session):
    session.set("smile", 1)
    session.undo()
    session.set("age", 1)
    assert not session.redo()
    assert session.amount("smile") == 0
    assert session.amount("age") == 1


def test_a_saved_picture_brings_its_editing_back(session, generator, photo, found, tmp_path):
    session.set("smile", 1.5)
    session.set("age", -1, keep=["smile"])
    result = session.render()
    write_image(result, tmp_path / "smiling.png")
    carried = Recipe.from_json(read_image(tmp_path / "smiling.png").recipe)
    assert carried == session.recipe
    again = open_session(photo, model=generator, inversion=found)
    again.replay(carried)
    assert torch.equal(again.render().img, result.img)


def test_the_preview_is_the_edit_in_small(session):
    plain = session.preview(resolution=16)
    session.set("smile", 2)
    edited = session.preview(resolution=16)
    assert edited.shape == (1, 3, 16, 16)
    assert not torch.equal(plain, edited)


def test_the_preview_shows_what_the_render_will_show(session, photo):
    """Also where the tuning has made the early exit useless: an exit says nothing about the finished picture."""
    session.set("smile", 2)
    after = session.render()
    change = session.crop.cut(after.img, resolution=16) - session.crop.cut(photo.img, resolution=16)
    early = session.preview(resolution=16) - session.renderer._target(16)
    assert change.abs().mean() > 0.01
    assert torch.corrcoef(torch.stack([change.flatten(), early.flatten()]))[0, 1] > 0.9


def test_however_often_a_slider_moves_the_unedited_picture_is_painted_once(session, monkeypatch):
    painted, averaged = [], session.generator.synthesize_downscaled

    def counting(ws, px, **options):
        painted.append(torch.equal(ws, session.inversion.ws))
        return averaged(ws, px, **options)

    monkeypatch.setattr(session.generator, "synthesize_downscaled", counting)
    for place in range(1, 2 * MAX_CACHED_IMAGES):
        session.set("smile", place / 10)
        session.preview(resolution=16)
    assert painted.count(True) == 1


def test_a_draft_is_right_where_nothing_moves_and_near_where_it_does():
    torch.manual_seed(0)
    generator = build("mobilestylegan", z_dim=16, w_dim=24, num_mapping_layers=2, channels=(16, 12, 8)).eval()
    ws, other = (torch.randn(1, generator.num_ws, 24) for _ in range(2))
    tuned = TunedGenerator(generator, Inversion(ws=ws), None)
    start, near = EditedLatents(ws), EditedLatents(ws.lerp(other, 0.03))

    def picture(edited, precision):
        return tuned.picture(edited, 1.0, 8, precision=precision)

    assert torch.equal(picture(start, "draft"), picture(start, "fast"))
    draft, exact = picture(near, "draft"), picture(near, "fast")
    assert not torch.equal(draft, exact)
    alone = generator.synthesize_draft(near.ws, 8).clamp(-1, 1)
    assert (draft - exact).abs().mean() < 0.5 * (alone - exact).abs().mean()


def test_the_crop_alone_is_what_the_generator_paints(session, generator):
    session.set("smile", 1)
    alone = session.render_crop()
    assert alone.img.shape == (1, 3, 32, 32)
    assert Recipe.from_json(alone.recipe) == session.recipe


def test_the_generator_is_never_changed(session, generator):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    session.set("smile", 1)
    session.render()
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def test_a_step_that_does_not_fit_is_refused_at_once(session):
    with pytest.raises(BadConfig, match=r"unknown direction 'smiel'.*known: age, smile"):
        session.set("smiel", 1)
    with pytest.raises(BadLatent, match="no layer 99"):
        session.do(Move(direction="smile", layers=(99,)))
    with pytest.raises(BadConfig, match="'auto', '-auto'"):
        session.set("smile", "more")
    assert session.recipe.steps == ()


def test_a_recipe_of_another_generator_is_refused(session):
    with pytest.raises(BadConfig, match="was made with 'other'"):
        session.replay(Recipe(model="other", fingerprint="0" * 64))


def test_an_inversion_of_another_generator_is_refused(generator, photo, found):
    with pytest.raises(BadLatent, match="another generator"):
        open_session(photo, model=generator, inversion=replace(found, fingerprint="0" * 64))


def test_auto_needs_aligned_faces(session):
    with pytest.raises(BadConfig, match="no scorer"):
        session.set("smile", "auto")


def test_a_photo_without_a_face_says_so(generator, photo):
    class Blind:
        def find(self, img):
            return []

    with pytest.raises(NoFace, match="no face was found"):
        open_session(photo, model=generator, align="faces", finder=Blind())


def test_a_face_that_was_found_before_is_not_looked_for(generator, photo, found):
    face = Face(box=(25.0, 10.0, 65.0, 55.0), points=FACE_POINTS, score=1.0, number=2)
    session = open_session(photo, model=generator, align="faces", face=face, inversion=found, finder=None)
    assert session.crop == Crop.from_landmarks(FACE_POINTS)
    assert session.face is face and session.aligned
    assert session.recipe.face == 2


def test_a_square_of_ones_own_is_searched_and_remembered(generator, photo):
    square = Crop(x=30, y=30, side=40, angle_deg=5)
    session = open_session(photo, model=generator, name="mine", crop=square, effort="fast", max_sec=0.5)
    assert session.crop == square
    assert session.inversion.crop == (30, 30, 40, 5)
    assert session.recipe.model == "mine" and session.recipe.source == session.inversion.source
    again = open_session(photo, model=generator, inversion=session.inversion)
    assert again.crop == square


def test_a_session_uses_the_networks_it_was_given(generator, photo, found):
    asked = []
    session = open_session(photo, model=generator, inversion=found, network=lambda name: asked.append(name))
    session.put(Upscale(model="somebodys-upscaler", scale=2))
    assert asked == ["somebodys-upscaler"]
    assert session.result_size == (180, 120)


def test_one_renderer_paints_any_recipe(session):
    """It knows no history: the same recipe is the same picture, whatever was painted between."""
    renderer, recipe = session.renderer, session.recipe
    smiling = recipe.with_move("smile", 2)
    first = renderer.render(smiling)
    assert torch.equal(renderer.render(recipe).img, session.photo.img)
    assert torch.equal(renderer.render(smiling).img, first.img)
    assert session.history == (recipe,)
    session.set("smile", 2)
    assert torch.equal(session.render().img, first.img)


def test_a_whole_session_from_a_file(generator, tmp_path):
    with torch.no_grad():
        known = generator(torch.randn(1, 16, generator=torch.Generator().manual_seed(5))).clamp(-1, 1)
    write_image(known, tmp_path / "me.png")
    steps = []
    session = open_session(
        tmp_path / "me.png",
        model=generator,
        effort="fast",
        on_step=lambda step, total, img: steps.append((step, total)),
    )
    total = steps[-1][1]
    assert [step for step, _ in steps[-total:]] == list(range(1, total + 1))  # before them, perhaps the first guess
    assert session.inversion.figures["psnr_db"] > 15
    assert session.inversion.crop == (16, 16, 32, 0)


def test_the_guard_lowers_the_share_of_a_tuning_that_breaks_the_edit(session):
    class Eyes:
        """Sees a strain of 1 in the unedited picture; of 6 times the share in an edited one."""

        def features(self, img):
            return [img]

    tuned, original = TunedGenerator(session.generator, session.inversion, Eyes()), session.inversion.ws
    tuned._strain = lambda edited, share: 1.0 if torch.equal(edited.ws, original) else 6 * share
    assert tuned.share(EditedLatents(original)) == 1
    assert tuned.share(EditedLatents(original + 1)) == 0.25  # 6 · 0.25 = 1.5 is the first below 1.6
    tuned._strain = lambda ws, share: 1.0
    assert tuned.share(EditedLatents(original + 1)) == 0.5  # what an edit that breaks nothing keeps


def test_the_smallest_amount_that_reaches_is_found():
    assert find_smallest_amount(lambda amount: amount / 4, 1.3 / 4, 4.0) == pytest.approx(1.3, abs=0.08)
    assert find_smallest_amount(lambda amount: amount / 4, 1.3 / 4, 4.0) >= 1.3
    assert find_smallest_amount(lambda amount: -amount / 4, 0.5, -4.0) == pytest.approx(-2, abs=0.08)
    assert find_smallest_amount(lambda amount: 1.0, 0.9, 4.0) == 0


def test_where_no_amount_reaches_the_one_with_the_most_effect_is_taken():
    """An effect that falls again beyond 2, and one that hardly grows any more."""
    assert find_smallest_amount(lambda amount: 0.5 - abs(amount - 2) / 10, 0.9, 7.0) == 2
    assert find_smallest_amount(lambda amount: min(amount, 3) / 10 + amount / 1000, 0.9, 7.0) == 3


def test_every_auto_has_a_scorer():
    from ganvas.features.face_networks import EXPRESSIONS

    scorers = {auto.attribute for auto in AUTO_TARGETS.values() if isinstance(auto, AutoTarget)}
    assert scorers <= {*EXPRESSIONS, "smile", "age", "gender"}


def test_eyes_are_opened_by_a_share_of_what_they_are():
    target = EyeTarget()
    assert target.goal(0.3, upward=True) == pytest.approx(0.375)
    assert target.goal(0.05, upward=True) == target.least  # who blinks looks at us
    assert target.goal(0.45, upward=True) == target.most
    assert target.goal(0.3, upward=False) == pytest.approx(0.21)


def _dot(x, y, radius):
    return [Stroke(points=((x, y),), radius=radius)]


def test_a_slider_in_a_region_leaves_everything_outside_bit_for_bit(session, photo):
    session.set_region(_dot(35, 30, 8), feather_px=2)
    session.set("smile", 3)
    result = session.render()
    changed = (result.img != photo.img).any(dim=1)[0]
    rows, columns = changed.nonzero().T
    assert changed.any()
    assert 35 - 12 <= columns.min() and columns.max() <= 35 + 12  # radius, 3/2 of the feather, a pixel of the crop
    assert 30 - 12 <= rows.min() and rows.max() <= 30 + 12
    preview = session.preview(resolution=32) != session.renderer._target(32)
    assert preview.any() and not preview[:, :, :, 20:].any()


def test_inside_its_region_a_slider_does_what_it_does_everywhere(session):
    session.set("smile", 3)
    whole = session.render_crop().img
    session.undo()
    session.set_region(_dot(45, 30, 12), feather_px=0)
    session.set("smile", 3)
    part = session.render_crop().img
    mask = session.region.mask(32).expand_as(part)
    assert torch.equal(part[mask == 1], whole[mask == 1])
    assert not torch.equal(part[mask == 0], whole[mask == 0])
    assert session.amount("smile") == 3
    session.set_region(None)
    assert session.amount("smile") == 0


def test_regions_are_undone_and_replayed_like_everything(session, generator, photo, found):
    session.set("age", 1)
    pictures = [session.render().img]
    session.set_region(_dot(35, 30, 10))
    session.set("smile", 3)
    pictures.append(session.render().img)
    session.set_region(photo.img.new_ones(1, 1, 60, 90).tril())
    session.do(Move(direction="smile", amount=-2))
    pictures.append(session.render().img)
    again = open_session(photo, model=generator, inversion=found)
    again.replay(Recipe.from_json(session.recipe.to_json()))
    assert torch.equal(again.render().img, pictures[2])
    for picture in reversed(pictures[:-1]):
        session.undo()
        assert torch.equal(session.render().img, picture)
    session.redo()
    assert torch.equal(session.render().img, pictures[1])


def test_a_region_is_reshaped_with_the_steps_in_it(session):
    session.set_region(_dot(35, 30, 10))
    session.set("smile", 3)
    session.set("age", 3)
    before = session.render().img
    session.reshape_region(_dot(55, 30, 10))
    assert {step.region for step in session.recipe.steps} == {session.region}
    assert session.amount("smile") == 3
    assert not torch.equal(session.render().img, before)
    session.undo()
    assert torch.equal(session.render().img, before)
    session.set_region(None)
    with pytest.raises(BadConfig, match="call set_region first"):
        session.reshape_region(_dot(55, 30, 10))


def test_a_region_that_does_not_fit_is_refused(session):
    for wrong, says in (
        (_dot(5, 5, 2), "this region is outside"),  # beside the middle square
        (torch.ones(1, 1, 32, 32), r"\[1, 1, 60, 90\]"),
        (torch.full((1, 1, 60, 90), 2.0), r"in \[0, 1\]"),
    ):
        with pytest.raises(BadMask, match=says):
            session.set_region(wrong)
    with pytest.raises(BadMask, match="feather_px"):
        session.set_region(_dot(45, 30, 5), feather_px=-1)
    assert session.region is None


def test_the_photo_is_cut_once_however_often_it_is_previewed(session, monkeypatch):
    cut = []
    original = Crop.cut
    monkeypatch.setattr(
        Crop, "cut", lambda self, img, *, resolution: cut.append(1) or original(self, img, resolution=resolution)
    )
    for amount in range(5):
        session.set("smile", amount)
        session.preview(resolution=16)
    assert len(cut) == 1


def _pulled(session, **options):
    config = DragConfig(steps=3, stop_px=0.01, feature_px=16, stride=1.0)
    return session.drag([[40, 30]], [[44, 30]], config=config, **options)


def test_a_drag_is_one_step_that_is_undone_and_replayed_bit_for_bit(session, generator, photo, found):
    session.set("age", 1)
    before = session.render().img
    result = _pulled(session)
    assert result.points.shape == (1, 2)
    assert len(session.recipe.steps) == 2 and isinstance(session.recipe.steps[1], Drag)
    assert session.recipe.steps[1].points == ((0.41667, 0.5),)  # the middle square is 60 px wide and begins at 15
    dragged = session.render().img
    assert not torch.equal(dragged, before)
    again = open_session(photo, model=generator, inversion=found)
    again.replay(Recipe.from_json(session.recipe.to_json()))
    assert torch.equal(again.render().img, dragged)
    session.undo()
    assert torch.equal(session.render().img, before)
    session.redo()
    assert torch.equal(session.render().img, dragged)


def test_a_drag_shows_how_far_it_is_on_the_photo(session):
    session.set("smile", 1)
    edited, told = session.preview(resolution=32), []
    _pulled(session, on_step=lambda step, total, img, points: told.append((step, img, points)))
    assert [step for step, *_ in told] == [0, 1, 2, 3]
    assert torch.allclose(told[0][1], edited, atol=1e-6), "nothing has moved yet"
    assert not torch.allclose(told[3][1], edited, atol=1e-3)
    assert told[0][2][0].tolist() == pytest.approx([40, 30], abs=1e-3)


def test_a_drag_in_a_region_changes_nothing_outside(session, photo):
    result = _pulled(session, region=_dot(40, 30, 10))
    step = session.recipe.steps[0]
    assert isinstance(step, InRegion) and step.step == result.step
    changed = (session.render().img != photo.img).any(dim=1)[0].any(dim=0).nonzero()
    assert len(changed) and changed.min() >= 25 and changed.max() <= 55
    assert session.region is None, "the region of a drag is its own"
    session.set_region(_dot(40, 30, 12))
    _pulled(session)
    assert session.recipe.steps[1].region == session.region


def test_a_cancelled_drag_leaves_the_photo_as_it_was(session):
    def cancel(step, total, img, points):
        if step == 2:
            raise Stopped("enough")

    with pytest.raises(Stopped) as stopped:
        _pulled(session, on_step=cancel)
    assert session.recipe.steps == ()
    session.do(stopped.value.state.step)  # whoever wants it after all
    assert len(session.recipe.steps) == 1


def test_a_drag_beside_the_square_is_refused(session):
    with pytest.raises(BadMask, match="point 5,5 lies outside the square that the model sees"):
        session.drag([[5, 5]], [[40, 30]])


def test_a_preview_with_the_share_that_the_guard_would_find_is_the_same(session):
    recipe = session.recipe.with_move("smile", 2)
    share = session.share_of(recipe)
    assert share == session.first_share == 1.0  # no eyes here, so no guard
    full = session.preview(resolution=32, recipe=recipe)
    assert torch.equal(session.preview(resolution=32, recipe=recipe, share=share), full)
    assert not torch.equal(session.preview(resolution=32, recipe=recipe, share=0.25), full)
    assert session.recipe.steps == ()


class Scored:
    """A renderer whose picture of amount a scores `effect(a)`; beyond `whole` it breaks up."""

    def __init__(self, effect, whole=9.0, low=-2.0, high=2.0):
        self.effect, self.whole = effect, whole
        self.limits = SimpleNamespace(low=low, high=high)

    def direction(self, name):
        return self.limits

    def preview(self, recipe):
        return torch.tensor(self.effect(recipe.amount("smile") or recipe.amount("age")))

    def is_broken(self, recipe):
        return abs(recipe.amount("smile") or recipe.amount("age")) > self.whole


@pytest.fixture
def plain_scores(monkeypatch):
    monkeypatch.setattr("ganvas.session.auto_amount.score_faces", lambda img, attribute: img)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_auto_adds_what_real_smiles_add_and_says_what_came_of_it(plain_scores):
    recipe = Recipe(model="m", fingerprint="0" * 64)

    def find(effect, wanted="auto", name="smile", **how):
        return find_amount(Scored(effect, **how), recipe, name, wanted, aligned=True)

    shy = find(lambda a: sigmoid(6 * a - 8))  # logit -8 → 1, at 9 / 6
    assert shy.goal == pytest.approx(sigmoid(1), abs=0.01)
    assert shy.reached and shy.amount == pytest.approx(9 / 6, abs=0.05)
    bright = find(lambda a: sigmoid(6 * a - 1))
    assert bright.goal == 0.9 and bright.reached  # never to the end of the scale
    assert "goal 0.9" in bright.words() and "not reached" not in bright.words()
    smiling = find(lambda a: 0.97)
    assert smiling.amount == 0 and smiling.reached and "already met" in smiling.words()
    stiff = find(lambda a: 0.01 + 0.01 * a)
    assert not stiff.reached and not stiff.fog and "end of the slider's range" in stiff.words()
    grave = find(lambda a: sigmoid(5 * a - 16))  # smiles as much as others, which the scorer hardly sees
    assert not grave.reached and grave.amount == 2
    veiled = find(lambda a: sigmoid(6 * a - 7), whole=0.6)
    assert not veiled.reached and veiled.fog and 0 < veiled.amount <= 0.6 and "degrade" in veiled.words()
    serious = find(lambda a: sigmoid(5 * a + 3), "-auto")
    assert serious.amount < 0 and serious.reached and serious.after <= serious.goal + 0.01


@pytest.mark.parametrize(("wanted", "amount"), [("60y", 1.0), ("25 years", -0.75), ("40y", 0.0)])
def test_an_age_in_years_is_found_in_either_direction(plain_scores, wanted, amount):
    recipe = Recipe(model="m", fingerprint="0" * 64)
    found = find_amount(Scored(lambda a: 40.0 + 20 * a), recipe, "age", wanted, aligned=True)
    assert found.reached and found.amount == pytest.approx(amount, abs=0.05)
    with pytest.raises(BadConfig, match="no scorer for '30y'"):
        find_amount(Scored(lambda a: 0.5), recipe, "smile", "30y", aligned=True)


def test_an_age_that_is_not_reached_says_how_far_it_came_in_years(plain_scores):
    recipe = Recipe(model="m", fingerprint="0" * 64)
    found = find_amount(Scored(lambda a: 40.0 + 10 * a), recipe, "age", "80y", aligned=True)
    assert not found.reached and found.amount == 2
    assert found.words() == "age: +2.00 (40 → 60 years, goal 80): the goal was not reached; end of the slider's range"


def test_a_number_for_age_that_must_be_years_is_refused():
    """Thirty standard deviations are no face; 2.5 of them are somebody's wish, and other sliders have other units."""
    slider = SimpleNamespace(low=-2.0, high=2.0)
    with pytest.raises(BadConfig, match="write age=30y"):
        check_number("age", 30, slider)
    check_number("age", 2.5, slider)
    check_number("smile", 30, slider)
    check_number("age", 30, SimpleNamespace(low=-40.0, high=40.0))  # a direction of the user's that is in years


def test_a_mouth_that_opens_on_a_face_is_painted_without_the_tuning(session, generator, photo, found, monkeypatch):
    """The whole way of an aligned face, with parts as the network would find them: lips that are shut, then open."""
    shut = torch.zeros(1, len(PARTS), PARTS_PX, PARTS_PX)
    shut[:, PARTS.index("skin")] = 1
    gaping = shut.clone()
    gaping[:, :, 96:224, 64:192] = 0
    gaping[:, PARTS.index("mouth"), 96:224, 64:192] = 1
    face = Face(box=(25.0, 10.0, 65.0, 55.0), points=FACE_POINTS, score=1.0)
    monkeypatch.setattr("ganvas.session.photo_parts.parse_parts", lambda img, **_: shut)
    shares, picture = [], TunedGenerator.picture
    monkeypatch.setattr(TunedGenerator, "picture", lambda self, *a, **k: shares.append(a[1]) or picture(self, *a, **k))

    def edit(mouth):
        """With such a mouth in the edited picture, which is parsed after the unedited one."""
        found_parts = iter([shut, mouth])
        monkeypatch.setattr("ganvas.session.renderer.parse_parts", lambda img, **_: next(found_parts))
        on_face = open_session(photo, model=generator, align="faces", face=face, inversion=found, finder=None)
        on_face.set("smile", 1.5)
        shares.clear()
        return on_face.render().img, list(shares)

    as_before, painted = edit(shut)
    assert 0.0 not in painted
    opened, painted = edit(gaping)
    assert 0.0 in painted and not torch.equal(opened, as_before)
