"""ganvas evaluate as a user types it, with small eyes in place of the fetched network."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import BadConfig, FetchError
from ganvas.weights.checkpoint import save
from tests.cli.test_generate import run
from tests.metrics.makers import small_eyes


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    net = ganvas.build("mlp", img_resolution=16, z_dim=8, widths=(16,))
    return save(net, tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (220, 20, 24, 3), dtype=np.uint8)
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return folder


@pytest.fixture
def eyes(monkeypatch):
    """What the command opened its eyes with."""
    asked = []

    def opened(path=None, *, precision="exact", device="cpu"):
        asked.append((path, precision))
        return small_eyes(precision=precision)

    monkeypatch.setattr("ganvas.metrics.open_extractor.efficientnet_extractor", opened)
    return asked


def test_figures_come_with_their_protocol(model, data, eyes, tmp_path):
    result = run(
        "evaluate",
        "--model",
        model,
        "--data",
        data,
        "--metrics",
        "fd,kid,pr",
        "-o",
        tmp_path / "f.json",
        "--report",
        tmp_path / "f.html",
    )
    said = result.stdout
    page = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 3 and "training images closest" in page and "<script" not in page
    assert "220 real and 220 fake images of 16 px, pool" in page and "FD-Pool" in page
    for words in (
        "220 of 220 images", "FD-Pool", "floor (perfect generator): about", "KID-Pool", "recall-Pool",
        "measured on 220 real and 220 fake images of 16 px, pool", "real images downscaled by Lanczos", "seed 0",
        "not FID",
    ):  # fmt: skip
        assert words in said, words
    assert said.count("measured on") == 1  # what is common is said once
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["model"] == str(model) and next(figure["name"] for figure in written["figures"]) == "FD-Pool"
    assert written["figures"][0]["protocol"]["fake"] == 220 and eyes == [(None, "exact")]


def test_spectra_are_a_picture_and_a_table(model, data, tmp_path):
    said = run("evaluate", "-m", model, "--data", data, "--metrics", "spectrum", "--spectra", tmp_path / "s.png").stdout
    assert "spectrum of 4 to 8 cycles" in said and "the fakes have" in said
    assert Image.open(tmp_path / "s.png").size == (560 + 2 * 300, 300)
    assert (tmp_path / "s.csv").read_text().startswith("cycles_per_picture,data_db,fakes_db\n0,")


def test_counts_seed_and_precision_are_obeyed(model, data, eyes):
    one, again, other = (
        run("evaluate", "-m", model, "--data", data, "--num", 210, "--seed", seed, "--precision", "fast").stdout
        for seed in (1, 1, 2)
    )
    assert "210 real and 210 fake" in one and "fast" in one and "seed 1" in one
    figure = [text.split("FD-Pool")[1].split()[0] for text in (one, again, other)]
    assert figure[0] == figure[1] != figure[2]


def test_both_sides_are_compared_at_one_size(model, data, eyes):
    said = run("evaluate", "-m", model, "--data", data, "--resolution", 8).stdout
    assert "of 8 px" in said
    with pytest.raises(BadConfig, match="resolution=16 or less"):
        run("evaluate", "-m", model, "--data", data, "--resolution", 20)


def test_weights_of_the_users_own_are_handed_over(model, data, eyes, tmp_path):
    torch.save({"of": torch.zeros(1)}, tmp_path / "mine.pth")
    run("evaluate", "-m", model, "--data", data, "--features", tmp_path / "mine.pth")
    assert eyes == [(str(tmp_path / "mine.pth"), "exact")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metrics", "fid"), "fd, kid, pr, is, ppl, copies"),
        (("--metrics", ""), "fd, kid, pr, is, ppl, copies"),
        (("--features", "inception"), "published FIDs"),
        (("--features", "vgg"), "an .onnx network"),
        (("-o", "nowhere/f.json"), "no folder"),
    ],
)
def test_wrong_usage_is_status_2_before_anything_is_read(options, said):
    result = run("evaluate", "--model", "no-such-model", "--data", "no-such-folder", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_too_few_pictures_are_no_figure(model, data, eyes):
    with pytest.raises(BadConfig, match="at least 200"):
        run("evaluate", "-m", model, "--data", data, "--num", 50)


def test_without_the_network_the_message_says_how_to_get_it(model, data):
    with pytest.raises(FetchError, match="ganvas models get efficientnet-lite0"):
        run("evaluate", "-m", model, "--data", data)
