"""What every latent step must keep: frozen data that leaves what it is given as it was, on every family with rows."""

import dataclasses

import pytest
import torch

import ganvas
from ganvas.editing.directions import Direction
from ganvas.editing.mix import Mix
from ganvas.editing.move import Move
from ganvas.editing.recipe import STEPS, Recipe
from ganvas.editing.step import EditContext, run_steps
from ganvas.editing.style import Style
from ganvas.editing.stylise import Stylise
from ganvas.errors import BadConfig
from ganvas.weights.checkpoint import fingerprint
from tests.contracts import TINY, wake
from tests.editing.test_recipe import EXAMPLES

FITTING = {  # steps that fit any tiny generator; a drag carries an offset of its own (tests/editing/test_drag.py)
    "mix": Mix(seed=3, part="colour"),
    "move": Move(direction="smile", amount=2),
    "stylise": Stylise(style="ink", strength=0.5),
}


def tiny(family):
    torch.manual_seed(0)
    G = ganvas.build(family, **TINY[family].fields).eval().requires_grad_(False)
    wake(G)
    return G


def bench_of(G):
    name, weight = next((n, p) for n, p in G.named_parameters() if G.place_px(n) == G.img_resolution)
    style = Style(name="ink", tensors={name: torch.ones_like(weight)}, parent=fingerprint(G))
    smile = Direction("smile", torch.ones(1, G.w_dim), fingerprint=fingerprint(G))
    return EditContext(G, lambda name: smile, style=lambda name, print_: style)


@pytest.mark.parametrize("name", sorted(FITTING))
@pytest.mark.parametrize("family", ["stylegan2", "stylegan3", "mobilestylegan"])
def test_a_latent_step_leaves_what_it_is_given(family, name):
    G = tiny(family)
    ws = G.mapping(torch.randn(2, G.z_dim))
    before = ws.clone()
    weights = {n: t.clone() for n, t in G.state_dict().items()}
    edited, plain = run_steps((FITTING[name],), ws, bench_of(G)), run_steps((), ws, bench_of(G))
    assert torch.equal(ws, before)
    assert all(torch.equal(t, weights[n]) for n, t in G.state_dict().items())
    assert edited.ws.shape == ws.shape and edited.ws.isfinite().all()
    assert edited.key != plain.key  # it does something
    assert edited.key == run_steps((FITTING[name],), ws, bench_of(G)).key  # and the same again


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_is_frozen_data_that_names_what_it_does_not_know(name):
    step = EXAMPLES[name]
    assert dataclasses.is_dataclass(step) and step.name == name and hash(step) == hash(dataclasses.replace(step))
    first = dataclasses.fields(step)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(step, first, getattr(step, first))
    text = Recipe(steps=(step,)).to_json()
    with pytest.raises(BadConfig, match=f"unknown field of step '{name}' 'strenght'"):
        Recipe.from_json(text.replace('{"step":', '{"strenght": 1, "step":'))
