import importlib.util
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ganvas.errors import BadConfig, BadImage, MissingExtra
from ganvas.images import animation
from ganvas.images.animation import write_animation


def shades(count, size=32):
    return [torch.full((1, 3, size, size), -1 + 2 * i / (count - 1)) for i in range(count)]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_frames_come_back_in_order_and_loop(tmp_path, suffix):
    path = write_animation(iter(shades(5)), tmp_path / f"walk{suffix}", frames_per_sec=10)
    with Image.open(path) as film:
        levels = [np.asarray(frame.convert("RGB")).mean() for frame in ImageSequence.Iterator(film)]
        assert film.info["loop"] == 0
        assert film.info["duration"] == 100
    assert levels == pytest.approx([0, 63.75, 127.5, 191.25, 255], abs=3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(not importlib.util.find_spec("av"), reason="needs the extra [video]")
def test_mp4_frames_come_back_in_order(tmp_path):
    import av

    path = write_animation(shades(5, size=33), tmp_path / "walk.mp4", frames_per_sec=10)
    with av.open(str(path)) as film:
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 10
    assert levels == pytest.approx([0, 63.75, 127.5, 191.25, 255], abs=4)


def test_an_unknown_suffix_is_refused_before_any_frame_is_made(tmp_path):
    with pytest.raises(BadConfig, match=r"\.gif, \.mp4, \.webp"):
        write_animation((1 / 0 for _ in range(3)), tmp_path / "walk.avi")


def test_a_missing_extra_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"ganvas\[video\]"):
        write_animation(shades(2), tmp_path / "walk.mp4")


def test_nothing_half_written_is_left(tmp_path):
    def failing():
        yield from shades(3)
        raise RuntimeError("the generator broke")

    (tmp_path / "walk.gif").write_bytes(b"the old one")
    with pytest.raises(RuntimeError, match="broke"):
        write_animation(failing(), tmp_path / "walk.gif")
    assert (tmp_path / "walk.gif").read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["walk.gif"]
    with pytest.raises(BadConfig, match="got none"):
        write_animation([], tmp_path / "walk.gif")
    with pytest.raises(BadImage, match="cannot be written"):
        write_animation(shades(2), tmp_path / "no-such-folder" / "walk.gif")
    assert animation.ANIMATION_SUFFIXES == (".gif", ".mp4", ".webp")
