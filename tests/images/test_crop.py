"""Crop: cut against a slow written-out definition, points there and back, and what paste must not touch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ganvas.errors import BadImage, BadMask, NoFace
from ganvas.images.crop import Crop, Window, composite, paste
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels

settings.register_profile("images", deadline=None, max_examples=40)
settings.load_profile("images")


def a_photo(height, width, *, bits=8, alpha=False, seed=0):
    levels = np.random.default_rng(seed)
    dtype = np.uint8 if bits == 8 else np.uint16
    pixels = levels.integers(0, 2**bits, (height, width, 3), dtype=dtype)
    veil = torch.from_numpy(levels.integers(0, 2**bits, (1, 1, height, width)) / (2**bits - 1)).float()
    return Photo(img=from_pixels(pixels), bits=bits, alpha=veil if alpha else None)


crops_in = st.builds(
    lambda fx, fy, side, angle: (fx, fy, side, angle),
    st.floats(0.1, 0.9),
    st.floats(0.1, 0.9),
    st.floats(3, 60),
    st.floats(-180, 180),
)


def a_crop(drawn, height, width):
    fx, fy, side, angle = drawn
    return Crop(x=fx * width, y=fy * height, side=side, angle_deg=angle)


def slow_value(img, x, y):
    """img [C, H, W] at the point (x, y), bilinear between the middles of pixels, mirrored at the photo's edges."""
    height, width = img.shape[1:]

    def mirrored(i, size):
        i = i % (2 * size)
        return i if i < size else 2 * size - 1 - i

    column, row = math.floor(x - 0.5), math.floor(y - 0.5)
    right, below = x - 0.5 - column, y - 0.5 - row
    value = 0
    for dy, wy in ((0, 1 - below), (1, below)):
        for dx, wx in ((0, 1 - right), (1, right)):
            value = value + wx * wy * img[:, mirrored(row + dy, height), mirrored(column + dx, width)]
    return value


def slow_cut(img, crop, resolution):
    """The docstring of Crop.cut, word by word."""
    n = max(1, math.ceil(crop.side / resolution - 1e-6))
    turn = math.radians(crop.angle_deg)
    out = np.zeros((img.shape[0], resolution, resolution))
    for row in range(resolution):
        for column in range(resolution):
            for a in range(n):
                for b in range(n):
                    along = ((column + (a + 0.5) / n) / resolution - 0.5) * crop.side
                    across = ((row + (b + 0.5) / n) / resolution - 0.5) * crop.side
                    x = crop.x + along * math.cos(turn) - across * math.sin(turn)
                    y = crop.y + along * math.sin(turn) + across * math.cos(turn)
                    out[:, row, column] += slow_value(img, x, y) / n**2
    return out


@pytest.mark.parametrize(
    ("crop", "resolution"),
    [
        (Crop(x=11.3, y=8.1, side=9.7, angle_deg=33), 6),  # shrinks a little
        (Crop(x=10, y=9, side=17, angle_deg=-120), 4),  # shrinks a lot
        (Crop(x=12, y=7, side=4, angle_deg=5), 9),  # enlarges
        (Crop(x=2, y=16, side=20, angle_deg=45), 7),  # over two edges
        (Crop(x=-3, y=8, side=14), 7),  # its middle beyond the edge
        (Crop(x=26, y=20, side=15, angle_deg=20), 5),  # and beyond two others
        (Crop(x=20, y=3, side=70, angle_deg=10), 5),  # several times over all edges
    ],
)
def test_cut_is_its_definition(crop, resolution):
    img = torch.rand(1, 3, 17, 23) * 2 - 1
    expected = slow_cut(img[0].double().numpy(), crop, resolution)
    np.testing.assert_allclose(crop.cut(img, resolution=resolution)[0].numpy(), expected, atol=2e-5)


