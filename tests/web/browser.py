"""The studio's page as its tests use it: Chromium without a window, and what a reader of the page would do and see."""

import base64
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from .conftest import pixels_of

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright (extra [dev])")
expect = sync_api.expect
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
LONG_MS = 60_000  # the machine may be busy
expect.set_options(timeout=LONG_MS)


def seed(page, studio, number):
    page.get_by_role("spinbutton", name="Seed").fill(str(number))
    page.get_by_role("button", name="Create").click()
    expect(slider(page, "Smile")).to_be_visible()
    settled(page, studio)


def slider(page, name):
    return page.get_by_role("slider", name=name, exact=True)


def drop(page, *files):
    """Drop files (name, bytes, type) on the page."""
    made = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, bytes, type] of files)
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return transfer;
        }""",
        [[name, list(data), kind] for name, data, kind in files],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": made})


def session_of(page):
    """The session's id, as the tab keeps it over a reload."""
    return json.loads(page.evaluate("sessionStorage.getItem('session')"))["id"]


def state_of(page, studio):
    return studio.http.get(f"/api/sessions/{session_of(page)}").json()


def settled(page, studio):
    """No job is shown, and the sharp picture of what the server has is on the stage."""
    expect(page.locator("#foot .job")).to_be_hidden()
    until(page, lambda: page.locator("#stage").get_attribute("data-version") == str(state_of(page, studio)["version"]))
    painted(page)


def painted(page):
    """What the page has asked to be drawn so far is drawn."""
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def until(page, condition):
    deadline = time.monotonic() + LONG_MS / 1000
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def after(page, studio, act):
    """Do something that changes the session, and wait until the page shows it."""
    version = state_of(page, studio)["version"]
    act()
    until(page, lambda: state_of(page, studio)["version"] > version)
    settled(page, studio)


def seen(page):
    """What is on the canvas, as pixels."""
    painted(page)
    drawn = page.evaluate("document.getElementById('canvas').toDataURL()")
    return pixels_of(base64.b64decode(drawn.partition(",")[2])).astype(float)


def far(a, b):
    return np.abs(a - b).mean()


def set_amount(page, studio, name, amount):
    figure = page.get_by_role("spinbutton", name=f"{name}, amount")
    figure.fill(str(amount))
    after(page, studio, lambda: figure.press("Enter"))


def save(page, studio, format="PNG"):
    """The saved file: (name, bytes)."""
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("radio", name=format).check(force=True)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save to disk").click()
    settled(page, studio)
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def stage_place(page, x, y):
    """A place of the photo (0 … 1) on the screen."""
    box = page.locator("#stage").bounding_box()
    side = min(box["width"], box["height"]) - 2 * min(24, box["width"] * 0.03)
    return box["x"] + box["width"] / 2 + (x - 0.5) * side, box["y"] + box["height"] / 2 + (y - 0.5) * side


def paint(page, *places):
    """A stroke through places of the photo."""
    page.mouse.move(*stage_place(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*stage_place(page, *place), steps=5)
    page.mouse.up()
    page.mouse.move(*stage_place(page, 0.99, 0.01))
