"""Photos made larger: scales, cascades, alpha, grey, depth, metadata, strength, denoise."""

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.images.transparency import fill_transparent_colours
from ganvas.models.mlp import MLPConfig, MLPGenerator
from ganvas.models.protocol import SizeRules
from ganvas.models.rrdbnet import RRDBConfig, RRDBNet
from ganvas.ops.psnr_ssim import psnr_rgb
from ganvas.upscaling.resample import Axis, resample_box
from ganvas.upscaling.tiles import STEPS_PER_TILE
from ganvas.upscaling.upscale import UpscaleConfig, Upscaling, _num_passes, upscale, upscaler
from ganvas.weights.checkpoint import save
from tests.upscaling.nets import Repeat, small_srvgg


def photo(height: int = 12, width: int = 10, **fields) -> Photo:
    torch.manual_seed(0)
    return Photo(img=torch.rand(1, 3, height, width) * 2 - 1, **fields)


@pytest.mark.parametrize("scale", [1, 1.5, 2, 3, 3.7, 8, None])
def test_any_scale(scale):
    result = upscale(photo(), model=Repeat(2), scale=scale)
    assert result.size == (round(10 * (scale or 2)), round(12 * (scale or 2)))
    assert torch.isfinite(result.img).all()


@pytest.mark.parametrize(
    ("net_scale", "scale", "passes"),
    [(4, 4, 1), (4, 2, 1), (4, 6, 1), (4, 6.1, 2), (4, 16, 2), (2, 3, 1), (2, 4, 2), (3, 9, 2), (1, 5, 1)],
)
def test_the_network_runs_as_often_as_the_scale_needs(net_scale, scale, passes):
    assert _num_passes(net_scale, scale) == passes


def test_a_cascade_is_the_network_on_its_own_answer():
    net, source = small_srvgg(2), photo()
    once = upscale(source, model=net, lock_colours=False)
    with torch.no_grad():
        twice = net(net(source.img)).clamp(-1, 1)
    assert torch.allclose(upscale(source, model=net, scale=4, lock_colours=False).img, twice, atol=1e-6)
    assert once.size == (20, 24)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 500)])
def test_thin_and_tiny_pictures(height, width):
    result = upscale(photo(height, width), model=small_srvgg(4), tile=64)
    assert result.size == (4 * width, 4 * height)


def test_strength_blends_with_plain_resampling():
    net, source = small_srvgg(2), photo()
    none, half, full = (upscale(source, model=net, strength=s).img for s in (0, 0.5, 1))
    plain = resample_box(source.img, Axis(source_px=12, result_px=24), Axis(source_px=10, result_px=20), (0, 0, 24, 20),
                      (0, 0))  # fmt: skip
    assert torch.allclose(none, plain.clamp(-1, 1), atol=1e-6)
    inside = (none.abs() < 1) & (full.abs() < 1)
    assert torch.allclose(half[inside], ((none + full) / 2)[inside], atol=1e-5)


def test_grey_stays_grey_and_sixteen_bits_stay(tmp_path):
    levels = torch.linspace(-1, 1, 400).view(1, 1, 20, 20)
    write_image(Photo(img=levels.expand(-1, 3, -1, -1), space="grey", bits=16), tmp_path / "grey.png")
    result = upscale(read_image(tmp_path / "grey.png"), model=small_srvgg(2))
    write_image(result, tmp_path / "large.png")
    again = read_image(tmp_path / "large.png")
    assert (again.space, again.bits, again.size) == ("grey", 16, (40, 40))
    assert len(np.unique(again.srgb_pixels())) > 600  # 8 bits would hold 256


def test_metadata_stays(tmp_path):
    source = photo(dpi=(300.0, 300.0), text={"Title": "sea"}, icc_profile=b"not a profile", xmp=b"<x/>")
    result = upscale(source, model=Repeat(2))
    assert (result.dpi, result.text) == ((300, 300), {"Title": "sea"})
    assert (result.icc_profile, result.xmp) == (b"not a profile", b"<x/>")


