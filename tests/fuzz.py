"""Fuzzing of what comes from strangers: pictures, weights, recipes, labels and projects.

    python -m tests.fuzz images --seconds 600 --folder fuzzed     coverage-guided, with the extra [dev] (atheris)

Each run keeps its corpus in FOLDER/images, so that the next one goes on from there, and writes what it found (an error
that is not ours, an input that takes long) to FOLDER/findings. Without atheris, and in the test suite, inputs are
changed at random: `check_at_random`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

SLOW_SEC = 5.0
Target = Callable[[bytes], None]


def check_images(data: bytes) -> None:
    """Any bytes are a picture of finite numbers, or a BadImage."""
    from ganvas.images.files import read_image

    photo = read_image(data, max_pixels=200_000)
    assert photo.img.isfinite().all() and photo.img.abs().max() <= 1


def check_weights(data: bytes) -> None:
    """Any file is inert data, or a WeightsError."""
    from ganvas.weights.open_file import open_file

    path = Path(tempfile.gettempdir()) / "case.pkl"
    path.write_bytes(data)
    open_file(path)


def check_recipes(data: bytes) -> None:
    """Any text is a recipe that comes back the same, or a BadConfig."""
    from ganvas.editing.recipe import Recipe

    recipe = Recipe.from_json(data.decode("utf-8", "surrogateescape"))
    assert Recipe.from_json(recipe.to_json()) == recipe


def check_labels(data: bytes) -> None:
    """Any table or listing gives labels of pictures, or a BadInput."""
    from ganvas.datasets.labels import find_labels, match_labels

    names, folder = ["a/1.png", "b/2.png", "ü.jpg"], Path(tempfile.gettempdir())
    source = SimpleNamespace(
        items=[SimpleNamespace(name=name) for name in names], path=folder, labels_from="x", listing=lambda: data
    )
    suffix = (".csv", ".jsonl", ".tsv", "")[data[0] % 4] if data else ""
    if suffix:
        (folder / f"labels{suffix}").write_bytes(data[1:])
    table = find_labels(source, f"{folder}/labels{suffix}" if suffix else None)  # type: ignore[arg-type]
    if table is not None:
        match_labels(table, names)


def check_projects(data: bytes) -> None:
    """Any archive, and any card in one that is whole, is a project, or a BadImage."""
    from ganvas.session.project_file import CARD, parse_project_file

    file = data if data[:2] == b"PK" else _zip({CARD: data, "original-0": b"x"})
    parse_project_file(io.BytesIO(file), upload_bytes=1 << 20)


TARGETS: dict[str, Target] = {
    "images": check_images,
    "weights": check_weights,
    "recipes": check_recipes,
    "labels": check_labels,
    "projects": check_projects,
}


# ---------------------------------------------------------------------------------------------------------------------
# What to begin with


def honest_inputs(name: str) -> list[bytes]:
    """Small inputs of every kind that the target takes."""
    if name == "images":
        from tests.images.test_broken_files import whole_files

        return list(whole_files().values())
    if name == "weights":
        from tests.weights.fuzz import seeds

        with tempfile.TemporaryDirectory() as folder:
            return [path.read_bytes() for path in seeds(Path(folder) / "seeds") if path.stat().st_size < 20_000]
    if name == "recipes":
        return [text.encode() for text in _recipes()]
    if name == "projects":
        return _projects()
    listing = json.dumps({"labels": [["a/1.png", 0], ["b/2.png", [1.0]]], "class_names": ["x", "y"]})
    tables = ["name,kind\na/1.png,cat\nb\\2.png,dog\n", '"ü.jpg";1\n', '{"file_name": "a/1.png", "kind": "x"}\n']
    return [bytes((kind,)) + text.encode() for kind, text in enumerate([*tables[:1], tables[2], tables[1], listing])]


def _recipes() -> list[str]:
    from ganvas.editing.recipe import STEPS, Recipe, step_to_data

    one_each = [step_to_data(step()) for step in STEPS.values() if _has_defaults(step)]
    empty = json.loads(Recipe().to_json())
    return [json.dumps({**empty, "steps": [step]}) for step in one_each] + [json.dumps({**empty, "steps": one_each})]


def _projects() -> list[bytes]:
    from ganvas.editing.recipe import Recipe
    from ganvas.session.project_file import build_project_file, parse_project_file
    from ganvas.session.records import LayerRecord, PhotoRecord

    layer = LayerRecord(face=None, history=(Recipe(seed=1), Recipe(seed=2)), at=1, inversion=None)
    photo = PhotoRecord(name="a", original=b"x", model="faces", layers=(layer,), needs_face=False)
    whole = build_project_file([photo], name="holiday")
    assert parse_project_file(io.BytesIO(whole), upload_bytes=9).name == "holiday"
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return [whole, archive.read("card.json")]


def _has_defaults(step: type) -> bool:
    try:
        step()
    except Exception:
        return False
    return True


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# Running


def run_once(target: Target, data: bytes) -> str | None:
    """What was wrong with an input: a traceback, or how long it took; None = it was read, or refused in words."""
    from ganvas.errors import GanvasError

    started = time.process_time()
    try:
        target(data)
    except GanvasError:
        pass
    except BaseException:
        return traceback.format_exc()
    took = time.process_time() - started
    return f"{took:.1f} CPU seconds" if took > SLOW_SEC else None


def check_at_random(name: str, count: int, *, seed: int = 0) -> list[str]:
    """Findings among `count` honest inputs that were changed at random."""
    from tests.weights.fuzz import mutate

    chance, inputs = random.Random(seed), honest_inputs(name)
    cases = (mutate(chance.choice(inputs), chance) for _ in range(count))
    return [found for data in cases if (found := run_once(TARGETS[name], data)) is not None]


def fuzz(name: str, seconds: int, folder: Path) -> None:
    """Coverage-guided, until the time is over; prints libFuzzer's figures."""
    import atheris

    corpus, findings = folder / name, folder / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=["ganvas"]):
        inputs = honest_inputs(name)
        for data in inputs:
            run_once(TARGETS[name], data)  # imports what is imported when needed
    for data in inputs:
        (corpus / hashlib.sha1(data).hexdigest()).write_bytes(data)
    seen: set[str] = set()

    def one(data: bytes) -> None:
        found = run_once(TARGETS[name], data)
        what = found and "\n".join(found.splitlines()[-3:])
        if found and what and what not in seen:
            seen.add(what)
            stem = f"{name}-{hashlib.sha1(data).hexdigest()[:12]}"
            (findings / stem).write_bytes(data)
            (findings / f"{stem}.txt").write_text(found)
            print(f"FOUND {stem}: {what}", file=sys.stderr, flush=True)

    options = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, "-max_len=20000", f"-artifact_prefix={findings}/", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path("fuzzed"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as own:
        tempfile.tempdir = own
        fuzz(arguments.name, arguments.seconds, arguments.folder.absolute())


if __name__ == "__main__":
    main()
