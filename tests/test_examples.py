"""The examples run, and do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.images.files import read_image

ROOT = Path(__file__).parents[1]


def run(name, *arguments):
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {"translator", "own_loop"}


@pytest.mark.parametrize("kimg", [0.05])
def test_a_translator_from_nothing(tmp_path, kimg):
    said = run("translator.py", "--outdir", tmp_path, "--kimg", kimg)
    assert "pairs in" in said
    assert (tmp_path / "run" / "AtoB.safetensors").is_file() and (tmp_path / "run" / "report.html").is_file()
    assert read_image(tmp_path / "before-after.png").width > 3 * 96


def test_a_loop_of_ones_own_goes_on_where_it_was(tmp_path):
    assert "to image 64" in run("own_loop.py", "--outdir", tmp_path, "--steps", 4)
    assert "from image 64" in run("own_loop.py", "--outdir", tmp_path, "--steps", 1)
    assert (tmp_path / "model.safetensors").is_file()
