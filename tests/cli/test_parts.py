"""ganvas parts, and parts in ganvas edit: a tiny generator, the astronaut, and a face finder that knows her."""

from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.edit import parse_part_colour
from ganvas.cli.main import app
from ganvas.editing.part_steps import Colour
from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import region_of
from ganvas.features.faces import Face
from ganvas.images.files import read_image
from ganvas.weights.checkpoint import save

pytestmark = pytest.mark.usefixtures("short_searches")
ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
POINTS = torch.tensor([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
HERS = Face(box=(180, 60, 270, 170), points=POINTS, score=1.0, number=1)


@pytest.fixture(autouse=True)
def no_fetching(monkeypatch):
    for place in ("ganvas.cli.edit.ensure_models", "ganvas.cli.parts.ensure_models"):
        monkeypatch.setattr(place, lambda names, yes=False: None)
    for place in ("ganvas.features.faces.find_faces", "ganvas.inversion.alignment.find_faces"):
        monkeypatch.setattr(place, lambda img, finder=None: [HERS])


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    tiny = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}
    return save(ganvas.build("stylegan2", num_mapping_layers=2, **tiny), tmp_path / "tiny.safetensors")


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_parts_of_a_photo_are_shown_and_written_as_a_mask(tmp_path):
    shown = run("parts", "show", ASTRONAUT, "-o", tmp_path / "parts.png")
    assert "hair" in shown.output and Image.open(tmp_path / "parts.png").size == Image.open(ASTRONAUT).size
    run("parts", "show", ASTRONAUT, "-o", tmp_path / "hair.png", "--part", "hair")
    mask = np.asarray(Image.open(tmp_path / "hair.png").convert("L"))
    assert mask[60, 200] > 200 and mask[125, 205] < 20  # hair, and a cheek


def test_the_parts_of_a_generator_are_learnt_named_and_a_region(model, tmp_path):
    learnt = run("parts", "learn", model, "-o", tmp_path / "sheet.png", "--clusters", "3", "--samples", "3")
    assert "without a name: 0, 1, 2" in learnt.output and (tmp_path / "sheet.png").is_file()
    assert "ground: 0, 2" in run("parts", "learn", model, "--name", "0=ground,2=ground").output
    common = ("--model", model, "--effort", "fast", "--save-recipe", tmp_path / "r.json")
    run("edit", ASTRONAUT, "-o", tmp_path / "a.png", "--region", "part:ground", "--mix", "colour=3", *common)
    region = region_of(Recipe.load(tmp_path / "r.json").steps[0])
    assert region.parts == ("ground",) and 0 < region.mask(64).mean() < 1


def test_a_colour_is_typed_saved_and_replayed(model, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.inversion.alignment.paints_faces", lambda family, facts: True)
    common = ("--model", model, "--effort", "fast")
    colour = ("--colour", "hair=#7a3b1e:0.8")
    run("edit", ASTRONAUT, "-o", tmp_path / "a.png", *colour, "--save-recipe", tmp_path / "r.json", *common)
    assert Recipe.load(tmp_path / "r.json").steps == (Colour(part="hair", colour="#7a3b1e", amount=0.8),)
    before, after = read_image(ASTRONAUT).img, read_image(tmp_path / "a.png").img
    assert (after[0, :, 60, 200] - before[0, :, 60, 200]).abs().max() > 0.05
    assert torch.equal(after[:, :, 125:130, 200:210], before[:, :, 125:130, 200:210])
    run("edit", ASTRONAUT, "-o", tmp_path / "b.png", "--recipe", tmp_path / "a.png", *common)
    assert torch.equal(read_image(tmp_path / "b.png").img, after)


def test_colours_as_typed():
    assert parse_part_colour("hair+brows=7a3b1e") == Colour(part="hair+brows", colour="#7a3b1e")
    for wrong in ("hair=red", "hair", "hair=#7a3b1e:2", "tail=#7a3b1e"):
        with pytest.raises(typer.BadParameter):
            parse_part_colour(wrong)
