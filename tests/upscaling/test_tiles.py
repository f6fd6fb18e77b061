"""Tiles: whatever the sizes, the result is that of the whole picture; memory that runs out; layers not to be cut."""

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig, GanvasError
from ganvas.images.photo import Photo
from ganvas.models.rrdbnet import RRDBConfig, RRDBNet
from ganvas.ops import memory
from ganvas.upscaling import tiles
from ganvas.upscaling.tiles import LOCK_SIGMA_PX, match_colours, overlap_for, split_evenly, tile_for
from ganvas.upscaling.upscale import upscale
from tests.upscaling.nets import Repeat, small_srvgg

LEVEL = 2 / 255


def photo(height: int, width: int) -> Photo:
    return Photo(img=torch.rand(1, 3, height, width) * 2 - 1)


def test_tiles_are_the_whole_for_fifty_random_sizes():
    rng = torch.Generator().manual_seed(1)
    nets = [small_srvgg(scale) for scale in (2, 3, 4)]
    for case in range(50):
        height, width, tile = (int(torch.randint(low, 90, (), generator=rng)) for low in (1, 1, 8))
        scale = 1 + 4 * float(torch.rand((), generator=rng))
        net, source = nets[case % 3], photo(height, width)
        whole = upscale(source, model=net, scale=scale, tile=1000).img
        tiled = upscale(source, model=net, scale=scale, tile=tile).img
        assert whole.shape == tiled.shape
        assert float((whole - tiled).abs().max()) < LEVEL / 20, (height, width, tile, scale)


def test_a_network_that_folds_cells_is_cut_on_its_grid():
    torch.manual_seed(0)
    net = RRDBNet(RRDBConfig(num_feat=4, num_block=0, num_grow_ch=2, scale=2)).eval()  # cells of 2 px
    source = photo(37, 51)
    whole, tiled = (upscale(source, model=net, tile=tile).img for tile in (1000, 9))
    assert float((whole - tiled).abs().max()) < LEVEL / 20


def test_too_little_overlap_does_show():
    """What the test above would say if the overlap were wrong."""
    source, net = photo(60, 60), small_srvgg(2)
    whole = upscale(source, model=net, tile=1000, lock_colours=False).img
    tiled = upscale(source, model=net, tile=20, tile_pad=0, lock_colours=False).img
    assert float((whole - tiled).abs().max()) > LEVEL


def test_a_far_sighted_network_gets_as_much_overlap_as_it_uses():
    """Its layers look 93 pixels far; a trunk of a tenth of Kaiming's weights uses a few of them, and no seam shows."""
    torch.manual_seed(0)
    net = RRDBNet(RRDBConfig(num_feat=8, num_block=6, num_grow_ch=4, scale=1, unshuffle=1)).eval()
    source = photo(70, 220)
    overlap = overlap_for(net, source.img)
    assert net.receptive_field_px > 90 > 30 > overlap >= 8
    whole, tiled = (upscale(source, model=net, tile=tile).img for tile in (1000, 50))
    assert float((whole - tiled).abs().max()) < LEVEL


def test_a_near_sighted_network_gets_all_it_sees():
    assert overlap_for(small_srvgg(2), torch.zeros(1, 3, 9, 9)) == 5


def test_cuts_cover_without_gaps():
    assert split_evenly(10, 3) == [(0, 3), (3, 7), (7, 10)]
    assert split_evenly(2, 5) == [(0, 1), (1, 2)] or sum(b - a for a, b in split_evenly(2, 5)) == 2


def test_when_memory_runs_out_tiles_are_halved_and_the_result_is_the_same():
    source = photo(40, 30)
    net = Repeat(2, most_px=900)
    result = upscale(source, model=net, lock_colours=False, tile=1000)
    assert torch.equal(result.img, source.img.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    assert net.sizes[0] == (40, 30) and len(net.sizes) > 2


def test_when_nothing_fits_it_says_so():
    with pytest.raises(GanvasError, match="out of memory even for an output tile"):
        upscale(photo(40, 30), model=Repeat(2, most_px=300))


def test_a_tile_that_fails_for_another_reason_fails():
    class Broken(Repeat):
        def forward(self, img, *, precision="exact"):
            if len(self.sizes) == 2:
                raise RuntimeError("cosmic ray")
            return super().forward(img)

    with pytest.raises(RuntimeError, match="cosmic ray"):
        upscale(photo(40, 30), model=Broken(2), tile=10)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory: you tried")]
)
def test_what_counts_as_out_of_memory(error):
    assert memory.is_out_of_memory(error)
    assert not memory.is_out_of_memory(RuntimeError("shape mismatch"))


def test_networks_that_look_at_the_whole_picture_are_not_cut():
    class Normed(Repeat):
        def __init__(self):
            super().__init__(2)
            self.norm = nn.InstanceNorm2d(3)

    assert upscale(photo(40, 30), model=Normed(), tile=40).size == (60, 80)
    with pytest.raises(BadConfig, match=r"'norm' uses statistics of the whole image"):
        upscale(photo(40, 30), model=Normed(), tile=20)


def test_the_tile_follows_the_memory(monkeypatch):
    net, img = small_srvgg(2), torch.zeros(1, 3, 400, 400)
    sides = []
    for free in (2**26, 2**28, 2**30):
        monkeypatch.setattr(tiles, "free_bytes", lambda _, free=free: free)
        sides.append(tile_for(net, img, reach_px=20) + 40)
    assert sides[0] < sides[1] < sides[2]
    assert sides[2] / sides[1] == pytest.approx(2, rel=0.05)  # four times the memory, twice the side


def test_memory_a_pixel_is_counted_on_the_layers():
    net = small_srvgg(4)
    largest = max(6, 3 * 16) * 4  # features, or the picture of 4 × 4 pixels for each: bytes a pixel
    assert memory.bytes_per_pixel(net, torch.zeros(1, 3, 16, 16)) == memory.LAYER_COPIES * largest


def test_free_memory_is_a_plausible_number():
    assert 2**20 < memory.free_bytes(torch.device("cpu")) < 2**50


def test_broad_colours_stay_and_detail_is_the_networks():
    source = photo(64, 64)
    drifting = upscale(source, model=Repeat(2, drift=0.3), lock_colours=False).img
    locked = upscale(source, model=Repeat(2, drift=0.3)).img
    plain = source.img.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert float((drifting - (plain + 0.3).clamp(-1, 1)).abs().max()) < 1e-6
    assert float((locked - plain).abs().max()) < 1e-5
    detail = torch.zeros(1, 1, 64, 64)
    detail[..., ::2, ::2] = 0.5
    detail[..., 1::2, 1::2] = -0.5
    assert torch.allclose(match_colours(detail, torch.zeros(1, 1, 32, 32), factor=2), detail, atol=1e-6)
    assert LOCK_SIGMA_PX == 4
