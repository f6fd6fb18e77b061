"""Forms follow the classes: nothing is said twice, nothing is left out."""

import dataclasses

from ganvas.editing.recipe import STEPS
from ganvas.training.generator.config import TrainConfig
from ganvas.web.forms import form_of, step_forms, training_form


def test_every_field_of_every_step_and_of_training_is_there():
    for name, form in step_forms().items():
        assert [field["name"] for field in form["fields"]] == [f.name for f in dataclasses.fields(STEPS[name])]
        assert form["help"]
    assert [field["name"] for field in training_form()] == [f.name for f in dataclasses.fields(TrainConfig)]


def test_kind_default_choices_and_help_are_the_fields_own():
    fields = {field["name"]: field for field in training_form()}
    assert fields["batch_size"]["kind"] == "integer" and fields["batch_size"]["default"] == 16
    assert fields["batch_size"]["help"] == "over all devices together"
    assert fields["loss"]["kind"] == "choice" and "hinge" in fields["loss"]["choices"]
    assert fields["minutes"] | {"help": ""} == fields["minutes"] | {"optional": True, "kind": "number", "help": ""}
    assert fields["ema_sigmas"]["default"] == [0.05, 0.1]
    move = {field["name"]: field for field in step_forms()["move"]["fields"]}
    assert move["direction"]["required"] and not move["amount"]["required"]


def test_a_range_is_read_from_the_comment():
    field = next(f for f in form_of(Ranged) if f["name"] == "strength")
    assert (field["low"], field["high"]) == (0, 1)


@dataclasses.dataclass
class Ranged:
    strength: float = 1.0  # 0 … 1, how much
    other: int = 3


def test_the_page_gets_them(studio):
    forms = studio.http.get("/api/forms").json()
    assert set(forms["steps"]) == set(STEPS)
    assert len(forms["training"]) == len(dataclasses.fields(TrainConfig))
