"""Files in and out: bit-identical where the format can, said where it cannot, nothing half written."""

import io
import os
import struct
import threading
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageOps

from ganvas.errors import BadConfig, BadImage
from ganvas.images import files
from ganvas.images.decode import HAS_AVIF
from ganvas.images.encode import encode_image
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.images.tensors import from_pixels
from tests.images.makers import (
    chunk,
    exif_block,
    gamma_curve,
    grey_profile,
    numbers,
    opened,
    picture,
    rgb_profile,
    saved,
    slow_png,
    slow_tiff,
    wave,
)

settings.register_profile("images", deadline=None, max_examples=40)
settings.load_profile("images")


def everything_of(photo):
    """The pixels of a photo in its own colours, alpha behind them."""
    alpha = photo.alpha_pixels()
    return photo.native_pixels() if alpha is None else np.concatenate([photo.native_pixels(), alpha], axis=2)


def a_png(pixels, icc=None):
    """The PNG of 8- or 16-bit pixels, perhaps with a profile, made without ganvas."""
    data = saved(picture(pixels), "PNG") if pixels.dtype == np.uint8 else slow_png(pixels)
    body = chunk(b"iCCP", b"x\0\0" + zlib.compress(icc)) if icc else b""
    return data[:33] + body + data[33:]


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    channels=st.integers(1, 4),
    bits=st.sampled_from([8, 16]),
    into=st.sampled_from(["PNG", "TIFF"]),
    profile=st.sampled_from([None, "display-p3", "adobe-rgb"]),
)
def test_a_lossless_file_comes_back_bit_by_bit(height, width, channels, bits, into, profile):
    pixels = numbers(height, width, channels, bits=bits, seed=height * 41 + width)
    icc = None
    if profile:
        icc = rgb_profile(profile) if channels >= 3 else grey_profile(gamma_curve(1.8))
    photo = read_image(a_png(pixels, icc))
    assert (photo.bits, photo.grey, photo.alpha is not None) == (bits, channels < 3, channels in (2, 4))
    assert photo.img.shape == (1, 3, height, width)
    again = read_image(encode_image(photo, into))
    for each in (photo, again):
        np.testing.assert_array_equal(everything_of(each), pixels)
    assert again.icc_profile == photo.icc_profile == icc
    assert (again.bits, again.grey) == (photo.bits, photo.grey)
    assert torch.equal(again.img, photo.img)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP", "GIF"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA"])
