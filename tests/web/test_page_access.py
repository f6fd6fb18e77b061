"""The studio's page for those who use it otherwise: axe-core over every panel, light and dark, and what is read out."""

import re

import pytest

from .browser import after, drop, expect, needs_chromium, painted, seed, set_amount, settled, stage_place
from .conftest import png

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python (extra [dev])")
pytestmark = needs_chromium
GRAVE = ("serious", "critical")
# How the page looks, and the rules that may turn out otherwise than in the look before: None for all of them.
STILL = "*, *::before, *::after { transition: none !important; }"  # a busy machine draws too few frames to end a fade
ADOPT = "css => { const own = new CSSStyleSheet(); own.replaceSync(css); document.adoptedStyleSheets.push(own); }"
LOOKS = [("light", 1280, 800, None), ("dark", 1280, 800, ["color-contrast"]), ("dark", 390, 844, None)]


@pytest.fixture
def check(open_page):
    """check(page, name): nothing grave may be found, however the page looks; told at the end, all together."""
    found = []

    def look(page, name):
        for scheme, width, height, rules in LOOKS:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            painted(page)
            for one in violations(page, rules):
                if one["impact"] in GRAVE:
                    where = [node["target"] for node in one["nodes"]][:4]
                    found.append(f"{name}, {scheme}, {width} px: {one['id']} at {where}")
        page.set_viewport_size({"width": 1280, "height": 800})

    yield look
    assert found == []


def violations(page, rules):
    """What axe finds; its half a megabyte is brought into the page once, not for every look."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe.Axe().axe_script)
        page.evaluate(ADOPT, STILL)
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    return page.evaluate("options => axe.run(options).then(found => found.violations)", options)


def test_no_panel_has_grave_faults(page, studio, check):
    check(page, "start")
    seed(page, studio, 1)
    set_amount(page, studio, "Smile", 1)
    for tab in ("Adjust", "Style", "Enlarge", "History"):
        page.get_by_role("tab", name=tab).click()
        check(page, tab)
    page.get_by_role("tab", name="Adjust").click()
    page.get_by_role("button", name="Pull points").click()
    for place in ((0.4, 0.5), (0.6, 0.5)):
        page.mouse.click(*stage_place(page, *place))
    check(page, "points")
    page.get_by_role("button", name="Paint a region").click()
    check(page, "region")
    page.get_by_role("button", name="Compare before and after").click()
    check(page, "dividing line")


def test_no_dialog_has_grave_faults(ready, studio, check):
    set_amount(ready, studio, "Smile", 1)
    for button in ("Save", "Help and keys"):
        ready.get_by_role("button", name=button, exact=True).click()
        check(ready, button)
        ready.keyboard.press("Escape")
    drop(ready, ("a.png", png(40, 40), "image/png"), ("b.png", png(50, 40, seed=2), "image/png"))
    expect(ready.get_by_role("dialog")).to_be_visible()
    check(ready, "several photos")
    ready.keyboard.press("Escape")
    ready.get_by_role("tab", name="Style").click()
    with ready.expect_file_chooser() as waiting:
        ready.get_by_role("button", name="Teach a style").click()
    waiting.value.set_files({"name": "ink.png", "mimeType": "image/png", "buffer": png(40, 40)})
    check(ready, "teaching")


def test_no_part_of_the_workshop_has_grave_faults(page, check):
    areas = page.get_by_role("navigation")
    areas.get_by_role("button", name="Directions").click()
    page.get_by_role("spinbutton", name="How many").fill("2")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_role("img", name="A direction in each row")).to_be_visible()
    check(page, "directions")
    page.get_by_role("radio", name="By likes").check(force=True)
    expect(page.locator(".sample")).to_have_count(24)
    for number, key in enumerate("ld"):
        page.locator(".sample").nth(number).press(key)
    check(page, "marks")
    areas.get_by_role("button", name="Training").click()
    expect(page.get_by_role("heading", name="Training", exact=True)).to_be_visible()
    check(page, "training")
    page.get_by_role("button", name="Choose a folder").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="runs")).to_be_visible()
    check(page, "folders")
    page.keyboard.press("Escape")
    areas.get_by_role("button", name="Models").click()
    expect(page.locator("[data-model=faces]")).to_be_visible()
    check(page, "models")
    page.locator("[data-model=faces]").get_by_role("button", name="Fetch").click()
    check(page, "licence")


def tab_to(page, wanted):
    """Press Tab until what is wanted has the focus."""
    for _ in range(120):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never came to {wanted}")


def test_the_keyboard_alone_opens_edits_and_saves(page, studio):
    tab_to(page, "#choose")
    page.evaluate(
        "() => import('/static/js/state.js').then(({ update, state }) => update({ models: [...state.models] }))"
    )
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "me.png", "mimeType": "image/png", "buffer": png(64, 64)}])
    expect(page.get_by_role("slider", name="Smile", exact=True)).to_be_visible()
    settled(page, studio)
    tab_to(page, "[data-direction=smile]")
    after(page, studio, lambda: page.keyboard.press("End"))
    page.keyboard.press("Control+s")
    tab_to(page, "[data-save]")
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    assert saved.value.suggested_filename == "me-ganvas.png"
    settled(page, studio)


def test_progress_and_results_are_read_out(page, studio):
    said = page.evaluate_handle(
        """() => {
            const said = [];
            const live = document.querySelectorAll("[aria-live=polite], [role=status]");
            const changes = { childList: true, subtree: true, characterData: true };
            for (const node of live) new MutationObserver(() => said.push(node.innerText)).observe(node, changes);
            return said;
        }"""
    )
    drop(page, ("me.png", png(64, 64), "image/png"))
    expect(page.get_by_role("slider", name="Smile", exact=True)).to_be_visible()
    settled(page, studio)
    page.get_by_role("tab", name="Enlarge").click()
    after(page, studio, page.get_by_role("button", name="Enlarge", exact=True).click)
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download():
        page.get_by_role("button", name="Save to disk").click()
    expect(page.get_by_role("status").filter(has_text="me-ganvas.png saved")).to_be_visible()
    heard = " | ".join(said.json_value())
    for words in ("Finding the picture in the model", "The photo is ready", "Enlarging", "me-ganvas.png saved"):
        assert words in heard


def test_the_main_panel_as_a_screen_reader_has_it(ready):
    panel = ready.locator("#panel").aria_snapshot()
    assert re.search(r'slider "Smile"', panel)
    for role, name in (("tab", "Adjust"), ("tabpanel", "Adjust"), ("spinbutton", "Smile, amount"), ("group", "Smile")):
        assert f'{role} "{name}"' in panel, panel
    whole = ready.locator("body").aria_snapshot()
    for line in ('heading "seed 1" [level=1]', 'toolbar "Tools"', 'navigation "Areas"', "main"):
        assert line in whole, whole
