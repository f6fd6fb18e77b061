"""Teaching a style to tiny generators made on the spot."""

import os
import signal

import pytest
import torch

import ganvas
from ganvas.editing.style import apply_style, load_style, save_style
from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.training.style.learner import StyleLearner
from ganvas.training.style.losses import colour_distance, rgb_to_luma, structure_distance
from ganvas.training.style.teach import StyleConfig, _StyleTrainer, teach_style
from tests.contracts import TINY, wake

QUICK = StyleConfig(steps=16, px=16, from_px=8, lr=0.02, mixing=0.5, structure=0.1, effort="fast")


def tiny(family="stylegan2", **fields):
    torch.manual_seed(0)
    G = ganvas.build(family, **{**TINY[family].fields, "num_mapping_layers": 2, **fields}).eval().requires_grad_(False)
    wake(G)
    return G


def drawing(px=16, channels=3):
    """Two flat colours with a line between them."""
    img = torch.full((1, channels, px, px), -0.7)
    img[:, :, : px // 2] = torch.tensor([0.8, 0.2, -0.4])[:channels, None, None]
    img[:, :, px // 2] = -1
    return img


def latent(G):
    return G.mapping(torch.randn(1, G.z_dim, generator=torch.Generator().manual_seed(3)))


def test_examples_of_any_size_are_brought_to_the_generators():
    for px in (8, 16, 40):
        assert taught(tiny(), StyleConfig(steps=1, px=8, from_px=8), drawing(px)).facts["finished"]


def taught(G, config=QUICK, img=None, **options):
    img = drawing(channels=G.img_channels) if img is None else img
    return teach_style(img, G, name="ink", config=config, ws=[latent(G)], **options)


@pytest.mark.parametrize("family", ["stylegan2", "mobilestylegan"])
def test_the_example_is_learnt_and_the_parent_stays(family):
    G = tiny(family)
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    style = taught(G, StyleConfig(steps=40, px=32, from_px=8, lr=0.02, mixing=0.3, structure=0))
    figures = style.facts["figures"]
    assert figures["loss_after"] < 0.9 * figures["loss_before"]
    assert style.facts["finished"] and style.facts["steps"] == 40
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())
    made = apply_style(G, style).synthesis(latent(G))
    assert (made - drawing(made.shape[3])).abs().mean() < (G.synthesis(latent(G)) - drawing(made.shape[3])).abs().mean()
    assert all(G.place_px(name) >= QUICK.from_px for name in style.tensors)


def test_the_same_seed_gives_the_same_style_and_another_another():
    G = tiny()
    short = StyleConfig(steps=4, px=16, from_px=8, effort="fast")
    assert taught(G, short).fingerprint == taught(G, short).fingerprint
    assert taught(G, StyleConfig(steps=4, px=16, from_px=8, seed=1)).fingerprint != taught(G, short).fingerprint


def test_the_example_is_searched_for_where_its_latent_is_not_known():
    G, told = tiny(), []
    config = StyleConfig(steps=2, px=16, from_px=8, effort="fast")
    style = teach_style(G.synthesis(latent(G)).clamp(-1, 1), G, name="own", config=config, on_step=told.append)
    assert [p.stage for p in told[:1]] == ["finding"] and [p.stage for p in told[-2:]] == ["teaching"] * 2
    assert told[-1].step == told[-1].steps == 2 and told[-1].loss > 0 and told[0].generator is None
    assert style.facts["finished"]


@pytest.mark.parametrize("how", ["answer", "error", "ctrl-c"])
def test_stopping_keeps_what_is_there(how):
    G = tiny()

    def at_five(progress):
        if progress.step == 5:
            if how == "ctrl-c":
                os.kill(os.getpid(), signal.SIGINT)
            if how == "error":
                raise Stopped
            return how == "answer"
        return False

    style = taught(G, on_step=at_five)
    assert not style.facts["finished"]
    assert style.facts["steps"] in (5, 6)  # a Ctrl-C within the fifth report is seen at the next
    assert style.tensors and load_style(save_style(style)).facts["steps"] == style.facts["steps"]


def test_stopping_before_anything_was_learnt_gives_an_empty_style():
    G = tiny()
    style = teach_style(drawing(), G, name="ink", config=QUICK, on_step=lambda progress: True)
    assert style.tensors == {} and not style.facts["finished"]


def planted(monkeypatch, bad_steps):
    honest = _StyleTrainer.example_loss

    def sometimes(self, which):
        loss = honest(self, which)
        return loss * float("nan") if self.step in bad_steps else loss

    monkeypatch.setattr(_StyleTrainer, "example_loss", sometimes)


def test_a_planted_nan_is_passed_over(monkeypatch):
    planted(monkeypatch, {2, 3, 7})
    style = taught(tiny())
    assert style.facts["finished"]
    assert all(tensor.isfinite().all() for tensor in style.tensors.values())
    assert style.facts["figures"]["loss_after"] < style.facts["figures"]["loss_before"]


def test_where_it_is_not_finite_any_more_the_last_good_state_is_kept(monkeypatch):
    planted(monkeypatch, range(6, 100))
    style = taught(tiny())
    assert not style.facts["finished"] and style.tensors
    assert all(tensor.isfinite().all() for tensor in style.tensors.values())


def test_where_it_never_was_finite_that_is_said(monkeypatch):
    planted(monkeypatch, range(100))
    with pytest.raises(BadConfig, match="not finite"):
        taught(tiny())


def test_large_weights_learn_as_thin_factors_that_fit_a_file():
    G = tiny(channel_base=16 * 96, channel_max=96, img_resolution=16)
    learner = StyleLearner(G, from_px=8, max_numbers=40_000)
    assert 1 <= learner.rank and learner.low_rank
    learnt = learner.tensors()
    kept = sum(tensor.numel() for tensor in learnt.values())
    assert kept + sum(p.numel() for p in learner.whole.values()) <= 40_000 + kept
    assert sum(t.numel() for n, t in learnt.items() if n.endswith((":up", ":down"))) <= 40_000
    assert torch.allclose(learner.generator.synthesis(latent(G)), G.synthesis(latent(G)), atol=1e-5)  # nothing yet


def test_thin_factors_learn_too(monkeypatch):
    monkeypatch.setattr("ganvas.training.style.learner.MAX_NUMBERS", 40_000)
    monkeypatch.setattr(StyleLearner.__init__, "__kwdefaults__", {"max_numbers": 40_000})
    G = tiny(channel_base=16 * 96, channel_max=96)
    style = taught(G)
    assert any(name.endswith(":down") for name in style.tensors)
    assert style.facts["figures"]["loss_after"] < style.facts["figures"]["loss_before"]
    path = save_style(style)
    assert path.stat().st_size < 100_000
    whole = load_style(path).delta(G)
    assert {tensor.shape for tensor in whole.values()} <= {p.shape for p in G.parameters()}


def test_what_the_style_paints_is_what_the_lesson_painted():
    G, last = tiny(), []
    style = taught(G, on_step=lambda progress: last.append(progress.generator) and False)
    assert torch.allclose(apply_style(G, style).synthesis(latent(G)), last[-1].synthesis(latent(G)), atol=2e-2)


def test_colours_can_be_kept():
    G = tiny()
    config = {"steps": 30, "px": 16, "from_px": 8, "lr": 0.03, "structure": 0}
    plain = G.synthesis(latent(G)).clamp(-1, 1)
    apart = {}
    for keep in (False, True):
        made = apply_style(G, taught(G, StyleConfig(**config, keep_colour=keep))).synthesis(latent(G)).clamp(-1, 1)
        apart[keep] = colour_distance(made, plain).item()
        lighter = (rgb_to_luma(made) - rgb_to_luma(drawing())).abs().mean() < (
            rgb_to_luma(plain) - rgb_to_luma(drawing())
        ).abs().mean()
        assert lighter  # its light is learnt in both cases
    assert apart[True] < 0.5 * apart[False]


def test_two_examples_of_one_style_are_both_learnt():
    G = tiny()
    other = drawing().flip(2)
    style = teach_style([drawing(), other], G, name="ink", config=QUICK, ws=[latent(G), G.mapping(torch.ones(1, 16))])
    assert style.facts["finished"]


def test_structure_is_where_edges_lie_whatever_their_tone():
    img = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert structure_distance(img, img).item() == pytest.approx(0, abs=0.01)
    assert structure_distance(0.4 * img + 0.3, img).item() == pytest.approx(0, abs=0.01)
    assert structure_distance(-img, img).item() == pytest.approx(2, abs=0.02)
    assert structure_distance(torch.rand(1, 3, 64, 64) * 2 - 1, img).item() == pytest.approx(1, abs=0.1)


def test_colours_apart_sees_no_brightness():
    img = torch.rand(1, 3, 32, 32) - 0.5
    assert colour_distance(img + 0.3, img).item() == pytest.approx(0, abs=1e-10)
    assert colour_distance(img.flip(1), img).item() > 1e-2
    assert torch.allclose(rgb_to_luma(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))


def test_what_does_not_fit_is_named():
    G = tiny()
    with pytest.raises(BadImage, match="square"):
        teach_style(torch.zeros(1, 3, 8, 9), G, name="ink")
    with pytest.raises(BadImage, match="needs an example"):
        teach_style([], G, name="ink")
    with pytest.raises(BadConfig, match="64 letters"):
        teach_style(drawing(), G, name="../ink")
    with pytest.raises(BadConfig, match="lower from_px"):
        taught(G, StyleConfig(from_px=64))
    rowless = ganvas.build("dcgan", **TINY["dcgan"].fields).eval()
    with pytest.raises(BadConfig, match="dcgan has no style rows"):
        teach_style(drawing(), rowless, name="ink")
    for wrong in ({"steps": 0}, {"lr": 0}, {"mixing": 2}, {"detail": -1}, {"structure_every": 0}):
        with pytest.raises(BadConfig):
            StyleConfig(**wrong)


def test_a_teaching_goes_on_after_a_kill_or_a_stop_as_if_nothing_had_been(tmp_path, monkeypatch):
    monkeypatch.setattr("ganvas.training.style.state.STATE_EVERY_SEC", 0)
    G, file, told = tiny(), tmp_path / "ink.safetensors", []
    undisturbed = taught(G, state_file=tmp_path / "other.safetensors")

    def die(progress):
        if progress.step == 7:
            raise MemoryError  # as a kill: nothing is saved on the way out

    with pytest.raises(MemoryError):
        taught(G, state_file=file, on_step=die)
    assert not taught(G, state_file=file, on_step=lambda p: told.append(p.step) or p.step == 11).facts["finished"]
    assert told == [7, 8, 9, 10, 11]  # the seventh step was not saved
    style = taught(G, state_file=file)
    assert style.facts["finished"] and style.fingerprint == undisturbed.fingerprint


def test_what_another_teaching_left_is_not_taken_up(tmp_path):
    G, file, told = tiny(), tmp_path / "ink.safetensors", []
    taught(G, state_file=file, on_step=lambda progress: progress.step == 3)
    with pytest.warns(UserWarning, match="other steps, lr"):
        taught(G, StyleConfig(steps=4, px=16, from_px=8, mixing=0.5, structure=0.1, effort="fast"),
               state_file=file, on_step=lambda p: told.append(p.step))  # fmt: skip
    file.write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="damaged"):
        assert taught(G, state_file=file, on_step=lambda p: told.append(p.step)).facts["finished"]
    assert told == [1, 2, 3, 4, *range(1, 17)]
