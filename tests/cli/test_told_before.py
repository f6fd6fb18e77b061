"""What would end a command after its work is told before the work: nothing is searched, painted or written."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.editing.post_steps import Upscale
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadImage, GanvasError, ImageWarning
from ganvas.images.files import read_image, write_image
from ganvas.images.output_check import check_output
from ganvas.images.photo import Photo
from ganvas.weights.checkpoint import fingerprint, save

from .test_edit import TINY, model, photo, run  # noqa: F401  (fixtures)

NOWHERE = r"the folder nowhere does not exist|supported formats"
pytestmark = pytest.mark.usefixtures("short_searches")


@pytest.fixture(autouse=True)
def no_fetching(monkeypatch):
    for command in ("edit", "batch", "stylise"):
        monkeypatch.setattr(f"ganvas.cli.{command}.ensure_models", lambda names, yes=False: None)


@pytest.fixture
def no_work(monkeypatch):
    """Whatever takes long fails the test."""
    for name in (
        "ganvas.session.open.invert_photo",
        "ganvas.inversion.alignment.invert_photo",
        "ganvas.training.style.teach.teach_style",
    ):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("it has begun to work"))


def cutout(path, alpha=0):
    """A transparent picture."""
    pixels = np.full((40, 60, 4), 200, np.uint8)
    pixels[:10, :, 3] = alpha
    Image.fromarray(pixels).save(path)
    return path


def with_long_exif(path):
    """A PNG with more EXIF than a JPEG can hold."""
    exif = Image.Exif()
    exif[0x9286] = "x" * 70_000
    Image.new("RGB", (40, 60)).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "wid=1"], r"unknown direction 'wid'.*did you mean wide\?.*known: wide"),
        (["--set", "wide=auto"], "no scorer for 'auto'"),
        (["--set", "wide=1", "--keep", "agee"], "unknown direction 'agee'"),
        (["--set", "wide=1", "--keep", "wide"], "vanishes when orthogonalised"),
        (["--style", "ink"], "no style 'ink'"),
        (["--say", "wide, hatt"], "unknown word 'hatt'"),
        (["--step", "move:direction=tall"], "unknown direction 'tall'"),
        (["--step", "move:direction=wide,layers=99"], "99"),
        (["--step", "upscale:model=nowhere-x4,scale=2"], "nowhere-x4"),
        (["--mix", "colour=nobody.jpg"], "nobody.jpg does not exist"),
        (["--mix", "all=nobody.npz"], "nobody.npz"),
        (["--recipe", "gone.json"], "gone.json"),
        (["--recipe", "other.json"], "this recipe was made with 'another'"),
        (["--colour", "hair=#7a3b1e"], "colour is for faces"),
        (["--set", "wide=1", "--region", "part:hair"], "parts of this picture are not known"),
        (["--drag", "2,3:20,20"], "the point 2,3 lies outside the square that the model sees: 40 pixels"),
        (["--drag", "30,20:300,20"], "the point 300,20 lies outside"),
        (["--set", "wide=1", "--region", "2,3,1"], "outside the model's crop"),
        (["--set", "wide=1", "--save-recipe", "nowhere/r.json"], "the folder nowhere does not exist"),
        (["--set", "wide=1", "--save-recipe", "."], "is a folder"),
        (["--set", "wide=1", "-o", "nowhere/out.png"], "the folder nowhere does not exist"),
        (["--set", "wide=1", "-o", "out.xyz"], "supported formats are"),
        (["--set", "wide=1", "--background", "rainbow"], None),  # of an opaque photo: nothing to lay it behind
    ],
)
def test_edit(no_work, model, photo, tmp_path, monkeypatch, words, says):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    Recipe(model="another", fingerprint="1" * 64).save("other.json")
    command = ["edit", photo, "-o", tmp_path / "out.png", "--model", model, *words]
    if says is None:
        with pytest.raises(pytest.fail.Exception, match="begun to work"):
            run(*command)
        return
    with pytest.raises(GanvasError, match=says):
        run(*command)
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (cutout, "out.jpg", r"transparency, which JPEG does not support.*background colour"),
        (cutout, "out.bmp", "transparency, which BMP does not support"),
        (lambda path: cutout(path, alpha=90), "out.gif", "partial transparency, which GIF does not support"),
    ],
)
def test_what_the_format_cannot_carry(no_work, model, tmp_path, make, name, says):  # noqa: F811
    source = make(tmp_path / "source.png")
    with pytest.raises(BadImage, match=says) as refused:
        run("edit", source, "-o", tmp_path / name, "--model", model, "--set", "wide=1")
    assert "write_image" not in str(refused.value) and "dataclasses" not in str(refused.value)  # no Python at this door


def test_a_background_makes_a_transparent_photo_a_jpeg(model, tmp_path):  # noqa: F811
    source = cutout(tmp_path / "source.png")
    words = ["edit", source, "-o", tmp_path / "out.jpg", "--model", model, "--effort", "fast", "--set", "wide=1"]
    run(*words, "--background", "#00ff00")
    result = Image.open(tmp_path / "out.jpg").convert("RGB")
    assert result.size == (60, 40) and np.abs(np.array(result)[:6, :6].mean(axis=(0, 1)) - (0, 255, 0)).max() < 6
    with pytest.raises(GanvasError, match="unknown colour 'rainbow'"):
        run(*words, "--background", "rainbow")


def test_check_output_says_what_writing_would(tmp_path):
    plain = Photo(img=torch.zeros(1, 3, 4, 5))
    for name in ("a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif"):
        check_output(plain, tmp_path / name)
    veiled = replace(plain, alpha=torch.tensor([0.0, 1, 1, 1, 1]).expand(1, 1, 4, 5).clone())
    check_output(veiled, tmp_path / "a.gif")  # all or nothing is what a GIF can
    check_output(veiled, tmp_path / "a.jpg", background="white")
    opaque = replace(plain, alpha=torch.ones(1, 1, 4, 5))
    check_output(opaque, tmp_path / "a.jpg")
    cmyk = io.BytesIO()
    Image.new("CMYK", (6, 4), (10, 200, 30, 0)).save(cmyk, "TIFF")
    for name in ("a.jpg", "a.png", "a.webp"):
        check_output(read_image(cmyk.getvalue()), tmp_path / name)


def test_a_check_does_not_say_twice_what_writing_leaves_out(tmp_path, recwarn):
    photo = read_image(with_long_exif(tmp_path / "a.png"))  # noqa: F811
    check_output(photo, tmp_path / "a.jpg")
    assert not recwarn.list
    with pytest.warns(ImageWarning):
        write_image(photo, tmp_path / "a.jpg")


def test_batch(no_work, model, photo, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(photo.read_bytes())
    label = fingerprint(ganvas.load(model))
    words = ["batch", tmp_path / "in", tmp_path / "out", "--recipe", tmp_path / "r.json", "--model", model]
    for recipe, says in (
        (Recipe(model="m", fingerprint="1" * 64), "made with 'm'"),
        (Recipe(model="m", fingerprint=label).with_move("tall", 1), "unknown direction 'tall'"),
        (Recipe(steps=(Upscale(model="nowhere-x4"),)), "nowhere-x4"),
    ):
        recipe.save(tmp_path / "r.json")
        with pytest.raises(GanvasError, match=says):
            run(*words)
    assert not (tmp_path / "out").exists()
    Image.new("L", (66_000, 2)).save(tmp_path / "in" / "a.png")
    Recipe(model="m", fingerprint=label).with_move("wide", 1).save(tmp_path / "r.json")
    searched = []

    def search(photo, *_, **__):
        searched.append(photo.path.name)
        raise BadImage("searched")

    monkeypatch.setattr("ganvas.session.open.invert_photo", search)
    result = run(*words, "--ext", "jpg")  # of one photo alone: it is named before its search, the other goes on
    assert result.exit_code == 1 and "at most 65500 per side" in result.output and searched == ["b.png"]


def test_a_wrong_recipe_ends_the_studios_batch_at_once(model, tmp_path):  # noqa: F811
    from ganvas.session.plan import check_recipe

    G = ganvas.load(model)
    data = json.loads(Recipe().with_move("tall", 1).to_json())
    with pytest.raises(GanvasError, match="unknown direction 'tall' for tiny"):
        check_recipe(Recipe.from_json(json.dumps(data)), G, model="tiny")


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "--grid", "nowhere/s.png"],
        ["generate", "--grid", "s.xyz"],
        ["mix", "-o", "nowhere/m.png"],
        ["interpolate", "-o", "nowhere/w.webp"],
        ["directions", "find", "--sheet", "nowhere/s.png"],
        ["directions", "learn", "x", "--like", "0-5", "--dislike", "6-9", "--leakage", "nowhere/s.png"],
    ],
)
def test_pictures_into_nowhere(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    for place in ("generator_options", "generate", "mix", "interpolate", "directions"):
        monkeypatch.setattr(f"ganvas.cli.{place}.open_generator", lambda name: pytest.fail("it has begun to work"))
    with pytest.raises(GanvasError, match=NOWHERE):
        run(*words, "--model", "m.safetensors")


def test_invert_and_stylise_and_export(no_work, model, photo, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    for words in (
        ["invert", photo, "-o", "nowhere/me.npz", "--model", model],
        ["invert", photo, "-o", "me.npz", "--picture", "nowhere/p.png", "--model", model],
        ["invert", photo, "-o", "me.npz", "--picture", "p.xyz", "--model", model],
        ["stylise", "--example", photo, "--name", "ink", "--model", model, "-o", "nowhere/ink.safetensors"],
        ["stylise", "--example", photo, "--name", "ink", "--model", model, "--preview", "nowhere/ink.png"],
        ["models", "convert", model, "-o", "nowhere/c.safetensors"],
        ["models", "export", model, "-o", "nowhere/c.onnx"],
    ):
        with pytest.raises(GanvasError, match=NOWHERE):
            run(*words)


def test_the_square_is_known_before_the_search(tmp_path):
    from ganvas.session.open import open_session

    G = ganvas.load(save(ganvas.build("stylegan2", **TINY), tmp_path / "m.safetensors"))
    squares = []

    def look(seen_photo, crop):
        squares.append((seen_photo.size, crop.side))
        raise BadImage("not this one")

    with pytest.raises(BadImage, match="not this one"):
        open_session(Photo(img=torch.zeros(1, 3, 40, 60)), model=G, on_crop=look)
    assert squares == [((60, 40), 40.0)]
