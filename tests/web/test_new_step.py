"""A new edit step is one dataclass and one row of STEPS; both doors then have it, without a line of theirs."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.editing.recipe import STEPS, Recipe
from ganvas.errors import BadConfig
from ganvas.fields import check_settings, setting

from .browser import after, expect, far, needs_chromium, seed, seen, state_of
from .conftest import png


@dataclass(frozen=True, kw_only=True)
class Exaggerate:
    """Move the latents away from zero: more of whatever they show."""

    name: ClassVar[str] = "exaggerate"
    share: float = setting(0.5, ge=0, le=1, help="how much")
    times: int = setting(1, ge=1, le=10_000, unit="times", help="how often")
    rows: str = setting("all", choices=("all", "first"), help="which rows of ws")
    backwards: bool = setting(False, help="toward zero instead")
    note: str = setting("", help="for people")

    def __post_init__(self):
        check_settings(self, who=self.name)

    def apply(self, ws, context):
        """See `LatentStep`."""
        moved = ws.clone()
        rows = slice(1) if self.rows == "first" else slice(None)
        moved[:, rows] *= (1 - self.share if self.backwards else 1 + self.share) ** self.times
        return moved


@pytest.fixture
def new_step(monkeypatch):
    monkeypatch.setitem(STEPS, "exaggerate", Exaggerate)


def test_it_works_in_a_recipe(new_step):
    recipe = Recipe(steps=(Exaggerate(share=0.25, rows="first"),))
    assert Recipe.from_json(recipe.to_json()) == recipe
    wrong = '{"format": "ganvas-recipe-1", "steps": [{"step": "exaggerate", "share": 2}]}'
    with pytest.raises(BadConfig, match="exaggerate: share must be a number from 0 to 1, got 2"):
        Recipe.from_json(wrong)


def test_the_command_line_lists_it_and_takes_it(new_step, workplace, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.cli.edit.ensure_models", lambda names, yes=False: None)
    (tmp_path / "me.png").write_bytes(png(40, 40))
    model = workplace / "runs" / "tiny" / "model.safetensors"
    words = ["edit", tmp_path / "me.png", "-o", tmp_path / "out.png", "--model", model, "--effort", "fast"]

    def run(*more):
        return CliRunner().invoke(app, [str(word) for word in (*words, *more)], env={"COLUMNS": "400"})

    listed = CliRunner().invoke(app, ["edit", "--steps"])
    assert listed.exit_code == 0
    assert "exaggerate: Move the latents away from zero" in listed.output
    assert "how often: a whole number from 1 to 10000 times (default 1)" in listed.output

    done = run("--step", "exaggerate:share=0.25,rows=first", "--save-recipe", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "r.json").read_text())["steps"] == [
        {"step": "exaggerate", "share": 0.25, "times": 1, "rows": "first", "backwards": False, "note": ""}
    ]
    for text, says in (
        ("exagerate", "unknown step 'exagerate'; known: background"),
        ("exaggerate:shares=1", "unknown field of step 'exaggerate' 'shares'; known: backwards"),
        ("exaggerate:share=2", "share must be a number from 0 to 1, got 2"),
        ("exaggerate:times=few", "times must be a whole number from 1 to 10000 times, got 'few'"),
        ("exaggerate:rows=some", "rows must be all or first"),
        ("exaggerate:half", "written as mix:seed=7,part=colour; cannot read 'half'"),
    ):
        refused = run("--step", text)
        assert refused.exit_code == 2 and says in refused.output, refused.output


def test_the_server_has_its_form_and_does_it(new_step, studio):
    form = studio.http.get("/api/forms").json()["steps"]["exaggerate"]
    assert form["help"].startswith("Move the latents away")
    share = form["fields"][0]
    assert (share["name"], share["kind"], share["low"], share["high"], share["default"]) == (
        "share",
        "number",
        0,
        1,
        0.5,
    )


@needs_chromium
def test_the_page_shows_it_and_does_it(new_step, page, studio):
    seed(page, studio, 1)
    before = seen(page)
    page.get_by_role("tab", name="Style").click()
    section = page.get_by_role("region", name="More steps")
    card = section.locator("[data-step=exaggerate]")
    card.get_by_text("exaggerate", exact=True).click()
    expect(card).to_contain_text("more of whatever they show")
    card.get_by_role("slider", name="share").fill("0.25")
    card.get_by_role("spinbutton", name="times").fill("3")
    card.get_by_role("combobox", name="rows").select_option("all")
    card.get_by_role("checkbox", name="backwards").check()
    card.get_by_role("textbox", name="note").fill("less")
    after(page, studio, card.get_by_role("button", name="Apply").click)
    wanted = {"step": "exaggerate", "share": 0.25, "times": 3, "rows": "all", "backwards": True, "note": "less"}
    assert state_of(page, studio)["steps"][-1].items() >= wanted.items()
    changed = seen(page)
    assert far(before, changed) > 0.5
    page.locator("#stage").focus()
    after(page, studio, lambda: page.keyboard.press("Control+z"))
    assert state_of(page, studio)["steps"] == [] and far(before, seen(page)) < 0.5
    after(page, studio, lambda: page.keyboard.press("Control+Shift+Z"))
    assert far(changed, seen(page)) < 0.5

    card.get_by_role("spinbutton", name="times").fill("0")
    card.get_by_role("button", name="Apply").click()  # the browser says what is allowed, nothing is sent
    assert card.get_by_role("spinbutton", name="times").evaluate("node => node.validity.rangeUnderflow")
    assert len(state_of(page, studio)["steps"]) == 1
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("region", name="다른 편집 단계")).to_be_visible()
    page.get_by_role("button", name="English").click()


@needs_chromium
def test_steps_of_parts_have_their_forms(page, studio):
    seed(page, studio, 2)
    page.get_by_role("tab", name="Style").click()
    card = page.locator("[data-step=colour]")
    card.get_by_text("Colour", exact=True).first.click()
    assert card.locator("input[type=color]").input_value() == "#7a3b1e"
    shown = page.locator("[data-section=more] [data-step]").evaluate_all("all => all.map(one => one.dataset.step)")
    assert shown == ["colour", "teeth", "smooth_skin", "bright_eyes", "blush", "background", "roll"]
