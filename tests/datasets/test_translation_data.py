"""Two collections: side by side, two folders, pairs by name; what is kept back; the same pictures after a resume."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets.image_dataset import ImageDataset, open_image_dataset
from ganvas.datasets.translation_data import (
    TranslationLoader,
    is_paired,
    make_translation_dataset,
    open_translation_dataset,
)
from ganvas.errors import BadConfig, BadInput


def flat(path, left, right=None, px=16):
    """A picture of one grey level, or of two, side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((px, px if right is None else 2 * px, 3), left, np.uint8)
    if right is not None:
        pixels[:, px:] = right
    Image.fromarray(pixels).save(path)


def two_folders(root, a=range(4), b=range(4)):
    for k in a:
        flat(root / "trainA" / f"{k}.png", 10 + k)
    for k in b:
        flat(root / "trainB" / "deep" / f"{k}.webp" if k > 90 else root / "trainB" / f"{k}.bmp", 110 + k)
    return root


def levels(pixels):
    return pixels.float().mean(dim=(1, 2, 3)).round().int().tolist()


def test_side_by_side(tmp_path):
    for k in range(3):
        flat(tmp_path / "train" / f"{k}.png", 10 + k, 200 + k)
    assert is_paired(tmp_path)
    domains = open_translation_dataset(tmp_path, resolution=16, cache=False)
    a, b = domains.first_images(9)
    assert domains.paired and levels(a) == [10, 11, 12] and levels(b) == [200, 201, 202]
    assert any("the left half" in line for line in domains.report) and domains.report[-1] == "3 pairs"
    with pytest.raises(BadInput, match="paired is not set"):
        open_translation_dataset(tmp_path, resolution=16, paired=False, cache=False)


def test_an_odd_pair_is_cut_in_equal_halves(tmp_path):
    """21 pixels across: ten for each, the middle one for none."""
    pixels = np.zeros((16, 33, 3), np.uint8)
    pixels[:, 17:], pixels[:, 16] = 200, 99
    (tmp_path / "train").mkdir()
    Image.fromarray(pixels).save(tmp_path / "train" / "x.png")
    a, b = open_translation_dataset(tmp_path, resolution=16, cache=False).first_images(1)
    assert a.unique().tolist() == [0] and b.unique().tolist() == [200]


def test_halves_do_not_change_what_other_sets_are_called(tmp_path):
    """Runs that were begun before halves existed must find their pictures again."""
    flat(tmp_path / "x.png", 7)
    assert "half" not in open_image_dataset(tmp_path, resolution=16, cache=False).settings


def test_two_folders_without_pairs(tmp_path):
    domains = open_translation_dataset(two_folders(tmp_path, b=range(6)), cache=False)
    assert not domains.paired and not is_paired(tmp_path)
    assert (len(domains.rows_a), len(domains.rows_b), domains.img_resolution) == (4, 6, 16)


def test_two_folders_with_pairs_by_name(tmp_path):
    two_folders(tmp_path, a=(1, 2, 3, 7), b=(0, 2, 7, 1))
    domains = open_translation_dataset(tmp_path, resolution=16, paired=True, cache=False)
    a, b = domains.first_images(9)
    assert levels(a) == [11, 12, 17] and levels(b) == [111, 112, 117]
    assert any("without a counterpart: 3.png, 0.bmp" in line for line in domains.report)


def test_names_that_do_not_meet(tmp_path):
    with pytest.raises(BadInput, match="no image of A has a counterpart of the same name"):
        open_translation_dataset(two_folders(tmp_path, a=(1, 2), b=(3, 4)), resolution=16, paired=True, cache=False)


def test_a_folder_that_is_neither_says_how_it_should_look(tmp_path):
    flat(tmp_path / "photos" / "x.png", 1)
    with pytest.raises(BadInput, match=r"should contain trainA/ and trainB/.*it contains photos"):
        open_translation_dataset(tmp_path, cache=False)
    with pytest.raises(BadInput, match="there is no folder"):
        open_translation_dataset(tmp_path / "nowhere", cache=False)


