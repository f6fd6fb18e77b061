"""ganvas edit on a tiny generator: what is typed, what is written, what is refused."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.edit import print_metrics, print_verdict
from ganvas.cli.edit_plan import parse_change
from ganvas.cli.main import app
from ganvas.editing.directions import Direction, save_directions
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import region_of, unwrap_step
from ganvas.errors import BadConfig, BadMask, FetchError, GanvasError
from ganvas.features.faces import Face
from ganvas.features.identity import SIMILAR_PERSON
from ganvas.images.files import read_image
from ganvas.inversion.result import Inversion
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint, save

pytestmark = pytest.mark.usefixtures("short_searches")
TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16, "num_mapping_layers": 2}


@pytest.fixture(autouse=True)
def no_fetching(monkeypatch):
    """The helpers (face finder, features) are small and free, so the command fetches them; here it must not."""
    monkeypatch.setattr("ganvas.cli.edit.ensure_models", lambda names, yes=False: None)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", **TINY)
    path = save(G, tmp_path / "tiny.safetensors")
    folder = store.home() / "directions"
    folder.mkdir(parents=True)
    learnt = Direction("wide", 3 * torch.randn(1, 16), fingerprint=fingerprint(ganvas.load(path)))
    save_directions([learnt], folder / "mine.safetensors", licence="CC0-1.0", origin="a test")
    return path


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_photo_goes_in_and_comes_back_changed_in_its_square(model, photo, tmp_path):
    result = run("edit", photo, "-o", tmp_path / "out.png", "--model", model, "--set", "wide=2", "--effort", "fast")
    assert "psnr_db" in result.output
    old, new = np.asarray(Image.open(photo)), np.asarray(Image.open(tmp_path / "out.png"))
    assert new.shape == old.shape
    assert (new[:, :10] == old[:, :10]).all()
    assert (new[:, 50:] == old[:, 50:]).all()
    assert Recipe.from_json(read_image(tmp_path / "out.png").recipe).amount("wide") == 2


def test_a_recipe_does_the_same_again(model, photo, tmp_path):
    common = ("--model", model, "--effort", "fast")
    run("edit", photo, "-o", tmp_path / "a.png", "--set", "wide=2", "--save-recipe", tmp_path / "r.json", *common)
    for source in ("r.json", "a.png"):
        run("edit", photo, "-o", tmp_path / "b.png", "--recipe", tmp_path / source, *common)
        assert (np.asarray(Image.open(tmp_path / "a.png")) == np.asarray(Image.open(tmp_path / "b.png"))).all()


def test_the_square_alone(model, photo, tmp_path):
    run(
        "edit",
        photo,
        "-o",
        tmp_path / "c.png",
        "--set",
        "wide=1",
        "--no-paste-back",
        "--model",
        model,
        "--effort",
        "fast",
    )
    assert Image.open(tmp_path / "c.png").size == (32, 32)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("smile=1.5", ("smile", 1.5)),
        ("age=-1", ("age", -1.0)),
        ("a-b_c=+.5", ("a-b_c", 0.5)),
        ("smile=auto", ("smile", "auto")),
        ("smile=-auto", ("smile", "-auto")),
    ],
)
def test_changes_as_people_type_them(text, means):
    assert parse_change(text) == means


@pytest.mark.parametrize(
    "words", [["--set", "smile"], ["--set", "smile=lots"], ["--set", "=1"], [], ["--effort", "huge"]]
)
def test_wrong_usage_is_status_2(photo, tmp_path, words):
    result = run("edit", photo, "-o", tmp_path / "out.png", *words)
    assert result.exit_code == 2
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "smile=1"], "unknown direction 'smile'.*known: wide"),
        (["--recipe", "me.png"], "contains no recipe"),
        (["--recipe", "nowhere.json"], r"nowhere\.json"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(model, photo, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfig, match=says):
        run("edit", photo, "-o", "out.png", "--model", model, "--effort", "fast", *words)
    assert not (tmp_path / "out.png").exists()


def test_an_unknown_format_is_said_before_the_work(model, photo, tmp_path):
    with pytest.raises(GanvasError, match=r"out\.xyz"):
        run("edit", photo, "-o", tmp_path / "out.xyz", "--model", model, "--set", "wide=1")


def test_a_restricted_model_is_not_fetched_where_nobody_can_be_asked():
    from ganvas.cli.ensure_models import ensure_models

    with pytest.raises(FetchError, match=r"restricted.*ganvas models get faces --yes"):
        ensure_models(["some/file.safetensors", "faces"])


@pytest.mark.parametrize(
    ("nose", "size", "says"), [(0.5, 200, None), (0.1, 200, "turned far"), (0.5, 40, "40 pixels wide")]
)
def test_a_hard_face_is_told_beforehand(capsys, nose, size, says):
    points = torch.tensor([[0.3, 0.4], [0.7, 0.4], [nose, 0.6], [0.35, 0.8], [0.65, 0.8]]) * size
    face = Face((0, 0, size, size), points, 1.0)
    session = SimpleNamespace(face=face, inversion=SimpleNamespace(figures={"psnr_db": 29.0}))
    print_metrics(session)
    told = capsys.readouterr().out
    assert "psnr_db 29" in told
    assert ("note" in told) == (says is not None)
    assert says is None or says in told


@pytest.mark.parametrize(
    ("distance", "says"),
    [(0, "latent: this is you\n"), (SIMILAR_PERSON, "latent: resembles you\n"), (2, "latent: another person: edits")],
)
def test_it_is_said_whom_edits_will_be_made_of(capsys, distance, says):
    print_verdict(Inversion(ws=torch.zeros(1, 1, 8), figures={"latent_identity": distance}))
    out, err = capsys.readouterr()
    assert out.startswith(says)
    assert ("warning" in err) == (distance > SIMILAR_PERSON)


def test_who_the_latent_is_is_not_said_of_other_things_than_faces(capsys):
    print_verdict(Inversion(ws=torch.zeros(1, 1, 8), figures={"psnr_db": 30.0}))
    assert capsys.readouterr() == ("", "")


def test_points_are_pulled_within_a_region(model, photo, tmp_path):
    result = run(
        *("edit", photo, "-o", tmp_path / "out.png", "--model", model, "--effort", "fast"),
        *("--drag", "28,20:31,20", "--region", "30,20,6", "--feather", "1", "--save-recipe", tmp_path / "r.json"),
    )
    assert re.search(r"dragged to \d+,\d+ in \d+ steps", result.output)
    step = Recipe.load(tmp_path / "r.json").steps[0]
    assert unwrap_step(step).points == ((0.45, 0.5),)  # the middle square begins at 10 and is 40 wide
    assert region_of(step).strokes[0].points == ((0.5, 0.5),)
    old, new = np.asarray(Image.open(photo)), np.asarray(Image.open(tmp_path / "out.png"))
    assert (new[:, :21] == old[:, :21]).all() and (new[:, 39:] == old[:, 39:]).all()
    run("edit", photo, "-o", tmp_path / "b.png", "--recipe", tmp_path / "r.json", "--model", model, "--effort", "fast")
    assert (np.asarray(Image.open(tmp_path / "b.png")) == new).all()


def test_a_picture_can_be_the_region(model, photo, tmp_path):
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[:, 30:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    common = ("--model", model, "--effort", "fast", "--set", "wide=2")
    run("edit", photo, "-o", tmp_path / "out.png", "--region", tmp_path / "mask.png", "--feather", "0", *common)
    old, new = np.asarray(Image.open(photo)), np.asarray(Image.open(tmp_path / "out.png"))
    assert (new[:, :28] == old[:, :28]).all()
    assert (new[:, 31:50] != old[:, 31:50]).any()
    Image.fromarray(mask[:30]).save(tmp_path / "small.png")
    with pytest.raises(BadMask, match="photo's size"):
        run("edit", photo, "-o", tmp_path / "out.png", "--region", tmp_path / "small.png", *common)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--drag", "28,20>31,20"), "120,80:135,80"),
        (("--drag", "28,20"), "120,80:135,80"),
        (("--set", "wide=1", "--region", "nowhere.png"), "120,80,40"),
        (("--set", "wide=1", "--region", "1,2,3", "--region", "1,2"), "120,80,40"),
    ],
)
def test_a_place_that_cannot_be_read_is_wrong_usage(photo, tmp_path, options, says):
    result = run("edit", photo, "-o", tmp_path / "out.png", *options)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())
