"""The studio's page under fingers: a narrow touch screen in Chromium, told of each finger as the system would."""

import json

import numpy as np
import pytest

from .browser import (
    after,
    expect,
    far,
    needs_chromium,
    painted,
    seed,
    seen,
    settled,
    slider,
    stage_place,
    state_of,
    until,
)

pytestmark = needs_chromium


@pytest.fixture
def phone(open_page, studio):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    seed(page, studio, 1)
    return page


class Fingers:
    """fingers((x, y), …) puts that many down, moves them, or lifts those that are no more."""

    def __init__(self, page):
        self.page, self.cdp, self.down = page, page.context.new_cdp_session(page), 0

    def __call__(self, *places):
        kind = "touchMove" if len(places) == self.down else "touchStart" if len(places) > self.down else "touchEnd"
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.down = len(places)
        painted(self.page)


@pytest.fixture
def fingers(phone):
    return Fingers(phone)


def view_of(page):
    return json.loads(
        page.evaluate("async () => JSON.stringify((await import('/static/js/canvas/view.js')).view)"),
    )


def pinch(page, fingers, *, wider):
    """Two fingers about the middle of the photo, `wider` times as far apart in the end."""
    x, y = stage_place(page, 0.5, 0.5)
    fingers((x - 40, y))
    fingers((x - 40, y), (x + 40, y))
    for step in range(1, 5):
        reach = 40 * (1 + (wider - 1) * step / 4)
        fingers((x - reach, y), (x + reach, y))
    fingers((x - reach, y))
    fingers()


def test_two_fingers_zoom_about_the_place_between_them(phone, fingers):
    before = view_of(phone)
    box = phone.locator("#stage").bounding_box()
    middle = np.array([box["width"] / 2, box["height"] / 2])
    held = (middle - [before["x"], before["y"]]) / before["scale"]  # the place of the photo between the fingers
    pinch(phone, fingers, wider=1.3)
    zoomed = view_of(phone)
    assert zoomed["scale"] == pytest.approx(1.3 * before["scale"], rel=0.02)
    assert np.abs(held * zoomed["scale"] + [zoomed["x"], zoomed["y"]] - middle).max() < 2
    pinch(phone, fingers, wider=1 / 1.3)
    assert view_of(phone)["scale"] == pytest.approx(before["scale"], rel=0.03)


def test_what_is_in_the_middle_stays_there_when_the_phone_is_turned(phone, fingers):
    def middle():
        view, box = view_of(phone), phone.locator("#stage").bounding_box()
        return [(box[side] / 2 - view[axis]) / view["scale"] for side, axis in (("width", "x"), ("height", "y"))]

    pinch(phone, fingers, wider=1.3)
    before = middle()
    phone.set_viewport_size({"width": 844, "height": 390})
    until(phone, lambda: middle() == pytest.approx(before, abs=0.2))


def test_one_finger_moves_the_view(phone, fingers):
    before = view_of(phone)
    x, y = stage_place(phone, 0.5, 0.5)
    fingers((x, y))
    fingers((x + 30, y + 10))
    fingers((x + 60, y + 20))
    fingers()
    moved = view_of(phone)
    assert (moved["x"] - before["x"], moved["y"] - before["y"]) == pytest.approx((60, 20), abs=1)
    assert moved["scale"] == before["scale"]


def test_a_finger_paints_and_two_fingers_do_not(phone, studio, fingers):
    phone.get_by_role("button", name="Paint a region").click()
    pinch(phone, fingers, wider=1.5)
    phone.evaluate("async () => (await import('/static/js/tools/region.js')).regionSent()")  # what waits to be sent
    assert state_of(phone, studio)["region"] is None
    still = view_of(phone)
    fingers(stage_place(phone, 0.4, 0.4))
    fingers(stage_place(phone, 0.5, 0.5))
    fingers(stage_place(phone, 0.6, 0.5))
    fingers()
    until(phone, lambda: state_of(phone, studio)["region"])
    assert view_of(phone) == still
    expect(phone.locator(".brush-ring")).to_be_hidden()  # no finger, no brush


def test_points_are_set_by_taps_and_not_by_a_pinch(phone, fingers):
    phone.get_by_role("button", name="Pull points").click()
    pinch(phone, fingers, wider=1.2)
    expect(phone.locator(".point")).to_have_count(0)
    for place in ((0.4, 0.5), (0.6, 0.5)):
        fingers(stage_place(phone, *place))
        fingers()
    expect(phone.locator(".point.target")).to_have_count(1)
    box = phone.locator(".point.target").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers((x, y))
    fingers((x, y + 20))
    fingers((x, y + 40))
    fingers()
    assert phone.locator(".point.target").bounding_box()["y"] == pytest.approx(box["y"] + 40, abs=2)
    expect(phone.locator(".point")).to_have_count(2)


def test_a_slider_follows_a_finger(phone, studio, fingers):
    before = seen(phone)
    slider(phone, "Smile").scroll_into_view_if_needed()
    box = slider(phone, "Smile").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers((x, y))
    for step in (20, 60, 100):
        fingers((x + step, y))
    after(phone, studio, fingers)
    assert state_of(phone, studio)["directions"][0]["amount"] > 1
    assert far(before, seen(phone)) > 0.5


def test_what_a_finger_uses_most_is_large_enough(phone, studio):
    sizes = """() => [...document.querySelectorAll("button, input, select, a")].filter((node) => node.checkVisibility())
        .map((node) => [node, (node.closest("label") ?? node).getBoundingClientRect()])
        .map(([node, box]) => [node.getAttribute("aria-label") || node.innerText || node.id, box.width, box.height])"""
    for tool in ("Pull points", "Paint a region", "Move the view"):
        phone.get_by_role("button", name=tool, exact=True).click()
        for tab in ("Adjust", "Style", "Enlarge", "History"):
            phone.get_by_role("tab", name=tab).click()
            settled(phone, studio)
            assert [one for one in phone.evaluate(sizes) if min(one[1:]) < 24] == []
    main = {name: (width, height) for name, width, height in phone.evaluate(sizes)}
    for name in ("Undo", "Redo", "Save", "Open photos", "Compare before and after", "Pull points", "Paint a region"):
        assert min(main[name]) >= 44, name
