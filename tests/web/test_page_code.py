"""The page's own code, as far as it can be looked at without a browser and without Node.js."""

import re

import pytest

from ganvas.web.app import PAGE

SCRIPTS = {file.relative_to(PAGE / "js").as_posix(): file.read_text("utf-8") for file in PAGE.rglob("*.js")}
IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.M)
EXPORT = re.compile(r"^export (?:async )?(?:function|const|let|class) (\w+)", re.M)


def imports(name):
    """[(file, names)] of what a file takes from others; a name is [its own] or [its own, what it is called here]."""
    folder = (PAGE / "js" / name).parent
    for names, source in IMPORT.findall(SCRIPTS[name]):
        target = (folder / source).resolve().relative_to((PAGE / "js").resolve()).as_posix()
        yield target, [one.split(" as ") for one in re.split(r",\s*", names.strip().strip(",")) if one]


@pytest.mark.parametrize("kind", ["js", "css", "html"])
def test_no_line_is_too_long(kind):
    lines = [
        (file.name, at) for file in PAGE.rglob(f"*.{kind}") for at, line in enumerate(file.open(), 1) if len(line) > 121
    ]
    assert lines == []


def test_every_import_is_there_and_used():
    for name, text in SCRIPTS.items():
        assert len(re.findall(r"^import \{", text, re.M)) == len(list(imports(name))), name
        for target, names in imports(name):
            assert {one[0] for one in names} <= set(EXPORT.findall(SCRIPTS[target])), (name, target)
            rest = IMPORT.sub("", text)
            assert [one for one in names if not re.search(rf"\b{one[-1]}\b", rest)] == [], name


def test_what_is_exported_is_used():
    taken = {(target, one[0]) for name in SCRIPTS for target, names in imports(name) for one in names}
    unused = [(name, one) for name, text in SCRIPTS.items() for one in EXPORT.findall(text) if (name, one) not in taken]
    inside = [(name, one) for name, one in unused if len(re.findall(rf"\b{one}\b", SCRIPTS[name])) > 1]
    assert sorted(set(unused) - set(inside)) == []
