"""ganvas stylise, and the options of edit, mix and interpolate that take other pictures: on a tiny generator."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.edit_plan import parse_mix, parse_style
from ganvas.cli.main import app
from ganvas.editing.recipe import Recipe
from ganvas.editing.style import load_style, styles_folder
from ganvas.errors import BadConfig, GanvasError, WeightsError
from ganvas.images.files import read_image
from ganvas.inversion.optimise import InversionStage
from ganvas.inversion.result import Inversion
from ganvas.weights.checkpoint import fingerprint, save
from tests.contracts import wake

QUICK = (InversionStage(kind="w", px=16, steps=3, lr=0.1),)
TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16, "num_mapping_layers": 2}


@pytest.fixture(autouse=True)
def no_fetching(monkeypatch):
    for command in ("edit", "stylise"):
        monkeypatch.setattr(f"ganvas.cli.{command}.ensure_models", lambda names, yes=False: None)


@pytest.fixture(autouse=True)
def short_searches(monkeypatch):
    monkeypatch.setattr("ganvas.inversion.alignment.latent_stages", lambda effort: QUICK)
    monkeypatch.setattr("ganvas.training.style.teach.latent_stages", lambda effort: QUICK)


def generator(path, seed=0):
    torch.manual_seed(seed)
    G = ganvas.build("stylegan2", **TINY)
    wake(G)
    return save(G, path)


@pytest.fixture
def model(tmp_path):
    return generator(tmp_path / "tiny.safetensors")


def picture(path, seed=0):
    pixels = np.random.RandomState(seed).randint(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def found(path, model, seed):
    """An inversion as if it had been searched for, of the middle square of `picture`."""
    G = ganvas.load(model)
    ws = G.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(seed)))
    return Inversion(ws=ws.detach(), fingerprint=fingerprint(G), crop=(30, 20, 40, 0)).save(path)


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_style_is_taught_listed_painted_in_and_passed_on(model, tmp_path):
    drawing, photo = picture(tmp_path / "drawing.png"), picture(tmp_path / "me.png", 1)
    result = run(
        "stylise", "--model", model, "--example", drawing, "--name", "ink", "--steps", 3, "-o", tmp_path / "ink.st"
    )  # fmt: skip
    assert "ink.safetensors" in result.output and "3 steps" in result.output
    assert Image.open(styles_folder() / "ink.png").size == (4 * 32, 2 * 32)
    assert load_style(tmp_path / "ink.st").fingerprint == load_style(styles_folder() / "ink.safetensors").fingerprint
    assert load_style(tmp_path / "ink.st").facts["examples"][0]["file"] == "drawing.png"
    assert run("stylise", "--list").output.startswith("ink: for ")
    common = ("--model", model, "--inversion", found(tmp_path / "me.npz", model, 0))
    run("edit", photo, "-o", tmp_path / "a.png", "--style", "ink=0.5", *common)
    step = Recipe.from_json(read_image(tmp_path / "a.png").recipe).steps[0]
    assert (step.style, step.strength) == ("ink", 0.5) and len(step.fingerprint) == 64
    (styles_folder() / "ink.safetensors").unlink()
    with pytest.raises(BadConfig, match="no style 'ink'"):
        run("edit", photo, "-o", tmp_path / "b.png", "--recipe", tmp_path / "a.png", *common)
    run("stylise", "--add", tmp_path / "ink.st", "--name", "pen")  # found by its fingerprint under any name
    run("edit", photo, "-o", tmp_path / "b.png", "--recipe", tmp_path / "a.png", *common)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == np.asarray(Image.open(tmp_path / "b.png"))).all()


def test_generators_are_joined(model, tmp_path):
    other = generator(tmp_path / "other.safetensors", 5)
    run("stylise", "--swap", model, "--with", other, "--at", 16, "--width", 0, "-o", tmp_path / "swap.safetensors")
    run("stylise", "--blend", model, "--with", other, "--share", 0.25, "-o", tmp_path / "blend.safetensors")
    a, b, swapped, blended = (
        ganvas.load(p).state_dict()
        for p in (model, other, tmp_path / "swap.safetensors", tmp_path / "blend.safetensors")
    )
    for name in ("synthesis.b8.conv1.weight", "synthesis.b16.conv1.weight"):
        assert torch.equal(swapped[name], (a if "b8" in name else b)[name])
        assert torch.allclose(blended[name], 0.25 * a[name] + 0.75 * b[name], atol=1e-6)


def test_a_style_joins_with_its_parent(model, tmp_path):
    drawing = picture(tmp_path / "drawing.png")
    run("stylise", "--model", model, "--example", drawing, "--name", "ink", "--steps", 2)
    out = tmp_path / "swap.safetensors"
    run("stylise", "--swap", model, "--with", "ink", "--model", model, "--at", 64, "--width", 0, "-o", out)
    assert torch.equal(ganvas.load(out).synthesis.b32.conv1.weight, ganvas.load(model).synthesis.b32.conv1.weight)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--example", "a.png"],
        ["--example", "a.png", "--name", "ink", "--list"],
        ["--swap", "a"],
        ["--swap", "a", "--with", "b"],
        ["--example", "a.png", "--name", "ink", "--align", "left"],
    ],
)
def test_wrong_usage_is_status_2(words):
    assert run("stylise", *words).exit_code == 2


def test_what_does_not_fit_is_named(model, tmp_path):
    drawing = picture(tmp_path / "drawing.png")
    with pytest.raises(BadConfig, match="64 letters"):
        run("stylise", "--model", model, "--example", drawing, "--name", "a/b")
    with pytest.raises(GanvasError, match=r"nowhere\.png"):
        run("stylise", "--model", model, "--example", tmp_path / "nowhere.png", "--name", "ink")
    with pytest.raises(WeightsError, match="does not contain a ganvas style"):
        run("stylise", "--add", model)
    assert not (styles_folder() / "ink.safetensors").exists()
    assert "no styles" in run("stylise", "--list").output


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("colour=you.jpg", ("colour", "you.jpg", 1.0)),
        ("shape=7:0.5", ("shape", 7, 0.5)),
        ("all=C:/a b/you.npz:.25", ("all", "C:/a b/you.npz", 0.25)),
        ("colour=C:/you.jpg", ("colour", "C:/you.jpg", 1.0)),
    ],
)
def test_mixes_as_people_type_them(text, means):
    part, reference, strength = parse_mix(text)
    assert (part, reference if isinstance(reference, int) else reference.as_posix(), strength) == means


def test_styles_as_people_type_them():
    assert parse_style("ink") == ("ink", 1.0) and parse_style("ink-2=.3") == ("ink-2", 0.3)


@pytest.mark.parametrize(
    "words", [["--mix", "you.jpg"], ["--mix", "eyes=7"], ["--style", "ink=2"], ["--style", "a/b"], ["--mix", "colour="]]
)
def test_wrong_mixes_and_styles_are_status_2(tmp_path, words):
    assert run("edit", "me.png", "-o", tmp_path / "out.png", *words).exit_code == 2


def test_a_photo_takes_another_ones_colours(model, tmp_path):
    me, you = picture(tmp_path / "me.png"), picture(tmp_path / "you.png", 1)
    common = ("--model", model, "--inversion", found(tmp_path / "me.npz", model, 0))
    found(tmp_path / "you.npz", model, 1)
    for name, text in (("a", f"colour={tmp_path / 'you.npz'}:0.5"), ("b", "shape=3"), ("c", f"all={you}")):
        run("edit", me, "-o", tmp_path / f"{name}.png", "--mix", text, *common)
    recipes = [Recipe.from_json(read_image(tmp_path / f"{name}.png").recipe) for name in "abc"]
    first, second, third = (recipe.steps[0] for recipe in recipes)
    assert (first.part, first.strength, first.origin) == ("colour", 0.5, "you.npz")
    assert (second.part, second.seed) == ("shape", 3)
    assert third.latent and third.origin == "you.png"


def test_photos_take_part_in_mixing_sheets_and_walks(model, tmp_path):
    you = picture(tmp_path / "you.png")
    found(tmp_path / "you.npz", model, 1)
    sheet = tmp_path / "mix.png"
    run(
        "mix",
        "--model",
        model,
        "--rows",
        "0,1",
        "--cols",
        f"{tmp_path / 'you.npz'},{you}",
        "--strength",
        0.5,
        "-o",
        sheet,
    )
    assert Image.open(sheet).size == (3 * 32, 3 * 32)
    walk = tmp_path / "walk.gif"
    run("interpolate", "--model", model, "--seeds", f"0,{tmp_path / 'you.npz'}", "--frames", 4, "--output", walk)
    assert Image.open(walk).n_frames == 4
    assert run("mix", "--model", model, "--rows", "zero").exit_code == 2
    with pytest.raises(GanvasError, match=r"nowhere\.jpg"):
        run("mix", "--model", model, "--rows", tmp_path / "nowhere.jpg")
