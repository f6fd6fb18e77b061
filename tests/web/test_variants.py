"""Variants over REST and in the page: kept, made by themselves, compared, one saved; still there after a restart."""

import io

import numpy as np
import pytest
from PIL import Image

from .browser import after, expect, needs_chromium, save, seed, set_amount, settled, state_of, until
from .conftest import pixels_of
from .test_projects import project, reopened

__all__ = ["project"]  # a fixture


def picture(studio, id, variant, **query):
    answer = studio.http.get(f"/api/sessions/{id}/variants/{variant}/photo.jpg", params=query)
    assert answer.status_code == 200, answer.text
    return pixels_of(answer.content).astype(float)


def test_variants_over_rest(studio, project):
    opened = studio.http.post("/api/sessions", json={"seed": 5, "project": project()}).json()
    id = opened["id"]
    studio.post(f"{id}/set", direction="smile", amount=1.5)
    (first,) = studio.post(f"{id}/variants", name="smiling")["variants"]
    job = studio.wait(studio.post(f"{id}/variants/make", kind="amounts", direction="age", amounts=[-2, 1, 2]))
    assert job["state"] == "done" and len(job["result"]["made"]) == 3
    job = studio.wait(studio.post(f"{id}/variants/make", kind="upscalers"))
    assert job["state"] == "done", job
    state = studio.http.get(f"/api/sessions/{id}").json()
    names = [one["name"] for one in state["variants"]]
    assert names[:4] == ["smiling", "age -2", "age +1", "age +2"] and names[-1] == "lanczos 2x"
    assert state["steps"] == studio.post(f"{id}/goto", at=1)["steps"]  # the photo stayed as it was
    pictures = [picture(studio, id, one["id"], size=64) for one in state["variants"][:4]]
    assert all(np.abs(a - b).mean() > 0.3 for i, a in enumerate(pictures) for b in pictures[:i])
    older = state["variants"][3]["id"]
    assert studio.post(f"{id}/variants/{older}/apply")["steps"][-1]["amount"] == 2
    assert studio.post(f"{id}/undo")["steps"] == state["steps"]
    answer = studio.http.patch(f"/api/sessions/{id}/variants/{first['id']}", json={"name": "calm"})
    assert answer.json()["variants"][0]["name"] == "calm"
    studio.http.delete(f"/api/sessions/{id}/variants/{older}")
    left = studio.http.get(f"/api/sessions/{id}").json()["variants"]
    assert older not in [one["id"] for one in left]

    file = studio.http.get(f"/api/projects/{opened['project']}/export.ganvas")
    there = studio.http.post("/api/projects/import", files={"file": ("p.ganvas", file.content)}).json()
    copy = reopened(studio, {"project": there["id"], "photo": there["photos"][0]["id"]})
    studio.http.delete(f"/api/sessions/{id}")
    for again in (reopened(studio, opened), copy):
        assert again["variants"] == left
    assert Image.open(io.BytesIO(studio.saved(copy["id"], format="png").content)).size == (32, 32)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "amounts", "direction": "nose", "amounts": [1]},
        {"kind": "amounts", "direction": "smile", "amounts": []},
        {"kind": "seeds", "seeds": list(range(12))},
        {"kind": "dreams"},
    ],
)
def test_what_cannot_be_made_is_refused(studio, body):
    id = studio.seed(2)["id"]
    answer = studio.http.post(f"/api/sessions/{id}/variants/make", json=body)
    if answer.status_code == 200:
        assert studio.wait(answer.json())["state"] == "failed"
    else:
        assert answer.status_code == 422
    assert studio.http.get(f"/api/sessions/{id}").json()["variants"] == []


@needs_chromium
def test_three_variants_are_compared_and_one_is_saved(page, studio):
    seed(page, studio, 7)
    set_amount(page, studio, "Smile", 2)
    page.get_by_role("tab", name="Variants").click()
    page.get_by_role("textbox", name="Name of the variant").fill("wide")
    after(page, studio, page.get_by_role("button", name="Keep", exact=True).click)
    expect(page.get_by_role("button", name="Go on from “wide”")).to_be_visible()
    page.get_by_role("tab", name="Adjust").click()
    set_amount(page, studio, "Smile", 0)
    page.get_by_role("tab", name="Variants").click()
    page.get_by_label("Slider", exact=True).select_option("age")
    after(page, studio, page.get_by_role("button", name="Three amounts").click)
    expect(page.locator(".variants li")).to_have_count(4)
    expect(page.get_by_role("button", name="Go on from “Age +")).to_have_count(3)
    for place in range(3):
        page.locator(".variants").get_by_role("checkbox").nth(place).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog", name="Compare")
    expect(dialog.locator("figure")).to_have_count(3)
    dialog.get_by_role("button", name="Zoom in").click()
    scales = "[...document.querySelectorAll('.compare-picture img')].map((one) => getComputedStyle(one).transform)"
    until(page, lambda: all(scale.startswith("matrix(1.5,") for scale in page.evaluate(scales)))
    after(page, studio, dialog.get_by_role("button", name="Save “wide”").click)
    assert state_of(page, studio)["steps"][0]["amount"] == 2
    page.keyboard.press("Escape")
    settled(page, studio)
    name, data = save(page, studio)
    assert name == "seed-7-ganvas.png" and pixels_of(data).shape == (32, 32, 3)
    page.reload()
    page.get_by_role("tab", name="Variants").click()
    expect(page.locator(".variants li")).to_have_count(4)
