"""Crops and training pairs: a pure function of seed and number, with edges that look like the middle of a photo."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets import sr_pairs
from ganvas.datasets.sr_pairs import (
    PhotoDataset,
    SRDataset,
    SRPairConfig,
    bicubic_downscale,
    bicubic_upscale,
    open_photo_dataset,
    to_multiple,
)
from ganvas.errors import BadConfig, BadImage, BadInput
from ganvas.images.tensors import from_pixels, to_pixels


def noise(height, width, seed=0):
    """uint8 [3, height, width]."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8))


def ramp(height, width):
    """Every pixel says where it is: red = row, green = column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return torch.from_numpy(np.stack([rows, columns, np.zeros_like(rows)]))


def test_pair_number_n_is_the_same_whenever_it_is_asked_for():
    pairs = SRDataset(PhotoDataset.of([noise(80, 90), noise(70, 100, 1)]), SRPairConfig(low_px=8), seed=3)
    low, high = pairs.take(10, 6)
    assert low.shape == (6, 3, 8, 8) and high.shape == (6, 3, 32, 32)
    for start, count in ((10, 1), (12, 3)):
        again = pairs.take(start, count)
        assert torch.equal(again[0], low[start - 10 :][:count]) and torch.equal(again[1], high[start - 10 :][:count])
    other = SRDataset(pairs.photos, pairs.config, seed=4).take(10, 6)
    assert not torch.equal(other[1], high)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_small_picture_is_that_of_the_whole_photo_at_the_same_place(scale):
    """In the middle of a photo nothing tells where the crop was cut: the margin holds all that the filter reaches."""
    photo = noise(40 * scale, 40 * scale)
    pixels = photo.permute(1, 2, 0).numpy()
    pairs = SRDataset(PhotoDataset.of([photo]), SRPairConfig(low_px=8, scale=scale), seed=0)
    rng, compared = np.random.default_rng(5), 0
    for _ in range(40):
        window, top, left = pairs._window(rng)
        y, x = (int(v) for v in np.argwhere((np.lib.stride_tricks.sliding_window_view(
            pixels[:, :, 0], window.shape[:2]) == window[:, :, 0]).all(axis=(2, 3)))[0])  # fmt: skip
        if (y + top * scale) % scale or (x + left * scale) % scale or top < 4 or left < 4:
            continue  # the whole photo's grid of cells is another there
        whole = bicubic_downscale(pixels, scale)[y // scale + top :][:8, x // scale + left :][:, :8]
        ours = bicubic_downscale(window, scale)[top : top + 8, left : left + 8]
        if min(window.shape[:2]) < (8 + 2 * sr_pairs.CROP_MARGIN) * scale:
            continue  # cut at the photo's own edge
        assert np.abs(whole.astype(int) - ours).max() <= 1  # Pillow rounds between its two passes
        compared += 1
    assert compared >= 1


def test_low_and_high_show_the_same_part():
    photo = ramp(120, 120)
    pairs = SRDataset(PhotoDataset.of([photo]), SRPairConfig(low_px=8), seed=1)
    low, high = pairs.take(0, 16)
    means = torch.nn.functional.avg_pool2d(high, 4)
    assert float((low - means).abs().max()) < 3 / 127.5  # on a plane, any symmetric filter gives the mean


def test_all_eight_ways_to_lay_a_crop_come():
    photo = torch.zeros(3, 32, 32, dtype=torch.uint8)
    photo[:, :8, :4] = 255  # a mark that no turn and no mirror leaves in place
    pairs = SRDataset(PhotoDataset.of([photo]), SRPairConfig(low_px=8), seed=0)
    assert len({high.numpy().tobytes() for high in pairs.take(0, 100)[1]}) == 8


def test_large_photos_come_more_often():
    dark, light = torch.zeros(3, 32, 32, dtype=torch.uint8), torch.full((3, 128, 96), 255, dtype=torch.uint8)
    pairs = SRDataset(PhotoDataset.of([dark, light]), SRPairConfig(low_px=8), seed=0)
    share = float((pairs.take(0, 400)[1].mean(dim=(1, 2, 3)) > 0).float().mean())
    assert 0.88 < share < 0.96  # 12 of 13


def test_of_several_candidates_the_busiest_is_taken():
    photo = torch.cat([torch.full((3, 64, 192), 128, dtype=torch.uint8), noise(64, 64)], dim=2)
    crops = [
        SRDataset(PhotoDataset.of([photo]), SRPairConfig(low_px=8, candidates=n), seed=0).take(0, 60)[1] for n in (1, 8)
    ]
    busy = [float((high.std(dim=(1, 2, 3)) > 0.2).float().mean()) for high in crops]
    assert busy[0] < 0.5 and busy[1] > 0.9


def test_real_degradation_is_reproducible_and_not_bicubic():
    photos = PhotoDataset.of([noise(80, 80)])
    real = SRPairConfig(low_px=8, degradation="real", kernel_px=(7, 13))
    low, high = SRDataset(photos, real, seed=0).take(3, 2)
    assert torch.equal(low, SRDataset(photos, real, seed=0).take(3, 2)[0])
    plain = torch.cat([from_pixels(bicubic_downscale(to_pixels(each[None]), 4)) for each in high])
    assert float((low - plain).abs().mean()) > 0.02


def test_many_photos_are_kept_in_a_file_and_give_the_same(monkeypatch):
    tensors = [noise(50, 40, seed) for seed in range(4)]
    held = PhotoDataset.of(tensors)
    monkeypatch.setattr(sr_pairs, "PHOTOS_IN_MEMORY_BYTES", 9000)
    filed = PhotoDataset.of(tensors)
    assert held._file is None and filed._file is not None and filed.fingerprint == held.fingerprint
    for index in range(4):
        assert np.array_equal(filed.window(index, 7, 5, 20, 11), held.window(index, 7, 5, 20, 11))
    assert np.array_equal(filed.whole(2), tensors[2].permute(1, 2, 0).numpy())


def test_a_folder_is_read_with_bad_files_named(tmp_path):
    for name, size in (("a.png", (40, 36)), ("sub/b.jpg", (64, 64)), ("tiny.png", (16, 64))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    rgba = np.zeros((32, 32, 4), np.uint8)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    seen = []
    photos = open_photo_dataset(tmp_path, smallest_px=32, on_step=lambda done, total: seen.append((done, total)))
    assert photos.names == ("a.png", "clear.png", "sub/b.jpg")
    assert photos.sizes.tolist() == [[36, 40], [32, 32], [64, 64]]
    assert dict(photos.skipped).keys() == {"broken.jpg", "tiny.png"}
    assert any("tiny.png is 16 x 64" in line for line in photos.report)
    assert photos.whole(1).min() == 255  # transparent becomes white
    assert seen[-1] == (5, 5)
    assert photos.fingerprint == open_photo_dataset(tmp_path, smallest_px=32).fingerprint
    with pytest.raises(BadInput, match="no usable photo"):
        open_photo_dataset(tmp_path, smallest_px=100)


def test_photos_that_are_kept_back_are_not_learnt_from():
    photos = PhotoDataset.of([noise(20, 20, seed) for seed in range(9)])
    learnt, measured = photos.split(2)
    assert len(learnt) == 7 and len(measured) == 2 and not set(learnt.names) & set(measured.names)
    assert learnt.fingerprint != photos.fingerprint
    assert len(photos.split(0)[1]) == 0


def test_shrinking_and_enlarging_are_pillows():
    pixels = noise(24, 32).permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(pixels).resize((8, 6), Image.Resampling.BICUBIC))
    assert np.array_equal(bicubic_downscale(pixels, 4), expected)
    assert bicubic_upscale(expected, 4).shape == (24, 32, 3)
    with pytest.raises(BadImage, match="multiples"):
        bicubic_downscale(pixels[:-1], 4)
    assert to_multiple(pixels[:-1], 4).shape == (20, 32, 3)
    assert to_multiple(pixels, 4, 13).shape == (12, 12, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="32 px"):
        SRDataset(PhotoDataset.of([noise(31, 90)]), SRPairConfig(low_px=8), seed=0)
    with pytest.raises(BadInput):
        SRDataset(PhotoDataset.of([]), SRPairConfig(), seed=0)
    with pytest.raises(BadConfig, match="degradation"):
        SRPairConfig(degradation="rain")
    with pytest.raises(BadImage, match="uint8"):
        PhotoDataset.of([torch.zeros(3, 9, 9)])
