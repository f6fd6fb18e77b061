"""ganvas edit --say: what is understood is shown before the work, and what is not stops it."""

import pytest

from ganvas.editing.recipe import Recipe
from ganvas.errors import BadConfig
from ganvas.images.files import read_image

from .test_edit import model, no_fetching, photo, run  # noqa: F401  (fixtures)

pytestmark = pytest.mark.usefixtures("short_searches")


def edit(photo, model, tmp_path, *words):  # noqa: F811
    return run("edit", photo, "-o", tmp_path / "out.png", "--model", model, "--effort", "fast", *words)


def test_the_sliders_are_shown_before_the_work_and_saved(model, photo, tmp_path):  # noqa: F811
    result = edit(photo, model, tmp_path, "--say", "a little more wide")
    assert result.output.index("understood: wide +0.5") < result.output.index("psnr_db")
    assert Recipe.from_json(read_image(tmp_path / "out.png").recipe).amount("wide") == 0.5
    edit(photo, model, tmp_path, "--say", "wide 1", "--set", "wide=2")  # what is set by number has the last word
    assert Recipe.from_json(read_image(tmp_path / "out.png").recipe).amount("wide") == 2


def test_a_word_that_is_not_known_stops_before_the_search(model, photo, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("ganvas.session.open.open_session", lambda *_, **__: pytest.fail("it has searched"))
    for sentence, says in (
        ("widr", "unknown word 'widr'; nearest known: wide"),
        ("smile", "does not have; its dials: wide"),
    ):
        with pytest.raises(BadConfig, match=says):
            edit(photo, model, tmp_path, "--say", sentence)
    assert not (tmp_path / "out.png").exists()
