"""The commands as a user types them: on tiny generators made on the spot, with marks whose meaning is known."""

import csv
import json
import time

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ganvas
from ganvas.cli.main import app
from ganvas.editing.direction_files import directions_of
from ganvas.editing.directions import load_directions
from ganvas.editing.discovery.calibration import score_latents
from ganvas.errors import BadConfig, BadLatent, GanvasError
from ganvas.images.files import read_image, write_image
from ganvas.images.photo import Photo
from ganvas.inversion.result import Inversion
from ganvas.models.seeds import latents_from_seeds
from ganvas.weights.checkpoint import fingerprint

TINY = {"img_resolution": 16, "channel_base": 128, "channel_max": 16, "z_dim": 16, "w_dim": 16, "num_mapping_layers": 2}
SMALL = {"img_resolution": 64, "channel_base": 512, "channel_max": 32, "z_dim": 64, "w_dim": 64}


def built(folder, **fields):
    torch.manual_seed(0)
    G = ganvas.build("stylegan2", **fields).eval()
    return G, ganvas.save(G, folder / "tiny.safetensors")


@pytest.fixture
def tiny(tmp_path):
    return built(tmp_path, **TINY)


def run(*words):
    result = CliRunner().invoke(app, ["directions", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def of_seeds(G, seeds, psi=0.7):
    with torch.no_grad():
        return G.mapping(latents_from_seeds(seeds, G.z_dim), truncation_psi=psi)


def red(img):
    """A score with a known meaning: how red a picture is beside its green."""
    return (img[:, 0] - img[:, 1]).mean(dim=(1, 2))


def redness(G, ws):
    return score_latents(G, lambda img: {"red": red(img)}, ws)["red"]


def table(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_two_hundred_marks_teach_a_64_px_model_a_slider_in_minutes(tmp_path):
    """The issue's own case, from the marks to the picture that moves."""
    G, model = built(tmp_path, **SMALL)
    values = redness(G, of_seeds(G, range(200)))
    marks = [{"seed": i, "red": "yes" if v > values.median() else "no"} for i, v in enumerate(values)]
    started = time.process_time()
    done = run("learn", "red", "--model", model, "--scores", table(tmp_path / "marks.csv", marks))
    assert time.process_time() - started < 120
    assert done.exit_code == 0, done.output
    assert "AUC" in done.output and "200 in all" in done.output
    found = directions_of(fingerprint(G))["red"]
    assert found.facts["auc"] > 0.8
    fresh = of_seeds(G, range(1000, 1020))
    up, down = (redness(G, fresh + a * found.vector) for a in (1, -1))
    assert (up > down).float().mean() > 0.9
    moved = (up - down).mean() / 2 / redness(G, fresh).std()
    assert 0.3 < moved < 2, "a unit is about one standard deviation"


def test_columns_to_keep_are_kept(tmp_path):
    """Two scores that go together; the one that is kept hardly moves."""
    G, model = built(tmp_path, **TINY)
    w = of_seeds(G, range(300))[:, 0]
    a, b = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    scores = {"one": w @ (a + b), "other": w @ b}
    rows = [{"seed": i, **{n: f"{v[i]:.6f}" for n, v in scores.items()}} for i in range(300)]
    done = run("learn", "one", "--model", model, "--scores", table(tmp_path / "s.csv", rows), "--keep", "other",
               "--leakage", tmp_path / "leak.png", "--sheet", tmp_path / "sheet.png")  # fmt: skip
    found = directions_of(fingerprint(G))["one"]
    step = found.vector[0]
    assert abs(float(step @ b)) < 0.02 * abs(float(step @ (a + b)))
    assert "other" in done.output and "R²" in done.output
    assert read_image(tmp_path / "leak.png").width > 100
    assert read_image(tmp_path / "sheet.png").width > 5 * 16


def test_the_metric_and_the_confounders_are_the_users_choice(tmp_path, tiny):
    G, model = tiny
    w = of_seeds(G, range(300))[:, 0]
    turn, width = ((w - w.mean(dim=0)) / w.std(dim=0)).T[:2]
    rows = [{"seed": i, "wide": float(width[i] - 2 * turn[i] ** 2), "turn": float(turn[i])} for i in range(300)]
    scores = table(tmp_path / "s.csv", rows)
    said = run("learn", "wide", "--model", model, "--scores", scores).output
    plain = run("learn", "wide", "--model", model, "--scores", scores, "--metric", "plain").output
    clean = run("learn", "wide", "--model", model, "--scores", scores, "--confounders", "turn").output
    assert "natural standard deviations a unit" in said and "natural standard deviations" not in plain
    before, after = (float(text.split("R² ")[1].split()[0]) for text in (said, clean))
    assert after > 0.9 > before + 0.1  # what a turn to either side does is out of the score
    with pytest.raises(BadConfig, match="no column 'age'"):
        run("learn", "wide", "--model", model, "--scores", scores, "--confounders", "age")


def test_likes_and_folders_and_tables_of_files_agree(tmp_path, tiny):
    G, model = tiny
    slope = torch.randn(16, generator=torch.Generator().manual_seed(2))
    ws = of_seeds(G, range(60))
    liked = [i for i in range(60) if ws[i, 0] @ slope > (ws[:, 0] @ slope).median()]
    disliked = [i for i in range(60) if i not in liked]
    for seeds, folder in ((liked, "yes"), (disliked, "no")):
        (tmp_path / folder).mkdir()
        for i in seeds:
            Inversion(ws=ws[i : i + 1], fingerprint=fingerprint(G)).save(tmp_path / folder / f"{i:03}.npz")
    rows = [{"file": f"{'yes' if i in liked else 'no'}/{i:03}.npz", "c": int(i in liked)} for i in (*liked, *disliked)]
    run("learn", "a", "--model", model, "--like", ",".join(map(str, liked)), "--dislike", ",".join(map(str, disliked)))
    run("learn", "b", "--model", model, "--positive", tmp_path / "yes", "--negative", tmp_path / "no")
    run("learn", "c", "--model", model, "--scores", table(tmp_path / "t.csv", rows))
    found = directions_of(fingerprint(G))
    for name in "bc":
        assert torch.allclose(found[name].vector, found["a"].vector, rtol=1e-2, atol=1e-4), name
    assert "a: w" in run("list", "--model", model).output
    assert found["a"].facts["origin"] == "ganvas directions learn"


def test_latents_of_other_tools_are_samples_too(tmp_path, tiny):
    G, model = tiny
    ws = of_seeds(G, range(20))
    for i in range(20):
        folder = tmp_path / ("yes" if i < 10 else "no")
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{i}.npy", ws[i].numpy() if i % 2 else ws[i, :1].numpy())
    run("learn", "a", "--model", model, "--positive", tmp_path / "yes", "--negative", tmp_path / "no")
    run("learn", "b", "--model", model, "--like", "0-9", "--dislike", "10-19")
    found = directions_of(fingerprint(G))
    assert sorted(p.name for p in (tmp_path / "yes").iterdir())[0] == "0.npy"
    assert torch.nn.functional.cosine_similarity(found["a"].vector, found["b"].vector).item() > 0.9
    assert found["a"].facts["range"] == "not measured"
    np.save(tmp_path / "yes" / "wide.npy", np.ones((1, 512), np.float32))
    with pytest.raises(BadLatent, match=r"wide.npy has latents \[1, 512\]"):
        run("learn", "a", "--model", model, "--positive", tmp_path / "yes", "--negative", tmp_path / "no")


def test_photos_are_searched_for_once(tmp_path, tiny, monkeypatch):
    G, model = tiny
    ws = of_seeds(G, range(12))
    with torch.no_grad():
        img = G.synthesis(ws).clamp(-1, 1)
    for i in range(12):
        folder = tmp_path / ("yes" if i % 2 else "no")
        folder.mkdir(exist_ok=True)
        write_image(Photo(img=img[i : i + 1]), folder / f"{i}.png")
    searched = []

    def search(photo, *, model, effort):
        searched.append(photo)
        return type("Session", (), {"inversion": Inversion(ws=ws[int(photo.stem)][None], fingerprint=fingerprint(G))})

    monkeypatch.setattr("ganvas.session.open.open_session", search)
    for _ in range(2):
        run("learn", "odd", "--model", model, "--positive", tmp_path / "yes", "--negative", tmp_path / "no")
    assert len(searched) == 12, "what was found is kept"
    assert directions_of(fingerprint(G))["odd"].facts["samples"] == 12


def test_style_channels_can_be_learnt_and_ranked(tmp_path, tiny):
    G, model = tiny
    values = redness(G, of_seeds(G, range(120)))
    rows = [{"seed": i, "red": f"{v:.5f}"} for i, v in enumerate(values)]
    path = table(tmp_path / "red.csv", rows)
    run("learn", "red", "--model", model, "--scores", path, "--space", "s")
    run(
        "learn",
        "red",
        "--model",
        model,
        "--scores",
        path,
        "--space",
        "s",
        "--channels",
        3,
        "-o",
        tmp_path / "few.safetensors",
    )
    whole, few = directions_of(fingerprint(G))["red"], load_directions(tmp_path / "few.safetensors")["red"]
    assert (whole.space, few.space) == ("s", "s")
    assert int((few.vector != 0).sum()) == 3
    ws = of_seeds(G, range(500, 520))
    for direction in (whole, few):
        judge = lambda img: {"red": red(img)}  # noqa: E731
        up, down = (score_latents(G, judge, ws, direction, amount)["red"].mean() for amount in (1, -1))
        assert up > down, direction.facts


def test_a_scorer_marks_samples_and_measures_what_comes_out(tmp_path, tiny):
    G, model = tiny
    done = run("learn", "paler", "--model", model, "--scorer", "skin_light", "--samples", 150, "--layers", "auto")
    assert "effect of each row" in done.output
    found = directions_of(fingerprint(G))["paler"]
    assert found.layers and found.low <= 0 <= found.high
    assert "measured on" in found.facts["range"]
    done = run(
        "report", "--model", model, "--scorers", "skin_light,hair_light", "--seeds", "0-19", "--outdir", tmp_path / "r"
    )
    told = json.loads((tmp_path / "r" / "report.json").read_text())
    assert told["leakage"]["columns"] == ["skin_light", "hair_light"]
    means = told["responses"][0]["means"]["skin_light"]
    assert means[-1] > means[0]
    assert "![paler](paler.jpg)" in (tmp_path / "r" / "report.md").read_text()
    assert read_image(tmp_path / "r" / "paler.jpg").width > 5 * 16
    mixed = run("learn", "rows", "--model", model, "--scorer", "skin_light", "--samples", 60, "--space", "w+")
    assert mixed.exit_code == 0
    assert directions_of(fingerprint(G))["rows"].vector.shape == (G.num_ws, 16)


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_are_found_shown_and_kept_under_a_name(tmp_path, tiny, method):
    G, model = tiny
    done = run("find", "--model", model, "--method", method, "--count", 3, "--layers", "0-1",
               "--sheet", tmp_path / "s.png", "--name", "1=pose")  # fmt: skip
    assert f"{method}-2" in done.output
    found = directions_of(fingerprint(G))
    assert list(found) == ["pose"]
    assert found["pose"].facts["method"] == method
    assert found["pose"].layers == (0, 1)
    assert read_image(tmp_path / "s.png").width > 5 * 16


def test_directions_of_other_tools_are_taken(tmp_path, tiny):
    G, model = tiny
    vector = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    np.save(tmp_path / "my_smile_w_boundary.npy", vector)
    run("import", tmp_path / "my_smile_w_boundary.npy", "--model", model, "--name", "smile")
    found = directions_of(fingerprint(G))["smile"]
    assert found.vector.numpy() == pytest.approx(vector)
    assert "InterFaceGAN" in found.facts["method"]
    np.save(tmp_path / "my_smile_boundary.npy", vector)
    with pytest.raises(BadLatent, match="is in z space"):
        run("import", tmp_path / "my_smile_boundary.npy", "--model", model)
    np.save(tmp_path / "wide.npy", np.ones((1, 512), np.float32))
    with pytest.raises(BadLatent, match="another generator"):
        run("import", tmp_path / "wide.npy", "--model", model)


def test_a_new_direction_takes_the_old_ones_place_and_the_others_stay(tiny):
    G, model = tiny
    run("find", "--model", model, "--name", "0=first", "--name", "1=second")
    before = directions_of(fingerprint(G))
    run("find", "--model", model, "--name", "2=first")
    after = directions_of(fingerprint(G))
    assert set(after) == {"first", "second"}
    assert torch.equal(after["second"].vector, before["second"].vector)
    assert not torch.equal(after["first"].vector, before["first"].vector)


@pytest.mark.parametrize(
    "words",
    [
        ("learn", "hat"),
        ("learn", "hat", "--like", "0-9", "--scorer", "smile"),
        ("learn", "hat", "--positive", "."),
        ("learn", "a b", "--like", "0-9"),
        ("learn", "hat", "--like", "0-9", "--dislike", "10-19", "--layers", "auto"),
        ("find", "--method", "magic"),
        ("find", "--name", "99=pose"),
    ],
)
def test_wrong_usage_is_answered(tiny, words):
    assert run(*words, "--model", tiny[1]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("learn", "hat", "--like", "0-3", "--dislike", "4-7"), "ten samples"),
        (("learn", "hat", "--like", "0-9", "--dislike", "10-19", "--keep", "age"), "cannot keep 'age'"),
        (("learn", "hat", "--like", "0-9", "--dislike", "10-19", "--space", "w+"), "rows of ws are the same"),
        (("learn", "hat", "--scorer", "smiel"), "unknown face scorer"),
        (("report", "--only", "hat", "--outdir", "r"), "unknown direction"),
    ],
)
def test_what_cannot_be_done_is_said(tiny, words, said):
    with pytest.raises(GanvasError, match=said):
        run(*words, "--model", tiny[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("seed\n1\n", "no column of numbers"),
        ("name,smile\na,1\n", "needs a column 'seed' or 'file'"),
        ("seed,smile\nx,1\n", "must be integers"),
    ],
)
def test_a_table_that_does_not_fit_is_said(tmp_path, tiny, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(BadConfig, match=said):
        run("learn", "smile", "--model", tiny[1], "--scores", tmp_path / "t.csv")


def test_unknown_cells_are_left_out(tmp_path, tiny):
    G, model = tiny
    rows = [{"seed": i, "hat": "" if i >= 30 else ("like" if i % 2 else "dislike"), "who": "me"} for i in range(40)]
    run("learn", "hat", "--model", model, "--scores", table(tmp_path / "t.csv", rows))
    assert directions_of(fingerprint(G))["hat"].facts["samples"] == 30
    with pytest.raises(BadConfig, match="no column 'cap'"):
        run("learn", "cap", "--model", model, "--scores", tmp_path / "t.csv")
