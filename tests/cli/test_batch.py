"""ganvas batch on a tiny generator: every photo gets the editing, what fails is named, what is there can be left."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import ganvas
import ganvas.session.batch_editor
from ganvas.cli import batch_engines
from ganvas.cli.batch_engines import edit_on_ray
from ganvas.cli.main import app
from ganvas.editing.drag import Drag
from ganvas.editing.mix import encode_latent
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig, EditWarning, GanvasError, MissingExtra
from ganvas.images.batch_paths import Task, list_tasks
from ganvas.images.files import read_image
from ganvas.inversion.optimise import EFFORT_STAGES
from ganvas.ops.worker_pool import share_out
from ganvas.session.batch_editor import BatchEditor, BatchSettings
from ganvas.session.breakup import Breakup
from ganvas.weights.checkpoint import fingerprint, save
from tests.cli.test_edit import TINY

pytestmark = pytest.mark.usefixtures("short_searches")
# The weights that the tests' machine may have make faces slow and nothing else.
NO_EYES = {
    "ganvas.session.batch_editor.load_efficientnet_if_available": lambda: None,
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
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "batch.jsonl"]
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


def hashes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"}


def start_short_editor(*settings):
    """What `short_searches` and `model` replace is replaced in another process, too."""
    for effort, stages in EFFORT_STAGES.items():
        EFFORT_STAGES[effort] = tuple(dataclasses.replace(stage, steps=3) for stage in stages)
    ganvas.session.batch_editor.load_efficientnet_if_available = lambda: None
    return batch_engines.start_editor(*settings)


def test_other_processes_write_the_same_bytes(photos, recipe, tmp_path, monkeypatch):
    """One is enough here; how several share the work is tested with the pool."""

    def share_with_one(todo, start, *, workers, tries):
        assert workers == 2
        return share_out(todo, start, workers=1, tries=tries)

    (photos / "aa.png").write_text("not a picture")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(photos, tmp_path / "one", "--recipe", recipe)
    monkeypatch.setattr(batch_engines, "start_editor", start_short_editor)
    monkeypatch.setattr(batch_engines, "share_out", share_with_one)
    result = run(photos, tmp_path / "two", "--recipe", recipe, "--workers", "2")
    assert result.code == 1 and "2 saved, 1 failed" in result.text and "aa.png" in result.text.split("1 failed")[1]
    assert hashes(tmp_path / "two") == hashes(tmp_path / "one")


def test_the_same_command_again_does_what_is_missing_or_has_changed(photos, recipe, tmp_path):
    out = tmp_path / "out"
    run(photos, out, "--recipe", recipe)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    result = run(photos, out, "--recipe", recipe)
    assert result.code == 0 and "0 saved, 2 skipped" in result.text
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (photos / "a.png").write_bytes((photos / "deeper" / "c.png").read_bytes())
    (out / "b.jpg").unlink()
    assert "2 saved, 0 failed" in run(photos, out, "--recipe", recipe).text
    assert "2 saved, 0 failed" in run(photos, out, "--recipe", recipe, "--no-disclose").text


def test_shards_are_all_photos_once(photos, recipe, tmp_path):
    for shard in ("1/2", "2/2"):
        result = run(photos, tmp_path / "out", "--recipe", recipe, "--recursive", "--shard", shard)
        assert result.code == 0
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {"a.png", "b.jpg", "deeper/c.png", "batch-1-of-2.jsonl", "batch-2-of-2.jsonl"}
    assert "1 saved" not in result.text  # of one photo there is nothing to count
    assert run(photos, tmp_path / "out", "--recipe", recipe, "--shard", "3/2").code == 2


def test_on_a_real_ray(photos, recipe, tmp_path, model):
    """Two actors, one broken file, and Ray Data's map_batches."""
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    (photos / "aa.png").write_text("not a picture")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)  # two actors and who reads for them
    editing = BatchSettings.of(Recipe.load(recipe))
    todo = list_tasks(photos, tmp_path / "out", suffix="")
    try:
        outcomes = dict(edit_on_ray(editing, 2, todo))
        assert isinstance(outcomes.pop(todo[1]), GanvasError)
        assert sorted(outcomes.values()) == [tmp_path / "out" / "a.png", tmp_path / "out" / "b.jpg"]
        data = ray.data.read_binary_files([str(task.source) for task in todo], include_paths=True)
        rows = data.map_batches(BatchEditor, fn_constructor_args=(editing,), batch_size=1, concurrency=2).take_all()
        assert {row["name"]: row["bytes"] for row in rows if not row["error"]} == hashes(tmp_path / "out")
    finally:
        ray.shutdown()


def test_an_editor_takes_the_batches_of_ray_data(photos, recipe, tmp_path):
    run(photos, tmp_path / "out", "--recipe", recipe)
    (photos / "aa.png").write_text("not a picture")
    paths = sorted(photos.glob("*.*"))
    data = np.empty(3, dtype=object)
    data[:] = [path.read_bytes() for path in paths]
    editor = BatchEditor(BatchSettings.of(Recipe.load(recipe)))
    result = editor({"path": np.array([str(path) for path in paths]), "bytes": data})
    assert list(result["name"]) == ["a.png", "", "b.jpg"] and "aa.png: " in result["error"][1]
    assert dict(zip(result["name"][::2], result["bytes"][::2], strict=True)) == hashes(tmp_path / "out")
    with pytest.raises(BadConfig, match=r"include_paths=True"):
        editor({"bytes": data})


def test_an_editor_loads_its_model_once(photos, recipe, tmp_path, model, monkeypatch):
    editor = BatchEditor(BatchSettings.of(Recipe.load(recipe)))
    monkeypatch.setattr("ganvas.session.batch_editor.load", None)  # a second time would be an error
    for name in ("a.png", "b.jpg"):
        assert editor.edit(Task(photos / name, tmp_path / "out" / name)).is_file()


def test_a_warning_says_which_photo_breaks_up(photos, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.session.session.find_breakups", lambda *_, **__: (Breakup("smile", 2.0, 0.9),))
    made = Recipe.load(recipe)
    editor = BatchEditor(BatchSettings.of(made))
    with pytest.warns(EditWarning, match=r"a\.png: smile: at \+2\.00 the picture breaks up; it holds to \+0\.90"):
        editor.edit(Task(photos / "a.png", tmp_path / "a.png"))


def test_what_the_recipe_does_to_a_folder_is_measured(photos, recipe, tmp_path):
    words = ["evaluate", "edits", photos, "--recipe", recipe, "--align", "centre", "-o", tmp_path / "edits.json"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "edits: 3 pictures measured, 0 not" in result.output and "recipe pull.json" in result.output
    rows = json.loads((tmp_path / "edits.json").read_text())["rows"]
    assert [row["file"] for row in rows] == ["a.png", "b.jpg", "deeper/c.png"]
    assert all(row["inside_levels"] > 0 == row["outside_changed"] for row in rows)
