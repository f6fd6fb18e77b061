"""train, runs and tune as a user types them, on pictures made on the spot."""

import json
import shlex

import pytest
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.errors import BadConfig
from ganvas.training.engine.run_list import read_run_state
from tests.training import tiny

SMALL = ["--set", "generator.channel_max=8", "--set", "discriminator.channel_max=8", "--set", "batch_size=4"]
SMALL += ["--set", "generator.z_dim=8", "--set", "generator.w_dim=8", "--set", "snapshot_kimg=100"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "blobs"
    folder.mkdir()
    for i, pixels in enumerate(tiny.pictures(12, 40)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_data_alone_is_enough_and_the_same_again_goes_on(photos, tmp_path):
    words = ["train", "--data", photos, "--outdir", tmp_path / "runs", "--device", "cpu", *SMALL]
    first = run(*words, "--kimg", 0.008)
    assert first.exit_code == 0, first.output
    assert "auto: 12 images of 32 px, on cpu" in first.output and "style-32-cpu" in first.output
    assert "data: 12 of 12 images" in first.output
    folder = tmp_path / "runs" / "blobs-style-32-cpu"
    assert read_run_state(folder).kimg == 0.008 and json.loads((folder / "run.json").read_text())["nimg"] == 8
    second = run(*words, "--kimg", 0.012)
    assert second.exit_code == 0 and json.loads((folder / "run.json").read_text())["nimg"] == 12
    assert "auto chose style-32-cpu when this run was started" in second.output
    sheet = tmp_path / "sheet.png"
    assert run("generate", "--model", folder / "model.safetensors", "--seeds", "0-3", "--grid", sheet).exit_code == 0
    assert Image.open(sheet).size[0] >= 64


def test_a_run_json_repeats_its_run(photos, tmp_path):
    words = ["--outdir", tmp_path / "runs", "--device", "cpu"]
    run(
        "train",
        "--data",
        photos,
        "--preset",
        "style-32-cpu",
        "--kimg",
        0.008,
        "--set",
        "precision=exact",
        *words,
        *SMALL,
    )
    record = tmp_path / "runs" / "blobs-style-32-cpu" / "run.json"
    assert run("train", "--config", record, "--name", "again", *words).exit_code == 0
    one, two = (ganvas.load(tmp_path / "runs" / name / "model.safetensors") for name in ("blobs-style-32-cpu", "again"))
    assert all((a == b).all() for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_another_setting_is_refused_with_the_command_of_a_run_that_starts_from_these_weights(
    photos, tmp_path, monkeypatch
):
    words = ["train", "--data", photos, "--preset", "style-32-cpu", "--outdir", tmp_path, "--device", "cpu", *SMALL]
    run(*words, "--kimg", 0.004, "--name", "mine")
    again = [*map(str, words), "--kimg", "0.004", "--name=mine", "--set", "loss=hinge"]
    monkeypatch.setattr("sys.argv", ["ganvas", *again])
    with pytest.raises(BadConfig, match=r"loss: 'ns' → 'hinge'") as caught:
        run(*again)
    program, *command = shlex.split(str(caught.value).splitlines()[-1])
    assert program == "ganvas" and run(*command).exit_code == 0
    record = json.loads((tmp_path / "mine-2" / "run.json").read_text())
    assert record["start"]["source"] == str(tmp_path / "mine" / "model.safetensors")
    assert record["config"]["loss"] == "hinge"


def test_a_dry_run_shows_every_setting_and_does_nothing(photos, tmp_path):
    words = ["train", "--data", photos, "--outdir", tmp_path / "runs", "--preset", "style-64-cpu", "--dry-run"]
    result = run(*words, "--set", "r1_gamma=0.5", "--minutes", 30)
    assert "r1_gamma = 0.5" in result.output and "minutes = 30" in result.output and "batch_size = 16" in result.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "stile"], "unknown preset 'stile'; known: auto, mlp-64"),
        (["--preset", "sg3-t-256"], "--init-from"),
        (["--set", "gama=1"], "unknown setting 'gama'"),
        (["--preset", "dcgan-64", "--set", "r1_gamma=1"], "normalises over the batch"),
    ],
)
def test_what_cannot_be_is_answered_with_what_can(photos, tmp_path, words, said):
    with pytest.raises(BadConfig, match=said):
        run("train", "--data", photos, "--outdir", tmp_path, *words)


