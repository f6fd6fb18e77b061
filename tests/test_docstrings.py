"""Docstrings name the parameters that are there."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ganvas"


def parameters_of(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    if isinstance(node, ast.ClassDef):
        fields = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
        inits = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
        return fields.union(*(parameters_of(init) for init in inits))
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    return {arg.arg for arg in every}


def unknown_parameters(source: str) -> list[str]:
    """What an `Args:` section describes and the signature does not have, as "function: name"."""
    unknown = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
        named = re.findall(r"^    ([\w*][\w*, ]*):", section[1], re.MULTILINE) if section else []
        names = {name.strip(" *") for names in named for name in names.split(",")}
        unknown += [f"{node.name}: {name}" for name in sorted(names - parameters_of(node))]
    return unknown


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if path.suffix != ".md"))
def test_docstrings_describe_parameters_that_exist(room):
    files = [PACKAGE / room] if room.endswith(".py") else (PACKAGE / room).rglob("*.py")
    unknown = {str(file): unknown_parameters(file.read_text(encoding="utf-8")) for file in files}
    assert {file: names for file, names in unknown.items() if names} == {}


def test_a_parameter_that_was_renamed_is_noticed():
    docstring = "Find.\n\n    Args:\n        img: a picture.\n        eyes: old.\n    "
    source = f'def invert(img, *, extractor):\n    """{docstring}"""\n'
    assert unknown_parameters(source) == ["invert: eyes"]