def test_an_upright_crop_at_its_own_size_is_the_photos_pixels():
    img = a_photo(40, 50).img
    crop = Crop.from_box(7, 5, 39, 37)
    torch.testing.assert_close(crop.cut(img, resolution=32), img[:, :, 5:37, 7:39], atol=1e-5, rtol=0)
    # and at half of it, the means of two by two
    halves = torch.nn.functional.avg_pool2d(img[:, :, 5:37, 7:39], 2)
    torch.testing.assert_close(crop.cut(img, resolution=16), halves, atol=1e-5, rtol=0)


def test_a_fine_pattern_shrinks_to_grey_not_to_moire():
    img = torch.ones(1, 1, 300, 300)
    img[:, :, :, ::2] = -1
    shrunk = Crop(x=150, y=150, side=200, angle_deg=3).cut(img, resolution=23)
    assert shrunk.abs().max() < 0.1  # a mean over 8.7 pixels of a pattern of two: 1 / (π · 8.7 / 2) is left


@given(
    crop=st.builds(
        Crop,
        x=st.floats(-5000, 5000),
        y=st.floats(-5000, 5000),
        side=st.floats(0.5, 9000),
        angle_deg=st.floats(-720, 720),
    ),
    resolution=st.integers(1, 2048),
    points=st.lists(st.tuples(st.floats(-20_000, 20_000), st.floats(-20_000, 20_000)), min_size=1, max_size=9),
)
def test_points_come_back_within_a_hundredth_of_a_pixel(crop, resolution, points):
    there = crop.to_crop_coords(points, resolution=resolution)
    back = crop.to_photo_coords(there, resolution=resolution)
    assert (back - torch.tensor(points, dtype=torch.float64)).abs().max() < 0.01


@given(drawn=crops_in, at=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)))
def test_points_and_pictures_are_carried_alike(drawn, at):
    """A round spot of the photo, seen in the crop, has its middle where `carry` says."""
    crop = Crop(x=drawn[0] * 200, y=drawn[1] * 160, side=60 + drawn[2], angle_deg=drawn[3])
    point = crop.to_photo_coords([[at[0] * 64, at[1] * 64]], resolution=64)[0]
    if not (12 < point[0] < 188 and 12 < point[1] < 148):
        return
    y, x = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    spot = torch.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * 2.5**2)).float()[None, None]
    seen = crop.cut_mask(spot, resolution=64)[0, 0].double()
    middles = torch.arange(64) + 0.5
    found = torch.stack([(seen.sum(0) * middles).sum(), (seen.sum(1) * middles).sum()]) / seen.sum()
    assert (found - crop.to_crop_coords([point.tolist()], resolution=64)[0]).abs().max() < 0.1


def test_corners_go_round_clockwise_from_the_top_left():
    corners = Crop(x=10, y=20, side=8).corners
    assert corners.tolist() == [[6, 16], [14, 16], [14, 24], [6, 24]]
    quarter = Crop(x=10, y=20, side=8, angle_deg=90).corners  # turned clockwise, its left edge is on top
    torch.testing.assert_close(quarter, corners.roll(-1, 0))


def test_the_face_square_is_that_of_the_paper():
    """The construction of the paper with the numbers put in, for a face tilted by 0 and by 30 degrees."""
    face = np.array([[190.0, 240], [320, 240], [256, 310], [205, 370], [310, 372]])
    for tilt in (0, 30):
        c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        points = face @ np.array([[c, s], [-s, c]])
        eyes, mouth = points[:2].mean(0), points[3:].mean(0)
        eye_to_eye, eye_to_mouth = points[1] - points[0], mouth - eyes
        x = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
        x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8) / np.hypot(*x)
        y = np.array([-x[1], x[0]])
        middle = eyes + eye_to_mouth * 0.1
        expected = np.stack([middle - x - y, middle + x - y, middle + x + y, middle - x + y])
        crop = Crop.from_landmarks(points.tolist())
        np.testing.assert_allclose(crop.corners.numpy(), expected, atol=1e-9)
        assert crop.angle_deg == pytest.approx(tilt, abs=1)


