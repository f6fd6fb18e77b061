"""What the page keeps, in a real browser: projects, several faces, closed doors; and a server that is killed."""

import re
import shutil
import time
from dataclasses import replace

import pytest
import torch

from ganvas.features.faces import Face
from ganvas.web import opening

from .browser import (
    after,
    drop,
    expect,
    far,
    needs_chromium,
    painted,
    save,
    seed,
    seen,
    session_of,
    set_amount,
    settled,
    slider,
    state_of,
    until,
)
from .conftest import pixels_of, png
from .test_projects import Killable

pytestmark = needs_chromium


def amount(page, name):
    return page.get_by_role("spinbutton", name=f"{name}, amount")


def close_photo(page):
    page.get_by_role("button", name="Close the photo").click()
    expect(page.get_by_role("heading", name="Drop a photo here")).to_be_visible()


def test_a_closed_photo_is_opened_again_from_its_project(page, studio):
    drop(page, ("holiday.png", png(64, 64), "image/png"))
    expect(slider(page, "Smile")).to_be_visible()
    settled(page, studio)
    set_amount(page, studio, "Smile", 2.5)
    edited = seen(page)
    page.get_by_role("button", name="Search again").click()
    settled(page, studio)
    expect(amount(page, "Smile")).to_have_value("2.5")  # another search keeps the steps
    close_photo(page)

    page.get_by_role("button", name=re.compile("^holiday")).click()
    expect(amount(page, "Smile")).to_have_value("2.5")
    settled(page, studio)
    assert far(seen(page), edited) < 20
    page.go_back()
    expect(page.get_by_role("heading", name="Drop a photo here")).to_be_visible()
    go_faster_than_the_studio(page)
    expect(amount(page, "Smile")).to_have_value("2.5")
    settled(page, studio)
    page.reload()
    expect(amount(page, "Smile")).to_have_value("2.5")


def go_faster_than_the_studio(page):
    """Forward to a photo, away again, and back to it, before the studio has answered: what was overtaken gives way."""
    held = []
    page.route("**/open", lambda route: held.append(route))

    def answer():
        until(page, lambda: held)
        with page.expect_response("**/open") as waiting:
            held.pop(0).continue_()
        waiting.value.finished()
        painted(page)

    page.go_forward()
    page.go_back()
    answer()
    expect(page.get_by_role("heading", name="Drop a photo here")).to_be_visible()
    assert page.evaluate("[location.hash, sessionStorage.getItem('session')]") == ["#/", None]
    page.go_forward()
    page.get_by_role("button", name="Models", exact=True).click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.go_back()
    answer()
    expect(amount(page, "Smile")).to_be_hidden()  # the first answer came too late
    answer()
    assert page.evaluate("location.hash").startswith("#/edit/")
    page.unroute("**/open")


def test_photos_of_a_project_beside_one_another(page, studio):
    seed(page, studio, 4)
    set_amount(page, studio, "Smile", 1.5)
    drop(page, ("second.png", png(64, 64, seed=2), "image/png"))
    strip = page.get_by_role("navigation", name="Photos of seed 4")
    expect(strip.get_by_role("button", name=re.compile("^Photo"))).to_have_count(2)
    settled(page, studio)
    strip.get_by_role("button", name="Photo 1").click()
    expect(amount(page, "Smile")).to_have_value("1.5")
    settled(page, studio)
    strip.get_by_title("Rename").click()
    page.get_by_label("Name", exact=True).fill("Anna")
    page.get_by_role("button", name="Rename", exact=True).click()
    anna = page.get_by_role("navigation", name="Photos of Anna")
    anna.get_by_role("button", name="Delete this photo").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(anna).to_be_hidden()
    assert state_of(page, studio)["name"] == "second.png"
    settled(page, studio)
    close_photo(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save “Anna” as one file").click()
    data = waiting.value.path().read_bytes()
    page.get_by_role("button", name="Delete “Anna”").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("button", name=re.compile("^Anna"))).to_have_count(0)
    drop(page, ("anna.ganvas", data, ""))
    expect(slider(page, "Smile")).to_be_visible()
    assert state_of(page, studio)["name"] == "second.png"


@pytest.fixture
def faces_at(monkeypatch):
    """faces_at(x, …) → the studio sees faces there in every photo, and thinks that the model wants one."""

    def face(number, x):
        points = torch.tensor([[x - 5.0, 25], [x + 5.0, 25], [x, 30], [x - 4.0, 36], [x + 4.0, 36]])
        return Face(box=(x - 10.0, 20, x + 10.0, 40), points=points, score=0.99, number=number)

    def see(*places):
        seen_faces = [face(number, x) for number, x in enumerate(places, start=1)]
        monkeypatch.setattr(opening, "_faces", lambda *_: (opening.order_faces(seen_faces), True))
        monkeypatch.setattr(opening, "is_aligned", lambda G, align: True)

    return see


