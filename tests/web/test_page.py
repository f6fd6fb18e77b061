"""The studio's page in a real browser: Chromium without a window, a studio with a tiny generator, nothing mocked."""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .browser import (
    LONG_MS,
    after,
    drop,
    expect,
    far,
    needs_chromium,
    paint,
    save,
    seed,
    seen,
    session_of,
    set_amount,
    settled,
    slider,
    stage_place,
    state_of,
    until,
)
from .conftest import pixels_of, png

PAGE = Path(__file__).parents[2] / "ganvas" / "web" / "page"
pytestmark = needs_chromium


def test_a_photo_is_opened_edited_saved_and_taken_up_again(page, studio):
    drop(page, ("holiday.png", png(64, 64), "image/png"))
    expect(slider(page, "Smile")).to_be_visible()
    settled(page, studio)
    expect(page.get_by_text(re.compile(r"\d dB"))).to_be_visible()  # how faithful the inversion is
    original = seen(page)

    set_amount(page, studio, "Smile", 2.5)
    smiling = seen(page)
    assert far(original, smiling) > 1
    page.keyboard.press("Escape")
    page.locator("#stage").focus()
    page.keyboard.down("Tab")
    expect(page.locator("#stage.peeking")).to_be_visible()
    assert far(original, seen(page)) < far(original, smiling) / 4  # held: the original
    page.keyboard.up("Tab")

    set_amount(page, studio, "Age", -2)
    both = seen(page)
    after(page, studio, lambda: page.keyboard.press("Control+z"))
    assert far(seen(page), smiling) < far(smiling, both) / 4
    after(page, studio, lambda: page.keyboard.press("Control+Shift+Z"))
    assert far(seen(page), both) < 0.5

    name, data = save(page, studio)
    assert name == "holiday-ganvas.png"
    page.get_by_role("button", name="Close the photo").click()
    drop(page, ("holiday-ganvas.png", data, "image/png"))
    page.get_by_role("button", name="Go on editing").click()
    expect(page.get_by_role("spinbutton", name="Smile, amount")).to_have_value("2.5")
    settled(page, studio)
    assert far(seen(page), both) < 0.5
    assert np.array_equal(pixels_of(save(page, studio)[1]), pixels_of(data))
    page.get_by_role("tab", name="History").click()
    after(page, studio, page.get_by_role("button", name="Photo as opened").click)
    assert far(seen(page), original) < 0.5


def test_a_slider_shows_while_it_moves_and_is_remembered_when_let_go(ready, studio):
    box = slider(ready, "Smile").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = seen(ready)
    ready.mouse.move(x, y)
    ready.mouse.down()
    ready.mouse.move(x + 100, y, steps=6)
    until(ready, lambda: ready.evaluate("performance.getEntriesByName('slide').length"))
    until(ready, lambda: far(before, seen(ready)) > 0.5)
    assert state_of(ready, studio)["at"] == 0  # nothing is remembered yet
    after(ready, studio, ready.mouse.up)
    state = state_of(ready, studio)
    assert state["at"] == 1 and state["directions"][0]["amount"] > 1
    breaks = ready.get_by_role("button", name="the picture breaks up; it holds to")  # the tiny model holds nothing
    after(ready, studio, breaks.click)
    assert 0 <= state_of(ready, studio)["directions"][0]["amount"] < 1
    expect(breaks).to_be_hidden()
    after(ready, studio, slider(ready, "Smile").dblclick)
    expect(ready.get_by_role("spinbutton", name="Smile, amount")).to_have_value("0")
    assert state_of(ready, studio)["steps"] == []


def test_sliders_by_keyboard_and_what_is_kept_still(ready, studio):
    ready.get_by_role("button", name="Keep “Age” still while others move").click()
    slider(ready, "Smile").focus()
    after(ready, studio, lambda: [ready.keyboard.press("Shift+ArrowRight") for _ in range(5)])
    state = state_of(ready, studio)
    assert state["at"] == 1  # one step for a burst of keys
    assert state["steps"][0]["keep"] == ["age"]
    after(ready, studio, lambda: ready.keyboard.press("Delete"))
    assert state_of(ready, studio)["steps"] == []


def test_the_dividing_line_parts_before_and_after(ready, studio):
    before = seen(ready)
    set_amount(ready, studio, "Smile", 2.5)
    after = seen(ready)
    ready.keyboard.press("Escape")
    ready.get_by_role("button", name="Compare before and after").click()
    line = ready.get_by_role("slider", name="Dividing line between before and after")
    line.focus()
    ready.keyboard.press("End")
    assert far(seen(ready), before) < far(before, after) / 3
    ready.keyboard.press("Home")
    assert far(seen(ready), after) < far(before, after) / 3


