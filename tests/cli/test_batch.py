"""ganvas batch on a tiny generator: every photo gets the editing, what fails is named, what is there can be left."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
from ganvas.cli.batch import BatchSettings, Editor, RayEditor
from ganvas.cli.main import app
from ganvas.editing.drag import Drag
from ganvas.editing.mix import encode_latent
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, EditWarning, GanvasError, MissingExtra
from ganvas.images.batch_paths import Task, list_tasks
from ganvas.images.files import read_image
from ganvas.session.breakup import Breakup
from ganvas.session.chosen_faces import FaceChoice
from ganvas.weights.checkpoint import fingerprint, save
from tests.cli.test_edit import TINY

pytestmark = pytest.mark.usefixtures("short_searches")
# The weights that the tests' machine may have make faces slow and nothing else.
NO_EYES = {
    "ganvas.features.efficientnet.load_efficientnet_if_available": lambda: None,
    "ganvas.cli.batch.ensure_models": lambda names: None,
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    for name, stand_in in NO_EYES.items():
        monkeypatch.setattr(name, stand_in)
    torch.manual_seed(0)
    return save(ganvas.build("stylegan2", **TINY), tmp_path / "tiny.safetensors")


@pytest.fixture
def recipe(tmp_path, model):
    offset = encode_latent(3 * torch.randn(1, 6, 16, generator=torch.Generator().manual_seed(1)))
    step = Drag(points=((0.4, 0.5),), targets=((0.5, 0.5),), rows=6, offset=offset)
    made = Recipe(steps=(step,), model=str(model), fingerprint=fingerprint(ganvas.load(model)), effort="fast")
    return made.save(tmp_path / "pull.json")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "deeper/c.png")):
        pixels = np.random.RandomState(i).randint(0, 256, (36, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def run(*words):
    result = CliRunner().invoke(app, ["batch", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=result.output)


def test_every_photo_gets_the_editing(photos, recipe, tmp_path):
    result = run(photos, tmp_path / "out", "--recipe", recipe)
    assert result.code == 0 and "2 saved, 0 failed" in result.text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]
    done = read_image(tmp_path / "out" / "a.png")
    assert Recipe.from_json(done.recipe).steps == Recipe.load(recipe).steps
    assert Recipe.from_json(done.recipe).model == Recipe.load(recipe).model
    old, new = (np.asarray(Image.open(folder / "a.png")) for folder in (photos, tmp_path / "out"))
    assert (old != new).any() and (old[:, :2] == new[:, :2]).all()  # the middle square only
    deep = run(photos, tmp_path / "deep", "--recipe", recipe, "--recursive", "--suffix", "new", "--ext", "webp")
    assert deep.code == 0 and (tmp_path / "deep" / "deeper" / "c_new.webp").is_file()


def test_a_bad_file_is_named_at_the_end_and_stops_nothing(photos, recipe, tmp_path):
    (photos / "aa.png").write_text("not a picture")
    result = run(photos, tmp_path / "out", "--recipe", recipe)
    assert result.code == 1
    assert "2 saved, 1 failed" in result.text
    assert "aa.png" in result.text.split("1 failed")[1]
    assert (tmp_path / "out" / "b.jpg").is_file()


def test_results_that_are_there_are_left(photos, recipe, tmp_path):
    run(photos, tmp_path / "out", "--recipe", recipe)
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    (tmp_path / "out" / "b.jpg").unlink()
    result = run(photos, tmp_path / "out", "--recipe", recipe, "--skip-existing")
    assert result.code == 0 and "1 saved, 1 skipped" in result.text
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before


def test_what_cannot_be_done_is_said_before_the_work(photos, recipe, tmp_path, model):
    with pytest.raises(BadConfig, match=r"not a folder.*ganvas edit"):
        run(photos / "a.png", tmp_path / "out", "--recipe", recipe)
    with pytest.raises(BadConfig, match="overwritten by its own result"):
        run(photos, photos, "--recipe", recipe)
    with pytest.raises(BadConfig, match="cannot be read as a recipe"):
        run(photos, tmp_path / "out", "--recipe", tmp_path / "none.json")
    assert run(photos, tmp_path / "out", "--recipe", recipe, "--engine", "spark").code == 2
    torch.manual_seed(1)
    other = save(ganvas.build("stylegan2", **TINY), tmp_path / "other.safetensors")
    with pytest.raises(BadConfig, match="this recipe was made with"):
        run(photos, tmp_path / "out", "--recipe", recipe, "--model", other)


def test_without_ray_its_engine_says_what_to_install(photos, recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"ganvas\[ray\]"):
        run(photos, tmp_path / "out", "--recipe", recipe, "--engine", "ray")


def test_a_ray_that_does_not_start_is_said_in_a_line(photos, recipe, tmp_path, monkeypatch):
    class NoCluster:
        def init(self, **options):
            raise Exception("the node timed out")

    monkeypatch.setitem(sys.modules, "ray", NoCluster())
    with pytest.raises(GanvasError, match=r"does not start: the node timed out.*--engine local"):
        run(photos, tmp_path / "out", "--recipe", recipe, "--engine", "ray")


class FakeRay:
    """Ray's few calls that are used, in this process: what the two sides say to each other is real."""

    class exceptions:
        RayError = RuntimeError

    def init(self, **options):
        self.options = options

    def remote(self, cls):
        def start(*args):
            actor = cls(*args)
            return SimpleNamespace(try_edit=SimpleNamespace(remote=lambda task: (actor, task)))

        return SimpleNamespace(remote=start)

    def get(self, answer):
        actor, task = answer
        if task.source.name == "b.jpg":
            raise RuntimeError("first line\nthe node went away")
        return actor.try_edit(task)


