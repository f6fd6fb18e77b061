from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ganvas.editing.acting import Place, acting_places, limit_to_discs
from ganvas.editing.blend import lay_over
from ganvas.editing.compose import compose_change, compose_on, fade_to_edge
from ganvas.editing.direction_files import list_directions
from ganvas.editing.directions import Direction
from ganvas.editing.ground import Ground
from ganvas.editing.mix import Mix
from ganvas.editing.move import Move
from ganvas.editing.outline import reflect_at_outline
from ganvas.editing.part_maps import PartMaps
from ganvas.editing.regions import InRegion, Region, Stroke
from ganvas.editing.residual import find_reshaped, from_ycc, limit_fringe, to_ycc
from ganvas.editing.stylise import Stylise
from ganvas.errors import BadConfig, BadImage
from ganvas.features.parts import PARTS
from ganvas.images.flow import warp_by_flow
from ganvas.ops.blur import gaussian_blur

SIZE = 256
LEVEL = 2 / 255
EVERYWHERE = torch.ones(1, 1, SIZE, SIZE)


def smooth_noise(seed, *, coarse=16):
    rng = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, 3, coarse, coarse, generator=rng) - 0.5, (SIZE, SIZE), mode="bicubic")


@pytest.fixture
def pictures():
    """A photo, and a generator's picture of it: smoother, and three levels too dark."""
    grain = 0.05 * torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    smooth = smooth_noise(0)
    return smooth + grain, smooth - 3 * LEVEL


def disc(x, radius, *, y=SIZE / 2):
    at = torch.arange(SIZE) + 0.5
    far = ((at[None, :] - x).square() + (at[:, None] - y).square()).sqrt()
    return ((radius - far) / 2 + 0.5).clamp(0, 1)[None, None]


def maps_of(person, acting=None, **parts):
    none = torch.zeros_like(person)
    named = {name: parts.get(name, none) for name in ("body", "mouth", "lips", "eyes", "hair", "worn")}
    return PartMaps(person=person, acting=person if acting is None else acting, **named)


def spot(levels):
    change = torch.zeros(1, 3, SIZE, SIZE)
    change[:, :, 80:160, 100:180] = levels * LEVEL
    return gaussian_blur(change, 6)


def test_no_edit_leaves_every_pixel(pictures):
    photo, before = pictures
    for maps in (None, (maps_of(disc(128, 80)),) * 3):
        change = compose_change(photo, before, before.clone(), EVERYWHERE, maps=maps)
        assert torch.equal(lay_over(photo, change), photo)


def test_pixels_outside_the_mask_stay_bit_for_bit(pictures):
    photo, before = pictures
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., :128] = 1
    result = lay_over(photo, compose_change(photo, before, before + 0.3, mask))
    assert torch.equal(result[..., 128:], photo[..., 128:])
    assert (result[..., 20:100] - photo[..., 20:100]).abs().mean() > 0.2


def test_a_change_of_light_keeps_the_photos_grain(pictures):
    photo, before = pictures
    result = lay_over(photo, compose_change(photo, before, before + spot(12), EVERYWHERE))
    inside = (slice(None), slice(None), slice(105, 135), slice(125, 155))
    assert ((result - photo)[inside] - 12 * LEVEL).abs().mean() < 1.5 * LEVEL
    assert torch.equal(result[..., 230:, :], photo[..., 230:, :])  # far away nothing


