"""Variants: states of a photo under names; the photo itself stays as it is until one is taken."""

import pytest
import torch

from ganvas.editing.move import Move
from ganvas.editing.post_steps import Upscale
from ganvas.errors import BadConfig
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.variants import (
    MAX_VARIANTS,
    PhotoVariant,
    VariantList,
    apply_variant,
    show_variant,
    steps_of_amounts,
    steps_of_seeds,
    steps_of_upscalers,
    try_step,
)

from .test_photo_edits import APART, edited, generator, open_square, photo

__all__ = ["generator", "open_square", "photo"]  # fixtures


def test_a_variant_shows_what_was_and_is_taken_up(photo, open_square):
    edits, variants = edited(photo, open_square, APART, (0, 1)), VariantList()
    before = edits.render().img
    both = variants.keep(edits, "both")
    edits.activate(0).set("smile", 0)
    edits.activate(1).set("age", 1.0)
    now = edits.render().img
    assert torch.equal(show_variant(edits, both).render().img, before)
    assert torch.equal(edits.render().img, now)  # nothing was changed by looking
    entries = {face: len(session.history) for face, session in edits.sessions.items()}
    apply_variant(edits, both)
    assert torch.equal(edits.render().img, before)
    for face, session in edits.sessions.items():
        assert len(session.history) == entries[face] + 1 and session.undo()
    assert torch.equal(edits.render().img, now)


def test_several_are_made_by_themselves(photo, open_square):
    edits, variants = edited(photo, open_square, APART, (0,)), VariantList()
    steps = steps_of_amounts("age", (-1, 0.5, 1)) + steps_of_seeds((3, 4)) + steps_of_upscalers(("lanczos",))
    made = [variants.keep(edits, name, recipes=try_step(edits, step)) for name, step in steps]
    assert [one.name for one in made] == ["age -1", "age +0.5", "age +1", "colour 3", "colour 4", "lanczos 2x"]
    pictures = [show_variant(edits, one).render().img for one in made[:5]]
    assert all(not torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])
    assert show_variant(edits, made[5]).render().size == (256, 128)
    assert edits.session.amount("age") == 0 and edits.session.amount("smile") == 2.0


def test_of_a_photo_without_a_face(photo):
    edits, variants = PhotoEdits(photo), VariantList()
    plain = variants.keep(edits, "plain")
    large = variants.keep(edits, "large", recipes=try_step(edits, Upscale(model="lanczos", scale=2)))
    assert show_variant(edits, large).render().size == (256, 128)
    apply_variant(edits, large)
    assert edits.render().size == (256, 128)
    apply_variant(edits, plain)
    assert edits.render().size == (128, 64)
    with pytest.raises(BadConfig, match="model first"):
        try_step(edits, Move(direction="smile", amount=1))


def test_they_are_data(photo, open_square):
    edits, variants = edited(photo, open_square, APART, (0, 1)), VariantList()
    one = variants.keep(edits, " calm ")
    assert PhotoVariant.from_json(one.to_json()) == one and one.name == "calm"
    assert variants.rename(one.id, "wild").name == "wild" and [v.name for v in variants] == ["wild"]
    variants.delete(one.id)
    for call in (lambda: variants.find(one.id), lambda: variants.keep(edits, " "), lambda: variants.delete("x")):
        with pytest.raises(BadConfig):
            call()
    for n in range(MAX_VARIANTS):
        variants.keep(edits, str(n))
    with pytest.raises(BadConfig, match="at most"):
        variants.keep(edits, "one more")
