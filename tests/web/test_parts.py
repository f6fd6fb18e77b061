"""Parts of the picture in the studio: a region by name, by a click, and a colour; on the astronaut."""

from pathlib import Path

import numpy as np
import pytest
import torch

import ganvas
from ganvas.features.faces import Face
from ganvas.features.parts import PARTS

from .browser import after, drop, expect, needs_chromium, settled, stage_place, state_of, until
from .conftest import TINY, pixels_of

ASTRONAUT = Path(ganvas.__file__).parent / "samples" / "astronaut.jpg"
POINTS = torch.tensor([[204.4, 101.5], [246.5, 104.0], [224.3, 129.2], [201.7, 139.4], [245.0, 141.7]])
HAIR, CHEEK = (200, 60), (205, 125)  # places of the photo, seen by eye


class HerFace:
    def find(self, img):
        return [Face(box=(180, 60, 270, 170), points=POINTS, score=1.0)]


@pytest.fixture
def people(open_studio, config, workplace, monkeypatch):
    """A studio whose generator knows faces."""
    torch.manual_seed(1)
    G = ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)
    G.facts["source"] = "like ffhq"
    (workplace / "faces" / "people").mkdir(parents=True, exist_ok=True)
    ganvas.save(G, workplace / "faces" / "people" / "model.safetensors")
    studio = open_studio(config.__class__(port=0, runs=workplace / "faces", data_root=workplace, idle_sec=600))
    monkeypatch.setattr(studio.inside.registry, "finder", HerFace)
    return studio


def test_the_server_takes_parts_by_name_and_by_place(people):
    opened = people.http.post(
        "/api/sessions", files={"photo": ("me.jpg", ASTRONAUT.read_bytes(), "image/jpeg")}, data={"effort": "fast"}
    ).json()
    id = opened["id"]
    assert people.wait(opened["job"])["state"] == "done"
    state = people.post(f"{id}/region", parts=["hair"])
    assert state["region"]["parts"] == ["hair"] and set(PARTS) < set(state["parts"])
    assert people.post(f"{id}/region", at=CHEEK)["region"]["parts"] == ["skin"]
    assert "unknown part" in str(people.post(f"{id}/region", 422, parts=["tail"]))
    assert "outside the model's crop" in str(people.post(f"{id}/region", 422, at=[2, 400]))
    people.http.delete(f"/api/sessions/{id}/region")
    done = people.post(f"{id}/do", step="colour", part="hair", colour="#3050a0")
    assert done["history"][1].items() >= {"at": 1, "step": "colour", "part": "hair"}.items()
    before, saved = pixels_of(ASTRONAUT.read_bytes()), pixels_of(people.saved(id, format="png").content)
    change = np.abs(saved.astype(int) - before).max(axis=2)
    assert change[HAIR[1], HAIR[0]] > 20 and change[CHEEK[1], CHEEK[0]] == 0


@needs_chromium
def test_a_click_in_the_photo_takes_its_part(chromium, people):
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.goto(people.url)
    page.wait_for_selector("html[data-ready]")
    drop(page, ("me.jpg", ASTRONAUT.read_bytes(), "image/jpeg"))
    page.get_by_role("button", name="Paint a region").click(timeout=60_000)
    expect(page.locator("[data-part=hair]")).to_be_visible()
    settled(page, people)
    page.get_by_role("radio", name="A part").check(force=True)
    page.mouse.click(*stage_place(page, HAIR[0] / 512, HAIR[1] / 512))
    until(page, lambda: (state_of(page, people)["region"] or {}).get("parts") == ["hair"])
    page.get_by_role("button", name="Lips", exact=True).click()
    until(page, lambda: state_of(page, people)["region"]["parts"] == ["lips"])
    page.get_by_role("button", name="Remove region").click()
    until(page, lambda: state_of(page, people)["region"] is None)
    page.get_by_role("tab", name="Style").click()
    card = page.locator("[data-step=colour]")
    card.get_by_text("Colour", exact=True).first.click()
    card.locator("input[type=color]").fill("#3050a0")
    after(page, people, card.get_by_role("button", name="Apply").click)
    step = state_of(page, people)["steps"][-1]
    assert (step["step"], step["colour"]) == ("colour", "#3050a0")
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="Colour Hair")).to_be_visible()
    after(page, people, page.get_by_role("button", name="Photo as opened").click)
    assert state_of(page, people)["at"] == 0 and state_of(page, people)["steps"] == []
    context.close()
