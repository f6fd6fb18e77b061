"""docs/coming-from.md does what it says: each row's command is resolved as far as it goes without data."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ganvas.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
CELLS = [cells[1] for line in PAGE.splitlines() if len(cells := re.split(r" \| ", line.strip("| "))) == 2]
CODE = [code for cell in CELLS[1:] for code in re.findall(r"`(ganvas[^`]*)`", cell)]
COMMANDS = [code for code in CODE if code.startswith("ganvas ")]
TRAININGS = [code for code in COMMANDS if code.split()[1].startswith("train") and "FILE" not in code]
COMMAND = typer.main.get_command(app)


def find_command(words):
    command, words = COMMAND, list(words)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    return command, words


def test_every_row_has_something_that_is_checked_or_says_no():
    rows = [cell for cell in CELLS if cell != "here" and not cell.startswith("---")]
    told = ("**no**", "`ganvas", "torchrun")
    assert len(rows) > 60 and all(any(word in cell for word in told) for cell in rows)


@pytest.mark.parametrize("code", COMMANDS)
def test_every_option_is_there(code):
    command, words = find_command(shlex.split(code)[1:])
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= known


def same(one, other):
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other


@pytest.mark.parametrize("code", TRAININGS)
def test_every_training_resolves_to_a_configuration(code):
    words = [word.replace("DATA", "some-data") for word in shlex.split(code)[1:]]
    result = CliRunner().invoke(app, [*words, "--dry-run"])
    assert result.exit_code == 0, result.output
    for name, value in re.findall(r"--set (\S+)=(\S+)", code):
        shown = re.search(rf'"?{name.rpartition(".")[2]}"?(?: =|:) "?([^",}}\n]+)', result.output)
        assert shown and same(shown[1], value), name


@pytest.mark.parametrize("name", [code for code in CODE if " " not in code])
def test_every_name_imports(name):
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))