def test_detail_travels_with_what_moved(pictures):
    """A face that moves sideways takes the photo's grain along, instead of moving under it."""
    skin = torch.tensor([0.3, 0.0, -0.1]).view(1, 3, 1, 1)
    base = skin + 0.6 * smooth_noise(2, coarse=40).mean(dim=1, keepdim=True)
    grain = gaussian_blur(torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)), 1.2)[:, :1] * 0.4
    wall, person = torch.zeros(1, 3, SIZE, SIZE), disc(110, 70)
    paint = lambda img, where: wall + where * (img + 0.4)  # noqa: E731
    before, photo = paint(base, person), paint(base + grain, person)
    moved = lambda img: img.roll(12, dims=3)  # noqa: E731
    after, truth = moved(before), moved(photo)
    maps = maps_of(person), maps_of(person), maps_of(disc(122, 70))
    result = lay_over(photo, compose_change(photo, before, after, EVERYWHERE, maps=maps))
    inside = disc(122, 50)
    error = lambda img: ((img - truth).square() * inside).mean().sqrt()  # noqa: E731
    assert error(result) < 0.5 * error(after)  # nearer than the generator's picture without grain
    assert error(result) < 0.5 * error(photo + after - before)  # and than grain that stayed where it was
    uncovered = (person - disc(122, 76)).clamp(min=0)[:, :, 108:148] > 0.5
    assert uncovered.any()
    assert result[:, :, 108:148].mean(dim=1, keepdim=True)[uncovered].abs().mean() < 0.06  # wall, not the old outline


def test_the_background_stays_and_the_edit_stays_in_its_parts(pictures):
    photo, before = pictures
    person, hair = disc(128, 90), disc(128, 40, y=80)
    maps = (maps_of(person, acting=hair),) * 3
    result = lay_over(photo, compose_change(photo, before, before + 0.3, EVERYWHERE, maps=maps))
    change = (result - photo).abs().mean(dim=1, keepdim=True)
    assert change[disc(128, 30, y=80) > 0.9].mean() > 0.2
    assert change[disc(128, 60, y=80) < 0.1].max() == 0


def test_an_edit_of_one_feature_leaves_the_outline_however_far_the_generators_head_moves(pictures):
    photo, before = pictures
    after = before.roll(14, dims=3) + 0.2
    maps = [maps_of(person, acting=disc(128, 60)) for person in (disc(128, 80), disc(128, 80), disc(142, 80))]
    ground = Ground(photo, before, (maps[0], maps[1]), work_px=SIZE)
    moved, still = (
        (lay_over(photo, compose_on(ground, after, EVERYWHERE, maps[2], in_place=here)) - photo).abs().amax(dim=1)[0]
        for here in (False, True)
    )
    gone = (disc(128, 80) - disc(142, 80))[0, 0] > 0.9
    assert moved[gone].max() > 0.1
    assert still[gone].max() == 0
    assert still[disc(138, 50)[0, 0] > 0.9].mean() > 0.1


def test_a_head_that_is_cut_by_the_edge_stays_joined_to_what_lies_beyond_it():
    """It turns away from the crop's left edge; beyond the edge the photo goes on as it was."""
    texture = 0.6 * smooth_noise(4, coarse=24)
    wall, head = torch.full_like(texture, 0.9), disc(20, 100)
    paint = lambda img, where: wall * (1 - where) + where * (img - 0.3)  # noqa: E731
    photo, after = paint(texture, head), paint(texture.roll(16, dims=3), disc(36, 100))
    maps = [maps_of(person) for person in (head, head, disc(36, 100))]
    change = compose_on(Ground(photo, photo, (maps[0], maps[1]), work_px=SIZE), after, EVERYWHERE, maps[2])
    shown = lay_over(photo, change)
    seam, middle = (..., slice(70, 190), slice(8, 16)), (..., slice(100, 160), slice(100, 120))
    assert (shown - photo)[seam].abs().mean() < 0.2 * (after - photo)[seam].abs().mean()
    assert (shown - after)[middle].abs().mean() < 0.5 * (photo - after)[middle].abs().mean()


def test_colours_beyond_the_crop_follow_only_an_edit_that_means_them(pictures):
    photo, before = pictures
    person, hair = disc(128, 100), disc(128, 60)
    for acting, meant in ((hair, True), (disc(128, 15), False)):
        maps = (maps_of(person, acting=acting, hair=hair),) * 2
        change = compose_on(Ground(photo, before, maps, work_px=SIZE), before + 0.3, EVERYWHERE, maps[0])
        assert ("hair" in change.shifts) == meant