def numbered(count, px=8, first=0):
    levels = torch.arange(first, first + count, dtype=torch.uint8)
    return ImageDataset.from_pixels(levels.view(-1, 1, 1, 1).expand(-1, 3, px, px))


def test_what_is_kept_back_is_never_shown():
    most, some = make_translation_dataset(numbered(40), numbered(60, first=100), paired=False).split(3)
    assert (len(most.rows_a), len(some.rows_a), len(most.rows_b), len(some.rows_b)) == (37, 3, 57, 3)
    assert not set(most.rows_a) & set(some.rows_a) and not set(most.rows_b) & set(some.rows_b)
    pairs, kept = make_translation_dataset(numbered(30), numbered(30, first=100), paired=True).split(9)
    assert len(kept.rows_a) == 3  # a tenth at most
    assert (pairs.rows_a == pairs.rows_b).all() and (kept.rows_a == kept.rows_b).all()
    none = make_translation_dataset(numbered(5), numbered(5), paired=True).split(9)[1]
    assert len(none.rows_a) == 0


def test_the_fingerprint_tells_pictures_and_pairing():
    made = {make_translation_dataset(numbered(4), numbered(4), paired=p).fingerprint for p in (True, False)}
    made |= {make_translation_dataset(numbered(4), numbered(4, first=9), paired=True).fingerprint}
    assert len(made) == 3


def test_sizes_must_agree():
    with pytest.raises(BadInput, match=r"same size, got 8 px and 16 px"):
        make_translation_dataset(numbered(4), numbered(4, px=16), paired=False)


def ramp(count=6, px=12):
    """Pictures whose every pixel says where it was, and in which picture."""
    place = torch.arange(px * px, dtype=torch.uint8).view(1, 1, px, px).expand(count, 1, px, px)
    number = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(count, 1, px, px)
    return torch.cat([place, number, place], dim=1).contiguous()


def test_pairs_are_cut_and_mirrored_alike():
    domains = make_translation_dataset(ImageDataset.from_pixels(ramp()), ImageDataset.from_pixels(ramp()), paired=True)
    feed = TranslationLoader(domains, resolution=8, mirror=True, seed=3)
    a, b = feed.take(0, 24)
    assert torch.equal(a, b) and a.shape == (24, 3, 8, 8)
    assert len({tuple(each[0, 0, :2].tolist()) for each in a}) > 8  # several places, both sides
    steps = {int(each[0, 0, 1]) - int(each[0, 0, 0]) for each in a}
    assert steps == {1, -1}


def test_without_pairs_each_goes_its_own_way():
    domains = make_translation_dataset(
        ImageDataset.from_pixels(ramp(6)), ImageDataset.from_pixels(ramp(9)), paired=False
    )
    a, b = TranslationLoader(domains, resolution=12, mirror=False, seed=3).take(0, 18)
    assert sorted(a[:6, 1, 0, 0].tolist()) == list(range(6)) and sorted(b[:9, 1, 0, 0].tolist()) == list(range(9))
    assert a[:, 1, 0, 0].tolist() != b[:, 1, 0, 0].tolist()


def test_a_batch_is_the_same_however_it_is_reached():
    feed = TranslationLoader(
        make_translation_dataset(numbered(7, px=12), numbered(5, px=12), paired=False),
        resolution=8,
        mirror=True,
        seed=1,
    )
    whole = feed.take(0, 20)
    parts = [feed.take(at, 4) for at in range(0, 20, 4)]
    for k in range(2):
        assert torch.equal(whole[k], torch.cat([part[k] for part in parts]))
    other = TranslationLoader(feed.domains, resolution=8, mirror=True, seed=2).take(0, 20)
    assert not torch.equal(whole[0], other[0])


def test_nothing_larger_than_the_pictures_is_cut():
    with pytest.raises(BadConfig, match="load_px"):
        TranslationLoader(
            make_translation_dataset(numbered(4), numbered(4), paired=True), resolution=9, mirror=False, seed=0
        )