def test_pillow_sees_the_same_pixels_before_and_after(tmp_path, mode, format):
    """Every 8-bit kind of pixel through every lossless format that holds it."""
    if (mode, format) in {("LA", "BMP"), ("RGBA", "BMP"), ("PA", "BMP"), ("PA", "PNG"), ("PA", "TIFF"), ("PA", "WEBP")}:
        pytest.skip(f"Pillow writes no {mode} as {format}")
    if format == "GIF" and mode not in ("1", "L", "P"):
        pytest.skip("GIF holds 256 colours")
    image = picture(numbers(21, 34, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 1)))
    if mode in ("P", "PA"):
        image = image.convert("P")
        image.putpalette(numbers(1, 256, 3, seed=3).tobytes())
    image = image.convert(mode)
    suffix = {"PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp", "GIF": ".gif"}[format]
    lossless = {"lossless": True} if format == "WEBP" else {}
    image.save(tmp_path / f"in{suffix}", **lossless, **({"exact": True} if lossless else {}))
    write_image(read_image(tmp_path / f"in{suffix}"), tmp_path / f"out{suffix}", **lossless)
    before, after = Image.open(tmp_path / f"in{suffix}"), Image.open(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(np.asarray(after.convert("RGBA")), np.asarray(before.convert("RGBA")))


@pytest.mark.parametrize("transparency", [None, 7, bytes(range(0, 256, 16))])
def test_a_palette_picture_stays_one_while_its_colours_allow(transparency):
    image = picture(wave(20, 30, 3)).quantize(16)
    options = {} if transparency is None else {"transparency": transparency}
    data = saved(image, "PNG", **options)
    photo = read_image(data)
    again = opened(encode_image(photo, "PNG"))
    assert again.mode == "P"
    np.testing.assert_array_equal(np.asarray(again.convert("RGBA")), np.asarray(opened(data).convert("RGBA")))
    edited = photo.img.clone()
    edited[..., 0, 0] = 0.123
    assert opened(encode_image(photo.with_img(edited), "PNG")).mode in ("RGB", "RGBA")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_one_colour_that_means_transparent_becomes_alpha(channels, bits):
    pixels = numbers(6, 7, channels, bits=bits)
    key = tuple(int(v) for v in pixels[2, 3])
    if bits == 8:
        data = saved(picture(pixels), "PNG", transparency=key if channels == 3 else key[0])
    else:
        data = slow_png(pixels, key=key)
    photo = read_image(data)
    expected = (pixels != pixels[2, 3]).any(axis=2)
    assert torch.equal(photo.alpha[0, 0], torch.from_numpy(expected).float())
    np.testing.assert_array_equal(photo.native_pixels(), pixels)


def test_img_is_what_pillow_shows():
    pixels = numbers(9, 12, 3)
    assert torch.equal(read_image(saved(picture(pixels), "PNG")).img, from_pixels(pixels))
    grey = read_image(saved(picture(pixels[..., :1]), "PNG")).img
    assert torch.equal(grey, from_pixels(pixels[..., :1]).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_dark_sixteen_bit_pictures_are_sixteen_bit(format):
    """The depth is the file's word, not its largest value."""
    pixels = numbers(5, 6, 3).astype(np.uint16)
    photo = read_image(slow_png(pixels) if format == "PNG" else slow_tiff(pixels))
    assert photo.bits == 16
    assert photo.img.max() < -0.99
    np.testing.assert_array_equal(photo.native_pixels(), pixels)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pictures_come_upright_and_the_tag_is_spent(turn, format):
    if format == "AVIF" and not HAS_AVIF:
        pytest.skip("this Pillow has no AVIF")
    lossless = {"lossless": True} if format == "WEBP" else {}
    if format == "TIFF":
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = turn, "Maker"
        options = {"exif": exif}
    else:
        options = {"exif": exif_block(orientation=turn, size=(30, 20)), **lossless}
    data = saved(picture(wave(20, 30, 3)), format, **options)
    expected = ImageOps.exif_transpose(opened(data)).convert("RGB")
    photo = read_image(data)
    np.testing.assert_array_equal(photo.native_pixels(), np.asarray(expected))
    again = opened(encode_image(photo, format, **lossless))
    assert again.size == photo.size == expected.size
    assert again.getexif().get(0x0112) is None
    assert again.getexif()[0x010F] == "Maker"
    if format != "TIFF":
        assert again.getexif().get_ifd(0x8769)[0xA002] == photo.width
        assert again.getexif().get_ifd(0x8825)[1] == "N"


def test_sixteen_bit_pictures_are_turned_too():
    pixels = numbers(5, 9, 3, bits=16)
    photo = read_image(encode_image(replace(read_image(slow_png(pixels)), exif=exif_block(orientation=6)[6:]), "PNG"))
    np.testing.assert_array_equal(photo.native_pixels(), np.rot90(pixels, -1))


# ── formats that lose something, and say so ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_lossy_formats_keep_the_picture_near(tmp_path, suffix):
    if suffix == ".avif" and not HAS_AVIF:
        pytest.skip("this Pillow has no AVIF")
    photo = Photo(img=from_pixels(wave(40, 60, 3)))
    near = read_image(write_image(photo, tmp_path / f"a{suffix}")).img
    assert (near - photo.img).abs().mean() < 0.02
    small = write_image(photo, tmp_path / f"b{suffix}", quality=20)
    assert small.stat().st_size < (tmp_path / f"a{suffix}").stat().st_size


def test_jpeg_asks_what_lies_behind_a_transparent_picture(tmp_path):
    pixels = numbers(8, 8, 4)
    photo = read_image(saved(picture(pixels), "PNG"))
    with pytest.raises(BadImage, match="give a background colour such as white"):
        write_image(photo, tmp_path / "a.jpg")
    flat = read_image(write_image(photo, tmp_path / "a.bmp", background="#204060"))
    share = pixels[..., 3:] / 255
    expected = pixels[..., :3] * share + np.array([0x20, 0x40, 0x60]) * (1 - share)
    assert np.abs(flat.native_pixels() - expected).max() <= 0.51
    opaque = replace(photo, alpha=torch.ones_like(photo.alpha))
    assert read_image(write_image(opaque, tmp_path / "b.jpg")).alpha is None


def test_sixteen_bits_become_eight_where_there_is_no_room_and_only_there(tmp_path):
    photo = read_image(slow_png(numbers(6, 7, 3, bits=16)))
    assert read_image(write_image(photo, tmp_path / "a.bmp")).bits == 8
    assert read_image(write_image(photo, tmp_path / "a.png", bits=8)).bits == 8
    assert read_image(write_image(photo, tmp_path / "a.tif")).bits == 16
    with pytest.raises(BadConfig, match="not support 16 bits"):
        write_image(photo, tmp_path / "a.jpg", bits=16)


def test_eight_bits_written_as_sixteen_are_the_same_colours(tmp_path):
    pixels = numbers(6, 7, 3)
    wide = read_image(write_image(read_image(saved(picture(pixels), "PNG")), tmp_path / "a.png", bits=16))
    np.testing.assert_array_equal(wide.native_pixels(), pixels.astype(np.uint16) * 257)


def test_gif_gives_its_first_frame():
    frames = [picture(np.full((5, 6, 3), value, np.uint8)) for value in (10, 200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert (read_image(file.getvalue()).native_pixels() == 10).all()


def test_gif_is_not_half_transparent(tmp_path):
    photo = read_image(saved(picture(numbers(8, 8, 4)), "PNG"))
    with pytest.raises(BadImage, match="partial transparency"):
        write_image(photo, tmp_path / "a.gif")


def test_img_alone_can_be_written(tmp_path):
    img = torch.rand(1, 3, 5, 4) * 2 - 1
    back = read_image(write_image(img, tmp_path / "a.png", recipe="{}"))
    assert (back.img - img).abs().max() <= 1.001 / 255
    assert back.recipe == "{}"
    grey = read_image(write_image(img[:, :1], tmp_path / "g.png"))
    assert grey.grey
    with pytest.raises(BadImage, match=r"\[1, 3, H, W\]"):
        write_image(torch.zeros(2, 3, 4, 4), tmp_path / "b.png")
    with pytest.raises(BadImage, match="NaN"):
        write_image(torch.full((1, 3, 4, 4), float("nan")), tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


# ── what cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────


def _text(path):
    path.write_text("this is no picture\n" * 20)


def _page(path):
    path.write_text("<!DOCTYPE html><html><body>404</body></html>")


def _cut_short(path):
    path.write_bytes(saved(picture(numbers(60, 60, 3)), "PNG")[:3000])


def _bomb(path):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9))))


def _float_tiff(path):
    Image.new("F", (4, 4)).save(path, "TIFF")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "empty"),
        (_text, "looks like text"),
        (_page, "web page"),
        (_cut_short, "truncated"),
        (_bomb, "60000 x 60000"),
        (_float_tiff, "'F'"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "broken"),
        (lambda path: path.write_bytes(b"II*\0\xff\xff\xff\xff"), "broken"),
        (lambda path: path.write_bytes(b"RIFF\0\0\0\0WEBPVP9 " + bytes(20)), "broken"),
        (lambda path: path.write_bytes(b"%PDF-1.7\n"), "PDF"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, make, says):
    path = tmp_path / "photo.png"
    make(path)
    with pytest.raises(BadImage, match=says) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_other_things_than_files_are_named():
    with pytest.raises(BadImage, match="path, bytes or an open file"):
        read_image(7)
    with pytest.raises(BadImage, match="'rb'"):
        read_image(io.StringIO("x"))
    with pytest.raises(BadImage, match="empty"):
        read_image(b"")
    with pytest.raises(BadImage, match=r"cannot be opened|does not exist"):
        read_image("a\0b")


