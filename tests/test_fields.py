"""A field says what it accepts once; the check, the text of a command line, JSON and the form follow from it."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from ganvas.cli.main import app
from ganvas.editing.recipe import STEPS
from ganvas.errors import BadConfig
from ganvas.fields import check_settings, fields_of, form_of, from_values, list_settings, setting
from ganvas.training.generator.config import TrainConfig
from ganvas.training.translator.config import TranslatorConfig
from ganvas.training.upscaler.config import UpscalerConfig


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Softer."""

    radius: float = setting(gt=0, le=50, unit="px", help="how far")
    share: float | None = setting(None, ge=0, lt=1)
    times: int = setting(2, ge=1)
    kind: Literal["box", "gauss"] = setting("gauss", help="shape")
    edges: str = setting("keep", choices=("keep", "fade"))
    rows: tuple[int, ...] = setting((), ge=0)
    fast: bool = setting(False)
    name: str = setting("a", pattern="[a-z]+", expected="small letters")
    more: Mapping[str, Any] = setting(factory=dict)
    plain: int = 3

    def __post_init__(self) -> None:
        check_settings(self, who="blur")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"radius": 0}, "blur: radius must be a number above 0, of at most 50 px, got 0"),
        ({"radius": "1"}, "radius must be a number"),
        ({"radius": True}, "radius must be a number"),
        ({"radius": float("nan")}, "got nan"),
        ({"share": 1}, "share must be a number of at least 0, below 1, or none, got 1"),
        ({"times": 1.0}, "times must be a whole number of at least 1, got 1.0"),
        ({"times": None}, "got None"),
        ({"kind": "disc"}, "kind must be box or gauss, got 'disc'"),
        ({"edges": "cut"}, "edges must be keep or fade"),
        ({"rows": [1, -1]}, "rows must be a list of whole numbers of at least 0"),
        ({"rows": [True]}, "rows must be a list of whole numbers"),
        ({"rows": "12"}, "rows must be a list"),
        ({"rows": 3}, "rows must be a list"),
        ({"fast": 1}, "fast must be true or false"),
        ({"name": "B"}, "name must be small letters"),
        ({"more": [1]}, "more must be a JSON object"),
        ({"plain": "x"}, "plain must be a whole number"),
        ({"name": "X" * 500}, "got 'X{79}$"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_range(fields, says):
    with pytest.raises(BadConfig, match=says):
        Blur(**{"radius": 1, **fields})


def test_what_fits_is_stored_as_its_type():
    blur = Blur(radius=3, share=0, rows=[1, 2])
    assert (blur.radius, blur.share, blur.rows) == (3.0, 0.0, (1, 2))
    assert isinstance(blur.radius, float) and isinstance(blur.share, float)


def test_the_ends_of_a_range():
    Blur(radius=50, share=0, times=1)
    for outside in ({"radius": 50.01}, {"radius": 0.0}, {"share": 1.0}, {"share": -0.01}, {"times": 0}):
        with pytest.raises(BadConfig):
            Blur(**{"radius": 1, **outside})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("radius", "1.5", 1.5),
        ("share", "none", None),
        ("times", "4", 4),
        ("rows", "4, 5,6", (4, 5, 6)),
        ("fast", "Yes", True),
        ("more", '{"a": [1]}', {"a": [1]}),
        ("name", "none", "none"),
    ],
)
def test_text_is_read_by_the_type_and_written_back(name, text, value):
    info = fields_of(Blur)[name]
    assert info.parse(text) == value
    assert info.parse(info.format(value)) == value


@pytest.mark.parametrize(("name", "text"), [("radius", "wide"), ("times", "1.5"), ("fast", "maybe"), ("more", "{")])
def test_text_that_cannot_be_is_refused_with_what_could(name, text):
    with pytest.raises(BadConfig, match=f"{name} must be .*, got '{text}'"):
        fields_of(Blur)[name].parse(text)


def test_json_becomes_the_dataclass():
    assert from_values(Blur, {"radius": 2, "rows": [3]}, what="field of blur") == Blur(radius=2, rows=(3,))
    with pytest.raises(BadConfig, match=r"unknown field of blur 'raduis'; known: edges"):
        from_values(Blur, {"raduis": 2}, what="field of blur")
    with pytest.raises(BadConfig, match="missing field of blur: radius"):
        from_values(Blur, {}, what="field of blur")


def test_the_list_and_the_form_have_every_field_with_its_range():
    lines = list_settings(Blur)
    assert len(lines) == len(dataclasses.fields(Blur))
    assert lines[0].split() == "radius how far: a number above 0, of at most 50 px (required)".split()
    assert lines[3].split() == "kind shape: box or gauss (default gauss)".split()
    radius, share, *_ = form_of(Blur)
    assert (radius["kind"], radius["required"], radius["low"], radius["high"], radius["unit"]) == (
        *("number", True, 0, 50),
        "px",
    )
    assert share["optional"] and not share["required"] and share["default"] is None
    json.dumps(form_of(Blur))


@pytest.mark.parametrize(
    ("command", "cls"),
    [("train", TrainConfig), ("train-translator", TranslatorConfig), ("train-upscaler", UpscalerConfig)],
)
def test_a_command_that_trains_lists_its_settings(command, cls):
    listed = CliRunner().invoke(app, [command, "--settings"])
    assert listed.exit_code == 0 and listed.output.splitlines() == list_settings(cls)


@pytest.mark.parametrize("cls", [*STEPS.values(), TrainConfig, TranslatorConfig, UpscalerConfig])
def test_every_setting_of_ours_says_what_it_does(cls):
    assert all(field["help"] for field in form_of(cls))


@pytest.mark.parametrize("cls", [TrainConfig, TranslatorConfig, UpscalerConfig])
def test_a_default_of_ours_fits_its_own_range(cls):
    for name, info in fields_of(cls).items():
        assert info.require(info.default) == info.default, name


def test_help_needs_no_torch():
    code = "import sys, ganvas.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
