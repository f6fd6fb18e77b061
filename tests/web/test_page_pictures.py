"""Pictures that come by other ways than one photo: the clipboard, several faces, examples for a style, many at once."""

import re

import numpy as np
import pytest
import torch

import ganvas
from ganvas.features.faces import Face
from ganvas.training.style.teach import StyleConfig

from .browser import (
    after,
    drop,
    expect,
    far,
    needs_chromium,
    save,
    seen,
    session_of,
    set_amount,
    settled,
    slider,
    state_of,
    until,
)
from .conftest import TINY, changed, pixels_of, png

pytestmark = needs_chromium


def choose(page, button, data, name="other.png"):
    """Choose a file in the dialog that a button opens."""
    with page.expect_file_chooser() as waiting:
        button.click()
    waiting.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})


def test_what_is_copied_is_the_finished_photo_and_can_be_pasted(open_page, studio):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    drop(page, ("me.png", png(64, 64), "image/png"))
    expect(slider(page, "Smile")).to_be_visible()
    settled(page, studio)
    set_amount(page, studio, "Smile", 2)
    saved, first = pixels_of(save(page, studio)[1]), session_of(page)
    page.locator("#stage").focus()
    page.keyboard.press("Control+c")
    expect(page.get_by_text("The photo is on the clipboard")).to_be_visible()
    page.keyboard.press("Control+v")
    until(page, lambda: session_of(page) != first)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()  # a plain photo: its editing stayed at home
    settled(page, studio)
    assert np.array_equal(pixels_of(save(page, studio)[1]), saved)


def test_where_the_browser_forbids_to_copy_the_page_says_so(ready):
    ready.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    ready.locator("#stage").focus()
    ready.keyboard.press("Control+c")
    expect(ready.get_by_role("alert")).to_contain_text("Save to disk instead")


def test_a_saved_enlargement_is_taken_up_again_pixel_by_pixel(ready, studio):
    set_amount(ready, studio, "Smile", 2)
    ready.get_by_role("tab", name="Enlarge").click()
    after(ready, studio, ready.get_by_role("button", name="Enlarge", exact=True).click)
    name, data = save(ready, studio)
    first = session_of(ready)
    drop(ready, (name, data, "image/png"))
    ready.get_by_role("button", name="Go on editing").click()
    until(ready, lambda: session_of(ready) != first and state_of(ready, studio)["state"] == "ready")
    settled(ready, studio)
    assert pixels_of(data).shape == (64, 64, 3)
    assert np.array_equal(pixels_of(save(ready, studio)[1]), pixels_of(data))
    after(ready, studio, lambda: ready.keyboard.press("Control+z"))
    assert pixels_of(save(ready, studio)[1]).shape == (32, 32, 3)
    ready.get_by_role("tab", name="Adjust").click()
    expect(ready.get_by_role("spinbutton", name="Smile, amount")).to_have_value("2")


def test_colours_of_another_photo(ready, studio):
    before = seen(ready)
    ready.get_by_role("tab", name="Style").click()
    after(ready, studio, lambda: choose(ready, ready.get_by_role("button", name="From a photo…"), png(40, 40, seed=5)))
    assert [(step["step"], step["part"]) for step in state_of(ready, studio)["steps"]] == [("mix", "colour")]
    assert far(before, seen(ready)) > 0.5
    other = ready.get_by_role("button", name="Shape of that photo")
    until(ready, lambda: other.locator("img").evaluate("img => img.naturalWidth") == 32)
    after(ready, studio, other.click)
    assert [step["part"] for step in state_of(ready, studio)["steps"]] == ["colour", "shape"]
    after(ready, studio, ready.get_by_role("button", name="Undo").click)
    ready.get_by_role("tab", name="History").click()
    expect(ready.get_by_role("button", name="Mix Colour")).to_have_attribute("aria-current", "step")


def test_a_style_is_taught_and_gets_its_strength(ready, studio, monkeypatch):
    monkeypatch.setattr(StyleConfig, "steps", 4)
    before = seen(ready)
    ready.get_by_role("tab", name="Style").click()
    taught = ready.locator("[data-section=taught]")
    choose(ready, taught.get_by_role("button", name="Teach a style…"), png(48, 48, seed=6), "red ink.png")
    dialog = ready.get_by_role("dialog")
    expect(dialog.get_by_role("textbox", name="Name")).to_have_value("red-ink")
    dialog.get_by_role("textbox", name="Name").fill("red/ink")
    dialog.get_by_role("button", name="Teach").click()
    expect(dialog).to_be_visible()  # that is no name
    dialog.get_by_role("textbox", name="Name").fill("붉은-ink")
    dialog.get_by_role("button", name="Teach").click()
    expect(taught.get_by_role("group", name="Learning the style")).to_contain_text("붉은-ink")
    expect(taught.get_by_role("button", name="붉은-ink")).to_be_visible()
    expect(taught.get_by_role("group", name="Learning the style")).to_be_hidden()
    after(ready, studio, taught.get_by_role("button", name="붉은-ink").click)
    painted = seen(ready)
    assert far(before, painted) > 0.2
    taught.get_by_role("slider", name="Strength").focus()
    after(ready, studio, lambda: ready.keyboard.press("Home"))
    assert state_of(ready, studio)["steps"] == [] and far(before, seen(ready)) < 0.5


