"""train-upscaler as a user types it, on photos made on the spot."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.errors import BadConfig
from ganvas.training.engine.run_list import read_run_state
from ganvas.training.upscaler.presets import UPSCALER_PRESETS
from tests.training.upscaler.test_train import photos as made

TINY = ["--set", "generator.num_feat=4", "--set", "generator.num_conv=1", "--set", "low_px=8", "--set", "batch_size=2"]
TINY += ["--set", "precision=exact", "--set", "tick_kimg=0.002"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    for i, photo in enumerate(made(5)):
        Image.fromarray(photo.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in ("train-upscaler", *words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_train_go_on_and_upscale(data, tmp_path):
    asked = ["--data", data, "--outdir", tmp_path / "runs", *TINY]
    first = run(*asked, "--kimg", 0.004)
    folder = tmp_path / "runs" / "photos-compact-x4"
    assert first.exit_code == 0, first.output
    assert "skipped: broken.png" in first.output and f"-n {folder / 'model.safetensors'}" in first.output
    again = run(*asked, "--kimg", 0.008)
    assert again.exit_code == 0 and read_run_state(folder).kimg == 0.008 and read_run_state(folder).status == "finished"
    small, large = data / "0.png", tmp_path / "large.png"
    result = CliRunner().invoke(
        app, ["upscale", "-i", str(small), "-o", str(large), "-n", str(folder / "model.safetensors")]
    )
    assert result.exit_code == 0, result.output
    assert ganvas.read_image(large).size == (192, 192)
    listed = CliRunner().invoke(app, ["runs", str(tmp_path / "runs")])
    assert "compact-x4" in listed.output


def test_a_run_can_be_repeated_from_its_record(data, tmp_path):
    run("--data", data, "--outdir", tmp_path, "--name", "one", *TINY, "--kimg", 0.004, "--seed", 7)
    again = run("--config", tmp_path / "one" / "run.json", "--outdir", tmp_path, "--name", "two")
    assert again.exit_code == 0
    one, two = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two"))
    assert one["config"] == two["config"] and one["config"]["seed"] == 7
    weights = [ganvas.load(tmp_path / name / "model.safetensors").state_dict() for name in ("one", "two")]
    assert all(bool((weights[0][key] == weights[1][key]).all()) for key in weights[0])


def test_dry_run_shows_every_setting_and_writes_nothing(data, tmp_path):
    shown = run("--data", data, "-p", "realesrgan-x4", "--outdir", tmp_path / "runs", "--dry-run").output
    assert 'degradation = "real"' in shown and "gan_weight = 0.1" in shown
    assert not (tmp_path / "runs").exists()


def test_the_list_has_every_recipe():
    shown = run("--list").output
    assert all(name in shown for name in UPSCALER_PRESETS)


def test_a_second_stage_that_would_not_be_reached_is_said(data, tmp_path):
    few = ["--set", "discriminator.num_feat=2", "--set", "perceptual_weight=0", "--kimg", 0.002]
    result = run("--data", data, "-p", "srgan-x4", "--outdir", tmp_path, *TINY, *few)
    assert "after the end of this run" in result.output


def test_what_is_asked_wrongly(data, tmp_path):
    assert run().exit_code == 2
    with pytest.raises(BadConfig, match="unknown recipe 'compact-x5'; known: compact-x2, compact-x4"):
        run("--data", data, "-p", "compact-x5")
    with pytest.raises(BadConfig, match="unknown setting 'g_lr'"):
        run("--data", data, "--set", "g_lr=1")
    (tmp_path / "run.json").write_text(json.dumps({"config": {}}))
    with pytest.raises(BadConfig, match="record of a generator"):
        run("--config", tmp_path / "run.json")
