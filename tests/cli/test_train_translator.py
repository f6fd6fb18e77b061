"""ganvas train-translator: what was asked for is what is done; the same command goes on; wrong usage is answered."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.errors import BadConfig, BadInput
from ganvas.training.engine.run_list import read_run_state
from tests.training import tiny

SMALL = ["--set", "generator.ngf=2", "--set", "discriminator.ndf=2", "--set", "discriminator.n_layers=1"]
SMALL += ["--set", "batch_size=2", "--set", "tick_kimg=0.002", "--set", "precision=exact", "--resolution", "16"]


def run(*arguments):
    result = CliRunner().invoke(app, ["train-translator", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=result.output)


def folders(root, *names, beside=False):
    """Blobs and their negatives: in two folders, or side by side."""
    for k, pixels in enumerate(tiny.pictures(12, 20).permute(0, 2, 3, 1).numpy()):
        pictures = [np.concatenate([pixels, 255 - pixels], axis=1)] if beside else [pixels, 255 - pixels]
        for name, picture in zip(names, pictures, strict=True):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / name / f"{k:02}.png")
    return root


def test_without_pairs_and_the_same_command_goes_on(tmp_path):
    data, out = folders(tmp_path / "blobs", "trainA", "trainB"), tmp_path / "runs"
    command = ["--dataroot", data, "--outdir", out, "--set", "generator.n_blocks=1", *SMALL]
    first = run(*command, "--kimg", "0.008", "--minutes", "0.00001")
    assert first.code == 0 and "preset: cyclegan-64-cpu, both directions, unpaired" in first.text
    folder = out / "blobs-cyclegan-64-cpu"
    assert f"ganvas translate -i IN -o OUT -n {folder} --direction BtoA" in first.text
    assert read_run_state(folder).kimg < 0.008 and (folder / "BtoA.safetensors").is_file()
    assert "a larger --minutes" in first.text
    again = run(*command, "--kimg", "0.008")
    assert again.code == 0 and read_run_state(folder).kimg == 0.008 and "another --name" in again.text
    repeated = run("--config", folder, "--name", "twin", "--outdir", out)
    assert repeated.code == 0 and read_run_state(out / "twin").kimg == 0.008
    with pytest.raises(BadConfig, match="reach 0"):
        run(*command, "--kimg", "0.02")


@pytest.mark.parametrize(
    ("names", "beside", "options"), [(["trainA", "trainB"], False, ["--paired"]), (["train"], True, [])]
)
def test_pairs(tmp_path, names, beside, options):
    data = folders(tmp_path / "blobs", *names, beside=beside)
    where = ["--dataroot", data, "--outdir", tmp_path, "--name", "x"]
    done = run(*where, "--direction", "BtoA", "--kimg", "0.004", *options, *SMALL)
    assert done.code == 0 and "pix2pix-64-cpu, BtoA, paired" in done.text
    assert (tmp_path / "x" / "BtoA.safetensors").is_file() and not (tmp_path / "x" / "AtoB.safetensors").exists()
    asked = json.loads((tmp_path / "x" / "run.json").read_text())
    assert asked["kind"] == "translator" and asked["config"]["generator"]["num_downs"] == 4


def test_a_dry_run_shows_everything_and_makes_nothing(tmp_path):
    data = folders(tmp_path / "blobs", "trainA", "trainB")
    where = ["--dataroot", data, "--outdir", tmp_path / "runs"]
    done = run(*where, "--dry-run", "--preset", "cyclegan-256", "--minutes", "3")
    assert done.code == 0 and "cycle = 10.0" in done.text and "minutes = 3.0" in done.text
    assert not (tmp_path / "runs").exists()


def test_the_presets_are_listed():
    done = run("--list")
    assert "pix2pix-256" in done.text and "from the literature, not yet run" in done.text


def test_what_is_refused(tmp_path):
    data = folders(tmp_path / "blobs", "trainA", "trainB")
    assert run().code == 2
    assert run("--dataroot", data, "--direction", "both").code == 2
    with pytest.raises(BadConfig, match="unknown setting"):
        run("--dataroot", data, "--set", "g_rate=1")
    with pytest.raises(BadConfig, match="known: cut-256"):
        run("--dataroot", data, "--preset", "style-64")
    with pytest.raises(BadInput, match="should contain trainA"):
        run("--dataroot", tmp_path)
    with pytest.raises(BadConfig, match="pairing must be unpaired or paired, got 'own'"):
        run("--dataroot", data, "--set", "pairing=own")