def test_hair_that_turns_grey_does_not_turn_green():
    brown, brown_photo, grey = (
        torch.tensor(rgb).view(1, 3, 1, 1) for rgb in ((0.0, -0.4, -0.6), (-0.3, -0.4, -0.55), (0.1, 0.1, 0.1))
    )
    texture = 0.1 * smooth_noise(5, coarse=60).mean(dim=1, keepdim=True)
    photo, before, after = (colour + texture for colour in (brown_photo, brown, grey))
    maps = (maps_of(EVERYWHERE * 0.99),) * 3
    result = lay_over(photo, compose_change(photo, before, after, EVERYWHERE, maps=maps))
    plain = (photo + after - before)[..., 60:-60, 60:-60].mean(dim=(2, 3))[0]
    shown = result[..., 60:-60, 60:-60].mean(dim=(2, 3))[0]
    assert plain[1] - plain[0] > 0.25  # the difference alone is green
    assert shown[1] - shown[0] < 0.05


def test_a_part_that_changed_shape_is_shown_whole():
    rng = torch.Generator().manual_seed(7)
    photo = 0.2 * torch.randn(1, 3, SIZE, SIZE, generator=rng)
    before = gaussian_blur(photo, 0.5)
    mouth = disc(128, 30)
    after = 10 * LEVEL + before * (1 - mouth) + mouth * smooth_noise(8, coarse=30)
    person = torch.full_like(mouth, 0.99)
    plain, named = ((maps_of(person, **parts),) * 3 for parts in ({}, {"mouth": mouth}))
    keep = [compose_change(photo, before, after, EVERYWHERE, maps=maps).keep for maps in (plain, named)]
    assert keep[1][disc(128, 25) > 0.5].max() < 0.01  # nothing of the old mouth's detail
    assert keep[1][disc(128, 60) < 0.1].mean() > 0.9


def test_colours_there_and_back():
    img = torch.rand(1, 3, 4, 5)
    assert torch.allclose(from_ycc(to_ycc(img)), img, atol=1e-5)
    assert to_ycc(torch.full((1, 3, 1, 1), 0.4))[0, 1:].abs().max() < 1e-5


def test_the_rim_ends_at_the_edge():
    rim = fade_to_edge(100)
    assert rim.min() < 0.1
    assert (rim[..., 10:-10, 10:-10] == 1).all()


def test_sizes_that_differ_are_named(pictures):
    photo, before = pictures
    with pytest.raises(BadImage, match="same size"):
        compose_change(photo, before[..., :64], before, EVERYWHERE)


def test_a_zone_is_a_band_of_the_part_with_soft_ends():
    skin = torch.zeros(1, len(PARTS), 128, 128)
    skin[:, PARTS.index("skin"), :, 30:100] = 1
    acting = PartMaps.of_parts(skin, (Place(("face",), "eyes"),)).acting[0, 0]
    assert not acting[:, :30].any()
    assert not acting[:38].any()
    assert not acting[85:].any()
    assert (acting[50:73, 30:100] == 1).all()
    assert 0 < acting[43, 60] < 1
    both = PartMaps.of_parts(skin, (Place(("face",), "eyes"), Place(("face",), "lower"))).acting[0, 0]
    assert (both[50:, 30:100] == 1).all()
    with pytest.raises(BadConfig, match="zone of a direction 'nose'; known"):
        Direction("x", torch.ones(1, 4), zone="nose")


def test_where_steps_act():
    vector = torch.ones(1, 4)
    cards = {
        "hair": Direction("hair", vector, parts=("hair",)),
        "old": Direction("old", vector),
        "glasses": Direction("glasses", vector, parts=("face",), zone="eyes"),
    }
    move = lambda name: Move(direction=name, amount=1)  # noqa: E731
    assert acting_places([move("hair")] * 2, cards.__getitem__) == (Place(("hair",)),)
    assert acting_places([move("glasses"), move("old")], cards.__getitem__) == (
        Place(("face",), "eyes"),
        Place(("face", "hair")),
    )
    assert acting_places([Mix(seed=1)], cards.__getitem__) == (Place(("person",)),)
    assert acting_places([move("hair"), Stylise(style="ink", fingerprint="0" * 64)], cards.__getitem__) is None


