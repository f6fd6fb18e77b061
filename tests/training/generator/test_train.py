"""The loop: every preset steps, every loss trains, any modules will do, and what is asked for is what is done."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from ganvas.errors import BadConfig, BadImage, BadInput, GanvasError, Stopped
from ganvas.training.engine.run_folder import read_log
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.networks import GANPair, Images
from ganvas.training.generator.presets import GENERATOR_PRESETS
from ganvas.training.generator.train import train
from tests.training import tiny


@pytest.mark.parametrize("name", list(GENERATOR_PRESETS))
def test_every_preset_takes_three_steps(name):
    config = tiny.narrowed(name)
    done = train(tiny.pictures(8, config.resolution), config=config, device="cpu")
    assert done.nimg == 6 and done.finished
    assert all(math.isfinite(value) for line in done.log for value in line.values() if isinstance(value, float))


LOSSES = [
    {"loss": "ns"},
    {"loss": "ns", "real_target": 0.9},
    {"loss": "minimax"},
    {"loss": "lsgan"},
    {"loss": "hinge"},
    {"loss": "wgan", "gradient_penalty": 10.0, "penalty_every": 1, "augment": "diffaug", "d_steps": 3},
    {"loss": "rpgan", "r2_gamma": 0.01, "penalty_every": 1, "augment": "ramp"},
    {"loss": "ragan", "augment": "fixed"},
]


@pytest.mark.parametrize("changes", LOSSES, ids=lambda changes: "-".join(map(str, changes.values())))
def test_every_loss_moves_both_networks(changes):
    start = {}

    def first(status):
        start.setdefault("step", status.step)

    config = tiny.config(total_kimg=0.024, **changes)
    before = train(tiny.pictures(), config=dataclasses.replace(config, total_kimg=0.004), device="cpu")
    after = train(tiny.pictures(), config=config, device="cpu", on_step=first)
    for one, other in ((before.generator, after.generator), (before.discriminator, after.discriminator)):
        moved = [not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
        assert sum(moved) > 0.7 * len(moved)
    assert start["step"] == 1


def test_a_discriminator_learns_to_tell_reals_from_a_generator_that_stands_still():
    config = tiny.config(total_kimg=0.4, g_lr=1e-12, d_lr=0.01, augment="none", tick_kimg=0.04, batch_size=8)
    log = train(tiny.pictures(px=8), config=config, device="cpu").log
    assert log[-1]["logit_real"] - log[-1]["logit_fake"] > 2 > log[0]["logit_real"] - log[0]["logit_fake"]
    assert log[-1]["loss_D"] < 0.5 * log[0]["loss_D"]


def test_a_generator_learns_the_mean_colour():
    reals = torch.zeros(16, 3, 8, 8)
    reals[:, 0] = 0.8  # red all over
    config = tiny.config(total_kimg=0.6, augment="none", batch_size=4, tick_kimg=1, r1_gamma=1.0, g_lr=0.01)
    done = train(reals, config=config, device="cpu")
    with torch.no_grad():
        img = done.generator(torch.randn(32, 8, generator=torch.Generator().manual_seed(1)))
    assert (img.mean(dim=(0, 2, 3)) - torch.tensor([0.8, 0.0, 0.0])).abs().max() < 0.25


def test_mean_w_follows_training_and_is_finite():
    done = train(tiny.pictures(), config=tiny.config(mixing=0.9, w_avg_beta=0.5), device="cpu")
    w_avg = done.generator.w_avg
    assert w_avg.isfinite().all() and w_avg.abs().sum() > 0


def test_training_leaves_the_callers_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(tiny.pictures(), config=tiny.config(total_kimg=0.008), device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    weights = [
        next(train(tiny.pictures(), config=tiny.config(seed=seed), device="cpu").generator.synthesis.parameters())
        for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_gradients_accumulate_to_those_of_the_whole_batch():
    """A network whose samples do not see one another gives the same in portions as at once."""
    common = {"augment": "none", "batch_size": 8, "total_kimg": 0.024, "r1_gamma": 0.1, "penalty_every": 2}
    fields = {**tiny.STYLE, "use_noise": False, "z_dim": 8, "w_dim": 8}
    judge = {**tiny.STYLE, "mbstd_num_channels": 0}
    config = tiny.config(**common, generator=fields, discriminator=judge, beta1=0.5)
    whole = train(tiny.pictures(), config=config, device="cpu")
    parts = train(tiny.pictures(), config=dataclasses.replace(config, micro_batch=2), device="cpu")
    for a, b in zip(whole.generator.parameters(), parts.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)


def test_one_pass_over_reals_and_fakes_teaches_what_two_passes_teach(monkeypatch):
    """For a StyleGAN2; minibatch standard deviation, augmentation and labels aside, all there is."""
    config = tiny.config(augment="fixed", augment_p=0.5, mixing=0.9, total_kimg=0.024, beta1=0.5)
    together = train(tiny.pictures(), config=config, device="cpu")
    calls = []

    def apart(pair, real, fake, c, fake_c):
        calls.append(len(real))
        return pair.discriminate(Images(real), c), pair.discriminate(Images(fake), fake_c)

    monkeypatch.setattr(GANPair, "discriminate_together", apart)
    twice = train(tiny.pictures(), config=config, device="cpu")
    assert calls == [4] * 6, "every step of the discriminator went through it"
    for one, two in zip(together.log, twice.log, strict=True):
        assert one["loss_D"] == pytest.approx(two["loss_D"], rel=1e-4)
    for name in ("discriminator", "generator"):
        pairs = zip(getattr(together, name).parameters(), getattr(twice, name).parameters(), strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-4)


# ---------------------------------------------------------------------------------------------------------------------
# One's own modules


class TenLines(nn.Module):
    z_dim = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3 * 16 * 16), nn.Tanh())

    def forward(self, z):
        return self.layers(z).view(-1, 3, 16, 16)


def own_discriminator():
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4))  # [N, 1, 1, 1]


def test_any_pair_of_modules_learns():
    G, D = TenLines(), own_discriminator()
    config = TrainConfig(family="own", batch_size=8, total_kimg=0.08, augment="diffaug", r1_gamma=0.1, tick_kimg=0.04)
    seen = []
    done = train(tiny.pictures(), generator=G, discriminator=D, config=config, on_step=seen.append, device="cpu")
    assert done.generator(torch.randn(2, 8)).shape == (2, 3, 16, 16)
    assert len(seen) == 10 and seen[-1].nimg == 80 and len(done.log) == 2
    assert done.discriminator is D  # trained where it is


def test_a_module_without_z_dim_is_told_so():
    with pytest.raises(BadInput, match="z_dim"):
        train(tiny.pictures(), generator=nn.Linear(8, 8), discriminator=own_discriminator(), device="cpu")


def test_labels_reach_both_networks():
    from ganvas.datasets.image_dataset import ImageDataset

    data = ImageDataset.from_pixels(tiny.pictures(8), labels=torch.arange(8) % 2)
    done = train(data, config=tiny.config(labels="auto", total_kimg=0.008), device="cpu")
    assert done.generator.c_dim == 2 and done.discriminator.c_dim == 2
    assert train(data, config=tiny.config(total_kimg=0.004), device="cpu").generator.c_dim == 0


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (torch.full((4, 3, 16, 16), 3.0), BadImage),
        (torch.zeros(4, 3, 16, 8, dtype=torch.uint8), BadImage),
        (7, BadInput),
    ],
)
def test_unfit_pictures_are_refused(data, error):
    with pytest.raises(error):
        train(data, config=tiny.config(), device="cpu")


def test_stopped_by_the_caller_gives_what_there_is():
    def stop(status):
        if status.step == 2:
            raise Stopped("enough")

    with pytest.raises(Stopped) as caught:
        train(tiny.pictures(), config=tiny.config(), on_step=stop, device="cpu")
    assert caught.value.state.nimg == 8 and not caught.value.state.finished


def test_the_time_limit_ends_a_run(clock):
    def pass_time(status):
        clock.advance(0.1)

    done = train(tiny.pictures(), config=tiny.config(total_kimg=1000, minutes=0.01), on_step=pass_time, device="cpu")
    assert done.finished and done.sec == pytest.approx(0.6) and done.nimg == 6 * 4


def test_freezing_leaves_the_first_layers_as_they_were():
    config = tiny.config(freeze_d=4)
    short = train(tiny.pictures(), config=dataclasses.replace(config, total_kimg=0.004), device="cpu")
    done = train(tiny.pictures(), config=config, device="cpu")
    pairs = list(zip(short.discriminator.named_parameters(), done.discriminator.named_parameters(), strict=True))
    assert torch.equal(pairs[0][0][1], pairs[0][1][1]) and not torch.equal(pairs[-1][0][1], pairs[-1][1][1])


def test_a_share_that_does_not_divide_is_refused():
    with pytest.raises(BadConfig, match="micro_batch"):
        tiny.config(micro_batch=3)


def test_a_conditional_run_shows_its_classes(tmp_path):
    from ganvas.datasets.image_dataset import ImageDataset

    data = ImageDataset.from_pixels(tiny.pictures(8), labels=torch.arange(8) % 2)
    config = tiny.config(labels="auto", total_kimg=0.008)
    done = train(data, config=config, folder=tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "fakes-000000.jpg").exists() and done.finished


def test_both_kinds_of_average_are_kept_and_can_be_mixed_afterwards(tmp_path):
    from ganvas.training.ema import average_of_files

    config = tiny.config(ema="power", total_kimg=0.016, snapshot_kimg=0.008)
    train(tiny.pictures(), config=config, folder=tmp_path / "run", device="cpu")
    files = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert len(files) == 2  # of two sigmas; both snapshots are of the same kimg, rounded
    assert average_of_files(files, 0.08)(torch.randn(1, 8)).shape == (1, 3, 16, 16)


def test_too_little_memory_is_answered_with_the_setting_that_helps(monkeypatch):
    from ganvas.training.generator.trainer import GeneratorTrainer

    def fail(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(GeneratorTrainer, "discriminator_step", fail)
    with pytest.raises(GanvasError, match="micro_batch=2"):
        train(tiny.pictures(), config=tiny.config(), device="cpu")


def test_metrics_of_every_snapshot_stand_in_the_log_with_their_protocol(tmp_path):
    config = tiny.config(metrics="spectrum, msssim", metrics_num=200, total_kimg=0.008)
    train(tiny.pictures(60), config=config, device="cpu", folder=tmp_path / "run")
    assert 0 < read_log(tmp_path / "run")[-1]["MS-SSIM of pairs"] <= 1
    noted = json.loads((tmp_path / "run" / "run.json").read_text())["metrics"]
    assert "60 real and 200 fake" in noted["MS-SSIM of pairs"] and "MS-SSIM of pairs" in (
        tmp_path / "run" / "report.html"
    ).read_text(encoding="utf-8")
    with pytest.raises(BadConfig, match="StyleGAN3"):
        train(tiny.pictures(), config=tiny.config(metrics="eqt"), device="cpu", folder=tmp_path / "other")
    with pytest.raises(BadConfig, match="got 'fid'"):
        tiny.config(metrics="fd,fid")
