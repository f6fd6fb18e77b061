"""Sets that are decoded while they are used: the pictures and the order of the cache, in bounded memory."""

import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.datasets import open_image_dataset, streaming
from ganvas.errors import BadInput
from ganvas.training.generator.batches import ImageFeed
from ganvas.training.generator.train import train
from tests.training import tiny


@pytest.fixture
def shards(tmp_path):
    """Two WebDataset shards of twelve pictures each, with classes."""
    folder = tmp_path / "shards"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(12):
                stem = tmp_path / f"{number:04d}"
                Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(stem.with_suffix(".png"))
                stem.with_suffix(".cls").write_text(str(number % 3))
                for kind in (".png", ".cls"):
                    tar.add(stem.with_suffix(kind), stem.name + kind)
    return folder


def test_pictures_and_classes_are_those_of_the_cache_and_none_is_kept_on_the_disk(shards, tmp_path):
    streamed = open_image_dataset(shards, resolution=16, stream=True, cache=tmp_path / "cache")
    assert streamed.is_streamed and not (tmp_path / "cache").exists()
    cached = open_image_dataset(shards, resolution=16, cache=False)
    for indices in ([0, 23, 5], [7], list(range(24))):
        ours, theirs = streamed.batch(indices), cached.batch(indices)
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert streamed.fingerprint == open_image_dataset(shards, resolution=16, stream=True).fingerprint


def test_memory_stays_within_its_bound_and_kept_pictures_are_not_decoded_again(shards, monkeypatch):
    decoded = []
    load_image = streaming.load_image
    monkeypatch.setattr(streaming, "load_image", lambda s, item, p: decoded.append(item.name) or load_image(s, item, p))
    monkeypatch.setattr(streaming, "KEPT_BYTES", 0)
    source = open_image_dataset(shards, resolution=16, stream=True)._store.source
    store = streaming.Streamed(
        source, open_image_dataset(shards, resolution=16, stream=True)._store.preprocessor, kept_bytes=10 * 3 * 16 * 16
    )
    for _ in range(3):
        store.take(np.arange(24))
    assert len(store._kept) == 10 and len(decoded) == 24 + 2 * 14


def test_a_broken_picture_is_replaced_by_the_next_and_named(tmp_path):
    for number in range(4):
        Image.new("RGB", (16, 16), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"no picture at all")
    pictures = open_image_dataset(tmp_path, resolution=16, stream=True)
    assert pictures.batch([0, 1, 2])[0][:, 0, 0, 0].tolist() == [0, 120, 120]
    assert list(pictures._store.skipped) == ["1.png"]
    for number in range(4):
        (tmp_path / f"{number}.png").unlink()
    with pytest.raises(BadInput, match="in a row cannot be read"):
        pictures._store.__class__(pictures._store.source, pictures._store.preprocessor).take(np.arange(2))


def test_a_streamed_training_is_bit_for_bit_that_of_the_cache_also_when_resumed(shards, tmp_path):
    config = tiny.config(total_kimg=0.016, resolution=16)
    cached = train(shards, config=config, device="cpu")
    streamed = tiny.dataclasses.replace(config, stream=True)
    train(shards, config=tiny.dataclasses.replace(streamed, total_kimg=0.008), device="cpu", folder=tmp_path / "run")
    resumed = train(shards, config=streamed, device="cpu", folder=tmp_path / "run")
    for ours, theirs in zip(resumed.generator.parameters(), cached.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_batches_to_come_are_read_while_the_step_is_computed_each_once(shards):
    pictures = open_image_dataset(shards, resolution=16, stream=True)
    config, read = tiny.config(mirror=True), []
    batch = pictures.batch
    pictures.batch = lambda indices: read.append(list(indices)) or batch(indices)
    from ganvas.training.engine.distributed import World

    feed = ImageFeed(pictures, config, c_dim=0, world=World())
    plain = ImageFeed(open_image_dataset(shards, resolution=16, cache=False), config, c_dim=0, world=World())
    for step in range(6):
        assert torch.equal(feed.take(4 * step, with_fresh=False).img, plain.take(4 * step, with_fresh=False).img)
    for future in feed._ahead[feed._sampler]._coming.values():
        future.result()
    assert len(read) == 8  # six that were asked for and two to come
    assert read == [plain._sampler.take(4 * step, 4)[0].tolist() for step in range(8)]
    assert torch.equal(
        feed.take(0, with_fresh=False).img, plain.take(0, with_fresh=False).img
    )  # a run that stepped back
