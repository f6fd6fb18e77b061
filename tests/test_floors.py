"""The floor plan of the design, as a test: a room imports only from floors below its own."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ganvas"
FLOORS = {
    "errors": 0,
    "ops": 1, "checks": 1, "fields": 1,
    "images": 2, "models": 2,
    "weights": 3,
    "features": 4, "datasets": 4,
    "inversion": 5, "editing": 5, "upscaling": 5, "translation": 5, "metrics": 5,
    "session": 6, "training": 6, "evaluation": 6,
    "web": 7, "cli": 8,  # doors both; the command "studio" opens the other one
}  # fmt: skip
DOORSTEP = {"__init__", "__main__"}  # the sign on the door may name any room, and no room names it


def room_of(file: Path, package: Path) -> str:
    return file.relative_to(package).parts[0].removesuffix(".py")


def imports_of(source: str) -> list[str]:
    """Dotted names this source imports from ganvas, wherever in the file they stand."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a reader sees the room"
            names += [
                f"{node.module}.{alias.name}" if node.module == "ganvas" else str(node.module) for alias in node.names
            ]
    return [name for name in names if name == "ganvas" or name.startswith("ganvas.")]


def leaning(package: Path) -> list[str]:
    """Every import that goes sideways or upward."""
    wrong = []
    for file in sorted(package.rglob("*.py")):
        room = room_of(file, package)
        if room in DOORSTEP:
            continue
        for name in imports_of(file.read_text(encoding="utf-8")):
            target = (name.split(".") + ["__init__"])[1]
            if target == "__version__" and FLOORS[room] >= 3:  # what is written carries the version; doors show it
                continue
            if target != room and FLOORS.get(target, 99) >= FLOORS[room]:
                wrong.append(f"{file.relative_to(package)} (floor {FLOORS[room]}) imports {name}")
    return wrong


def test_every_room_has_a_floor():
    rooms = {room_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")} - DOORSTEP
    assert rooms <= FLOORS.keys()


def test_imports_lean_one_way():
    assert leaning(PACKAGE) == []


def graph_of(package: Path) -> dict[str, set[str]]:
    """Which file imports which, by dotted name; an import inside a function counts like any other."""
    files = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in package.rglob("*.py")
    }
    graph = {}
    for name, file in files.items():
        wanted = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                inside = {f"{node.module}.{alias.name}" for alias in node.names} & files.keys()
                wanted |= inside or {node.module}
            elif isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
        graph[name] = (wanted & files.keys()) - {name, package.name}
    return graph


def test_files_import_one_way():
    graphlib.TopologicalSorter(graph_of(PACKAGE)).prepare()  # raises a CycleError that names the circle


def test_a_hidden_circle_is_caught(tmp_path):
    package = tmp_path / "ganvas"
    package.mkdir()
    (package / "strips.py").write_text("def f():\n    from ganvas.net import Net\n")
    (package / "net.py").write_text("from ganvas.strips import f\n")
    with pytest.raises(graphlib.CycleError, match=r"ganvas\.net"):
        graphlib.TopologicalSorter(graph_of(package)).prepare()


def test_a_planted_violation_is_caught(tmp_path):
    package = tmp_path / "ganvas"
    (package / "editing").mkdir(parents=True)
    (package / "images").mkdir()
    (package / "editing" / "step.py").write_text(
        "from ganvas.images.crop import Crop\n"  # downward: fine
        "def f():\n    from ganvas.inversion.result import Inversion\n"  # sideways, hidden in a function
    )
    (package / "images" / "files.py").write_text("import ganvas.session\nfrom ganvas import load\n")  # upward, twice
    assert leaning(package) == [
        "editing/step.py (floor 5) imports ganvas.inversion.result",
        "images/files.py (floor 2) imports ganvas.session",
        "images/files.py (floor 2) imports ganvas.load",
    ]


def test_the_page_imports_one_way():
    page = PACKAGE / "web" / "page" / "js"
    imports = {
        file: [
            (file.parent / name).resolve() for name in re.findall(r'(?:from|^import) "(\.[^"]+)"', text, re.MULTILINE)
        ]
        for file in page.resolve().rglob("*.js")
        for text in [file.read_text(encoding="utf-8")]
    }
    assert len(imports) > 30
    graphlib.TopologicalSorter(imports).prepare()  # raises a CycleError that names the circle
