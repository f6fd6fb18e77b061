"""The style guide's rules on names, as a test: functions are verbs, and a public name means one thing."""

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ganvas"
Files = dict[str, ast.Module]

SEVERAL = {  # public names that stand in several files, and why
    "router": "each file of web/routes has one, as in FastAPI's manual",
    "fits": "each reader of foreign weights answers the same two questions: does this file fit …",
    "read": "… and what is in it",
}
IRREGULAR = frozenset(  # participles that do not end in -ed; those that are verbs as well (read, cut, set) are left out
    """begun bent blown borne bought bound broken brought built caught chosen done drawn driven eaten fallen felt
    forgotten fought found frozen given gone grown heard held hidden hung kept known laid left lent lost made meant
    met mistaken paid ridden risen said seen sent shown shrunk sold sought spent spoken spun stolen stood stuck sunk
    sworn swept taken taught thought thrown told torn understood woken won worn woven written""".split()
)
VERBS_IN_ED = frozenset("bleed embed exceed feed need proceed seed shed speed succeed".split())
EMPTY_WORDS = frozenset("asked found given kept made seen shown taken told".split())  # of what? a variable should say


@functools.cache
def files_of(package: Path) -> Files:
    return {str(f.relative_to(package)): ast.parse(f.read_text("utf-8")) for f in sorted(package.rglob("*.py"))}


def public_names(tree: ast.Module) -> list[str]:
    """Functions, classes and constants that a file defines at its top."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def doors(files: Files) -> set[tuple[str, str]]:
    """(file, name) of every command and route: named as the room that it opens, and called by nobody of ours."""
    decorated = {
        (file, node.name)
        for file, tree in files.items()
        for node in tree.body
        for decorator in getattr(node, "decorator_list", [])
        if re.match(r"\w+\.(command|get|post|put|delete|websocket)\(", ast.unparse(decorator))
    }
    table = ast.unparse(files["cli/main.py"]) if "cli/main.py" in files else ""
    registered = re.findall(r"^app\.(?:command\(.*\)|add_typer)\((\w+)\)$", table, flags=re.MULTILINE)
    return decorated | {
        (file, name)
        for file, tree in files.items()
        if file.startswith("cli/") and file != "cli/main.py"
        for name in public_names(tree)
        if name in registered
    }


def shared_names(files: Files) -> list[str]:
    """Public names that stand in several files; a door may be named as what it opens, not as another door."""
    opening, places = doors(files), defaultdict(list)
    for file, tree in files.items():
        for name in dict.fromkeys(public_names(tree)):
            house = file.split("/")[0] if (file, name) in opening else "library"
            places[name, house].append(file)
    return [f"{name}: {', '.join(at)}" for (name, _), at in places.items() if len(at) > 1 and name not in SEVERAL]


def is_participle(name: str) -> bool:
    """One word that says what was done instead of what to do."""
    word = name.strip("_").lower()
    return word in IRREGULAR or (word.endswith("ed") and "_" not in word and word not in VERBS_IN_ED)


def participles(files: Files) -> list[str]:
    """Functions and methods that are called; a property may say how something is."""
    return [
        f"{file}: {node.name}"
        for file, tree in files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_participle(node.name)
        if not any(ast.unparse(one).endswith("property") for one in node.decorator_list)
    ]


def empty_variables(files: Files) -> list[str]:
    """Parameters and local variables with a name that fits everything."""
    return [
        f"{file}:{node.lineno}: {name}"
        for file, tree in files.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if (name := getattr(node, "arg", None) if isinstance(node, ast.arg) else getattr(node, "id", None))
        in EMPTY_WORDS
        if isinstance(node, ast.arg) or isinstance(getattr(node, "ctx", None), ast.Store)
    ]


def test_a_public_name_means_one_thing():
    assert shared_names(files_of(PACKAGE)) == []


def test_functions_are_no_participles():
    assert participles(files_of(PACKAGE)) == []


def test_variables_say_what_they_hold():
    assert empty_variables(files_of(PACKAGE)) == []


def test_the_exceptions_are_still_needed():
    names = [name for tree in files_of(PACKAGE).values() for name in public_names(tree)]
    assert all(names.count(name) > 1 for name in SEVERAL)


def test_planted_violations_are_caught():
    files = {
        "cli/main.py": ast.parse("app.command()(mix)\napp.command('tune-it')(tune)"),
        "cli/mix.py": ast.parse("def mix(): ..."),
        "cli/tune.py": ast.parse("def tune(): ...\nLIMIT = 3"),
        "editing/mix.py": ast.parse("def mix(found): ...\nLIMIT: int = 2\n_LIMIT = 1"),
        "ops/mix.py": ast.parse("class Held:\n    @property\n    def held(self): ...\n    def _shrunk(self): told = 1"),
        "web/routes/mix.py": ast.parse("@router.get('/mix')\ndef mix(): ...\n@router.put('/mix')\ndef change(): ..."),
        "web/routes/tune.py": ast.parse(
            "@router.put('/tune')\ndef change(): ...\ndef embed(): ...\ndef is_kept(): ..."
        ),
    }
    assert shared_names(files) == [
        "LIMIT: cli/tune.py, editing/mix.py",
        "change: web/routes/mix.py, web/routes/tune.py",
    ]
    assert participles(files) == ["ops/mix.py: _shrunk"]
    assert empty_variables(files) == ["editing/mix.py:1: found", "ops/mix.py:4: told"]