@pytest.mark.parametrize(
    "points",
    [
        [[5.0, 5]] * 5,  # all in one place
        [[0.0, 0], [10, 0], [5, 2], [5, -10], [5, -10]],  # the mouth as far above the eyes as they are apart
        [[0.0, 0], [10, 0], [5, 5]],  # three of five
    ],
)
def test_landmarks_that_make_no_face_are_refused(points):
    with pytest.raises(NoFace):
        Crop.from_landmarks(points)


def test_masks_travel_both_ways_and_end_at_the_photo():
    mask = torch.zeros(1, 1, 60, 80)
    mask[:, :, 20:40, 30:50] = 1
    crop = Crop(x=40, y=30, side=40, angle_deg=25)
    inside = crop.cut_mask(mask, resolution=64)
    assert inside[0, 0, 32, 32] == 1
    assert inside[0, 0, 0, 0] == 0
    window = crop.window(width=80, height=60)
    back = torch.zeros_like(mask)
    window.crop(back)[:] = crop.warp_back(inside, window) * crop.coverage(window)
    assert (back - mask).abs().mean() < 0.02
    over = Crop(x=0, y=0, side=40).cut_mask(torch.ones(1, 1, 60, 80), resolution=40)
    assert over[0, 0, :19].max() == 0  # beyond the photo's edge
    assert over[0, 0, 21:, 21:].min() == 1


