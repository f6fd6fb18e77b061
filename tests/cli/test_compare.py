"""Several results of one photo: `ganvas upscale --compare` and `ganvas edit --variants`."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.editing.directions import Direction, save_directions
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint, save
from tests.upscaling.nets import small_srvgg

pytestmark = pytest.mark.usefixtures("short_searches")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "me.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(path)
    return path


def test_upscalers_beside_one_another(photo, tmp_path):
    files = []
    for seed, name in enumerate("ab"):
        files.append(save(small_srvgg(2, seed), tmp_path / f"{name}.safetensors"))
    out = tmp_path / "out"
    done = run("upscale", "-i", photo, "-o", out, "--compare", ",".join(map(str, files)))
    assert done.exit_code == 0, done.output
    large = [np.asarray(Image.open(out / f"me-{name}.png")) for name in "ab"]
    assert large[0].shape == (80, 96, 3) and (large[0] != large[1]).any()
    sheet = Image.open(out / "me-compare.png")
    assert sheet.width >= 160 and sheet.height > 80
    assert run("upscale", "-i", photo, "-o", out, "--compare", "a").exit_code == 2
    assert run("upscale", "-i", tmp_path, "-o", out, "--compare", ",".join(map(str, files))).exit_code == 2


def test_amounts_beside_one_another(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.cli.edit.ensure_models", lambda names, yes=False: None)
    torch.manual_seed(0)
    tiny = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}
    G = ganvas.build("stylegan2", num_mapping_layers=2, **tiny)
    model = save(G, tmp_path / "tiny.safetensors")
    (store.home() / "directions").mkdir(parents=True)
    wide = Direction("wide", 3 * torch.randn(1, 16), fingerprint=fingerprint(ganvas.load(model)))
    save_directions([wide], store.home() / "directions" / "m.safetensors", licence="CC0-1.0", origin="a test")
    words = ["edit", photo, "-m", model, "--effort", "fast", "-o", tmp_path / "out.png"]
    done = run(*words, "--variants", "wide=-2,1,2")
    assert done.exit_code == 0, done.output
    pictures = [np.asarray(Image.open(tmp_path / f"out-wide{amount}.png")) for amount in ("-2", "+1", "+2")]
    assert all(one.shape == (40, 48, 3) for one in pictures)
    assert all((a != b).any() for i, a in enumerate(pictures) for b in pictures[:i])
    assert (np.asarray(Image.open(tmp_path / "out.png")) == np.asarray(Image.open(photo))).all()
    assert Image.open(tmp_path / "out-variants.png").width >= 96
    assert run(*words, "--variants", "wide").exit_code == 2
    assert "narrow" in str(run(*words, "--variants", "narrow=1,2").exception)
