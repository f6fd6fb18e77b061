"""Training an upscaler: it learns, it resumes bit for bit, it survives planted failures, every recipe runs."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import ganvas
from ganvas.datasets.sr_pairs import PhotoDataset, bicubic_downscale
from ganvas.errors import BadConfig, BadInput, GanvasError, Stopped
from ganvas.models.srvgg import SRVGG, SRVGGConfig
from ganvas.training.engine.config_base import apply_settings
from ganvas.training.engine.distributed import init_distributed
from ganvas.training.engine.run_folder import MemoryRun, read_log
from ganvas.training.engine.run_list import list_runs
from ganvas.training.engine.state import read_state
from ganvas.training.upscaler import snapshots, train as loop, trainer as benches
from ganvas.training.upscaler.config import UpscalerConfig
from ganvas.training.upscaler.presets import UPSCALER_PRESETS, find_upscaler_preset
from ganvas.training.upscaler.train import train_upscaler
from ganvas.weights.checkpoint import save

SMALL = {"num_feat": 6, "num_conv": 1, "act": "leakyrelu"}


def photos(count=6, px=48, seed=0) -> list[Tensor]:
    """uint8 [3, px, px]: sharp bars of random directions and colours."""
    made = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        y, x = np.mgrid[:px, :px]
        angle, step = rng.uniform(0, math.pi), rng.uniform(4, 9)
        bars = (np.sin((x * math.cos(angle) + y * math.sin(angle)) * math.tau / step) > 0)[None]
        made.append(torch.from_numpy(np.where(bars, *(rng.integers(0, 256, (2, 3, 1, 1)))).astype(np.uint8)))
    return made


def config(**changes) -> UpscalerConfig:
    """Six steps of two crops of 16 px, float32."""
    start = UpscalerConfig(
        generator=SMALL, scale=2, low_px=8, batch_size=2, total_kimg=0.012, tick_kimg=0.002, snapshot_kimg=100,
        save_minutes=100, kept_back=1, precision="exact",
    )  # fmt: skip
    return dataclasses.replace(start, **changes)


GAN = {"gan": "ragan", "pixel_kimg": 0.004, "discriminator": {"num_feat": 2}}


def stop_after(steps):
    def on_step(status):
        if status.step == steps:
            raise Stopped("enough")

    return on_step


def leaves(tree, path=""):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else None
    if items is None:
        yield path[1:], tree
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}")


def different(a, b):
    """Names of what differs between two states, but for the clock."""
    one, other = dict(leaves(a)), dict(leaves(b))
    assert one.keys() == other.keys()
    return [
        name
        for name, value in one.items()
        if not name.endswith("sec")
        and not (torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name])
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Learning


def test_photos_that_were_kept_back_come_out_better_than_from_the_start():
    """150 steps do better than repeating pixels, by more than the bilinear start does."""
    settings = config(total_kimg=1.2, batch_size=8, generator={**SMALL, "num_feat": 12}, lr=1e-2, kept_back=2,
                      snapshot_kimg=1.2, tick_kimg=0.6)  # fmt: skip
    done = train_upscaler(photos(12), config=settings, device="cpu")
    assert done.finished and done.discriminator is None and isinstance(done.generator, SRVGG)
    found = next(line for line in reversed(done.log) if "psnr" in line)
    _, kept = PhotoDataset.of(photos(12)).split(2)
    truths = [kept.whole(i) for i in range(2)]
    repeated = [bicubic_downscale(truth, 2).repeat(2, axis=0).repeat(2, axis=1) for truth in truths]
    start = snapshots.compute_sr_metrics(repeated, truths, 2)
    assert found["psnr"] > start["psnr"] + 0.5 and found["ssim"] > start["ssim"] + 0.03
    losses = [line["pixel"] for line in done.log if "pixel" in line]
    assert losses[-1] < losses[0]


def test_the_second_stage_trains_both_networks_with_the_rates_of_its_own():
    seen = {}

    class Spy(benches.UpscalerTrainer):
        def gan_step(self, batch):
            seen.setdefault("before", [p.clone() for p in self.params_D])
            seen["lr"] = self.opt_G.param_groups[0]["lr"], self.opt_D.param_groups[0]["lr"]
            super().gan_step(batch)
            assert all(p.requires_grad for p in self.params_D)
            seen["after"] = [p.clone() for p in self.params_D]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "UpscalerTrainer", Spy)
        settings = config(**GAN, schedule="constant", lr=1e-3, gan_lr=2e-4, d_lr=3e-4)
        done = train_upscaler(photos(), config=settings, device="cpu")
    assert seen["lr"] == (2e-4, 3e-4)
    assert any(not torch.equal(a, b) for a, b in zip(seen["before"], seen["after"], strict=True))
    names = [set(line) & {"loss_D", "loss_G"} for line in done.log if "pixel" in line]
    assert names == [set(), set(), *[{"loss_D", "loss_G"}] * 4]
    assert done.discriminator is not None


@pytest.mark.parametrize("gan", ["ns", "lsgan", "hinge", "ragan"])
def test_the_generators_gradient_is_that_of_the_written_sum(gan):
    """gan_step's total, written out slowly with torch's own functions."""
    torch.manual_seed(0)
    settings = config(**{**GAN, "gan": gan, "pixel_kimg": 0}, pixel_weight=0.7, gan_weight=0.3)
    G, D = loop._networks(settings)
    pairs = loop.SRDataset(PhotoDataset.of(photos()), loop._pair_config(settings), seed=0)
    bench = benches.UpscalerTrainer(
        G, D, settings, pairs, distance=None, world=init_distributed("cpu"), run=MemoryRun()
    )
    low, high = bench.draw()
    caught = []
    bench.apply_gradients = lambda opt, params, name, **_: caught.append([p.grad.clone() for p in params])
    D.eval()  # spectral norms stand still
    bench.gan_step(benches.SRBatch(low, high))
    G.zero_grad()
    made = G(low)
    f, r = D(made), D(high).detach()
    fooled = {
        "ns": F.softplus(-f).mean(),
        "lsgan": ((f - 1) ** 2 / 2).mean(),
        "hinge": -f.mean(),
        "ragan": (F.softplus(-(f - r.mean(0))) + F.softplus(r - f.mean(0))).mean(),
    }[gan]
    (0.7 * (made - high).abs().mean() + 0.3 * fooled).backward()
    for ours, p in zip(caught[0], G.parameters(), strict=True):
        assert torch.allclose(ours, p.grad, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Stopping and going on


@pytest.mark.parametrize(("steps", "fields"), [(1, {}), (4, GAN), (2, {**GAN, "degradation": "real"})])
def test_a_run_that_was_stopped_equals_one_that_was_not(tmp_path, steps, fields):
    settings = config(**fields)
    whole = train_upscaler(photos(), config=settings, folder=tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped) as stopped:
        train_upscaler(photos(), config=settings, folder=tmp_path / "cut", on_step=stop_after(steps), device="cpu")
    assert not stopped.value.state.finished
    cut = train_upscaler(photos(), config=settings, folder=tmp_path / "cut", device="cpu")
    assert whole.nimg == cut.nimg == 12
    assert different(*[read_state(tmp_path / name / "state.safetensors") for name in ("whole", "cut")]) == []
    logs = [[{**line, "sec": 0, "img_per_sec": 0} for line in read_log(tmp_path / name)] for name in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0]) == 7  # six ticks and the figures at the end


def test_a_longer_run_keeps_the_schedule_it_began_with(tmp_path):
    train_upscaler(photos(), config=config(), folder=tmp_path / "run", device="cpu")
    longer = train_upscaler(photos(), config=config(total_kimg=0.016), folder=tmp_path / "run", device="cpu")
    assert longer.nimg == 16
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["schedule_kimg"] == 0.012 and record["kind"] == "upscaler"
    lr = read_state(tmp_path / "run" / "state.safetensors")["opt_G"]["param_groups"][0]["lr"]
    assert lr == pytest.approx(5e-4 * 0.02)


def test_other_settings_or_photos_are_refused_with_the_differences(tmp_path):
    train_upscaler(photos(), config=config(), folder=tmp_path / "run", device="cpu")
    with pytest.raises(BadConfig, match=r"pixel: 'l1' → 'l2'"):
        train_upscaler(photos(), config=config(pixel="l2"), folder=tmp_path / "run", device="cpu")
    with pytest.raises(BadConfig, match="the images"):
        train_upscaler(photos(seed=1), config=config(), folder=tmp_path / "run", device="cpu")


def test_what_comes_out_upscales_and_lists(tmp_path):
    Image.fromarray(photos()[0].permute(1, 2, 0).numpy()).save(tmp_path / "small.png")
    folder = tmp_path / "runs" / "run"
    train_upscaler(photos(), config=config(**GAN), folder=folder, facts={"preset": "mine"}, device="cpu")
    large = ganvas.upscale(ganvas.read_image(tmp_path / "small.png"), model=folder / "model.safetensors")
    assert large.size == (96, 96)
    net = ganvas.load(folder / "model.safetensors")
    assert net.facts["trained_kimg"] == 0.012 and net.facts["trained_on"]["count"] == 5
    assert ganvas.load(folder / "D.safetensors", network="D")(torch.zeros(1, 3, 16, 16)).shape == (1, 256)
    (listed,) = list_runs(tmp_path / "runs")
    assert (listed.status, listed.preset, listed.kimg) == ("finished", "mine", 0.012)
    sheet = Image.open(next(folder.glob("fakes-*.jpg")))
    assert sheet.width > 4 * snapshots.SHEET_CROP_PX
    report = (folder / "report.html").read_text()
    assert "ganvas upscale -i small.jpg" in report and "beside bicubic" in report


def test_it_goes_on_from_weights_of_the_same_shape(tmp_path):
    net = SRVGG(SRVGGConfig(scale=2, num_feat=5, num_conv=2, act="relu"))
    save(net, tmp_path / "start.safetensors")
    events = []
    done = train_upscaler(
        photos(),
        config=config(total_kimg=0.002, lr=1e-12),
        init_from=tmp_path / "start.safetensors",
        on_step=lambda status: events.append(status.event),
        device="cpu",
    )
    assert done.generator.config == net.config and "100 % loaded" in events[0]
    for ours, theirs in zip(done.generator.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    save(SRVGG(SRVGGConfig(scale=4, num_feat=5, num_conv=2)), tmp_path / "four.safetensors")
    with pytest.raises(BadConfig, match="scale=4"):
        train_upscaler(photos(), config=config(), init_from=tmp_path / "four.safetensors", device="cpu")


# ---------------------------------------------------------------------------------------------------------------------
# Trouble


def poisoned(when):
    """NaN into a weight of the upscaler, after the steps for which `when` holds."""

    def step(self, batch, original=benches.UpscalerTrainer.pixel_step):
        original(self, batch)
        if when(self):
            with torch.no_grad():
                next(self.G.parameters())[0, 0, 0, 0] = math.nan

    return step


def test_weights_that_became_nan_step_back_and_go_on_with_other_crops(tmp_path, monkeypatch):
    drawn = []

    def draw(self, original=benches.UpscalerTrainer.draw):
        batch = original(self)
        drawn.append((self.nimg, self.attempt, batch.low.sum().item()))
        return batch

    monkeypatch.setattr(benches.UpscalerTrainer, "pixel_step", poisoned(lambda b: b.nimg == 6 and b.attempt == 0))
    monkeypatch.setattr(benches.UpscalerTrainer, "draw", draw)
    events = []
    done = train_upscaler(
        photos(),
        config=config(save_minutes=0.00001),
        folder=tmp_path / "run",
        on_step=lambda status: events.append(status.event),
        device="cpu",
    )
    assert done.finished and all(p.isfinite().all() for p in done.generator.parameters())
    assert any(event and "Back to" in event for event in events)
    (remedy,) = json.loads((tmp_path / "run" / "run.json").read_text())["remedies"]
    assert remedy["trouble"] == "nan" and remedy["remedy"]["lr"] == 0.5
    first = {nimg: total for nimg, attempt, total in drawn if attempt == 0}
    second = {nimg: total for nimg, attempt, total in drawn if attempt == 1}
    assert second and all(first[nimg] != total for nimg, total in second.items() if nimg in first)


def test_trouble_that_comes_again_ends_in_words(monkeypatch):
    monkeypatch.setattr(benches.UpscalerTrainer, "pixel_step", poisoned(lambda b: b.nimg >= 4))
    with pytest.raises(GanvasError, match=r"again after a remedy.*lower learning rates"):
        train_upscaler(photos(), config=config(save_minutes=0.00001), device="cpu")


def test_too_little_memory_is_answered_with_the_settings_that_help(monkeypatch):
    def fail(self, batch):
        raise MemoryError

    monkeypatch.setattr(benches.UpscalerTrainer, "pixel_step", fail)
    with pytest.raises(GanvasError, match="--set batch_size=1; or --set low_px=8 under another --name"):
        train_upscaler(photos(), config=config(), device="cpu")


# ---------------------------------------------------------------------------------------------------------------------
# Recipes and settings


@pytest.mark.parametrize("name", UPSCALER_PRESETS)
def test_every_recipe_makes_three_steps(name, monkeypatch):
    recipe = find_upscaler_preset(name)
    monkeypatch.setattr(loop, "feature_distance_on", lambda device: lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    narrow = {"num_feat": 4, "num_block": 1, "num_grow_ch": 2} if recipe.family == "rrdbnet" else SMALL
    settings = dataclasses.replace(
        recipe,
        generator=narrow,
        discriminator={} if recipe.gan == "none" else {"num_feat": 2},
        low_px=8,
        batch_size=2,
        pixel_kimg=None if recipe.gan == "none" else 0.002,
        total_kimg=0.006,
        tick_kimg=0.002,
        kernel_px=(7, 9),
    )
    done = train_upscaler(photos(4, 64), config=settings, device="cpu")
    assert done.nimg == 6 and done.generator.scale == recipe.scale
    line = [line for line in done.log if "pixel" in line][-1]
    assert math.isfinite(line["pixel"]) and ("loss_D" in line) == (recipe.gan != "none")
    assert ("perceptual" in line) == (recipe.perceptual_weight > 0)


def test_features_that_are_not_here_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    with pytest.raises(BadConfig, match="ganvas models get efficientnet-lite0, or --set perceptual_weight=0"):
        train_upscaler(photos(), config=config(**GAN, perceptual_weight=1.0), device="cpu")


def test_settings_go_to_json_and_back_and_take_text():
    for recipe in UPSCALER_PRESETS.values():
        assert UpscalerConfig.from_json(json.loads(json.dumps(recipe.config.to_json()))) == recipe.config
    changed = apply_settings(config(), {"generator.num_feat": "9", "kernel_px": "7,9", "minutes": "3"})
    assert (changed.generator["num_feat"], changed.kernel_px, changed.minutes) == (9, (7, 9), 3.0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gan": "ns"}, "pixel_kimg"),
        ({"pixel_kimg": 5}, "must be none"),
        ({"low_px": 7, "scale": 2, **GAN}, "multiple of 8"),
        ({"lr": 0}, "lr must be a number above 0"),
        ({"degradation": "rain"}, "degradation must be bicubic or real"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields, words):
    with pytest.raises(BadConfig, match=words):
        config(**fields)


def test_photos_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="16 px"):
        train_upscaler(photos(2, 12), config=config(), device="cpu")
    with pytest.raises(BadInput, match="a folder"):
        train_upscaler(3, config=config(), device="cpu")
