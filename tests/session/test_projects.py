"""Projects on the disk: what was saved is there, whole, whenever the process that wrote it is killed."""

import io
import os
import signal
import sqlite3
import time

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.editing.directions import Direction, save_directions
from ganvas.editing.regions import Region, Stroke
from ganvas.errors import BadConfig, BadImage
from ganvas.images.crop import Crop
from ganvas.images.files import read_image
from ganvas.inversion.result import Inversion
from ganvas.session import projects as module
from ganvas.session.open import open_session
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.project_index import UnknownProject
from ganvas.session.projects import Projects
from ganvas.session.records import record_edits, restore_edits
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import fingerprint
from tests.training.children import CHILDREN, needs_children

TINY = {"img_resolution": 32, "channel_base": 512, "channel_max": 16, "z_dim": 16, "w_dim": 16}


def make_generator():
    torch.manual_seed(0)
    return ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def generator():
    return make_generator()


@pytest.fixture
def directions(generator):
    rng = torch.Generator().manual_seed(3)
    learnt = [
        Direction(name, 3 * torch.randn(1, 16, generator=rng), fingerprint=fingerprint(generator))
        for name in ("smile", "age")
    ]
    (store.home() / "directions").mkdir(parents=True)
    save_directions(learnt, store.home() / "directions" / "mine.safetensors", licence="CC0-1.0", origin="a test")


def photo_file():
    pixels = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def open_edits(generator, data):
    """Two squares of a photo, found."""
    edits = PhotoEdits(read_image(data))
    for face, x in ((None, 25), (0, 65)):
        ws = generator.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(x)))
        delta = {"synthesis.b16.conv1.weight": torch.full_like(generator.synthesis.b16.conv1.weight, 0.01)}
        place = (float(x), 30.0, 50.0, 0.0)
        inversion = Inversion(ws=ws, delta=delta, fingerprint=fingerprint(generator), source="s", crop=place)
        crop = Crop(x=x, y=30, side=50)
        edits.add(face, open_session(edits.photo, model=generator, name="tiny", inversion=inversion, crop=crop))
    edits.faces = (face_at(65),)
    return edits


def face_at(x):
    points = torch.tensor([[x - 5.0, 25], [x + 5.0, 25], [x, 30], [x - 4.0, 36], [x + 4.0, 36]])
    return ganvas.features.faces.Face(box=(x - 10.0, 20, x + 10.0, 40), points=points, score=0.99, number=1)


def restored(stored, generator):
    return restore_edits(stored.record(), lambda name: generator, max_pixels=10_000)


@pytest.fixture
def kept(generator, directions):
    """(projects, project, stored photo, its edits), with a few steps."""
    projects = Projects()
    project, data = projects.create("Wedding"), photo_file()
    edits = open_edits(generator, data)
    stored = project.add(record_edits(edits, name="us.png", original=data, model="tiny"), size=edits.photo.size)
    edits.activate(None).set("smile", 1.5)
    edits.activate(0).set("age", -1.0)
    edits.session.set("smile", 0.5)
    edits.session.undo()
    edits.session.set_region(Region(strokes=(Stroke(points=((0.5, 0.5),), radius=0.2),)))
    stored.save(edits, model="tiny")
    yield projects, project, stored, edits
    projects.close()


def same(a, b):
    """Two editings, down to the pixels."""
    assert a.sessions.keys() == b.sessions.keys() and a.face == b.face
    for face, session in a.sessions.items():
        other = b.sessions[face]
        assert (session.history, session.at, session.region) == (other.history, other.at, other.region)
        assert torch.equal(session.inversion.ws, other.inversion.ws)
    assert torch.allclose(a.render().img, b.render().img, atol=1e-3)  # the tuning is kept in half precision


def test_everything_comes_back(kept, generator):
    _, project, stored, edits = kept
    again = Projects().find(project.id).photo(stored.id)
    same(edits, restored(again, generator))
    assert again.original.read_bytes() == photo_file()
    (summary,) = project.summaries()
    assert (summary.name, summary.width, summary.faces, summary.edits) == ("us.png", 90, 1, 2)


def test_only_what_is_new_is_written(kept, generator):
    _, _, stored, edits = kept
    files = {path: path.stat().st_mtime_ns for path in stored.folder.iterdir()}
    edits.session.set("smile", 2.0)
    stored.save(edits)
    assert {path: path.stat().st_mtime_ns for path in stored.folder.iterdir()} == files  # latents stay as they are
    same(edits, restored(stored, generator))
    edits.add(0, open_edits(generator, photo_file()).sessions[0])  # searched for again
    stored.save(edits)
    assert len(list(stored.folder.glob("*.safetensors"))) == 2
    same(edits, restored(stored, generator))


def test_what_was_done_in_another_model_is_kept(kept, generator):
    _, _, stored, edits = kept
    torch.manual_seed(9)
    other = ganvas.build("stylegan2", num_mapping_layers=2, **TINY).eval().requires_grad_(False)
    before = edits.sessions[0].history
    edits.add(0, open_edits(other, photo_file()).sessions[0])
    stored.save(edits)
    assert len(edits.session.history) == 1 and edits.session.recipe.fingerprint == fingerprint(other)
    assert stored.earlier(0, fingerprint(generator)).history == before
    assert len(stored.record().layers) == 2


