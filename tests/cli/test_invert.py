import pytest
import torch
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.result import Inversion
from ganvas.weights.checkpoint import fingerprint

pytestmark = pytest.mark.usefixtures("short_searches")


@pytest.fixture
def files(tmp_path):
    """A tiny generator and a photo, as files."""
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", img_resolution=16, channel_base=128, channel_max=16, z_dim=16, w_dim=16).eval()
    ganvas.save(G, tmp_path / "tiny.safetensors")
    with torch.no_grad():
        img = torch.nn.functional.interpolate(G(torch.randn(1, 16)).clamp(-1, 1), (40, 60))
    write_image(Photo(img=img), tmp_path / "photo.png")
    return tmp_path, G


def run(*words):
    return CliRunner().invoke(app, ["invert", *map(str, words)])


def test_a_photo_is_found_and_kept(files):
    folder, G = files
    pair = folder / "pair.png"
    done = run(
        folder / "photo.png", "-o", folder / "face.npz", "--model", folder / "tiny.safetensors", "--effort", "fast",
        "--max-sec", 2, "--picture", pair,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "psnr_db" in done.output
    found = Inversion.load(folder / "face.npz")
    assert found.finished
    assert found.effort == "fast"
    assert found.fingerprint == fingerprint(G)
    assert found.crop == (30, 20, 40, 0), "the middle square of 60 x 40"
    assert read_image(pair).size == (32, 16)


def test_a_folder_that_is_not_there_is_named_before_the_search(files):
    folder, _ = files
    done = run(folder / "photo.png", "-o", folder / "no" / "face.npz", "--model", folder / "tiny.safetensors")
    assert done.exit_code != 0
    assert f"the folder {folder / 'no'} does not exist" in str(done.exception)


def test_an_unknown_effort_is_wrong_usage(files):
    assert run(files[0] / "photo.png", "-o", "x.npz", "--effort", "heroic").exit_code == 2
