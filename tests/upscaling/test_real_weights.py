"""The published networks, end to end: fetched once, and only when the tests are told to use the network."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import ganvas
from ganvas.images.photo import Photo
from ganvas.metrics.pixels import sharpness
from ganvas.upscaling.upscale import LIGHT_MODEL, STRONG_MODEL, upscale
from ganvas.weights.catalogue import catalogue

LEVEL = 2 / 255
pytestmark = pytest.mark.network


def sample(size=96):
    img = ganvas.read_image(Path(ganvas.__file__).parent / "samples" / "astronaut.jpg").img
    return Photo(img=img[:, :, 0:size, 180 : 180 + size].contiguous())


@pytest.mark.parametrize("name", [LIGHT_MODEL, "realesr-animevideov3", STRONG_MODEL])
def test_tiles_do_not_show_colours_stay_and_the_picture_is_sharper(name):
    catalogue.get(name)
    net, photo = ganvas.load(name), sample()
    whole = upscale(photo, model=net, tile=1000).img
    tiled = upscale(photo, model=net, tile=40).img
    assert float((whole - tiled).abs().max()) < LEVEL
    assert float((F.avg_pool2d(whole, 32) - F.avg_pool2d(photo.img, 8)).abs().mean()) < LEVEL
    plain = upscale(photo, model=net, strength=0).img
    assert float(sharpness(whole)) > float(sharpness(plain)) + 0.5


def test_the_fast_form_is_near():
    catalogue.get(STRONG_MODEL)
    net, photo = ganvas.load(STRONG_MODEL), sample(48)
    with torch.no_grad():
        off = (net(photo.img, precision="fast") - net(photo.img)).abs() / LEVEL
    assert float(off.mean()) < 0.4 and float(off.max()) < 16
