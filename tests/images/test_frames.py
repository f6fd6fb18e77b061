"""Every frame and page is processed where the result can hold it, with its durations; else it is named and counted."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ganvas.errors import BadImage, ImageWarning
from ganvas.images.batch_paths import Task
from ganvas.images.files import read_image
from ganvas.images.frames import change_frames, open_frames
from ganvas.translation import TranslateConfig, translate_file
from ganvas.upscaling.folders import upscale_file
from ganvas.upscaling.upscale import UpscaleConfig
from tests.images.makers import numbers, picture, rgb_profile, slow_tiff
from tests.upscaling.nets import small_srvgg

COLOURS = [(250, 10, 10), (10, 240, 20), (20, 20, 230), (240, 240, 10)]


def animation(path, frames, **options):
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


def plain(mode="RGB", size=(24, 16)):
    """Four frames of one colour each."""
    return [Image.new("RGB", size, colour).convert(mode) for colour in COLOURS]


def frames_of(path):
    with Image.open(path) as image:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]


def unchanged(photo, report):
    report(1, 1)
    return photo


@pytest.mark.parametrize("source", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("target", [".gif", ".webp", ".png", ".tif"])
def test_frames_go_from_any_animation_to_any_other_and_to_pages(source, target, tmp_path):
    options = {"lossless": True} if source == ".webp" else {}
    path = animation(tmp_path / f"a{source}", plain(), duration=[40, 80, 120, 160], loop=0, **options)
    frames, steps = open_frames(path, f"b{target}"), []
    written = change_frames(frames, unchanged, tmp_path / f"b{target}", on_step=lambda *step: steps.append(step))
    assert steps == [(k, 4) for k in range(1, 5)]
    shown = frames_of(written)
    assert len(shown) == 4
    for frame, colour in zip(shown, COLOURS, strict=True):
        assert np.abs(frame[8, 12, :3].astype(int) - colour).max() < 8
    with Image.open(written) as image:
        assert image.n_frames == 4
        if target != ".tif":
            assert image.info["loop"] == 0
            assert open_frames(written, written).durations_ms == (40, 80, 120, 160)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_what_is_clear_in_one_frame_does_not_show_the_one_before(suffix, tmp_path):
    frames = []
    for place in range(3):
        frame = Image.new("RGBA", (120, 40), (0, 0, 0, 0))
        frame.paste((200, 30, 60, 255), (40 * place, 0, 40 * place + 40, 40))
        frame.putpixel((40 * place + 2, 2), (0, 0, 0, 0))  # else libwebp says nothing of alpha
        frames.append(frame)
    options = {"disposal": 2} if suffix != ".webp" else {"lossless": True}
    path = animation(tmp_path / f"a{suffix}", frames, duration=50, **options)
    written = change_frames(open_frames(path, path), unchanged, tmp_path / f"b{suffix}")
    for place, frame in enumerate(frames_of(written)):
        assert [int(frame[20, 40 * k + 20, 3]) for k in range(3)] == [255 * (k == place) for k in range(3)]


def test_pages_keep_their_depth_size_profile_and_byte_order(tmp_path):
    deep = [Image.fromarray(numbers(9 + k, 7, 1, bits=16, seed=k)[..., 0]) for k in range(3)]
    path = animation(tmp_path / "deep.tif", deep)
    written = change_frames(open_frames(path, path), unchanged, tmp_path / "out.tif")
    for k, page in enumerate(ImageSequence.Iterator(Image.open(written))):
        assert page.mode == "I;16" and (np.asarray(page) == np.asarray(deep[k])).all()
    pages = [picture(numbers(8, 6, 3, seed=k)) for k in range(3)]
    path = animation(tmp_path / "p3.tif", pages, icc_profile=rgb_profile(), description="scanned", dpi=(300, 300))
    written = change_frames(open_frames(path, path), unchanged, tmp_path / "out.tif")
    for k, page in enumerate(ImageSequence.Iterator(Image.open(written))):
        assert page.info["icc_profile"] == rgb_profile() and (np.asarray(page) == np.asarray(pages[k])).all()
        assert page.tag_v2[270] == "scanned" and round(page.info["dpi"][0]) == 300


def test_upscaling_and_translating_take_all_of_them(tmp_path):
    path = animation(tmp_path / "a.gif", plain(), duration=70, loop=0)
    pages = animation(tmp_path / "a.tif", plain())
    net, config = small_srvgg(), UpscaleConfig(scale=2, strength=0)
    for source, target in ((path, "b.gif"), (path, "b.webp"), (pages, "b.tif")):
        larger = frames_of(upscale_file(Task(source, tmp_path / target), net, config))
        assert len(larger) == 4 and all(frame.shape[:2] == (32, 48) for frame in larger)

    class Inverse(torch.nn.Module):
        family, in_channels, out_channels, size_rules = "inverse", 3, 3, small_srvgg().size_rules

        def forward(self, img):
            return -img

    inverted = frames_of(translate_file(Task(path, tmp_path / "c.gif"), Inverse(), TranslateConfig()))
    for frame, colour in zip(inverted, COLOURS, strict=True):
        assert np.abs(255 - frame[8, 12, :3].astype(int) - colour).max() < 12


def test_a_result_of_one_picture_takes_the_first_and_says_so(tmp_path):
    path = animation(tmp_path / "a.gif", plain(), duration=70)
    assert open_frames(path, "b.jpg") is None
    with pytest.warns(ImageWarning, match="1 of 4 frames"):
        upscale_file(Task(path, tmp_path / "b.jpg"), small_srvgg(), UpscaleConfig(scale=2, strength=0))
    pages = animation(tmp_path / "a.tif", plain())
    assert open_frames(pages, "b.gif") is None


def test_one_picture_is_no_sequence_and_a_broken_one_is_named(tmp_path):
    for name, data in {"a.png": picture(numbers(4, 4, 3)), "a.tif": picture(numbers(4, 4, 3))}.items():
        data.save(tmp_path / name)
        assert open_frames(tmp_path / name, name) is None
    (tmp_path / "deep.tif").write_bytes(slow_tiff(numbers(4, 4, 3, bits=16)))
    assert open_frames(tmp_path / "deep.tif", "b.tif") is None
    whole = animation(tmp_path / "b.webp", plain(size=(64, 64)), duration=50).read_bytes()
    (tmp_path / "cut.webp").write_bytes(whole[:-60])
    with pytest.raises(BadImage, match=r"cut\.webp"):
        upscale_file(
            Task(tmp_path / "cut.webp", tmp_path / "c.webp"), small_srvgg(), UpscaleConfig(scale=1, strength=0)
        )
    assert not (tmp_path / "c.webp").exists() and not list(tmp_path.glob(".*"))
    with pytest.warns(ImageWarning):
        read_image(whole)