def test_teaching_can_be_stopped_and_the_photo_edited_meanwhile(ready, studio, monkeypatch):
    monkeypatch.setattr(StyleConfig, "steps", 1000)
    ready.get_by_role("tab", name="Style").click()
    taught = ready.locator("[data-section=taught]")
    choose(ready, taught.get_by_role("button", name="Teach a style…"), png(48, 48, seed=7), "oil.png")
    ready.get_by_role("dialog").get_by_role("button", name="Teach").click()
    underway = taught.get_by_role("group", name="Learning the style")
    expect(underway).to_contain_text(re.compile("left"))  # how long it takes
    ready.get_by_role("tab", name="Adjust").click()
    set_amount(ready, studio, "Smile", 1)
    ready.get_by_role("tab", name="Style").click()
    underway.get_by_role("button", name="Stop").click()
    expect(underway).to_be_hidden()
    expect(taught.get_by_role("button", name="oil")).to_have_count(0)


class TwoFaces:
    """Finds a face in either half of a photo, the right one first."""

    def find(self, img):
        height, width = img.shape[2:]
        return [self.face(width * 0.75, height / 2, height / 5), self.face(width * 0.25, height / 2, height / 5)]

    def face(self, x, y, size):
        eyes, mouth = y - size / 2, y + size / 2
        points = [(x - size / 2, eyes), (x + size / 2, eyes), (x, y), (x - size / 3, mouth), (x + size / 3, mouth)]
        return Face(box=(x - size, y - size, x + size, y + size), points=torch.tensor(points), score=0.99)


@pytest.fixture
def people(open_studio, config, workplace, monkeypatch):
    """A studio whose generator knows faces."""
    torch.manual_seed(1)
    G = ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)
    G.facts["source"] = "like ffhq"
    (workplace / "more" / "people").mkdir(parents=True)
    ganvas.save(G, workplace / "more" / "people" / "model.safetensors")
    studio = open_studio(changed(config, runs=workplace / "more"))
    monkeypatch.setattr(studio.inside.registry, "finder", TwoFaces)
    return studio


def test_the_second_of_two_faces_is_chosen(chromium, people):
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB", accept_downloads=True)
    page = context.new_page()
    page.goto(people.url)
    page.wait_for_selector("html[data-ready]")
    photo = png(160, 80)
    drop(page, ("two.png", photo, "image/png"))
    expect(page.get_by_text("2 faces: which one?")).to_be_visible()
    across = (
        "[...document.querySelectorAll('.face-frame')].map((one) => Math.sign(one.getBoundingClientRect().x - 500))"
    )
    until(page, lambda: page.evaluate(across) == [-1, 1])  # from left to right, though the larger one is on the right
    page.get_by_role("button", name="Face 2").click()
    panel = page.locator("#panel")
    expect(panel.get_by_role("button", name="Face 2")).to_have_attribute("aria-pressed", "true")
    settled(page, people)
    assert state_of(page, people)["face"] == 1
    page.get_by_role("tab", name="Style").click()
    after(page, people, page.get_by_role("button", name="From this seed").click)
    change = np.abs(pixels_of(save(page, people)[1]).astype(float) - pixels_of(photo)).mean(axis=(0, 2))
    assert change[100:140].mean() > 1 and change[:70].max() == 0  # the face on the right, and nobody else
    page.get_by_role("tab", name="Adjust").click()
    panel.get_by_role("button", name="Face 1").click()
    until(page, lambda: state_of(page, people)["face"] == 0)
    context.close()


def test_photos_dropped_together_are_done_and_a_bad_one_is_named(ready, studio):
    set_amount(ready, studio, "Smile", 2)
    drop(ready, ("a.png", png(40, 40), "image/png"), ("bad.png", b"no picture", "image/png"))
    with ready.expect_download() as waiting:
        ready.get_by_role("button", name="Apply to all 2").click()
    assert waiting.value.suggested_filename == "ganvas-batch.zip"
    expect(ready.get_by_role("alert")).to_contain_text("bad.png")
    expect(ready.get_by_role("dialog")).to_be_hidden()


def test_several_photos_can_be_stopped(ready, studio):
    set_amount(ready, studio, "Smile", 2)
    drop(ready, *((f"{n}.png", png(64, 64, seed=n), "image/png") for n in range(12)))
    dialog = ready.get_by_role("dialog")
    dialog.get_by_role("button", name="Apply to all 12").click()
    dialog.get_by_role("button", name="Stop").click()
    expect(dialog).to_be_hidden()
    until(ready, lambda: not any(job.state in ("queued", "running") for job in studio.inside.jobs._jobs.values()))
