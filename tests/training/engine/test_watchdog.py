"""Planted failures: each is named, survived as promised, and never ends in an endless loop or a broken file."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from ganvas.errors import GanvasError
from ganvas.training.engine.run_folder import read_log
from ganvas.training.engine.state import read_state
from ganvas.training.engine.watchdog import HealthMetrics, Remedy, Watchdog
from ganvas.training.generator import trainer as benches
from ganvas.training.generator.train import train
from tests.training import tiny

HEALTHY = HealthMetrics(
    kimg=20,
    steps=1000,
    loss_D=1.0,
    chance_loss_D=1.39,
    sign_real=0.6,
    diversity=0.8,
    grad_norm_D=1,
    grad_norm_G=1,
)


def look(watchdog, ticks, **changes):
    """The first finding within so many ticks like these, and after how many."""
    for tick in range(1, ticks + 1):
        finding = watchdog.check(dataclasses.replace(HEALTHY, **changes))
        if finding is not None:
            return finding, tick
    return None, ticks


SICK = {
    "nan": ({"finite_weights": False}, 1, "not finite"),
    "exploding": ({"grad_norm_G": 5e3}, 2, "exploding gradients of G"),
    "collapse": ({"diversity": 0.05}, 3, "collapsed"),
    "d_wins": ({"loss_D": 0.01}, 5, "wins outright"),
    "overfitting": ({"sign_real": 0.98, "p": 0.8, "p_max": 0.8}, 8, "overfitted"),
    "leaking": ({"leaking": True, "p": 0.8, "p_max": 0.8}, 3, "augmentation has been at its limit"),
}


@pytest.mark.parametrize("trouble", list(SICK))
def test_each_trouble_is_named_once_it_has_lasted(trouble):
    changes, ticks, words = SICK[trouble]
    watchdog = Watchdog()
    assert look(watchdog, 10) == (None, 10) and watchdog.is_healthy
    finding, after = look(watchdog, 20, **changes)
    assert finding.trouble == trouble and after == ticks and words in finding.words
    assert finding.remedy(penalised=True) != Remedy() != finding.remedy(penalised=False)
    assert finding.remedy(penalised=False).gamma == 1  # there is nothing to strengthen


@pytest.mark.parametrize("trouble", [name for name in SICK if SICK[name][1] > 1])
def test_a_passing_trouble_is_forgiven(trouble):
    changes, ticks, _ = SICK[trouble]
    watchdog = Watchdog()
    look(watchdog, 10)
    for _ in range(3):
        assert look(watchdog, ticks - 1, **changes)[0] is None and not watchdog.is_healthy
        assert look(watchdog, 1)[0] is None and watchdog.is_healthy


def test_a_young_generator_may_be_dull_and_an_old_one_that_never_rose_may_not():
    watchdog = Watchdog()
    assert look(watchdog, 20, kimg=2, diversity=0.01)[0] is None
    assert look(watchdog, 20, kimg=30, steps=400, diversity=0.01)[0] is None  # large batches: few steps
    assert look(watchdog, 20, kimg=60, steps=1000, diversity=0.01)[0] is None
    assert look(watchdog, 20, kimg=300, steps=5000, diversity=0.01)[0].trouble == "collapse"


# Diversity at each thousand pictures of 3,003 faces in grey: what `seed-64` does, and what `mlp-64` does.
DULL_START = (30, 79, 59, 25, 9, 5, 4, 6, 14, 20, 14, 8, 5, 5, 9, 16, 23, 23, 20, 10, 5, 10, 21, 21)
SLOW_START = (
    42,
    23,
    21,
    17,
    18,
    24,
    42,
    42,
    88,
    170,
    150,
    116,
    150,
    200,
    250,
    300,
    330,
    362,
    400,
    450,
    550,
    560,
    560,
    560,
)


def test_a_generator_that_grows_duller_from_the_start_is_named_and_one_that_is_slow_is_not():
    found = {}
    for name, batch, series in (("seed", 128, DULL_START), ("mlp", 64, SLOW_START), ("slow", 16, [10] * 60)):
        watchdog = Watchdog()
        for kimg, diversity in enumerate(series, start=1):
            steps = 1000 * kimg // batch
            healthy = dataclasses.replace(HEALTHY, kimg=kimg, steps=steps, diversity=diversity / 1000)
            finding = watchdog.check(healthy)
            if finding is not None:
                found[name] = (finding.trouble, kimg)
                assert "before it learnt anything" in finding.words and finding.ends_the_run
                break
    assert found == {"seed": ("no_start", 22)}


def test_a_wild_start_is_no_measure_of_variety():
    watchdog = Watchdog()
    look(watchdog, 4, kimg=1, diversity=1.8)
    assert look(watchdog, 10, diversity=0.5)[0] is None


def test_losing_most_of_its_variety_is_a_collapse_too():
    watchdog = Watchdog()
    look(watchdog, 5, diversity=0.9)
    assert look(watchdog, 5, diversity=0.25)[0].trouble == "collapse"


def test_a_critic_without_scale_never_wins():
    assert look(Watchdog(), 20, chance_loss_D=0.0, loss_D=-5)[0] is None


def test_a_rare_gradient_that_is_not_finite_is_forgiven():
    assert look(Watchdog(), 20, bad_share=0.05)[0] is None
    assert look(Watchdog(), 20, bad_share=0.5)[0].trouble == "nan"


def test_the_watchdogs_memory_survives_a_stop():
    watchdog = Watchdog()
    look(watchdog, 5)
    look(watchdog, 2, diversity=0.05)
    other = Watchdog()
    other.load_state_dict(json.loads(json.dumps(watchdog.state_dict())))
    assert look(other, 5, diversity=0.05)[1] == look(watchdog, 5, diversity=0.05)[1] == 1


# ---------------------------------------------------------------------------------------------------------------------
# In a run


def poisoned(when):
    """Put NaN into a gradient of the generator at the steps for which `when` holds."""

    def step(self, batch, original=benches.GeneratorTrainer.generator_step):
        original(self, batch)
        if when(self):
            with torch.no_grad():
                next(self.pair.G.parameters()).view(-1)[0] = math.nan

    return step


def test_weights_that_became_nan_step_back_once_with_half_the_learning_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(benches.GeneratorTrainer, "generator_step", poisoned(lambda b: b.nimg == 24 and b.attempt == 0))
    events = []
    done = train(
        tiny.pictures(),
        config=tiny.config(save_minutes=0.00001),
        folder=tmp_path / "run",
        on_step=lambda status: events.append(status.event),
        device="cpu",
    )
    assert done.finished and done.nimg == 48
    assert any(event and "not finite" in event and "Back to" in event for event in events)
    (remedy,) = json.loads((tmp_path / "run" / "run.json").read_text())["remedies"]
    assert remedy["trouble"] == "nan" and remedy["stepped_back"] and remedy["remedy"]["lr"] == 0.5
    assert any("Back to" in line.get("event", "") for line in read_log(tmp_path / "run"))
    assert all(p.isfinite().all() for p in done.generator.parameters())
    assert read_state(tmp_path / "run" / "state.safetensors")["opt_G"]["param_groups"][0]["lr"] == 0.0025 / 2


def test_a_run_that_fails_again_stops_with_words_and_leaves_good_files(tmp_path, monkeypatch):
    monkeypatch.setattr(benches.GeneratorTrainer, "generator_step", poisoned(lambda b: b.nimg >= 24))
    steps = []
    with pytest.raises(GanvasError, match=r"again after a remedy.*lower learning rate"):
        train(
            tiny.pictures(),
            config=tiny.config(save_minutes=0.00001),
            folder=tmp_path / "run",
            on_step=lambda status: steps.append(status.nimg),
            device="cpu",
        )
    assert len(steps) < 20  # no endless loop
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed" and "again" in record["words"]
    for name in ("state", "good"):
        state = read_state(tmp_path / "run" / f"{name}.safetensors")
        assert all(tensor.isfinite().all() for tensor in state["G"].values())


def test_a_nan_gradient_now_and_then_costs_a_step_and_not_the_run():
    class Hiccup(nn.Module):
        z_dim, calls = 8, 0

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 3 * 16 * 16)

        def forward(self, z):
            img = self.layer(z).view(-1, 3, 16, 16).tanh()
            Hiccup.calls += 1
            return img * math.nan if Hiccup.calls == 20 else img

    judge = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))
    config = tiny.config(family="own", generator={}, discriminator={}, augment="none", r1_gamma=0.0, ema="none")
    config = dataclasses.replace(config, total_kimg=0.2, tick_kimg=0.1)
    done = train(tiny.pictures(), generator=Hiccup(), discriminator=judge, config=config, device="cpu")
    assert done.finished and not any("event" in line for line in done.log)
    assert max(line["bad_share"] for line in done.log) > 0
    assert all(p.isfinite().all() for p in done.generator.parameters())


class Collapsed(nn.Module):
    """Paints one picture whatever the noise is, once it has seen some steps."""

    z_dim = 8

    def __init__(self, after):
        super().__init__()
        self.layer, self.after, self.steps = nn.Linear(8, 3 * 16 * 16), after, 0
        nn.init.normal_(self.layer.weight)  # wild, while it lasts

    def forward(self, z):
        self.steps += self.training and torch.is_grad_enabled()
        return self.layer(z * (self.steps <= self.after)).view(-1, 3, 16, 16).tanh()


def test_a_collapsed_generator_is_stepped_back_and_then_given_up(monkeypatch):
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_KIMG", 0.01)
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_STEPS", 0)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))
    config = tiny.config(family="own", generator={}, discriminator={}, augment="none", r1_gamma=0.1, total_kimg=1)
    events = []
    with pytest.raises(GanvasError, match=r"collapsed.*again after a remedy"):
        train(
            tiny.pictures(),
            generator=Collapsed(after=20),
            discriminator=judge,
            config=config,
            on_step=lambda status: events.append(status.event or ""),
            device="cpu",
        )
    assert any("collapsed" in event and "gradient penalties times 2" in event for event in events)


MLP = {"family": "mlp", "generator": {"widths": [8], "z_dim": 8}, "discriminator": {"widths": [64]}}
# A generator that stands still against a discriminator that learns fast: sooner or later D knows every picture.
HOPELESS = MLP | {"augment": "none", "r1_gamma": 0.001, "g_lr": 1e-12, "d_lr": 0.01, "tick_kimg": 0.04, "batch_size": 8}


def test_fifty_pictures_are_learnt_by_heart_and_the_watchdog_says_so(monkeypatch):
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_KIMG", 0.1)
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_STEPS", 0)
    monkeypatch.setattr("ganvas.training.engine.watchdog.MIN_D_LOSS_SHARE", 0.0)
    events = []
    done = train(
        tiny.pictures(50),
        config=tiny.config(**HOPELESS, total_kimg=0.8),
        on_step=lambda status: events.append(status.event or ""),
        device="cpu",
    )
    said = [event for event in events if "overfitted" in event]
    assert len(said) == 1 and "more images" in said[0] and "augment=ada" in said[0]
    assert done.finished  # it is the user's choice to go on


def test_a_discriminator_that_wins_outright_is_held_back_and_then_the_run_is_given_up(monkeypatch):
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_KIMG", 0.1)
    monkeypatch.setattr("ganvas.training.engine.watchdog.WARM_UP_STEPS", 0)
    events = []
    with pytest.raises(GanvasError, match=r"wins outright.*again after a remedy"):
        train(
            tiny.pictures(50),
            config=tiny.config(**HOPELESS, total_kimg=4),
            on_step=lambda status: events.append(status.event or ""),
            device="cpu",
        )
    assert any("the discriminator's learning rate times 0.5" in event for event in events)


def test_augmentation_at_its_limit_is_said_to_leak():
    config = tiny.config(
        **MLP,
        augment="ada",
        ada_kimg=0.05,
        ada_target=-0.99,
        ada_p_max=0.5,
        total_kimg=0.2,
        tick_kimg=0.008,
        g_lr=1e-12,
    )
    events = []
    train(tiny.pictures(), config=config, on_step=lambda status: events.append(status.event or ""), device="cpu")
    said = [event for event in events if "at its limit" in event]
    assert len(said) == 1 and "maximum augmentation times 0.5" in said[0]


def test_mean_w_never_takes_in_what_is_not_finite():
    from ganvas.training.generator.networks import GANPair, build_pair

    G, D = build_pair(tiny.config(), resolution=16, channels=3, c_dim=0)
    pair = GANPair(G, D, c_dim=0, dtype=torch.float32)
    pair.follow_mean_w(torch.full((8,), math.nan), 0.5)
    assert G.w_avg.isfinite().all()