def test_zoom_and_pan(ready):
    figure = ready.locator("#foot button", has_text="%").last
    fitted = figure.inner_text()
    ready.mouse.move(*stage_place(ready, 0.5, 0.5))
    ready.mouse.wheel(0, -300)
    expect(figure).not_to_have_text(fitted)
    still = seen(ready)
    ready.locator("#stage").focus()
    ready.keyboard.down(" ")
    ready.mouse.down()
    ready.mouse.move(*stage_place(ready, 0.7, 0.6), steps=3)
    ready.mouse.up()
    ready.keyboard.up(" ")
    assert far(seen(ready), still) > 1
    ready.keyboard.press("0")
    expect(figure).to_have_text(fitted)
    ready.get_by_role("button", name="Zoom to the face").click()
    near = figure.inner_text()
    ready.set_viewport_size({"width": 1280, "height": 500})
    expect(figure).not_to_have_text(near)  # in a smaller window the face still fits


def test_tab_taken_briefly_moves_on(ready):
    assert ready.evaluate("document.activeElement.id") in ("", "stage")
    ready.locator("#stage").click(position={"x": 5, "y": 5})
    ready.keyboard.press("Tab")
    first = ready.evaluate_handle("document.activeElement")
    assert ready.evaluate("document.activeElement.matches('button, input')")
    ready.keyboard.press("Tab")
    assert not first.evaluate("node => node === document.activeElement")


def test_a_session_that_is_gone_is_opened_again_unless_its_project_is_deleted(ready, studio, open_page):
    set_amount(ready, studio, "Smile", 1.5)
    gone = session_of(ready)
    studio.inside.close_photo(studio.inside.open_photos[gone])
    until(ready, lambda: session_of(ready) != gone)
    expect(ready.get_by_role("spinbutton", name="Smile, amount")).to_have_value("1.5")
    settled(ready, studio)
    studio.http.delete(f"/api/projects/{state_of(ready, studio)['project']}")
    expect(ready.get_by_role("alert").filter(has_text="closed this photo")).to_be_visible()
    expect(ready.get_by_role("heading", name="Drop a photo here")).to_be_visible()
    # What was asked for just before, and the project itself, met a closed door.
    open_page.complaints[:] = [said for said in open_page.complaints if "status of 404" not in said]


def test_a_reload_loses_nothing(ready, studio):
    set_amount(ready, studio, "Smile", 1.5)
    shown, id = seen(ready), session_of(ready)
    ready.reload()
    expect(ready.get_by_role("spinbutton", name="Smile, amount")).to_have_value("1.5")
    settled(ready, studio)
    assert session_of(ready) == id
    assert far(seen(ready), shown) < 0.5


def test_a_dropped_connection_comes_back(open_page, studio):
    page = open_page()
    sockets = []

    def through(socket):
        sockets.append(socket)
        socket.connect_to_server()

    page.route_web_socket(re.compile(r"/events"), through)
    seed(page, studio, 2)
    sockets[0].close()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page.get_by_text("Connection lost")).to_be_hidden()
    assert len(sockets) == 2
    box = slider(page, "Smile").bounding_box()
    after(page, studio, lambda: page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2))
    assert state_of(page, studio)["at"] == 1


def test_what_is_no_photo_is_refused_in_words(open_page):
    page = open_page()
    drop(page, ("notes.png", b"these are no pixels", "image/png"))
    expect(page.get_by_role("alert")).to_contain_text("not")
    expect(page.get_by_role("heading", name="Drop a photo here")).to_be_visible()
    assert page.evaluate("document.activeElement === document.body")  # the message took no focus
    open_page.complaints[:] = [said for said in open_page.complaints if "status of 4" not in said]


@pytest.mark.parametrize("format", ["JPEG", "WebP"])
def test_other_formats_carry_the_recipe_too(ready, studio, format):
    set_amount(ready, studio, "Smile", 1.5)
    name, data = save(ready, studio, format)
    assert name.endswith({"JPEG": ".jpg", "WebP": ".webp"}[format])
    assert Image.open(io.BytesIO(data)).format == format.upper()
    assert b"ganvas-recipe-1" in data


