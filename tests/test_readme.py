"""The manual cannot rot: every command in it is understood by the command line, every snippet names what is there."""

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer

import ganvas
from ganvas.cli.main import app
from ganvas.session.session import Session

ROOT = Path(__file__).parents[1]
COMMAND = typer.main.get_command(app)
SESSION_NAMES = {*dir(Session), *re.findall(r"self\.(\w+)", inspect.getsource(Session.__init__))}
PAGES = sorted([ROOT / "README.md", ROOT / "README.ko.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def blocks(page, *languages):
    """The fenced blocks of a page in these languages ("" = none given)."""
    found, inside, language = [], None, ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("```"):
            if inside is not None:
                inside.append(line)
        elif inside is None:
            inside, language = [], line.removeprefix("```").strip()
        else:
            found += ["\n".join(inside)] if language in languages else []
            inside = None
    return found


def commands():
    for page in PAGES:
        for block in blocks(page, "", "sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                if line.startswith("ganvas ") and "…" not in line:
                    yield pytest.param(line, id=f"{page.name}: {line[:70]}")


def snippets():
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python")):
            yield pytest.param(block, id=f"{page.name} {number}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_of_the_manual_is_understood(line):
    words, command = shlex.split(line, comments=True)[1:], COMMAND
    while hasattr(command, "commands"):
        if command.invoke_without_command and words[0] not in command.commands:
            break
        name = words.pop(0)
        if name.startswith("--"):
            return
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    if any(word in ("--help", "-h") for word in words):
        return
    context = command.make_context(command.name, words)  # parses and checks every option, runs nothing
    assert context.params.keys() == {parameter.name for parameter in command.params if parameter.expose_value}


@pytest.mark.parametrize("block", list(snippets()))
def test_every_snippet_names_what_is_there(block):
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "ganvas":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ganvas":
            assert hasattr(ganvas, node.attr) or importlib.import_module(f"ganvas.{node.attr}"), node.attr
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "session":
            assert node.attr in SESSION_NAMES, f"a session has no {node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_is_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_readme_names_every_room():
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    for room in (ROOT / "ganvas").iterdir():
        if room.name.startswith(("_", ".")) or (room.is_dir() and not any(room.iterdir())):
            continue
        assert f"{room.name}/" in told or room.name in told, room.name


def test_the_manual_is_found():
    assert len(list(commands())) > 20
    assert len(list(snippets())) > 5
