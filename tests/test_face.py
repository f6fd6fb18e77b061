"""The sign on the door: exactly the agreed names, and nothing heavy behind it until it is used."""

import os
import subprocess
import sys

import pytest

import ganvas
from ganvas import _HOME

AGREED = {
    "BadInput", "Crop", "GanvasError", "Photo", "Recipe", "TrainConfig", "WeightsError", "__version__",
    "build", "invert", "load", "open_session", "read_image", "save", "train", "translate", "upscale",
    "write_image",
}  # fmt: skip


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_the_agreed_ones():
    assert set(ganvas.__all__) == AGREED
    assert {*_HOME, "__version__"} == AGREED


@pytest.mark.parametrize("name", sorted(AGREED))
def test_every_public_name_is_there(name):
    assert getattr(ganvas, name) is not None
    assert name in dir(ganvas)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'laod'.*build"):
        _ = ganvas.laod


@pytest.mark.parametrize(
    "code",
    ["import ganvas", "import ganvas.errors", "import ganvas.cli.main"],
)
def test_torch_waits_until_it_is_needed(code):
    assert python(f"{code}\nimport sys; print('torch' in sys.modules, 'numpy' in sys.modules)") == "False False"


def test_help_is_quick_and_leaves_torch_alone():
    code = (
        "import sys; sys.argv = ['ganvas', '--help']\n"
        "from ganvas.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    assert python(code).endswith("False")
    cpu_sec = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "ganvas", "--help"], capture_output=True, check=True)
        after = os.times()
        cpu_sec.append(after.children_user - before.children_user + after.children_system - before.children_system)
    # The processor's time, which tests running beside this one do not change much; 0.1 to 0.5 s.
    assert min(cpu_sec) < 1.0
