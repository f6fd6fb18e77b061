"""What phones and designers bring: HEIC, transparency, too many pixels; and what the page is told about it."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from ganvas.errors import BadImage
from ganvas.web.errors import error_as_data

from .browser import drop, expect, needs_chromium, until
from .conftest import pixels_of, png


def heic(width=64, height=48):
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra [studio]")
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, format="HEIF")
    return file.getvalue()


def test_heic_is_opened(studio):
    answer = studio.http.post("/api/sessions", files={"photo": ("IMG_1.HEIC", heic(), "image/heic")})
    assert answer.status_code == 200 and (answer.json()["width"], answer.json()["height"]) == (64, 48)


def half_transparent(width=96, height=48):
    pixels = np.full((height, width, 4), (200, 30, 30, 255), np.uint8)
    pixels[:, width // 2 :, 3] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_transparency_is_shown_on_a_checkerboard_and_saved_as_it_was(studio):
    opened = studio.open(half_transparent())
    shown = pixels_of(studio.http.get(f"/api/sessions/{opened['id']}/photo.jpg", params={"which": "before"}).content)
    assert np.abs(shown[:, :40].astype(int) - (200, 30, 30)).max() < 30
    board = shown[:, 56:].mean(axis=2)
    assert np.ptp(shown[:, 56:].astype(int), axis=2).mean() < 12  # grey
    assert (board > 225).mean() > 0.3 and (board < 215).mean() > 0.3  # in two shades
    saved = Image.open(io.BytesIO(studio.saved(opened["id"], format="png").content))
    assert saved.mode == "RGBA" and np.asarray(saved)[0, -1, 3] == 0


def test_advice_is_for_whoever_sits_at_the_page():
    large = error_as_data(
        BadImage(
            "x.jpg has 20000 x 9000 = 180,000,000 pixels in a file of 9 bytes, more than the limit of 102,000,000 for "
            "such a small file. If you trust it: read_image(…, max_pixels=180000000)."
        )
    )
    assert "read_image" not in str(large) and "--megapixels" in large["hint"]
    absent = error_as_data(BadImage("HEIF images need an extra package: pip install 'pillow-heif'"))
    assert absent["message"] == "HEIF images need an extra package on the studio's computer: pillow-heif"


def test_what_is_refused_says_so_without_python(studio):
    header = png(64, 64)
    size = (30_000).to_bytes(4, "big") * 2
    huge = header.replace((64).to_bytes(4, "big") * 2, size, 1)
    answer = studio.http.post("/api/sessions", files={"photo": ("huge.png", huge, "image/png")})
    assert answer.status_code == 422 and "read_image" not in answer.text


@needs_chromium
def test_a_photo_on_its_way_in_is_shown_at_once(page, studio, open_page):
    held = []
    page.route(re.compile("/api/sessions$"), lambda route: held.append(route))
    drop(page, ("slow.png", png(64, 64), "image/png"))
    incoming = page.locator("#incoming")
    expect(incoming.get_by_text("slow.png")).to_be_visible()
    expect(incoming.locator("img")).to_be_visible()
    until(page, lambda: held)
    held.pop().continue_()
    page.unroute(re.compile("/api/sessions$"))
    expect(page.get_by_role("slider", name="Smile", exact=True)).to_be_visible()
    expect(incoming).to_be_hidden()
    drop(page, ("bad.png", b"no picture", "image/png"))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(incoming).to_be_hidden()
    assert [project["name"] for project in studio.http.get("/api/projects").json()].count("bad") == 0
    open_page.complaints[:] = [said for said in open_page.complaints if "status of 422" not in said]  # as it should