def test_ray_does_the_same_and_names_what_fails(photos, recipe, tmp_path, monkeypatch):
    run(photos, tmp_path / "local", "--recipe", recipe)
    (photos / "aa.png").write_text("not a picture")
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    result = run(photos, tmp_path / "out", "--recipe", recipe, "--engine", "ray")
    assert result.code == 1 and "1 saved, 2 failed" in result.text
    assert "the node went away" in result.text and "aa.png" in result.text
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "local" / "a.png").read_bytes()


def test_on_a_real_ray(photos, recipe, tmp_path, model):
    """Two workers, one broken file. Needs the extra [ray]."""
    pytest.importorskip("ray")
    (photos / "aa.png").write_text("not a picture")
    made = Recipe.load(recipe)
    todo = list_tasks(photos, tmp_path / "out", suffix="")
    engine = RayEditor(BatchSettings(str(model), made.to_json(), "fast", FaceChoice()), todo, workers=2)
    try:
        assert engine.wait_for(todo[0]) == tmp_path / "out" / "a.png"
        with pytest.raises(GanvasError, match=r"aa\.png"):
            engine.wait_for(todo[1])
    finally:
        engine.ray.shutdown()


def test_an_editor_loads_its_model_once(photos, recipe, tmp_path, model, monkeypatch):
    editor = Editor(BatchSettings(str(model), Recipe.load(recipe).to_json(), "fast", FaceChoice()))
    monkeypatch.setattr("ganvas.weights.load.load", None)  # a second time would be an error
    for name in ("a.png", "b.jpg"):
        assert editor.edit(Task(photos / name, tmp_path / "out" / name)).is_file()


def test_a_warning_says_which_photo_breaks_up(photos, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.session.session.find_breakups", lambda *_, **__: (Breakup("smile", 2.0, 0.9),))
    made = Recipe.load(recipe)
    editor = Editor(BatchSettings(made.model, made.to_json(), "fast", FaceChoice()))
    with pytest.warns(EditWarning, match=r"a\.png: smile: at \+2\.00 the picture breaks up; it holds to \+0\.90"):
        editor.edit(Task(photos / "a.png", tmp_path / "a.png"))