def test_a_slider_with_discs_is_painted_there_only():
    vector, eye = torch.ones(1, 4), ((0.4, 0.47, 0.05), (0.3, 0.47, 0.05))
    cards = {"wink": Direction("wink", vector, discs=eye), "age": Direction("age", vector)}
    age, wink = (Move(direction=name, amount=1) for name in ("age", "wink"))
    lips = InRegion(wink, Region(strokes=(Stroke(points=((0.5, 0.7),), radius=0.1),)))
    kept, limited, own = limit_to_discs([age, wink, lips], cards.__getitem__)
    assert (kept, own) == (age, lips) and limited.step == wink
    mask = limited.region.mask(100)[0, 0]
    assert mask[47, 40] > 0.99 and mask[47, 30] > 0.99 and mask[47, 60] == 0 and mask[70, 40] == 0


@pytest.mark.parametrize("side", [0, 1])
def test_one_eye_that_shuts_is_shown_whole(side):
    eyes = [disc(x, 20, y=120) for x in (80, 176)]
    before = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * sum(eyes)
    after = before * (1 - 2 * eyes[side])
    whole = find_reshaped(before, after, (replace(PartMaps.of_one_layer(SIZE), eyes=sum(eyes)),))
    assert whole[eyes[side] > 0.9].mean() > 0.9 and whole[eyes[1 - side] > 0.9].max() < 0.01


def test_a_card_names_known_parts():
    with pytest.raises(BadConfig, match="part of direction"):
        Direction("x", torch.ones(1, 4), parts=("beak",))


def test_every_slider_that_ships_says_where_it_acts():
    sliders = {direction.name: direction for _, direction in list_directions()}
    assert sliders["hair_light"].parts == ("hair",)
    assert all(direction.parts for direction in sliders.values())


def test_clothes_stay_the_photos_under_a_head_that_moves(pictures):
    photo, before = pictures
    clothes = torch.zeros(1, 1, SIZE, SIZE)
    clothes[..., 190:, :] = 1
    head = [disc(x, 60, y=110) for x in (128, 148)]
    after = torch.roll(before, 20, dims=3)  # the whole person moves, clothes and all
    named = [maps_of(torch.maximum(each, clothes), body=each * (1 - clothes), worn=clothes) for each in head]
    result = lay_over(photo, compose_change(photo, before, after, EVERYWHERE, maps=(named[0], named[0], named[1])))
    assert torch.equal(result[..., 196:, :], photo[..., 196:, :])
    assert (result - photo)[..., 70:150, 90:170].abs().mean() > 0.03


def test_a_hole_is_filled_with_what_is_beside_it():
    stripes = (torch.arange(SIZE) // 8 % 2).float().expand(1, 1, SIZE, SIZE)
    hole = disc(128, 40)
    field = reflect_at_outline(hole)
    assert field[0, :, disc(128, 60)[0, 0] < 0.01].abs().max() < 0.01  # outside nothing moves
    filled = warp_by_flow(stripes.contiguous(), field, sharp=False)
    source = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="xy"))[None] + field
    ring = (disc(128, 36) > 0.99) & (disc(128, 12) < 0.01)
    assert (source - 127.5).norm(dim=1)[ring[0]].min() > 38  # but for the middle, all is fetched from outside
    assert 0.3 < filled[hole > 0.99].mean() < 0.7 and filled[hole > 0.99].std() > 0.25
    assert reflect_at_outline(torch.ones_like(hole)).abs().max() == 0


def test_a_fringe_is_no_lighter_than_what_meets_there():
    img = torch.zeros(1, 3, 2, 2)
    img[:, 0] = 0.9
    layers = [torch.full((1, 1, 2, 2), level) for level in (-0.5, 0.2)]
    rim = torch.tensor([[1.0, 0.0], [0.5, 1.0]])[None, None]
    assert torch.allclose(limit_fringe(img, layers, rim)[0, 0], torch.tensor([[0.2, 0.9], [0.55, 0.2]]))