def test_wrong_usage_has_status_2(photos):
    assert run("train").exit_code == 2
    assert run("train", "--data", photos, "--set", "g_lr").exit_code == 2
    assert run("train", "--data", photos, "--metrics", "fid").exit_code == 2


def test_presets_are_listed_with_what_they_gave():
    result = run("train", "--list")
    assert result.exit_code == 0
    assert "style-64-cpu" in result.output and "from the literature, not yet run" in result.output


def test_runs_are_listed_with_their_state(photos, tmp_path):
    assert "no runs in" in run("runs", tmp_path).output
    run("train", "--data", photos, "--preset", "style-32-cpu", "--outdir", tmp_path, "--kimg", 0.004, *SMALL)
    listed = run("runs", tmp_path)
    assert "blobs-style-32-cpu" in listed.output and "finished" in listed.output


def test_start_from_ones_own_weights(photos, tmp_path):
    words = ["--outdir", tmp_path, "--device", "cpu", "--kimg", 0.004, "--preset", "style-32-cpu", *SMALL]
    run("train", "--data", photos, *words)
    base = tmp_path / "blobs-style-32-cpu" / "model.safetensors"
    result = run("train", "--data", photos, *words, "--name", "further", "--init-from", base)
    assert result.exit_code == 0 and "100 % loaded" in result.output
    record = json.loads((tmp_path / "further" / "run.json").read_text())
    assert record["config"]["freeze_d"] == 4 and record["init_from"] == str(base)


def test_tune_ends_in_a_preset_that_train_takes(photos, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr("ganvas.training.generator.tune.make_fd_metric", lambda pictures, device: lambda G: 5.0)
    words = ["--data", photos, "--outdir", tmp_path, "--device", "cpu"]
    budget = ["--set", "total_kimg=0.004", "--minutes", 2, "--trials", 3]
    result = run("tune", *words, "--preset", "style-32-cpu", *budget, *SMALL)
    assert result.exit_code == 0, result.output
    assert "trial 2: FD-EffNet 5.0" in result.output and "--preset" in result.output
    preset = tmp_path / "blobs-tune-style-32-cpu" / "tuned.json"
    assert run("train", *words, "--preset", preset, "--dry-run").exit_code == 0


def test_a_run_that_collapses_before_it_learns_is_stopped_and_another_preset_takes_its_place(
    photos, tmp_path, monkeypatch
):
    from ganvas.training.engine import watchdog
    from ganvas.training.generator.trainer import GeneratorTrainer

    for name, value in {"DULLER_KIMG": 0.4, "DULLER_STEPS": 2, "DULLER_SPAN_KIMG": 0.2}.items():
        monkeypatch.setattr(watchdog, name, value)

    def dull_with_relu(self):
        dull = self.config.generator.get("activation") == "relu"
        return {"p": 0.0, "diversity": 0.1 / (1 + 0.05 * self.nimg) if dull else 0.8}

    monkeypatch.setattr(GeneratorTrainer, "metrics_now", dull_with_relu)
    words = ["train", "--data", photos, "--outdir", tmp_path / "runs", "--device", "cpu", "--preset", "seed-64"]
    words += ["--resolution", 16, "--kimg", 1.2, "--set", "tick_kimg=0.128", "--set", "generator.widths=[8]"]
    result = run(*words, "--fallback", "mlp-64")
    assert result.exit_code == 0, result.output
    assert "stopped at 0.768 kimg: the generator has collapsed (mode collapse) before it learnt" in result.output
    assert "fallback: mlp-64" in result.output
    assert read_run_state(tmp_path / "runs" / "blobs-seed-64").status == "failed"
    assert read_run_state(tmp_path / "runs" / "blobs-mlp-64").status == "finished"
    assert "another preset does (--fallback mlp-64" in result.output
