"""ganvas translate: files, folders, directions, and one bad file that stops nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.errors import BadConfig, UnknownWeights
from ganvas.weights.checkpoint import save
from tests.cli.test_upscale import picture
from tests.models.test_row_strips import lively


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of a pair: one way paints white, the other black."""
    folder = tmp_path_factory.mktemp("run")
    for name, level in (("AtoB", 9.0), ("BtoA", -9.0)):
        net = lively("cyclegan", n_blocks=0)
        with torch.no_grad():
            net.last.weight.zero_()
            net.last.bias.fill_(level)
        save(net, folder / f"{name}.safetensors")
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, ["translate", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=result.output)


def level_of(path):
    return round(np.asarray(Image.open(path).convert("RGB")).mean())


def test_one_file_both_ways_and_half_of_it(models, tmp_path):
    picture(tmp_path / "a.png", size=(7, 5))
    for options, level in (([], 255), (["--direction", "BtoA"], 0)):
        done = run("-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "-n", models, *options)
        assert done.code == 0 and "saved:" in done.text
        assert Image.open(tmp_path / "b.png").size == (7, 5) and level_of(tmp_path / "b.png") == level
    run("-i", tmp_path / "a.png", "-o", tmp_path / "c.png", "-n", models, "--strength", "0.5", "--tile", "8")
    assert level_of(tmp_path / "c.png") == pytest.approx((level_of(tmp_path / "a.png") + 255) / 2, abs=1)


def test_a_folder_with_bad_files(models, tmp_path):
    for k in range(3):
        picture(tmp_path / "in" / "deep" / f"{k}.jpg")
    picture(tmp_path / "in" / "clear.png", mode="RGBA")
    (tmp_path / "in" / "page.png").write_text("<!doctype html>")
    (tmp_path / "in" / "empty.jpg").touch()
    done = run("-i", tmp_path / "in", "-o", tmp_path / "out", "-n", models, "-r", "--suffix", "new")
    assert done.code == 1 and "4 saved, 2 failed" in done.text
    assert all(name in done.text[done.text.index("4 saved") :] for name in ("page.png", "empty.jpg"))
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert made == ["clear_new.png", "deep/0_new.jpg", "deep/1_new.jpg", "deep/2_new.jpg"]
    assert Image.open(tmp_path / "out" / "clear_new.png").mode == "RGBA"
    again = run("-i", tmp_path / "in", "-o", tmp_path / "out", "-n", models, "-r", "--suffix", "new", "--skip-existing")
    assert again.code == 1 and "0 saved, 4 skipped, 2 failed" in again.text


def test_what_is_refused(models, tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(BadConfig, match="contains no translator"):
        run("-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "-n", tmp_path)
    with pytest.raises((BadConfig, UnknownWeights), match="nowhere"):
        run("-i", tmp_path / "a.png", "-o", tmp_path / "b.png", "-n", "nowhere")
    with pytest.raises(BadConfig, match="unknown direction 'both'"):
        run("-i", tmp_path / "a.png", "-n", models, "--direction", "both")
    assert run("-i", tmp_path / "a.png").code == 2