def test_both_languages(ready, studio):
    set_amount(ready, studio, "Smile", 1.5)
    ready.get_by_role("button", name="한국어").click()
    assert ready.evaluate("document.documentElement.lang") == "ko"
    expect(ready.get_by_role("slider", name="미소", exact=True)).to_be_visible()
    expect(ready.get_by_role("tab", name="기록")).to_be_visible()
    expect(ready.get_by_role("spinbutton", name="미소 값")).to_have_value("1.5")
    ready.reload()
    expect(ready.get_by_role("slider", name="미소", exact=True)).to_be_visible()  # the choice is kept
    ready.get_by_role("button", name="English").click()
    expect(slider(ready, "Smile")).to_be_visible()


def test_the_browsers_language_and_colours_are_taken(open_page):
    page = open_page(locale="ko-KR", color_scheme="dark")
    expect(page.get_by_role("heading", name="여기에 사진을 놓으세요")).to_be_visible()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="밝은 화면 / 어두운 화면").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_tables_of_texts_are_complete(page):
    tables = page.evaluate(
        """async () => [(await import("/static/js/i18n/en.js")).EN, (await import("/static/js/i18n/ko.js")).KO]"""
    )
    english, korean = tables
    assert english.keys() == korean.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", korean[name])), name
    used = {name for file in PAGE.rglob("*.js") for name in re.findall(r'\bt\("([^"]+)"', file.read_text("utf-8"))}
    assert used - english.keys() == set()


def test_a_narrow_page_holds_everything(open_page, studio):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True)
    seed(page, studio, 1)
    for name in ("Adjust", "Style", "Enlarge", "History"):
        page.get_by_role("tab", name=name).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_in_viewport()
    for name in ("Directions", "Training", "Models"):
        page.locator("nav").get_by_role("button").nth(["Directions", "Training", "Models"].index(name) + 1).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        assert page.evaluate("document.querySelector('#workshop').scrollWidth") <= 390
    page.set_viewport_size({"width": 720, "height": 450})  # 1440 x 900 at 200 %: the panel stands beside the photo
    page.locator("nav").get_by_role("button").first.click()
    stage = page.locator("#stage")
    assert stage.bounding_box()["height"] > 390 and page.evaluate("document.documentElement.scrollWidth") <= 720
    page.get_by_role("button", name="Fold the panel").click()
    expect(page.get_by_role("tabpanel")).to_have_count(0)
    assert stage.bounding_box()["width"] > 600


def test_whatever_can_be_used_has_a_name(ready, studio):
    nameless = """() => [...document.querySelectorAll("button, input, select, [role=slider], a")].filter(node =>
        node.checkVisibility() && !(node.getAttribute("aria-label") || node.innerText?.trim() || node.labels?.length)
    ).map(node => node.outerHTML)"""
    for tool in ("Pull points", "Paint a region", "Move the view"):
        ready.get_by_role("button", name=tool, exact=True).click()
        for tab in ("Adjust", "Style", "Enlarge", "History"):
            ready.get_by_role("tab", name=tab).click()
            assert ready.evaluate(nameless) == []
    for area in ("Directions", "Training", "Models"):
        ready.get_by_role("navigation").get_by_role("button", name=area).click()
        settled(ready, studio)
        assert ready.evaluate(nameless) == []


def test_the_models_panel_shows_the_licence_before_it_fetches(page):
    page.get_by_role("navigation").get_by_role("button", name="Models").click()
    card = page.locator("[data-model=faces]")
    expect(card).to_contain_text("non-commercial")
    card.get_by_role("button", name="Fetch").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("StyleGAN2, FFHQ 1024")  # what it was made from
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()


def test_a_painted_region_limits_what_follows(ready, studio):
    before = pixels_of(save(ready, studio)[1]).astype(float)
    ready.get_by_role("button", name="Paint a region").click()
    for _ in range(8):
        ready.keyboard.press("]")
    paint(ready, (0.05, 0.2), (0.3, 0.2), (0.3, 0.8), (0.05, 0.8))
    until(ready, lambda: state_of(ready, studio)["region"])
    set_amount(ready, studio, "Smile", 3)
    after_it = pixels_of(save(ready, studio)[1]).astype(float)
    change = np.abs(after_it - before).mean(axis=2)
    assert change[8:24, 2:8].mean() > 5 and change[:, 20:].max() == 0  # outside: bit for bit
    ready.get_by_role("button", name="Paint a region").click()
    ready.keyboard.press("Control+z")  # takes the stroke back, not the slider
    assert state_of(ready, studio)["at"] == 1
    until(ready, lambda: state_of(ready, studio)["region"] is None)


