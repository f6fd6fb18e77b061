"""One recipe over several photos."""

import io
import json
import zipfile

import ganvas

from .conftest import pixels_of, png


def recipe_of(studio):
    id = studio.seed()["id"]
    studio.post(f"{id}/set", direction="smile", amount=2)
    return studio.http.get(f"/api/sessions/{id}/recipe").json() | {"effort": "fast"}


def test_a_recipe_is_applied_to_all_and_a_bad_photo_is_named(studio):
    recipe = recipe_of(studio)
    photos = [
        ("photos", ("a.png", png(), "image/png")),
        ("photos", ("broken.jpg", b"\xff\xd8\xff no", "image/jpeg")),
        ("photos", ("a.png", png(seed=4), "image/png")),
    ]
    answer = studio.http.post("/api/batch", files=photos, data={"recipe": json.dumps(recipe)})
    assert answer.status_code == 200, answer.text
    job = studio.wait(answer.json())
    assert job["state"] == "done", job
    assert job["result"]["done"] == ["a-ganvas.png", "a-ganvas-2.png"]
    assert [one["name"] for one in job["result"]["failed"]] == ["broken.jpg"]
    assert job["result"]["failed"][0]["error"]["kind"] == "BadImage"
    data = studio.http.get(f"/api/batch/{job['id']}/result.zip").content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["a-ganvas.png", "a-ganvas-2.png", "recipe.json"]
        edited = archive.read("a-ganvas.png")
    assert (pixels_of(edited) != pixels_of(png())).any()
    assert json.loads(ganvas.read_image(edited).recipe)["steps"] == recipe["steps"]


def test_what_a_batch_needs_is_asked_for(studio):
    photos = [("photos", ("a.png", png(), "image/png"))]
    assert studio.http.post("/api/batch", files=photos).status_code == 400
    assert studio.http.post("/api/batch", files=photos, data={"recipe": "{"}).status_code == 422
    recipe = json.dumps(recipe_of(studio))
    assert studio.http.post("/api/batch", files={"other": png()}, data={"recipe": recipe}).status_code == 400
    assert studio.http.get("/api/batch/nothing/result.zip").status_code == 404
    for face in ("like:/etc/passwd", "0", "everybody"):
        refused = studio.http.post("/api/batch", files=photos, data={"recipe": recipe, "face": face})
        assert refused.status_code == 422 and "a number" in refused.json()["error"]["message"]
    assert len(list(studio.inside.folder.glob("batch-*"))) == 1  # of the test before: refused ones leave nothing