def test_alpha_is_enlarged_apart_and_its_ends_stay_ends():
    alpha = torch.zeros(1, 1, 12, 10)
    alpha[..., 4:, :] = 1
    result = upscale(photo(alpha=alpha), model=small_srvgg(2))
    assert result.alpha is not None and result.alpha.shape == (1, 1, 24, 20)
    assert 0 <= float(result.alpha.min()) and float(result.alpha.max()) <= 1
    repeated = upscale(photo(alpha=alpha), model=Repeat(2))
    assert torch.equal(repeated.alpha, alpha.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


def test_a_networks_ripples_leave_no_ghosts_on_clear_ground():
    """Random weights answer anything; three pixels from the edge alpha is as clear, or as solid, as before."""
    alpha = torch.zeros(1, 1, 30, 26)
    alpha[..., 12:, 9:] = 1
    for tile in (8, 1000):
        result = upscale(photo(30, 26, alpha=alpha), model=small_srvgg(2), scale=3, tile=tile).alpha
        assert float(result[..., : 3 * (12 - 2), :].abs().max()) == 0
        assert float(result[..., : 3 * (9 - 2)].abs().max()) == 0
        assert float(result[..., 3 * (12 + 2) :, 3 * (9 + 2) :].min()) == 1
        assert 0 < float(result[..., 3 * 12, 3 * 9 :].mean()) <= 1


def test_an_opaque_alpha_costs_no_second_run():
    net = Repeat(2)
    result = upscale(photo(alpha=torch.ones(1, 1, 12, 10)), model=net)
    assert len(net.sizes) == 2  # one of them to count the memory
    assert bool((result.alpha == 1).all())


def test_no_halo_around_what_is_cut_out():
    """A red disc; where it is transparent the file says green. Over white, no green may come out of its edge."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    alpha = ((x - 20).square() + (y - 20).square() < 144).float()[None, None]
    red, green = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ([1.0, -1, -1], [-1.0, 1, -1]))
    source = Photo(img=torch.where(alpha == 1, red, green), alpha=alpha)
    assert torch.allclose(fill_transparent_colours(source.img, alpha), red.expand(1, 3, 40, 40), atol=1e-5)
    result = upscale(source, model=Repeat(2), scale=3)
    assert float((result.img - red).abs().max()) < 1e-4


def test_spreading_leaves_what_shows_alone():
    source = photo()
    alpha = (torch.rand(1, 1, 12, 10) > 0.7).float() * 0.5
    spread = fill_transparent_colours(source.img, alpha)
    assert torch.equal(spread[(alpha > 0).expand_as(spread)], source.img[(alpha > 0).expand_as(spread)])
    assert torch.equal(fill_transparent_colours(source.img, torch.zeros_like(alpha)), source.img)


def test_a_network_for_one_channel_runs_on_each():
    net, source = small_srvgg(2, img_channels=1), photo()
    with torch.no_grad():
        planes = torch.cat([net(source.img[:, k : k + 1]) for k in range(3)], dim=1).clamp(-1, 1)
    assert torch.allclose(upscale(source, model=net, lock_colours=False).img, planes, atol=1e-6)


def test_bands_are_the_whole_and_the_template_has_no_pixels():
    work = Upscaling(photo(60, 50, alpha=torch.rand(1, 1, 60, 50)), small_srvgg(2), UpscaleConfig(tile=16))
    bands = list(work.bands())
    whole = Upscaling(photo(60, 50, alpha=work.photo.alpha), small_srvgg(2), UpscaleConfig(tile=1000)).whole()
    assert len(bands) == 4
    assert torch.allclose(torch.cat([img for img, _ in bands], dim=2), whole.img, atol=1e-5)
    assert torch.allclose(torch.cat([veil for _, veil in bands], dim=2), whole.alpha, atol=1e-5)
    assert work.template.size == (100, 120) and work.template.img.untyped_storage().nbytes() == 4


def test_denoise_mixes_a_network_with_its_twin(tmp_path, monkeypatch):
    smooth, grainy = small_srvgg(2, seed=0), small_srvgg(2, seed=1)
    files = {"realesr-general-x4v3": smooth, "realesr-general-wdn-x4v3": grainy}
    monkeypatch.setattr("ganvas.upscaling.upscale.load", lambda name: files[str(name)])
    mixed = upscaler("realesr-general-x4v3", denoise=0.3)
    weight = 0.3 * smooth.body[0].weight + 0.7 * grainy.body[0].weight
    assert torch.allclose(mixed.body[0].weight, weight)
    assert upscaler("realesr-general-x4v3", denoise=1) is smooth
    with pytest.raises(BadConfig, match="from 0"):
        upscaler("realesr-general-x4v3", denoise=1.5)


def test_a_file_is_a_model_too(tmp_path):
    net = small_srvgg(2)
    save(net, tmp_path / "mine.safetensors")
    ours, theirs = (upscale(photo(), model=model).img for model in (net, str(tmp_path / "mine.safetensors")))
    assert psnr_rgb(ours, theirs) > 60


def test_somebodys_own_network_needs_no_more_than_the_protocol():
    class Plain:
        scale, img_channels, size_rules = 2, 3, SizeRules()

        def __call__(self, img):
            wide = torch.nn.functional.avg_pool2d(img, 5, stride=1, padding=2)
            return torch.nn.functional.interpolate(wide, scale_factor=2)

    source = photo(30, 40)
    whole, tiled = (upscale(source, model=Plain(), tile=tile).img for tile in (1000, 12))
    assert torch.allclose(whole, tiled, atol=1e-5)


def test_progress_counts_tiles_and_what_a_deep_network_has_done_of_one():
    seen = []
    upscale(photo(40, 40), model=Repeat(2), tile=20, on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(STEPS_PER_TILE * tile, 4 * STEPS_PER_TILE) for tile in (1, 2, 3, 4)]
    seen.clear()
    net = RRDBNet(RRDBConfig(num_feat=4, num_block=5, num_grow_ch=2, scale=4)).eval()
    upscale(photo(), model=net, on_step=lambda done, total: seen.append(done / total))
    assert seen == [0.2, 0.4, 0.6, 0.8, 0.95, 1.0]
    assert net.on_progress is None


def test_progress_can_stop_the_work():
    def stop(done, total):
        raise Stopped("enough")

    net = RRDBNet(RRDBConfig(num_feat=4, num_block=5, num_grow_ch=2, scale=4)).eval()
    with pytest.raises(Stopped, match="enough"):
        upscale(photo(), model=net, on_step=stop)
    assert net.on_progress is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 0.5}, "scale must be a number from 1 to 64"),
        ({"strength": 1.5}, "strength must be a number from 0 to 1"),
        ({"tile": 3}, "tile is 0"),
        ({"tile_pad": -1}, "tile_pad must be a whole number of at least 0"),
        ({"precision": "half"}, "precision must be exact or fast"),
        ({"denoise": 0.5}, "has no second variant"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(BadConfig, match=words):
        upscale(photo(), **({"model": Repeat(2)} | options))


def test_what_is_no_upscaler_or_no_photo_is_refused():
    with pytest.raises(BadConfig, match="mlp is not an upscaler"):
        upscale(photo(), model=MLPGenerator(MLPConfig(img_resolution=8)))
    with pytest.raises(BadImage, match="expects a Photo"):
        upscale(torch.zeros(1, 3, 4, 4), model=Repeat(2))
    with pytest.raises(BadConfig, match="1 or 3 channels"):
        upscale(photo(), model=small_srvgg(2, img_channels=4))
