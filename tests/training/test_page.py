"""docs/training.md does what it says: its Python runs, and its tables name what there is."""

import re
from pathlib import Path

import pytest
from PIL import Image

from ganvas.training.engine.watchdog import REMEDIES, RUN_ENDING
from ganvas.training.generator.presets import GENERATOR_PRESETS
from tests.training import tiny

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i, pixels in enumerate(tiny.pictures(12, 64)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path


def test_ones_own_modules_learn_as_the_page_shows(photos, capsys):
    (block,) = [block for block in BLOCKS if "class Generator" in block]
    names = {"__name__": "page"}
    exec(block.replace("minutes=10", "total_kimg=0.048"), names)
    assert names["done"].finished and names["done"].nimg == 48
    assert capsys.readouterr().out.count("Status(step=") == 3


def test_a_preset_from_python_as_the_page_shows(photos):
    (block,) = [block for block in BLOCKS if "PRESETS" in block]
    preset = 'GENERATOR_PRESETS["style-64-cpu"].config'
    small = f"dataclasses.replace({preset}, total_kimg=0.016)"
    exec("import dataclasses\n" + block.replace(preset, small), {"__name__": "page"})
    assert Image.open(photos / "new.png").size == (64, 64) and (photos / "runs" / "mine" / "report.html").exists()


def test_every_preset_named_is_there_and_every_cpu_preset_is_named():
    named = set(re.findall(r"`((?:mlp|dcgan|style|r3|fast|sg3)-[\w-]+)`", PAGE))
    assert named <= set(GENERATOR_PRESETS)
    assert {name for name in GENERATOR_PRESETS if name.endswith(("cpu", "small"))} <= named


def test_the_watchdogs_table_has_a_row_for_each_trouble():
    rows = PAGE.split("| it reports | and does |")[1].split("\n\n")[0].strip().splitlines()[1:]
    assert len(rows) == len(REMEDIES) + len(RUN_ENDING)