@given(
    drawn=crops_in,
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    resolution=st.sampled_from([5, 16, 64, 100]),
    bits=st.sampled_from([8, 16]),
    alpha=st.booleans(),
    whole=st.booleans(),
)
def test_paste_leaves_every_pixel_outside_the_mask_as_it_was(drawn, height, width, resolution, bits, alpha, whole):
    photo = a_photo(height, width, bits=bits, alpha=alpha, seed=height * width)
    crop = a_crop(drawn, height, width)
    mask = torch.zeros(1, 1, resolution, resolution)
    mask[:, :, resolution // 4 : resolution // 2, resolution // 3 :] = 0.7
    mask[:, :, resolution // 3 : resolution // 2, resolution // 3 :] = 1
    after = -crop.cut(photo.img, resolution=resolution)
    pasted = paste(photo, crop, after, mask=None if whole else mask)

    # Independent of paste: a pixel is touched only if its square meets the mask's pixels, a pixel around them included.
    row, column = np.mgrid[0:height, 0:width]
    places = crop.to_crop_coords(np.stack([column, row], -1).reshape(-1, 2) + 0.5, resolution=resolution).numpy()
    grown = torch.nn.functional.max_pool2d((mask > 0).float(), 3, stride=1, padding=1)[0, 0].numpy()
    slack = resolution / crop.side  # a photo's pixel in pixels of the crop
    low = np.floor(places - slack).astype(int)
    high = np.ceil(places + slack).astype(int)
    may_change = np.zeros(height * width, bool)
    for i, ((x0, y0), (x1, y1)) in enumerate(zip(low, high, strict=True)):
        part = grown[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] if not whole else np.ones((1, 1))
        inside = x1 > 0 and y1 > 0 and x0 < resolution and y0 < resolution
        may_change[i] = inside and bool(part.size) and part.any()
    keep = torch.from_numpy(~may_change.reshape(height, width))
    assert torch.equal(pasted.img[:, :, keep], photo.img[:, :, keep])

    # The same through a file.
    for format in ("PNG", "TIFF"):
        before, then = (read_image(encode_image(each, format)) for each in (photo, pasted))
        assert then.bits == bits
        assert torch.equal(then.img[:, :, keep], before.img[:, :, keep])
        assert (then.alpha is None) == (not alpha)
        if alpha:
            assert torch.equal(then.alpha, before.alpha)


def test_paste_carries_the_change_only_and_keeps_the_photos_grain():
    photo = a_photo(64, 64)
    crop = Crop(x=32, y=32, side=40, angle_deg=12)
    before = torch.zeros(1, 3, 128, 128)
    after = before + 0.25
    pasted = paste(photo, crop, after, before=before, mask=torch.ones(1, 1, 128, 128))
    middle = (slice(None), slice(None), slice(25, 39), slice(25, 39))
    torch.testing.assert_close(pasted.img[middle], (photo.img[middle] + 0.25).clamp(max=1))
    assert torch.equal(paste(photo, crop, before, before=before).img, photo.img)


def test_a_crop_laid_back_unchanged_is_nearly_the_photo():
    y, x = torch.meshgrid(torch.linspace(0, 9, 120), torch.linspace(0, 7, 140), indexing="ij")
    photo = Photo(img=(torch.sin(x) * torch.cos(y))[None, None].repeat(1, 3, 1, 1))
    crop = Crop(x=70, y=60, side=70, angle_deg=-31)
    pasted = paste(photo, crop, crop.cut(photo.img, resolution=256))
    assert (pasted.img - photo.img).abs().max() < 0.01
    assert not torch.equal(pasted.img, photo.img)


def test_composite_shows_the_picture_where_the_mask_is_one_and_ignores_nan_where_it_is_zero():
    photo = a_photo(20, 30)
    window = Window(left=5, top=4, width=6, height=3)
    img, mask = torch.full((1, 3, 3, 6), 0.123), torch.zeros(1, 1, 3, 6)
    mask[..., 2:4] = 1
    img[..., 0] = float("nan")
    done = composite(photo, window, img, mask)
    assert torch.equal(window.crop(done.img)[..., 2:4], img[..., 2:4])
    assert torch.equal(window.crop(done.img)[..., :2], window.crop(photo.img)[..., :2])
    with pytest.raises(BadMask, match="does not lie"):
        composite(photo, Window(left=25, top=4, width=6, height=3), img, mask)
    with pytest.raises(BadImage, match="window"):
        composite(photo, window, torch.zeros(1, 3, 4, 6), mask)


def test_only_the_window_is_ever_held():
    crop = Crop(x=9000, y=7000, side=300, angle_deg=20)
    window = crop.window(width=12_000, height=9000)  # a photo of 108 megapixels
    assert window.width < 390
    assert window.height < 390
    assert crop.warp_back(torch.zeros(1, 7, 64, 64), window).shape == (1, 7, window.height, window.width)


def test_a_crop_that_makes_no_sense_is_named():
    with pytest.raises(BadMask, match="outside the photo"):
        Crop(x=200, y=5, side=10).cut(torch.zeros(1, 3, 20, 20), resolution=8)
    with pytest.raises(BadMask, match="times as large"):
        Crop(x=5, y=5, side=10_000).cut(torch.zeros(1, 3, 20, 20), resolution=8)
    with pytest.raises(BadMask, match="side of more than 0"):
        Crop(x=5, y=5, side=0)
    with pytest.raises(BadMask, match="finite"):
        Crop(x=math.nan, y=5, side=3)
    with pytest.raises(BadMask, match="a box is"):
        Crop.from_box(5, 5, 5, 9)


def test_a_photo_of_one_pixel_can_be_cut_and_pasted():
    photo = Photo(img=torch.full((1, 3, 1, 1), 0.5))
    crop = Crop(x=0.5, y=0.5, side=1)
    assert torch.equal(crop.cut(photo.img, resolution=4), torch.full((1, 3, 4, 4), 0.5))
    assert paste(photo, crop, torch.full((1, 3, 4, 4), -0.5), mask=torch.ones(1, 1, 4, 4)).img.flatten().tolist() == [
        -0.5,
        -0.5,
        -0.5,
    ]


def test_a_crop_follows_an_enlarged_photo():
    crop, points = Crop(x=10, y=20, side=30, angle_deg=7), [[3.0, 4.0]]
    twice = crop.rescale(2).to_crop_coords([[6.0, 8.0]], resolution=50)
    torch.testing.assert_close(twice, crop.to_crop_coords(points, resolution=50))
