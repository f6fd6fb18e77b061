"""Figures over folders: planted edits, an upscaler that does nothing, a generator's own pictures; text, JSON, page."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas.errors import BadImage, BadInput
from ganvas.evaluation.edits import measure_edits, pair_edits
from ganvas.evaluation.folder_figures import WORST, measure_folder
from ganvas.evaluation.inversions import judge_expression, measure_inversions
from ganvas.evaluation.report import write_folder_page
from ganvas.evaluation.upscalers import measure_upscaler
from ganvas.images.files import write_image
from ganvas.metrics.pixels import sr_psnr_db
from tests.cli.test_generate import run
from tests.upscaling.nets import small_srvgg

HOSTILE = "<script>alert(1)</script>"


def photo(seed, size=(80, 96)):
    """uint8 [H, W, 3], soft."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.fixture
def folders(tmp_path):
    """Four photos; an edit that is none, one within the square, one beyond it, one of another size; one is missing."""
    before, after = tmp_path / "photos", tmp_path / "edits"
    before.mkdir(), after.mkdir()
    for number in range(5):
        Image.fromarray(photo(number)).save(before / f"{number}.png")
    within, beyond = photo(1).copy(), photo(2).copy()
    within[20:60, 30:60] = 255 - within[20:60, 30:60]
    beyond[:, 0] = np.where(beyond[:, 0] > 100, beyond[:, 0] - 10, beyond[:, 0] + 10)
    for number, pixels in enumerate([photo(0), within, beyond, photo(3)[:70]]):
        Image.fromarray(pixels).save(after / f"{number}.tif")
    return before, after


def test_edits_are_told_apart_by_what_they_did(folders, tmp_path):
    pairs, missing = pair_edits(*folders)
    figures = measure_edits(pairs, missing=missing, align="centre")
    untouched, within, beyond = figures.rows
    assert untouched["identity_distance"] == untouched["outside_changed"] == untouched["inside_levels"] == 0
    assert within["identity_distance"] > 0.05 and within["outside_changed"] == 0 < within["inside_levels"]
    assert beyond["outside_changed"] == pytest.approx(1 / 16)  # one column of the sixteen beside the square
    assert beyond["outside_levels"] == pytest.approx(10, abs=0.01)
    assert set(figures.failed) == {"3.png", "4.png"} and "70" in figures.failed["3.png"]
    assert figures.worst[0]["file"] == "1.png"
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="named as"):
        pair_edits(folders[0], tmp_path / "empty")


def test_the_command_prints_writes_json_and_a_page(folders, tmp_path):
    said = run(
        "evaluate", "edits", *folders, "--align", "centre", "-o", tmp_path / "f.json", "--report", tmp_path / "f.html"
    ).stdout
    assert "edits: 3 pictures measured, 2 not" in said and "outside_changed" in said and "not measured: 4.png" in said
    written = json.loads((tmp_path / "f.json").read_text())
    assert written["summary"]["outside_changed"]["worst"] == pytest.approx(1 / 16) and len(written["rows"]) == 3
    page = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3 and "photo, edit" in page and "prefers-color-scheme:dark" in page
    assert run("evaluate", "edits", folders[0]).exit_code == 2


def test_only_the_worst_are_shown_and_names_of_strangers_are_escaped(tmp_path):
    items = {f"{HOSTILE}{number:02d}": float(number) for number in range(20)}

    def measure(value):
        if value == 3:
            raise BadImage(HOSTILE)
        return {"psnr_db": value, "seconds": 1.0}, torch.full((1, 3, 256, 256), value / 20)

    figures = measure_folder("x", items, measure, worst_by="psnr_db", protocol={"model": HOSTILE}, shows="it")
    assert [row["psnr_db"] for row in figures.worst] == [0, 1, 2, *range(4, 11)] and len(figures.pictures) == WORST
    assert set(figures.pictures) == {row["file"] for row in figures.worst}
    assert figures.summary["psnr_db"]["worst"] == 0 and figures.summary["psnr_db"]["median"] == 10
    page = write_folder_page(tmp_path / "page.html", figures).read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "default-src 'none'" in page
    assert set(re.findall(r'src="([^"]{10})', page)) == {"data:image"}
    with pytest.raises(BadInput, match="no picture could be measured"):
        measure_folder("x", {"a": 3.0}, measure, worst_by="psnr_db", protocol={}, shows="it")


def repeater():
    """An SRVGG whose convolutions give nothing: what it adds to, the repeated pixels, remains."""
    net = small_srvgg()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    return net


def test_an_upscaler_is_compared_with_the_photo_it_did_not_see(folders):
    figures = measure_upscaler(folders[0], repeater(), largest_px=64)
    assert len(figures.rows) == 5 and figures.protocol["scale"] == 2
    truth = photo(0)[8:72, 16:80]
    low = np.asarray(Image.fromarray(truth).resize((32, 32), Image.Resampling.BICUBIC))
    a, b = (
        torch.from_numpy(x.copy()).permute(2, 0, 1)[None] / 127.5 - 1 for x in (low.repeat(2, 0).repeat(2, 1), truth)
    )
    assert figures.rows[0]["psnr_db"] == pytest.approx(float(sr_psnr_db(a, b, shave_px=2)), abs=1.5)
    assert figures.rows[0]["psnr_gain_db"] < 0 < figures.rows[0]["sec_per_megapixel"]
    real = measure_upscaler(folders[0], repeater(), degradation="real", largest_px=64)
    assert real.summary["psnr_db"]["mean"] < figures.summary["psnr_db"]["mean"]


def test_a_generators_own_picture_is_found_again(tmp_path):
    torch.manual_seed(0)
    G = ganvas.build("mlp", img_resolution=16, z_dim=8, widths=(16,)).eval()
    with torch.no_grad():
        write_image(G(torch.randn(1, 8) * 0.1).clamp(-1, 1), tmp_path / "own.png")
    Image.fromarray(photo(1)).save(tmp_path / "stranger.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    figures = measure_inversions(tmp_path, G, effort="fast", max_sec=2)
    by_file = {row["file"]: row for row in figures.rows}
    assert by_file["own.png"]["latent_psnr_db"] > by_file["stranger.png"]["latent_psnr_db"]
    assert set(figures.failed) == {"broken.png"} and figures.worst_by == "psnr_db"
    assert judge_expression({"latent_smile": 0.9, "photo_smile": 0.2}) == {"expression_right": 0.0}
