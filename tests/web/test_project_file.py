"""Saved with its editing, opened again: the same picture, the whole history, and the original below it."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from ganvas.editing.recipe import Recipe
from ganvas.errors import BadImage
from ganvas.images.png16 import png_chunk
from ganvas.session.project_file import (
    PNG_CHUNK,
    embed_in_png,
    read_project_file,
    trim_history,
)
from ganvas.session.records import MAX_HISTORY_ENTRIES

from .conftest import pixels_of, png

LIMIT = 2**20


@pytest.fixture(scope="module")
def id(studio):
    id = studio.ready()
    studio.post(f"{id}/set", direction="smile", amount=1.5)
    studio.post(f"{id}/set", direction="age", amount=-1)
    studio.post(f"{id}/do", step="mix", seed=5, part="colour", strength=0.5)
    studio.post(f"{id}/undo")
    return id


@pytest.fixture(scope="module")
def saved(studio, id):
    return studio.saved(id, format="png").content


@pytest.fixture(scope="module")
def kept(studio, id):
    return studio.http.get(f"/api/sessions/{id}/editing.ganvas").content


def resumed(studio, data):
    opened = studio.open(data)
    assert opened["resumable"] and opened["state"] == "faces"
    job = studio.wait(studio.post(f"{opened['id']}/invert", resume=True))
    assert job["state"] == "done", job
    return studio.http.get(f"/api/sessions/{opened['id']}").json()


def test_a_saved_picture_is_taken_up_where_it_was_left(studio, id, saved):
    state = resumed(studio, saved)
    before = studio.http.get(f"/api/sessions/{id}").json()
    for what in ("history", "at", "steps", "crop", "fidelity", "can_redo", "name"):
        assert state[what] == before[what]
    again = studio.saved(state["id"], format="png").content
    assert np.array_equal(pixels_of(again), pixels_of(saved))
    assert again == saved  # and all that it carries
    studio.post(f"{state['id']}/goto", at=0)
    plain = studio.saved(state["id"], format="png", editing=False).content
    assert np.array_equal(pixels_of(plain), pixels_of(png()))
    assert studio.post(f"{state['id']}/goto", at=3)["steps"][2]["step"] == "mix"


def test_other_programs_see_a_plain_png(saved):
    picture = Image.open(io.BytesIO(saved))
    picture.verify()
    assert picture.size == (90, 60)


def test_it_is_left_out_where_it_is_not_wanted(studio, id):
    plain = studio.saved(id, format="png", editing=False).content
    assert PNG_CHUNK not in plain
    assert studio.open(plain)["resumable"] is False
    assert studio.open(plain)["recipe"]["steps"][0]["direction"] == "smile"
    job = studio.wait(studio.post(f"{id}/render", format="jpeg"))
    assert job["result"]["editing"] is False


def test_a_file_beside_it_does_the_same_for_any_format(studio, id, kept, saved):
    state = resumed(studio, kept)
    assert studio.saved(state["id"], format="png").content == saved


def test_it_may_be_edited_as_a_new_picture_instead(studio, saved):
    opened = studio.open(saved)
    assert studio.wait(studio.post(f"{opened['id']}/invert"))["state"] == "done"
    state = studio.http.get(f"/api/sessions/{opened['id']}").json()
    assert state["history"] == [{"at": 0, "step": "open", "label": ""}]
    plain = studio.saved(opened["id"], format="png").content
    assert np.array_equal(pixels_of(plain), pixels_of(saved))
    assert plain.count(PNG_CHUNK) == 1  # not one in the other


def test_a_picture_from_a_seed_comes_back(studio):
    state = studio.seed(4)
    studio.post(f"{state['id']}/set", direction="smile", amount=2)
    saved = studio.saved(state["id"], format="png").content
    again = resumed(studio, saved)
    assert studio.saved(again["id"], format="png").content == saved
    beside = studio.http.get(f"/api/sessions/{state['id']}/editing.ganvas").content
    opened = studio.open(beside)
    assert opened["state"] == "ready" and opened["steps"][0]["amount"] == 2


def test_a_long_history_keeps_its_beginning_and_what_is_near():
    history = [Recipe(seed=seed) for seed in range(500)]
    kept, at = trim_history(history, 400)
    assert len(kept) == MAX_HISTORY_ENTRIES
    assert kept[0] is history[0] and kept[at] is history[400]
    assert kept[at + 1] is history[401] and kept[at - 1] is history[399]
    assert trim_history(history[:3], 1) == (history[:3], 1)


def test_large_recipes_do_not_outgrow_the_file(monkeypatch):
    monkeypatch.setattr("ganvas.session.project_file.MAX_HISTORY_BYTES", 2000)
    history = [Recipe(seed=seed, source="x" * 300) for seed in range(30)]
    kept, at = trim_history(history, 29)
    assert kept[0] is history[0] and kept[at] is history[29] and 2 <= len(kept) < 8


def rewritten(kept, *, packed=False, **members):
    """The same file with other contents."""
    file = io.BytesIO()
    old = read_zip(kept)
    for name, body in members.items():
        old[name.replace("__", ".")] = body
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, body in old.items():
            if body is not None:
                archive.writestr(name, body)
    return file.getvalue()


def read_zip(kept):
    with zipfile.ZipFile(io.BytesIO(kept)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def card_of(kept):
    return json.loads(read_zip(kept)["card.json"])


def card_with(kept, **facts):
    """Other facts of the only face of the only photo, or of the file."""
    card = card_of(kept)
    layer = card["photos"][0]["layers"][0]
    layer.update({key: value for key, value in facts.items() if key in layer})
    return json.dumps(card | {key: value for key, value in facts.items() if key in card})


def broken_files(kept):
    """(why, file): none of these may be opened."""
    first = card_of(kept)["photos"][0]["layers"][0]["history"][0]
    unknown_step = [first, first | {"steps": [{"step": "x"}]}]
    yield "packed", rewritten(kept, packed=True)
    yield "a path", rewritten(kept, **{"../../evil": b"x"})
    yield "too large", rewritten(kept, **{"original-0": b"x" * (LIMIT + 1)})
    yield "original is missing", rewritten(kept, **{"original-0": None})
    yield "no json", rewritten(kept, card__json="{")
    yield "no history", rewritten(kept, card__json=card_with(kept, history=[]))
    yield "outside", rewritten(kept, card__json=card_with(kept, at=99))
    yield "a bool", rewritten(kept, card__json=card_with(kept, at=True))
    yield "a face that is not there", rewritten(kept, card__json=card_with(kept, face=3))
    yield "no photos", rewritten(kept, card__json=card_with(kept, photos=[]))
    yield "a later format", rewritten(kept, card__json=card_with(kept, format="ganvas-project-9"))
    yield "an unknown step", rewritten(kept, card__json=card_with(kept, history=unknown_step))
    yield "no tensors", rewritten(kept, **{"latents-0-0__safetensors": b"\x80\x04pickle"})
    yield "cut short", kept[: len(kept) // 2]
    yield "deep", rewritten(kept, card__json="[" * 100_000)


def test_what_is_not_as_we_write_it_is_refused(studio, kept):
    assert read_project_file(kept, upload_bytes=LIMIT) is not None
    for why, file in broken_files(kept):
        with pytest.raises(BadImage, match="session"):
            read_project_file(file, upload_bytes=LIMIT)
        answer = studio.http.post("/api/sessions", files={"photo": ("a.ganvas", file)})
        assert why == "too large" or answer.status_code == 422, why


def test_a_picture_with_a_damaged_one_is_still_a_picture(studio, kept):
    for why, file in broken_files(kept):
        if why != "too large":  # for this studio it is not
            assert studio.open(embed_in_png(png(), file))["resumable"] is False
    assert png_chunk(PNG_CHUNK, b"") in embed_in_png(png(), b"")


def test_of_another_generator_it_is_refused_when_it_is_taken_up(studio, kept):
    entries = card_of(kept)["photos"][0]["layers"][0]["history"]
    history = [recipe | {"fingerprint": "0" * 64} for recipe in entries]
    other = studio.open(rewritten(kept, card__json=card_with(kept, history=history)))
    job = studio.wait(studio.post(f"{other['id']}/invert", resume=True))
    assert job["state"] == "failed" and "the session uses" in job["error"]["message"]
    assert studio.http.get(f"/api/sessions/{other['id']}").json()["state"] == "faces"


def format_1(kept):
    """The same editing as earlier versions wrote it: one face of one photo."""
    members = read_zip(kept)
    card = json.loads(members["card.json"])
    photo, layer = card["photos"][0], card["photos"][0]["layers"][0]
    old = {"format": "ganvas-session-1", "name": photo["name"], "face": None, "seed": False}
    old |= {key: layer[key] for key in ("at", "history", "inversion")}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("card.json", json.dumps(old))
        archive.writestr("inversion.safetensors", members["latents-0-0.safetensors"])
        archive.writestr("original", members["original-0"])
    return file.getvalue()


def test_files_of_format_1_are_still_taken_up(studio, id, kept, saved):
    before = studio.http.get(f"/api/sessions/{id}").json()
    for data in (format_1(kept), embed_in_png(png(seed=2), format_1(kept))):
        state = resumed(studio, data)
        assert [state[what] for what in ("history", "at", "steps")] == [
            before[what] for what in ("history", "at", "steps")
        ]
        assert studio.saved(state["id"], format="png").content == saved  # written again as format 2
