"""Every command that writes pictures a model made or changed says so in them, and --no-disclose leaves it out."""

import io

import pytest
import torch
from PIL import Image

import ganvas
from ganvas.images.digital_source import EDITED, GENERATED, read_digital_source
from ganvas.images.files import read_image
from ganvas.weights.checkpoint import save

from .test_edit import TINY, model, photo, run  # noqa: F401  (fixtures)
from .test_translate import models as translators  # noqa: F401

pytestmark = pytest.mark.usefixtures("short_searches")


@pytest.fixture(autouse=True)
def no_fetching(monkeypatch):
    for command in ("edit", "batch", "translate", "upscale"):
        monkeypatch.setattr(f"ganvas.cli.{command}.ensure_models", lambda names, yes=False: None)


def source_of(path):
    return read_digital_source(read_image(path).xmp)


def both_ways(tmp_path, output, *words):
    """The source in the file, and with --no-disclose."""
    run(*words)
    first = source_of(tmp_path / output)
    (tmp_path / output).unlink()
    run(*words, "--no-disclose")
    return first, source_of(tmp_path / output)


def test_edit_and_batch(model, photo, tmp_path):  # noqa: F811
    words = ["edit", photo, "-o", tmp_path / "out.jpg", "--model", model, "--set", "wide=1", "--effort", "fast"]
    recipe = ["--save-recipe", tmp_path / "r.json"]
    assert both_ways(tmp_path, "out.jpg", *words, *recipe) == (EDITED, None)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "me.png").write_bytes(photo.read_bytes())
    words = ["batch", tmp_path / "in", tmp_path / "done", "--recipe", tmp_path / "r.json", "--model", model]
    assert both_ways(tmp_path, "done/me.png", *words, "--effort", "fast") == (EDITED, None)


def test_generate_and_mix_and_interpolate(model, tmp_path):  # noqa: F811
    words = ["generate", "--model", model, "--seeds", "0-1", "--grid", tmp_path / "sheet.webp"]
    assert both_ways(tmp_path, "sheet.webp", *words) == (GENERATED, None)
    run("generate", "--model", model, "--seeds", "3", "--outdir", tmp_path / "many")
    assert source_of(tmp_path / "many" / "seed0003.png") == GENERATED
    words = ["mix", "--model", model, "--rows", "0", "--cols", "1", "-o", tmp_path / "mix.png"]
    assert both_ways(tmp_path, "mix.png", *words) == (GENERATED, None)
    run("interpolate", "--model", model, "--seeds", "0-1", "--frames", "3", "-o", tmp_path / "walk.webp")
    walk = Image.open(io.BytesIO((tmp_path / "walk.webp").read_bytes()))
    assert walk.n_frames > 1 and read_digital_source(walk.info["xmp"]) == GENERATED


def test_translate(translators, photo, tmp_path):  # noqa: F811
    words = ["translate", "-i", photo, "-o", tmp_path / "t.tif", "-n", translators]
    assert both_ways(tmp_path, "t.tif", *words) == (EDITED, None)
    run(*words, "--strength", "0")
    assert source_of(tmp_path / "t.tif") is None  # nothing was changed


def test_a_seed_that_is_edited_stays_generated(tmp_path):
    torch.manual_seed(0)
    G = ganvas.load(save(ganvas.build("stylegan2", **TINY), tmp_path / "m.safetensors"))
    from ganvas.session.open import open_seed

    session = open_seed(1, model=G)
    assert session.render().digital_source == GENERATED
