"""The studio's line for words: by REST, and in the page."""

import io

from PIL import Image

from ganvas.images.digital_source import GENERATED, read_digital_source
from ganvas.images.files import read_image

from .browser import after, expect, needs_chromium, save, slider, state_of


def test_a_sentence_sets_sliders_and_says_what_it_understood(studio):
    id = studio.seed()["id"]
    state = studio.post(f"{id}/say", sentence="smile a little, keep the age")
    changes = [{"direction": "smile", "amount": 0.5}]
    assert state["understood"] == {"changes": changes, "keep": ["age"], "words": "smile +0.5, keep age"}
    amounts = {d["name"]: (d["amount"], d["keep"]) for d in state["directions"]}
    assert amounts == {"smile": (0.5, ["age"]), "age": (0, [])}
    assert studio.post(f"{id}/say", sentence="조금 더 웃게")["directions"][0]["amount"] == 1.0
    before = studio.http.get(f"/api/sessions/{id}").json()
    for sentence, says in (
        ("smile, frwn", "unknown word 'frwn'"),
        ("older, younger", "contradiction"),
        ("", "says nothing"),
    ):
        refused = studio.post(f"{id}/say", 422, sentence=sentence)
        assert says in refused["error"]["message"]
    assert studio.http.get(f"/api/sessions/{id}").json()["version"] == before["version"]


def test_a_search_is_a_job(studio, monkeypatch):
    id = studio.seed()["id"]
    session = studio.inside.find(id).session
    monkeypatch.setattr(session, "aligned", True)  # as with a face: then there are scores to search by
    job = studio.post(f"{id}/say", sentence="ten years older")
    done = studio.wait(job)
    assert (job["kind"], done["state"]) == ("say", "done"), done
    assert done["result"]["understood"]["words"] == "age +10 years"
    assert [search["direction"] for search in done["result"]["searches"]] == ["age"]


def test_the_file_says_where_it_comes_from_unless_that_is_not_wanted(studio):
    id = studio.seed()["id"]
    studio.post(f"{id}/say", sentence="smile")
    for format in ("png", "jpeg", "webp"):
        data = studio.saved(id, format=format).content
        assert read_digital_source(read_image(data).xmp) == GENERATED
        assert b"DigitalSourceType" not in studio.saved(id, format=format, disclose=False).content
    assert Image.open(io.BytesIO(data)).format == "WEBP"


@needs_chromium
def test_the_line_of_the_page(ready, open_page, studio):
    line = ready.get_by_role("textbox", name="In words")
    line.fill("smile a little, keep the age")
    after(ready, studio, lambda: line.press("Enter"))
    expect(ready.get_by_role("spinbutton", name="Smile, amount")).to_have_value("0.5")
    expect(ready.get_by_text("Understood: Smile +0.5; kept still: Age")).to_be_visible()
    expect(ready.get_by_role("button", name="“Age” is kept still")).to_be_visible()
    expect(line).to_have_value("")
    after(ready, studio, slider(ready, "Smile").dblclick)  # the slider is there to be moved on
    assert state_of(ready, studio)["steps"] == []

    line.fill("smlie")
    ready.get_by_role("button", name="Do what it says").click()
    expect(ready.locator(".words .hint")).to_contain_text("“smlie” is not known here. Nearest: smile")
    expect(line).to_have_value("smlie")  # to be mended
    expect(line).to_have_attribute("aria-invalid", "true")
    assert all("/say" in complaint and "422" in complaint for complaint in open_page.complaints)
    open_page.complaints.clear()  # the browser tells of every refusal
    ready.get_by_role("button", name="한국어").click()
    line = ready.get_by_role("textbox", name="말로 편집")
    line.fill("많이 웃게")
    after(ready, studio, lambda: line.press("Enter"))
    assert state_of(ready, studio)["steps"][0]["amount"] == 1.5
    expect(ready.get_by_text("이해한 내용: 미소 +1.5")).to_be_visible()
    ready.get_by_role("button", name="English").click()
    expect(ready.get_by_text("Understood: Smile +1.5")).to_be_visible()


@needs_chromium
def test_saving_says_that_a_model_edited_unless_it_is_unticked(ready, studio):
    assert read_digital_source(read_image(save(ready, studio)[1]).xmp) == GENERATED
    ready.get_by_role("button", name="Save", exact=True).click()
    ready.get_by_role("checkbox", name="Say that the picture was edited").uncheck()
    ready.get_by_role("button", name="Close", exact=True).click()
    assert b"DigitalSourceType" not in save(ready, studio)[1]
    ready.get_by_role("button", name="Save", exact=True).click()
    ready.get_by_role("checkbox", name="Say that the picture was edited").check()
