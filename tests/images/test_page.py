"""The examples of docs/images.md, run as a reader would run them."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "images.md"


@pytest.mark.skipif(not PAGE.exists(), reason="installed without its docs")
def test_the_pages_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    assert len(examples) == 3
    exec(compile("\n".join(examples), str(PAGE), "exec"), {})
    assert (tmp_path / "pasted.png").exists()
    assert all((PAGE.parent / link).exists() for link in re.findall(r"\]\((images/[^)]+)\)", PAGE.read_text("utf-8")))
