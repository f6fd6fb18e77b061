"""ganvas upscale: files, folders, what is kept, what is refused, and one bad file that stops nothing."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ganvas.cli.face_enhance import FaceRestorer, power_of_two
from ganvas.cli.main import app
from ganvas.errors import BadConfig, BadImage, FetchError
from ganvas.features.faces import Face
from ganvas.images.batch_paths import Task, find_clashes, list_tasks, output_name
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.upscaling.folders import upscale_file
from ganvas.upscaling.upscale import UpscaleConfig
from ganvas.weights.checkpoint import save
from tests.upscaling.nets import Repeat, small_srvgg


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save(small_srvgg(2), tmp_path_factory.mktemp("model") / "tiny.safetensors"))


def run(*arguments):
    result = CliRunner().invoke(app, ["upscale", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=result.output)


def picture(path, size=(6, 5), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").convert(mode).save(path, **options)
    return path


def test_one_file(model, tmp_path):
    picture(tmp_path / "a.png")
    result = run("-i", tmp_path / "a.png", "-o", tmp_path / "b.jpg", "-n", model, "-s", 3)
    assert result.code == 0 and "saved:" in result.text
    assert Image.open(tmp_path / "b.jpg").size == (18, 15)


def test_a_hundred_files_of_which_five_are_broken(model, tmp_path):
    """95 results, five names, status 1."""
    source = tmp_path / "in"
    for k in range(95):
        picture(source / f"{k:03}.png", size=(4 + k % 3, 5))
    (source / "empty.jpg").touch()
    (source / "page.jpg").write_text("<!doctype html><p>Not found</p>")
    (source / "cut.png").write_bytes((source / "000.png").read_bytes()[:60])
    (source / "text.png").write_text("hello")
    (source / "noise.webp").write_bytes(bytes(range(256)) * 4)
    (source / "notes.txt").write_text("not a picture, and not said to be one")
    result = run("-i", source, "-o", tmp_path / "out", "-n", model)
    assert result.code == 1
    assert len(list((tmp_path / "out").iterdir())) == 95
    assert "95 saved, 5 failed" in result.text
    end = result.text[result.text.index("95 saved, 5 failed") :]
    assert all(name in end for name in ("empty.jpg", "page.jpg", "cut.png", "text.png", "noise.webp"))
    assert "notes.txt" not in result.text


def test_folders_in_folders_and_what_is_there_already(model, tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "deep" / "er" / "b.jpg")
    flat = run("-i", tmp_path / "in", "-o", tmp_path / "flat", "-n", model, "--suffix", "x2")
    assert flat.code == 0
    assert [each.name for each in (tmp_path / "flat").rglob("*")] == ["a_x2.png"]
    run("-i", tmp_path / "in", "-o", tmp_path / "all", "-n", model, "-r", "--suffix", "")
    made = tmp_path / "all" / "deep" / "er" / "b.jpg"
    assert made.is_file() and (tmp_path / "all" / "a.png").is_file()
    made.write_bytes(b"mine")
    again = run("-i", tmp_path / "in", "-o", tmp_path / "all", "-n", model, "-r", "--suffix", "", "--skip-existing")
    assert "0 saved, 2 skipped, 0 failed" in again.text
    assert made.read_bytes() == b"mine"


def test_results_inside_the_source_are_not_taken_for_sources(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "results" / "a_out.png")
    found = list_tasks(tmp_path, tmp_path / "results", recursive=True)
    assert [task.source.name for task in found] == ["a.png"]


def test_two_that_would_be_one_file(model, tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "a.png")
    todo = list_tasks(tmp_path / "in", tmp_path / "out", ext="png")
    assert find_clashes(todo) == {tmp_path / "in" / "a.png": tmp_path / "in" / "a.jpg"}
    result = run("-i", tmp_path / "in", "-o", tmp_path / "out", "-n", model, "--ext", "png")
    assert result.code == 1 and "would overwrite that of" in result.text


@pytest.mark.parametrize(
    ("name", "ext", "result"),
    [("a.jpg", "auto", "a_out.jpg"), ("a.heic", "auto", "a_out.png"), ("a.gif", "auto", "a_out.png"),
     ("a.TIF", "auto", "a_out.tif"), ("a.b.png", "jpg", "a.b_out.jpg")],
)  # fmt: skip
def test_names(name, ext, result, tmp_path):
    assert output_name(tmp_path / name, "out", ext) == result


def test_wrong_targets_are_refused(tmp_path):
    picture(tmp_path / "in" / "a.png")
    with pytest.raises(BadConfig, match="must be a folder, too"):
        list_tasks(tmp_path / "in", tmp_path / "out.png")
    with pytest.raises(BadConfig, match="overwritten by its own result"):
        list_tasks(tmp_path / "in", tmp_path / "in", suffix="")
    with pytest.raises(BadConfig, match="does not exist"):
        list_tasks(tmp_path / "no", tmp_path / "out")
    (tmp_path / "bare" / "deep").mkdir(parents=True)
    with pytest.raises(BadConfig, match="--recursive"):
        list_tasks(tmp_path / "bare", tmp_path / "out")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "P", "1"])
def test_every_kind_of_picture(mode, model, tmp_path):
    path = picture(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode=mode)
    before = read_image(path)
    assert run("-i", path, "-o", tmp_path / "out", "-n", model).code == 0
    after = read_image(next((tmp_path / "out").iterdir()))
    assert after.size == (12, 10)
    assert (after.space, after.alpha is None) == (before.space, before.alpha is None)


def test_a_turned_picture_stands_upright_and_keeps_its_exif(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Ganvas & Sons"  # turned by a quarter; the maker
    path = picture(tmp_path / "a.jpg", size=(8, 4), exif=exif)
    run("-i", path, "-o", tmp_path / "b.jpg", "-n", model)
    with Image.open(tmp_path / "b.jpg") as large:
        assert large.size == (8, 16)
        assert large.getexif().get(0x010F) == "Ganvas & Sons"
        assert large.getexif().get(0x0112, 1) == 1


def test_transparency_where_the_format_has_none(model, tmp_path):
    path = picture(tmp_path / "a.png", mode="RGBA")
    result = run("-i", path, "-o", tmp_path / "b.jpg", "-n", model)
    assert result.code == 0 and (tmp_path / "b.png").is_file() and "b.png" in result.text


def test_a_format_that_is_too_small_says_so_before_the_work(tmp_path):
    path = picture(tmp_path / "a.png", size=(9000, 1))
    net = Repeat(2)
    with pytest.raises(BadImage, match=r"18000 x 2 pixels, but \.webp allows at most 16383"):
        upscale_file(Task(path, tmp_path / "deep" / "b.webp"), net, UpscaleConfig())
    assert all(width <= 16 for _, width in net.sizes)  # it ran to count its memory, and no more
    assert not (tmp_path / "deep").exists()


def test_large_results_go_to_the_file_in_strips(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.upscaling.folders.LARGE_PIXELS", 100)
    path = picture(tmp_path / "a.png", size=(40, 30))
    net, config = small_srvgg(2), UpscaleConfig(tile=8)
    upscale_file(Task(path, tmp_path / "strips.png"), net, config)
    monkeypatch.undo()
    upscale_file(Task(path, tmp_path / "whole.png"), net, config)
    assert torch.equal(read_image(tmp_path / "strips.png").img, read_image(tmp_path / "whole.png").img)


def test_denoise_needs_a_model_with_a_twin(model, tmp_path):
    path = picture(tmp_path / "a.png")
    with pytest.raises(BadConfig, match="has no second variant"):
        run("-i", path, "-o", tmp_path / "b.png", "-n", model, "-dn", 0.5)


@pytest.mark.parametrize(
    ("options", "fetched", "said"),
    [
        ([], ["compact-x4"], "-n realesrgan-x4plus generates more detail"),
        (["-n", "realesrgan-x4plus"], ["realesrgan-x4plus"], "saved"),
        (["-n", "realesr-general-x4v3"], ["realesr-general-x4v3", "realesr-general-wdn-x4v3"], "saved"),
        (["-n", "realesr-general-x4v3", "-dn", "1"], ["realesr-general-x4v3"], "saved"),
    ],
)
def test_models_are_fetched_with_their_twins_and_the_default_is_the_light_one(
    options, fetched, said, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr("ganvas.cli.upscale.ensure_models", lambda names, yes: asked.extend(names))
    monkeypatch.setattr("ganvas.cli.upscale.has_cuda", lambda: False)
    monkeypatch.setattr("ganvas.upscaling.upscale.load", lambda name: small_srvgg(2))
    path = picture(tmp_path / "a.png")
    result = run("-i", path, "-o", tmp_path / "b.png", *options)
    assert result.code == 0 and asked == fetched and said in result.text


def test_without_weights_and_network_it_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.cli.upscale.ensure_models", lambda names, yes: None)
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    with pytest.raises(FetchError, match="ganvas models get realesr-animevideov3"):
        run("-i", picture(tmp_path / "a.png"), "-o", tmp_path / "b.png", "-n", "realesr-animevideov3")


def test_the_default_needs_nothing_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ganvas.cli.upscale.has_cuda", lambda: False)
    path = picture(tmp_path / "a.png")
    result = run("-i", path, "-o", tmp_path / "b.png")
    assert result.code == 0 and "compact-x4" in result.text
    before = read_image(path)
    assert read_image(tmp_path / "b.png").size == (4 * before.width, 4 * before.height)
    assert not (tmp_path / "home").exists()


def test_wrong_usage_is_status_two(tmp_path):
    assert run("-i", tmp_path, "-o", tmp_path, "--ext", "bmpp").code == 2
    assert run("-o", tmp_path).code == 2


def test_the_help_has_an_example():
    assert "ganvas upscale -i" in run("--help").text


# ── faces ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Painted(FaceRestorer):
    """Paints every face white; finds one face of 40 pixels in the middle."""

    def __init__(self, strength, size=32):
        self.generator, self.strength, self.disclose = SimpleNamespace(img_resolution=size), strength, True

    def restore_face(self, face, low):
        assert face.shape[2:] == (32, 32) and low.shape[2] in (8, 16)
        return torch.ones_like(face)


def face(middle, eyes):
    x, y = middle
    points = [
        [x - eyes, y],
        [x + eyes, y],
        [x, y + eyes],
        [x - eyes * 0.7, y + 2 * eyes],
        [x + eyes * 0.7, y + 2 * eyes],
    ]
    return Face(box=(x - 2 * eyes, y - 2 * eyes, x + 2 * eyes, y + 3 * eyes), points=torch.tensor(points), score=1.0)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_faces_are_laid_in_where_they_are(strength):
    small, large = (Photo(img=-torch.ones(1, 3, 60 * k, 60 * k)) for k in (1, 2))
    result = Painted(strength).restore_faces(small, large, [face((30.0, 25.0), 2.0)])
    assert float(result.img[0, 0, 54, 60]) == pytest.approx(2 * strength - 1, abs=1e-5)
    assert float(result.img[0, 0, 2, 2]) == -1


def test_large_faces_are_left_as_they_are():
    large = Photo(img=-torch.ones(1, 3, 120, 120))
    result = Painted(1.0).restore_faces(Photo(img=-torch.ones(1, 3, 60, 60)), large, [face((30.0, 25.0), 8.0)])
    assert torch.equal(result.img, large.img)


def test_faces_in_a_grey_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.cli.face_enhance.find_faces", lambda img, finder: [face((30.0, 25.0), 2.0)])
    painter = Painted(1.0)
    painter.finder = None
    path = write_image(Photo(img=-torch.ones(1, 3, 60, 60), space="grey"), tmp_path / "a.png")
    painter.upscale_file(Task(path, tmp_path / "b.png"), Repeat(2), UpscaleConfig())
    result = read_image(tmp_path / "b.png")
    assert result.grey and float(result.img.max()) == 1


@pytest.mark.parametrize(("side", "expected"), [(5, 8), (63.9, 32), (64, 64), (900, 512)])
def test_powers_of_two(side, expected):
    assert power_of_two(side, most=512) == expected


def test_what_a_killed_batch_had_begun_is_swept_by_the_next_one(model, tmp_path):
    picture(tmp_path / "in" / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    old, young, other = out / ".a_out.png.0123abcd.part", out / ".b.png.0123abcd.part", out / ".mine.part"
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    assert run("-i", tmp_path / "in", "-o", out, "-n", model).code == 0
    assert sorted(path.name for path in out.iterdir()) == [young.name, other.name, "a_out.png"]