def test_two_faces_of_one_photo_keep_their_own_steps(page, studio, faces_at):
    faces_at(65.0, 22.0)
    drop(page, ("us.png", png(), "image/png"))
    expect(page.get_by_text("2 faces: which one?")).to_be_visible()
    page.get_by_role("button", name="Face 2").click()
    expect(slider(page, "Smile")).to_be_visible()
    settled(page, studio)
    set_amount(page, studio, "Smile", 2)
    panel = page.locator("#panel")
    panel.get_by_role("button", name="Face 1").click()
    expect(amount(page, "Smile")).to_have_value("0")
    settled(page, studio)
    right_only = seen(page)
    set_amount(page, studio, "Smile", -2)
    both = seen(page)
    assert far(both, right_only) > 0.3
    panel.get_by_role("button", name="Face 2, steps: 1").click()
    expect(amount(page, "Smile")).to_have_value("2")
    settled(page, studio)
    assert far(seen(page), both) < 0.5  # both are in the picture, whichever is edited
    after(page, studio, page.get_by_role("button", name="The same on all faces").click)
    page.locator("#overlay").get_by_role("button", name="Face 1").click()
    expect(amount(page, "Smile")).to_have_value("2")
    settled(page, studio)
    page.reload()
    expect(panel.get_by_role("button", name="Face 1, steps: 1")).to_have_attribute("aria-pressed", "true")


def test_a_photo_without_a_face_is_enlarged_and_saved(page, studio, faces_at):
    faces_at()
    drop(page, ("hills.png", png(), "image/png"))
    expect(page.get_by_text("No face was found")).to_be_visible()
    expect(page.get_by_text("You can still enlarge")).to_be_visible()
    page.get_by_role("tab", name="Enlarge").click()
    after(page, studio, page.get_by_role("button", name="Enlarge", exact=True).last.click)
    name, data = save(page, studio)
    assert name == "hills-ganvas.png" and pixels_of(data).shape == (120, 180, 3)
    after(page, studio, page.get_by_role("button", name="Undo").click)
    close_photo(page)
    page.get_by_role("button", name=re.compile("^hills")).click()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="Enlarged")).to_be_visible()  # it can be redone


def test_a_reload_during_the_search_shows_the_search_and_the_queue_has_it(page, studio, monkeypatch):
    def search(*_, on_step, **__):
        while True:  # until it is stopped
            time.sleep(0.05)
            on_step(1, 100, torch.zeros(1, 3, 32, 32))

    monkeypatch.setattr(opening, "open_session", search)
    drop(page, ("slow.png", png(64, 64), "image/png"))
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_be_visible()
    page.reload()
    expect(stop).to_be_visible()
    expect(page.get_by_text("No face was found")).to_have_count(0)
    other = page.context.new_page()  # the queue is the same in every tab and every area
    other.goto(f"{studio.url}/#/models")
    other.get_by_role("button", name="Queue: 1 running or waiting").click()
    row = other.locator("#queue [data-job=invert]")
    expect(row).to_contain_text("slow.png")
    row.get_by_role("button", name="Stop: slow.png").click()
    expect(row).to_have_count(0)
    expect(other.locator("#queue")).to_contain_text("Nothing is running")
    expect(stop).to_be_hidden()
    expect(page.get_by_role("button", name="Bring it into the model")).to_be_visible()


def test_a_photo_opened_before_the_model_goes_on_when_it_is_there(open_studio, config, chromium, tmp_path):
    (tmp_path / "runs").mkdir()
    empty = open_studio(replace(config, runs=tmp_path / "runs"))
    page = chromium.new_page(locale="en-GB")
    page.goto(empty.url)
    page.wait_for_selector("html[data-ready]")
    drop(page, ("early.png", png(64, 64), "image/png"))
    expect(page.get_by_text("The face tools wait for a model")).to_be_visible()
    shutil.copytree(config.runs / "tiny", tmp_path / "runs" / "tiny")
    page.get_by_role("button", name="Models", exact=True).click()  # what a fetch does at its end: the list is read anew
    page.go_back()
    expect(slider(page, "Smile")).to_be_visible()
    page.close()


def test_an_amount_out_of_range_is_clamped_with_a_word(ready, studio):
    after(ready, studio, lambda: (amount(ready, "Smile").fill("99"), amount(ready, "Smile").press("Enter")))
    expect(ready.get_by_text("Smile goes no further than")).to_be_visible()
    assert state_of(ready, studio)["steps"][0]["amount"] == float(slider(ready, "Smile").get_attribute("max"))


def test_a_killed_server_costs_nothing(config, chromium):
    server = Killable(config)
    page = chromium.new_page(locale="en-GB")
    page.goto(server.url)
    page.wait_for_selector("html[data-ready]")
    seed(page, server, 6)
    set_amount(page, server, "Smile", 1.5)
    before = session_of(page)
    server.kill()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    server = Killable(replace(config, port=server.port))
    expect(page.get_by_text("Connection lost")).to_be_hidden()
    until(page, lambda: session_of(page) != before)
    settled(page, server)
    expect(amount(page, "Smile")).to_have_value("1.5")
    set_amount(page, server, "Smile", 1)
    page.close()
    server.kill()
