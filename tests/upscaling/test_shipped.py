"""compact-x4, the upscaler that comes with ganvas: small, and better than resampling on a photo it never saw."""

from pathlib import Path

import numpy as np
import torch

import ganvas
from ganvas.datasets.sr_pairs import bicubic_downscale, bicubic_upscale
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels, to_pixels
from ganvas.training.upscaler.snapshots import compute_sr_metrics, upscale_pixels
from ganvas.upscaling.upscale import LIGHT_MODEL, upscale


def sample():
    """The middle of the sample photo: uint8 [320, 320, 3]."""
    img = ganvas.read_image(Path(ganvas.__file__).parent / "samples" / "astronaut.jpg").img
    return to_pixels(img[:, :, :320, 96:416])


def test_it_beats_bicubic_by_what_is_promised():
    net, truth = ganvas.load(LIGHT_MODEL), sample()
    low = bicubic_downscale(truth, 4)
    ours, plain = (
        compute_sr_metrics([made], [truth], 4) for made in (upscale_pixels(net, low), bicubic_upscale(low, 4))
    )
    assert ours["psnr"] > plain["psnr"] + 0.8 and ours["psnr_y"] > plain["psnr_y"] + 0.8
    assert ours["ssim"] > plain["ssim"] + 0.015


def test_the_edge_of_a_picture_is_no_worse_than_by_resampling():
    """Beyond it the network sees black, which figures with a border left out do not tell."""
    net, truth = ganvas.load(LIGHT_MODEL), sample()
    low = bicubic_downscale(truth, 4)
    frame = np.ones(truth.shape[:2], bool)
    frame[4:-4, 4:-4] = False
    ours, plain = (
        np.square(img[frame].astype(float) - truth[frame]).mean()
        for img in (upscale_pixels(net, low), bicubic_upscale(low, 4))
    )
    assert ours < 1.05 * plain


def test_it_is_small_and_its_card_says_where_it_comes_from():
    net = ganvas.load(LIGHT_MODEL)
    assert net.scale == 4 and sum(p.numel() for p in net.parameters()) < 700_000
    assert net.facts["licence"] == "Apache-2.0" and "CC0" in net.facts["faces"]
    assert len(net.facts["photos"]) == 25 and all("," in who for who in net.facts["photos"].values())
    measured = net.facts["measured"]
    assert all(each["psnr"] > each["psnr_bicubic"] + 0.8 for each in measured.values())
    assert all(each["ssim"] > each["ssim_bicubic"] + 0.015 for each in measured.values())


def test_tiles_do_not_show():
    photo = Photo(img=from_pixels(sample()[:96, :128]))
    whole, tiled = (upscale(photo, model=LIGHT_MODEL, tile=tile).img for tile in (1000, 40))
    assert float((whole - tiled).abs().max()) < 2 / 255


def test_flat_colours_stay_what_they_are():
    net = ganvas.load(LIGHT_MODEL)
    for colour in ([-1.0, -1, -1], [1.0, 1, 1], [0.2, -0.4, 0.9]):
        img = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 48, 48)
        with torch.no_grad():
            inside = net(img)[:, :, 80:-80, 80:-80]
        assert float((inside - img[:, :, :1, :1]).abs().max()) < 3 / 127.5