def test_a_region_outlives_a_reload(ready, studio):
    ready.get_by_role("button", name="Paint a region").click()
    paint(ready, (0.4, 0.4), (0.6, 0.6))
    until(ready, lambda: state_of(ready, studio)["region"])
    settled(ready, studio)
    shown = seen(ready)
    ready.reload()
    expect(slider(ready, "Smile")).to_be_visible()
    settled(ready, studio)
    ready.get_by_role("button", name="Paint a region").click()
    until(ready, lambda: far(seen(ready), shown) < 3)


def test_colours_of_another_picture_at_any_strength(ready, studio):
    before = seen(ready)
    ready.get_by_role("tab", name="Style").click()
    looks = ready.locator("[data-section=mix] .try img")
    until(ready, lambda: all(looks.nth(at).evaluate("img => img.naturalWidth") == 32 for at in range(4)))
    after(ready, studio, ready.get_by_role("button", name="From this seed").click)
    assert far(before, seen(ready)) > 0.5
    strength = ready.locator("[data-section=mix]").get_by_role("slider", name="Strength")
    assert state_of(ready, studio)["steps"][0]["strength"] == 0.7
    strength.focus()
    after(ready, studio, lambda: ready.keyboard.press("Home"))
    assert state_of(ready, studio)["steps"] == []
    assert far(before, seen(ready)) < 0.5


def test_the_photo_is_enlarged_as_a_step(ready, studio):
    ready.get_by_role("tab", name="Enlarge").click()
    expect(ready.locator("#tab-enlarge")).to_contain_text("64 × 64")
    after(ready, studio, ready.get_by_role("button", name="Enlarge", exact=True).click)
    assert Image.open(io.BytesIO(save(ready, studio)[1])).size == (64, 64)
    after(ready, studio, ready.get_by_role("button", name="Undo").click)
    assert Image.open(io.BytesIO(save(ready, studio)[1])).size == (32, 32)


def test_a_recipe_file_goes_out_and_in(ready, studio):
    set_amount(ready, studio, "Smile", 2)
    ready.get_by_role("tab", name="History").click()
    with ready.expect_download() as waiting:
        ready.get_by_role("button", name="Save recipe").click()
    recipe = Path(waiting.value.path()).read_bytes()
    assert json.loads(recipe)["steps"][0]["amount"] == 2
    after(ready, studio, ready.get_by_role("button", name="Photo as opened").click)
    after(ready, studio, lambda: drop(ready, ("smile.recipe.json", recipe, "application/json")))
    assert state_of(ready, studio)["steps"][0]["amount"] == 2


def test_a_recipe_goes_over_several_photos(ready, studio):
    set_amount(ready, studio, "Smile", 2)
    drop(ready, ("a.png", png(40, 40), "image/png"), ("b.png", png(50, 40, seed=2), "image/png"))
    with ready.expect_download(timeout=2 * LONG_MS) as waiting:
        ready.get_by_role("button", name="Apply to all 2").click()
    with zipfile.ZipFile(waiting.value.path()) as packed:
        sizes = sorted(Image.open(packed.open(name)).size for name in packed.namelist() if name.endswith(".png"))
    assert sizes == [(40, 40), (50, 40)]


def test_directions_are_looked_for_and_kept_as_sliders(ready):
    ready.get_by_role("navigation").get_by_role("button", name="Directions").click()
    ready.get_by_role("spinbutton", name="How many").fill("3")
    ready.get_by_role("button", name="Look", exact=True).click()
    expect(ready.get_by_role("img", name="A direction in each row")).to_be_visible()
    ready.get_by_role("textbox", name="Name of direction 2").fill("turn_left")
    ready.get_by_role("button", name="Keep the named").click()
    expect(ready.get_by_text("Saved: turn_left")).to_be_visible()
    ready.get_by_role("navigation").get_by_role("button", name="Photo").click()
    expect(slider(ready, "turn left")).to_be_visible()


def test_a_slider_is_learnt_from_likes(page):
    page.get_by_role("navigation").get_by_role("button", name="Directions").click()
    page.get_by_role("radio", name="By likes").check(force=True)
    pictures = page.locator(".sample")
    expect(pictures).to_have_count(24)
    for number in range(20):
        pictures.nth(number).focus()
        page.keyboard.press("l" if number % 2 else "d")
    expect(pictures.nth(1)).to_have_attribute("aria-label", "Picture 1, liked")
    page.get_by_role("textbox", name="Name of the slider").fill("odd")
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_role("article").get_by_text("AUC")).to_be_visible()
    expect(page.get_by_role("table", name="What else it moves")).to_contain_text("Smile")