def test_open_files_and_bytes_are_read():
    data = saved(picture(numbers(4, 5, 3)), "PNG")
    assert torch.equal(read_image(io.BytesIO(data)).img, read_image(memoryview(data)).img)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_odd_sizes_work(tmp_path, size, suffix):
    pixels = wave(size[1], size[0], 3)
    photo = read_image(write_image(Photo(img=from_pixels(pixels)), tmp_path / f"a{suffix}"))
    assert photo.size == size
    if suffix != ".jpg":
        np.testing.assert_array_equal(photo.native_pixels(), pixels)


def test_limits_are_checked_before_anything_is_unpacked(monkeypatch):
    data = saved(picture(numbers(40, 50, 3)), "PNG")
    with pytest.raises(BadImage, match=r"50 x 40 = 2,000 pixels.*max_pixels=2000"):
        read_image(data, max_pixels=1999)
    assert read_image(data, max_pixels=2000).size == (50, 40)
    blank = saved(Image.new("L", (8000, 4001)), "PNG")  # 32 million pixels in some thousand bytes
    with pytest.raises(BadImage, match="more than the limit"):
        read_image(blank)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)  # a server's own, stricter limit
    with pytest.raises(BadImage, match=r"1,800"):
        read_image(data)


def test_readers_do_not_meet(monkeypatch):
    """Many threads at once, no global switch of Pillow's touched."""
    pictures = [saved(picture(numbers(30, 40, 3, seed=seed)), "PNG") for seed in range(8)]
    expected = [read_image(data).img for data in pictures]
    wrong = []

    def read(index):
        for _ in range(10):
            if not torch.equal(read_image(pictures[index]).img, expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ── what cannot be written ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.heic", "a.png.part"])
def test_an_unknown_suffix_is_refused_before_any_work(tmp_path, name):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError("work was done")

    with pytest.raises(BadConfig, match=r"\.jpg, \.jpeg, .*\.png"):
        write_image(Untouchable(), tmp_path / name)


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"quality": 9.5}, {"bits": 12}])
def test_options_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(BadConfig):
        write_image(torch.zeros(1, 3, 4, 4), tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_colour_nobody_knows_is_refused(tmp_path):
    photo = read_image(saved(picture(numbers(4, 4, 4)), "PNG"))
    with pytest.raises(BadConfig, match="unknown colour 'whiet'"):
        write_image(photo, tmp_path / "a.jpg", background="whiet")


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BadImage, match="No space left") as caught:
        write_image(torch.zeros(1, 3, 4, 4), target)
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be replaced here")
def test_whoever_has_the_old_file_open_reads_on_in_it(tmp_path):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    with open(target, "rb") as reader:
        write_image(torch.zeros(1, 3, 4, 4), target)
        assert reader.read() == b"old"
    assert read_image(target).size == (4, 4)


def test_a_missing_folder_and_a_folder_are_named(tmp_path):
    with pytest.raises(BadImage, match="does not exist"):
        write_image(torch.zeros(1, 3, 4, 4), tmp_path / "no" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(BadImage, match="is a folder"):
        write_image(torch.zeros(1, 3, 4, 4), tmp_path / "b.png")


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(tmp_path):
    """Renaming over /dev/null, as root, would."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    for name in ("pipe.png", "link.png"):
        with pytest.raises(BadImage, match="a device or a pipe"):
            write_image(torch.zeros(1, 3, 4, 4), tmp_path / name)
    assert (tmp_path / "pipe.png").is_fifo()


def test_a_link_keeps_pointing_to_the_file_that_is_replaced(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_image(torch.zeros(1, 3, 4, 4), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert read_image(tmp_path / "real.png").size == (4, 4)


def test_a_picture_too_large_for_its_format_is_named(tmp_path):
    with pytest.raises(BadImage, match="WEBP"):
        write_image(torch.zeros(1, 3, 2, 20_000), tmp_path / "a.webp")
