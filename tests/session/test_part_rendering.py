"""Steps of parts on the whole astronaut photo: what changes, how far, and that nothing else does."""

from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.editing.part_effects import parse_colour, smooth_skin
from ganvas.editing.part_steps import (
    BACKDROPS,
    Backdrop,
    Blush,
    Colour,
    EyeBrightening,
    SkinSmoothing,
    TeethWhitening,
)
from ganvas.editing.regions import Region, Stroke
from ganvas.errors import BadConfig
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.images.photo import Photo
from ganvas.ops.blur import gaussian_blur
from ganvas.ops.lab import to_lab
from ganvas.session.part_rendering import PartsInPhoto, apply_part_step, apply_part_steps, preview_part_steps

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
CROP = Crop.from_landmarks([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
STEPS = [
    Colour(part="hair"),
    Colour(part="lips", colour="#a01030"),
    TeethWhitening(),
    SkinSmoothing(),
    EyeBrightening(),
    Blush(),
    *(Backdrop(kind=kind) for kind in BACKDROPS),
]


@pytest.fixture(scope="module")
def photo():
    return read_image(ASTRONAUT)


def mask_of(photo, *names):
    """[1, 1, H, W] of the whole photo."""
    whole = torch.zeros(1, 1, photo.height, photo.width)
    parts = PartsInPhoto(photo.img, CROP)
    window = parts.window(names)
    window.crop(whole).copy_(parts.masks(names, window).sum(dim=1, keepdim=True).clamp(0, 1))
    return whole


def mean(x, mask):
    return (x * mask).sum(dim=(2, 3)) / mask.sum()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.name}-{getattr(step, 'kind', '')}")
def test_a_step_changes_its_part_and_nothing_else(photo, step):
    done = apply_part_step(photo, step, CROP)
    parts = {
        "colour": getattr(step, "part", ""),
        "teeth": "mouth",
        "smooth_skin": "skin",
        "bright_eyes": "whites+iris",
        "blush": "skin",
        "background": "background",
    }
    outside = mask_of(photo, *parts[step.name].split("+")) == 0
    assert torch.equal(done.img[outside.expand_as(done.img)], photo.img[outside.expand_as(done.img)])
    changed = done.img if done.alpha is None else done.img * done.alpha
    assert (changed - photo.img).abs().max() > 0.02
    assert done.img.min() >= -1 and done.img.max() <= 1


@pytest.mark.parametrize(("part", "colour"), [("hair", "#7a3b1e"), ("hair", "#23405f"), ("lips", "#a01030")])
def test_the_mean_colour_is_the_picked_one_and_the_strands_are_there(photo, part, colour):
    done = apply_part_step(photo, Colour(part=part, colour=colour), CROP)
    mask = (mask_of(photo, part) > 0.9).float()
    lab = to_lab(done.img)
    assert (mean(lab, mask) - to_lab(parse_colour(colour))[..., 0, 0]).norm() < 5

    def contrast(light):
        return mean((light - gaussian_blur(light, 3)).square(), mask).sqrt()

    if part != "hair":
        return  # lips have no strands, and teeth beside them
    ratio = contrast(lab[:, :1]) / contrast(to_lab(photo.img)[:, :1])
    assert 0.85 < ratio.item() < 1.15


def test_amounts_are_shares_of_the_way(photo):
    half, whole = (apply_part_step(photo, Colour(amount=amount), CROP).img for amount in (0.5, 1.0))
    assert torch.allclose(half - photo.img, (whole - photo.img) / 2, atol=1e-5)


def test_teeth_get_whiter(photo):
    teeth = (225, 145)
    before, after = (
        to_lab(p.img)[0, :, teeth[1], teeth[0]] for p in (photo, apply_part_step(photo, TeethWhitening(amount=1), CROP))
    )
    assert after[2] < before[2] * 0.6 and after[0] >= before[0]


def test_skin_loses_blotches_and_keeps_pores():
    """On a patch of skin as wide as half a face of 512 px: blotches of 4 px, pores of one."""
    rng = torch.Generator().manual_seed(0)
    pores, rough = (torch.randn(1, 1, 256, 256, generator=rng) for _ in range(2))
    blotches = gaussian_blur(rough, 4)
    img = parse_colour("#c08060") + 0.03 * pores + 0.04 * blotches / blotches.std()
    done = smooth_skin(img, {"skin": torch.ones(1, 1, 256, 256)}, 1.0, side=512)

    def share(narrow, wide):
        bands = [gaussian_blur(x, narrow) - gaussian_blur(x, wide) for x in (done, img)]
        return (bands[0].std() / bands[1].std()).item()

    assert share(3, 12) < 0.7 and share(0, 1) > 0.95


def test_what_is_behind_becomes_plain_or_goes(photo):
    behind = mask_of(photo, "background") == 1
    plain = apply_part_step(photo, Backdrop(kind="plain", colour="#102030", amount=1), CROP)
    assert torch.allclose(
        plain.img[:, :, behind[0, 0]], parse_colour("#102030")[..., 0].expand(1, 3, int(behind.sum()))
    )
    gone = apply_part_step(photo, Backdrop(kind="transparent", amount=1), CROP)
    assert gone.alpha is not None and (gone.alpha[behind] == 0).all() and gone.alpha.max() == 1


def test_depth_and_grey_are_kept(photo):
    deep = Photo(img=photo.img + 1e-4, bits=16)
    assert apply_part_step(deep, SkinSmoothing(), CROP).bits == 16
    grey = photo.with_img(photo.img, grey=True)
    assert apply_part_step(grey, SkinSmoothing(), CROP).grey
    assert not apply_part_step(grey, Colour(part="lips"), CROP).grey  # colours were asked for


def test_a_region_limits_a_step(photo):
    left = Region(strokes=(Stroke(points=((0.2, 0.2),), radius=0.2),), feather=0)
    done = apply_part_step(photo, Colour(), CROP, region=left)
    changed = (done.img != photo.img).any(dim=1)[0].nonzero()
    inside = CROP.to_crop_coords(changed.flip(1) + 0.5, resolution=1)
    assert len(changed) > 100 and (inside - 0.2).norm(dim=1).max() < 0.21


def test_the_preview_is_the_photo_in_small(photo):
    steps = [Colour(), Backdrop(kind="plain", amount=1)]
    small = torch.nn.functional.interpolate(photo.img, scale_factor=0.5, mode="area")
    quick = preview_part_steps(small, steps, CROP.rescale(0.5))
    whole = apply_part_steps(photo, steps, CROP).img
    assert (quick - torch.nn.functional.interpolate(whole, scale_factor=0.5, mode="area")).abs().mean() < 0.03


def test_wrong_settings_are_refused():
    with pytest.raises(BadConfig, match="a colour such as #7a3b1e"):
        Colour(colour="red")
    with pytest.raises(BadConfig, match="unknown part 'tail'"):
        Colour(part="hair+tail")
    with pytest.raises(BadConfig, match="background has a colour of its own"):
        Colour(part="background")
    with pytest.raises(BadConfig, match="kind must be blur, plain or transparent"):
        Backdrop(kind="beach")