def test_rename_duplicate_delete(kept, generator):
    projects, project, stored, edits = kept
    assert project.rename(" Anna & Ben ").name == "Anna & Ben"
    copy = projects.find(project.id).duplicate()
    assert [one.name for one in projects.list()] == ["Anna & Ben copy", "Anna & Ben"]
    edits.session.set("smile", 2.0)
    stored.save(edits)
    (twin,) = copy.photos()
    assert restored(twin, generator).session.history == edits.session.history[:2] + stored_tail(edits)
    project.delete()
    assert not project.folder.exists() and [one.id for one in projects.list()] == [copy.id]
    for call in (lambda: projects.find(project.id), lambda: stored.record(), lambda: project.photo(stored.id)):
        with pytest.raises(UnknownProject):
            call()
    with pytest.raises(BadConfig, match="1 to 100"):
        copy.rename("  ")


def stored_tail(edits):
    """What the copy still can redo, and the original no longer."""
    return (edits.session.history[1].with_move("smile", 0.5),)


def test_one_file_goes_to_another_computer(kept, generator, tmp_path):
    projects, project, _, edits = kept
    file = project.export(tmp_path / "wedding.ganvas")
    elsewhere = Projects(tmp_path / "other")
    there = elsewhere.import_file(file)
    assert there.name == "Wedding"
    (photo,) = there.photos()
    same(edits, restored(photo, generator))
    assert photo.original.read_bytes() == photo_file()
    with pytest.raises(BadConfig, match="no photos"):
        projects.create("empty").export(tmp_path / "empty.ganvas")
    broken = tmp_path / "broken.ganvas"
    broken.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadImage):
        elsewhere.import_file(broken)
    assert len(elsewhere.list()) == 1


def test_the_commands(kept, tmp_path):
    projects, project, _, _ = kept

    def run(*words):
        return CliRunner().invoke(app, ["projects", *map(str, words)])

    assert "1 photos  Wedding" in run("list").output
    assert run("rename", "Wedding", "May").exit_code == 0
    assert run("export", "May", "-o", tmp_path / "may.ganvas").exit_code == 0
    assert "May  1 photos" in run("import", tmp_path / "may.ganvas").output
    assert "2 projects 'May'" in str(run("delete", "May", "--yes").exception)
    assert run("delete", project.id, "--yes").exit_code == 0
    assert run("duplicate", "May", "June").exit_code == 0
    assert sorted(one.name for one in projects.list()) == ["June", "May"]


def test_leftovers_are_swept(kept, monkeypatch):
    projects, project, stored, _ = kept
    (projects.folder / "gone" / "photo").mkdir(parents=True)
    (projects.folder / "gone" / "photo" / "original").write_bytes(b"x")
    (stored.folder / ".original.xyz").write_bytes(b"half")
    assert projects.sweep() == 0  # they may be on their way in another process
    monkeypatch.setattr(module, "SWEPT_AFTER_SEC", -1)
    assert projects.sweep() == 3
    assert {path.name for path in stored.folder.iterdir()} >= {"original"}
    assert not (projects.folder / "gone").exists() and project.photo(stored.id).record()


def test_an_index_of_format_1_is_brought_up(kept, generator):
    projects, project, stored, edits = kept
    with sqlite3.connect(projects.folder / "index.sqlite3") as db:
        db.execute("DROP TABLE variant")
        db.execute("PRAGMA user_version=1")
    photo = Projects().find(project.id).photo(stored.id)
    variants = photo.variants()
    assert len(variants) == 0
    variants.keep(edits, "now")
    photo.save_variants(variants)
    assert [one.name for one in photo.record().variants] == ["now"]
    same(edits, restored(photo, generator))


def test_a_later_format_is_left_alone(kept):
    projects, _, _, _ = kept
    with sqlite3.connect(projects.folder / "index.sqlite3") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(BadConfig, match="later ganvas"):
        Projects()


# ---------------------------------------------------------------------------------------------------------------------
# Killed


def edit_for_ever(home, project, photo, saved):
    """A process that edits a photo and says after every save how far it is."""
    os.environ["GANVAS_HOME"] = home
    torch.set_num_threads(1)
    generator = make_generator()
    stored = Projects().find(project).photo(photo)
    edits = restored(stored, generator)
    stored.save(edits)
    count = edits.session.at
    while True:
        count += 1
        edits.activate((None, 0)[count % 2]).set("smile", count / 1000)
        if count % 7 == 0:
            edits.add(0, open_edits(generator, photo_file()).sessions[0])
        stored.save(edits)
        saved.send((count, {face: session.recipe for face, session in edits.sessions.items()}))


@needs_children
def test_killed_at_any_moment_nothing_that_was_saved_is_lost(kept, generator):
    _, project, stored, _ = kept
    rng = np.random.default_rng(5)
    for _ in range(int(os.environ.get("GANVAS_TEST_KILLS", "5"))):
        ours, theirs = CHILDREN.Pipe(duplex=False)
        words = (os.environ["GANVAS_HOME"], project.id, stored.id, theirs)
        child = CHILDREN.Process(target=edit_for_ever, args=words, daemon=True)
        child.start()
        theirs.close()
        assert ours.poll(60)
        time.sleep(float(rng.uniform(0, 0.1)))
        os.kill(child.pid, signal.SIGKILL)
        child.join(10)
        told = None
        try:
            while True:
                told = ours.recv()
        except EOFError:
            pass
        count, recipes = told
        again = restored(project.photo(stored.id), generator)
        for face, recipe in recipes.items():  # what came after the last word may be there as well
            assert again.sessions[face].recipe == recipe or again.sessions[face].amount("smile") >= count / 1000
        assert again.photo.size == (90, 60)
        assert all(path.stat().st_size for path in stored.folder.glob("*.safetensors"))
