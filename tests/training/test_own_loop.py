"""A loop of one's own: the loader's batches, and a checkpoint after which everything goes on as before."""

import itertools

import pytest
import torch

import ganvas
from ganvas.datasets.image_dataset import ImageDataset
from ganvas.errors import BrokenWeights
from ganvas.training.own_loop import BatchLoader, load_checkpoint, save_checkpoint
from tests.training import tiny


def parts():
    torch.manual_seed(0)
    net = ganvas.build("dcgan", img_resolution=16, ngf=4, z_dim=8).to(memory_format=torch.channels_last)
    opt = torch.optim.Adam(net.parameters(), 0.01, fused=True)
    pictures = ImageDataset.from_pixels(tiny.pictures(10), torch.arange(10) % 2)
    return {"net": net, "opt": opt, "loader": BatchLoader(pictures, batch_size=4, mirror=True)}


def learn(net, opt, loader, steps):
    for _, (img, c) in zip(range(steps), loader, strict=False):
        opt.zero_grad()
        ((net(torch.randn(4, 8)) - img).square().mean((1, 2, 3)) * (1 + c[:, 0])).mean().backward()
        opt.step()


def test_each_picture_comes_once_in_a_round_as_img_with_its_label():
    loader = parts()["loader"]
    batches = list(itertools.islice(loader, 5))
    img, c = (torch.cat(part) for part in zip(*batches, strict=True))
    assert loader.nimg == 20 and img.shape == (20, 3, 16, 16)
    pixels, labels = loader.pictures.batch(range(10))
    known = pixels.float() / 127.5 - 1
    both_ways = torch.stack([known, known.flip(3)]).flatten(2)  # [2, 10, numbers]
    for half in (slice(10), slice(10, 20)):
        far = (img[half].flatten(1)[:, None, None] - both_ways).abs().amax(3).amin(1)  # [10, 10]
        assert sorted(far.argmin(1).tolist()) == list(range(10)) and far.amin(1).max() < 1e-6
        assert torch.equal(c[half], labels[far.argmin(1)])


def test_a_loop_that_was_stopped_ends_in_the_same_bits(tmp_path):
    whole = parts()
    learn(**whole, steps=6)
    cut = parts()
    learn(**cut, steps=3)
    save_checkpoint(tmp_path / "c.safetensors", **cut)
    resumed = parts()
    torch.manual_seed(99)
    load_checkpoint(tmp_path / "c.safetensors", **resumed)
    learn(**resumed, steps=3)
    expected = whole["net"].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed["net"].state_dict().items())
    with pytest.raises(BrokenWeights, match="holds net, opt, loader; asked for were net"):
        load_checkpoint(tmp_path / "c.safetensors", net=cut["net"])
    with pytest.raises(BrokenWeights, match=r"net of .* does not fit"):
        load_checkpoint(tmp_path / "c.safetensors", **{**cut, "net": torch.nn.Linear(1, 1)})