def test_a_slider_is_learnt_from_a_face_score(page, monkeypatch):
    monkeypatch.setattr("ganvas.editing.discovery.samples.EFFECT_SEEDS", 3)
    page.get_by_role("navigation").get_by_role("button", name="Directions").click()
    page.get_by_role("radio", name="By a face score").check(force=True)
    page.get_by_role("combobox", name="Score").select_option(label="Lighter skin")
    page.get_by_role("textbox", name="Name of the slider").fill("paler")
    page.get_by_role("spinbutton", name="Pictures to score").fill("60")
    page.get_by_role("combobox", name="Space").select_option(label="W+: each layer its own way")
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_role("article").get_by_text("R²")).to_be_visible()


@pytest.fixture
def runs_go(workplace, studio):
    """Runs of a test are gone after it, whatever came of it: the newest generator is what the page offers first."""
    yield
    for child in studio.inside.training_runs._children.values():
        child.kill()
        child.wait()
    for run in (workplace / "runs").iterdir():
        if run.name != "tiny":
            shutil.rmtree(run)


def test_a_run_is_started_watched_and_stopped(page, workplace, runs_go):
    folder = workplace / "pictures"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.png").write_bytes(png(64, 64, seed=number))
    page.get_by_role("navigation").get_by_role("button", name="Training").click()
    page.get_by_role("button", name="Choose a folder").click()
    page.get_by_role("dialog").get_by_role("button", name="pictures").click()
    expect(page.get_by_role("dialog")).to_contain_text("12 pictures")
    page.get_by_role("button", name="Use this folder").click()
    page.get_by_role("combobox", name="Preset").select_option("mlp-64")  # the smallest there is
    page.get_by_role("button", name="Start training").click()
    card = page.locator("[data-run=pictures-mlp-64]")
    expect(card).to_contain_text("Running")
    expect(card).to_contain_text("64 px", timeout=2 * LONG_MS)  # it has begun
    card.get_by_role("button", name="Stop").click()
    expect(card).to_contain_text(re.compile("Stopped|Done"), timeout=2 * LONG_MS)


def test_points_are_pulled_live_and_the_pull_is_one_step(ready, studio):
    ready.get_by_role("button", name="Pull points").click()
    for x, y in ((0.4, 0.5), (0.6, 0.5)):
        ready.mouse.click(*stage_place(ready, x, y))
    handle, target = (ready.locator(f".point.{end}") for end in ("handle", "target"))
    expect(handle).to_have_count(1)
    expect(target).to_have_count(1)
    target.focus()
    for _ in range(3):
        ready.keyboard.press("ArrowDown")  # the keyboard moves a point by a pixel of the photo
    expect(ready.locator("[data-options=drag] .end.target")).to_contain_text(re.compile(r"^19, 19$"))
    before = seen(ready)
    after(ready, studio, ready.get_by_role("button", name="Start pulling").click)
    assert state_of(ready, studio)["at"] == 1
    assert far(before, seen(ready)) > 0.2
    ready.get_by_role("tab", name="History").click()
    expect(ready.get_by_role("button", name="Points pulled")).to_have_attribute("aria-current", "step")
    after(ready, studio, lambda: ready.keyboard.press("Control+z"))
    assert far(before, seen(ready)) < 0.5


def test_a_saved_enlargement_is_shown_at_its_place_when_taken_up_again(ready, studio):
    ready.get_by_role("tab", name="Enlarge").click()
    after(ready, studio, ready.get_by_role("button", name="Enlarge", exact=True).click)
    shown = seen(ready)
    name, data = save(ready, studio)
    ready.get_by_role("button", name="Close the photo").click()
    drop(ready, (name, data, "image/png"))
    ready.get_by_role("button", name="Go on editing").click()
    until(ready, lambda: state_of(ready, studio)["state"] == "ready")
    settled(ready, studio)
    assert far(extent(seen(ready)), extent(shown)) < 2  # a photo of half the size, shown as large as before


def extent(pixels):
    """Where the photo begins and ends on the stage."""
    there = np.argwhere(pixels.sum(axis=2))
    return np.stack([there.min(axis=0), there.max(axis=0)])
