"""An interrupted run equals the uninterrupted one, bit for bit; whatever interrupts it, the folder is never broken."""

import dataclasses
import errno
import json
import os
import random
import signal
import threading
from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.errors import BadConfig, BrokenWeights, GanvasError, Stopped
from ganvas.training.engine import run_folder as runs
from ganvas.training.engine.run_folder import read_log
from ganvas.training.engine.run_list import list_runs, read_run_state
from ganvas.training.engine.state import read_state, write_state
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.train import train
from tests.training import tiny
from tests.training.children import CHILDREN, needs_children

# Everything that has a memory: averages, ADA, path length, schedules, mixing, dropout-free noise, two samplers.
FULL = {
    "augment": "ada",
    "ada_kimg": 0.05,
    "path_length": 1.0,
    "mixing": 0.9,
    "mirror": True,
    "schedule": "cosine",
    "schedule_kimg": 0.04,
    "lr_end": 0.5,
    "beta2_end": 0.9,
    "r2_gamma": 0.01,
}
PAIRS = {**FULL, "loss": "rpgan", "augment": "ramp"}  # a loss that draws fresh pictures for the generator


def stop_after(steps):
    def on_step(status):
        if status.step == steps:
            raise Stopped("enough")

    return on_step


def same(one, other):
    """Are two states equal in every bit, but for the clock?"""
    flat = [dict(_leaves(state)) for state in (one, other)]
    assert flat[0].keys() == flat[1].keys()
    return [
        key
        for key, value in flat[0].items()
        if key != "counters.sec"
        and not (torch.equal(value, flat[1][key]) if isinstance(value, torch.Tensor) else value == flat[1][key])
    ]


def _leaves(tree, path=""):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, (list, tuple)) else None
    if items is None:
        yield path[1:], tree
        return
    for key, value in items:
        yield from _leaves(value, f"{path}.{key}")


@pytest.mark.parametrize(("steps", "fields"), [(1, FULL), (5, PAIRS), (6, FULL)])
def test_a_run_that_was_stopped_equals_one_that_was_not(tmp_path, steps, fields):
    config = tiny.config(**fields)
    whole = train(tiny.pictures(), config=config, folder=tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(tiny.pictures(), config=config, folder=tmp_path / "cut", on_step=stop_after(steps), device="cpu")
    cut = train(tiny.pictures(), config=config, folder=tmp_path / "cut", device="cpu")
    states = [read_state(tmp_path / name / "state.safetensors") for name in ("whole", "cut")]
    assert same(*states) == []
    assert states[0]["counters"]["nimg"] == whole.nimg == cut.nimg == 48
    logs = [[{**line, "sec": 0, "img_per_sec": 0} for line in read_log(tmp_path / name)] for name in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0]) == 6


@pytest.mark.parametrize("family", ["mlp", "dcgan"])
def test_dropout_batch_norm_heads_and_pool_resume_exactly_too(tmp_path, family):
    fields = {"mlp": ({"widths": [8], "z_dim": 8}, {"widths": [8]}), "dcgan": ({"ngf": 4}, {"ndf": 4})}[family]
    more = {"codes": 1, "categories": 3, "pool": 6, "virtual_norm": 2, "blur_px": 2.0, "blur_kimg": 0.03}
    config = tiny.config(family=family, generator=fields[0], discriminator=fields[1], r1_gamma=0.0)
    config = dataclasses.replace(config, **(more if family == "dcgan" else {}))
    train(tiny.pictures(), config=config, folder=tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(tiny.pictures(), config=config, folder=tmp_path / "cut", on_step=stop_after(4), device="cpu")
    train(tiny.pictures(), config=config, folder=tmp_path / "cut", device="cpu")
    assert same(*[read_state(tmp_path / name / "state.safetensors") for name in ("whole", "cut")]) == []


# Saves after nearly every step.
LONG = {"total_kimg": 0.12, "save_minutes": 0.0002}


def train_until(signal_number, step, delay_sec, folder):
    """In a process of its own: send it a signal so many seconds after a step."""
    torch.set_num_threads(1)

    def on_step(status):
        if status.step - first_step == step:
            threading.Timer(delay_sec, os.kill, (os.getpid(), signal_number)).start()

    first_step = read_state(folder / "state.safetensors")["counters"]["step"] if folder.exists() else 0
    train(tiny.pictures(), config=tiny.config(**LONG), folder=folder, on_step=on_step, device="cpu")


def exit_code_of(*arguments):
    """Of `train_until` with these arguments."""
    process = CHILDREN.Process(target=train_until, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode


@needs_children
def test_killed_three_times_without_warning_it_still_ends_in_the_same_bits(tmp_path):
    chance, config = random.Random(0), tiny.config(**LONG)
    for _ in range(3):
        step = chance.randint(3, 9)  # then anywhere in the next one, or in the middle of saving
        assert exit_code_of(signal.SIGKILL, step, chance.random() * 0.03, tmp_path / "killed") == -signal.SIGKILL
        assert read_run_state(tmp_path / "killed").status == "killed"
        read_state(tmp_path / "killed" / "state.safetensors")  # whole
    for name in ("killed", "whole"):
        train(tiny.pictures(), config=config, folder=tmp_path / name, device="cpu")
    states = [read_state(tmp_path / name / "state.safetensors") for name in ("whole", "killed")]
    assert states[0]["counters"]["nimg"] == 120 and same(*states) == []
    assert [line["nimg"] for line in read_log(tmp_path / "killed")] == list(range(8, 121, 8))


@needs_children
def test_ctrl_c_saves_and_the_same_again_goes_on(tmp_path):
    assert exit_code_of(signal.SIGINT, 5, 0, tmp_path / "run") == 0
    state = read_run_state(tmp_path / "run")
    assert state.status == "stopped" and read_state(tmp_path / "run" / "state.safetensors")["counters"]["nimg"] >= 20
    steps = []
    train(
        tiny.pictures(),
        config=tiny.config(**LONG),
        folder=tmp_path / "run",
        on_step=lambda status: steps.append(status.step),
        device="cpu",
    )
    assert steps[0] > 5 and read_run_state(tmp_path / "run").status == "finished"


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path, monkeypatch):
    config, folder, events = tiny.config(save_minutes=0.00001), tmp_path / "run", []
    real, full = runs.write_state, [False]

    def write(tree, path):
        if full[0]:
            Path(path).with_name("half").write_bytes(b"x")  # as far as it came
            Path(path).with_name("half").unlink()
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tree, path)

    def on_step(status):
        full[0] = 4 <= status.step < 8
        events.extend([status.event] if status.event else [])

    monkeypatch.setattr(runs, "write_state", write)
    done = train(tiny.pictures(), config=config, folder=folder, on_step=on_step, device="cpu")
    assert done.finished and any("No space left" in event and "training continues" in event for event in events)
    assert read_state(folder / "state.safetensors")["counters"]["nimg"] == 48


def test_a_disk_that_stays_full_ends_in_words_and_with_the_state_before(tmp_path, monkeypatch):
    config, folder = tiny.config(save_minutes=0.00001), tmp_path / "run"
    real, full = runs.write_state, [False]

    def write(tree, path):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tree, path)

    def on_step(status):
        full[0] = status.step >= 4

    monkeypatch.setattr(runs, "write_state", write)
    with pytest.raises(GanvasError, match="No space left"):
        train(tiny.pictures(), config=config, folder=folder, on_step=on_step, device="cpu")
    assert read_state(folder / "state.safetensors")["counters"]["nimg"] == 16


def test_another_configuration_is_refused_with_the_differences(tmp_path):
    config = tiny.config()
    train(tiny.pictures(), config=config, folder=tmp_path / "run", device="cpu")
    with pytest.raises(BadConfig, match=r"beta1: 0.0 → 0.5") as caught:
        train(tiny.pictures(), config=dataclasses.replace(config, beta1=0.5), folder=tmp_path / "run", device="cpu")
    assert "--name" in str(caught.value)
    weights = tmp_path / "run" / "model.safetensors"
    assert f"folder={str(tmp_path / 'run-2')!r}, init_from={str(weights)!r}" in str(caught.value)
    with pytest.raises(BadConfig, match="the images: 40 of 40 are changed: 0, 1, 2 and 37 more"):
        train(tiny.pictures(seed=1), config=config, folder=tmp_path / "run", device="cpu")


def test_a_longer_run_goes_on_from_a_finished_one(tmp_path):
    config = tiny.config()
    train(tiny.pictures(), config=config, folder=tmp_path / "long", device="cpu")
    longer = dataclasses.replace(config, total_kimg=0.064)
    train(tiny.pictures(), config=longer, folder=tmp_path / "long", device="cpu")
    train(tiny.pictures(), config=longer, folder=tmp_path / "once", device="cpu")
    assert same(*[read_state(tmp_path / name / "state.safetensors") for name in ("long", "once")]) == []
    assert json.loads((tmp_path / "long" / "run.json").read_text())["config"]["total_kimg"] == 0.064


def test_what_may_change_at_a_resume_changes_and_is_noted(tmp_path):
    folder, more = tmp_path / "run", tiny.pictures(52)
    more = more[torch.randperm(52, generator=torch.Generator().manual_seed(0))]  # new ones between the old
    train(more[:40], config=tiny.config(total_kimg=0.012), folder=folder, device="cpu")
    with pytest.raises(BadConfig, match="the images: 1 of 40 are gone: 39"):
        train(more[:39], config=tiny.config(), folder=folder, device="cpu")
    events, now = [], tiny.config(batch_size=6, g_lr=0.001, r1_gamma=0.02, total_kimg=0.09)
    mixed = torch.cat([more[45:], more[:45]])
    done = train(mixed, config=now, folder=folder, on_step=lambda status: events.append(status.event), device="cpu")
    words = "resumed with batch_size: 4 → 6, r1_gamma: 0.01 → 0.02, g_lr: 0.0025 → 0.001, images: 40 → 52"
    assert events[0] == words and not any(events[1:])
    assert [line["nimg"] for line in read_log(folder) if line.get("event") == words] == [12]
    assert json.loads((folder / "run.json").read_text())["changes"] == [{"nimg": 12, "words": words}]
    state = read_state(folder / "state.safetensors")
    assert done.nimg == 90 and state["images"] == [(0, 40), (40, 52)]
    assert state["opt_G"]["param_groups"][0]["lr"] == 0.001
    again = train(mixed, config=dataclasses.replace(now, total_kimg=0.096), folder=folder, device="cpu")
    assert again.nimg == 96 and len(json.loads((folder / "run.json").read_text())["changes"]) == 1


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    folder, other = tmp_path / "run", []

    def on_step(status):
        if status.step == 2:
            assert read_run_state(folder).status == "running"
            with pytest.raises(BadConfig, match="another process"):
                train(tiny.pictures(), config=tiny.config(), folder=folder, device="cpu")
            other.append(True)

    train(tiny.pictures(), config=tiny.config(), folder=folder, on_step=on_step, device="cpu")
    assert other == [True]


def test_a_damaged_state_falls_back_to_the_good_one(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(tiny.pictures(), config=tiny.config(), folder=folder, on_step=stop_after(5), device="cpu")
    (folder / "good.safetensors").replace(folder / "kept")
    (folder / "state.safetensors").unlink()  # it is the same file as the good one
    (folder / "state.safetensors").write_bytes(b"damage")
    with pytest.raises(BrokenWeights, match="corrupted"):
        train(tiny.pictures(), config=tiny.config(), folder=folder, device="cpu")
    (folder / "kept").replace(folder / "good.safetensors")
    assert train(tiny.pictures(), config=tiny.config(), folder=folder, device="cpu").finished


def test_what_a_run_leaves_can_be_used_at_once(tmp_path):
    folder = tmp_path / "outdir" / "run"
    train(tiny.pictures(), config=tiny.config(), folder=folder, facts={"preset": "tiny"}, device="cpu")
    G, D = ganvas.load(folder / "model.safetensors"), ganvas.load(folder / "D.safetensors", network="D")
    assert G.facts["trained_kimg"] == 0.048
    assert D(G(torch.randn(2, 8))).shape == (2,)
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "log.jsonl", "reals.jpg", "fakes-000000.jpg", "walk.gif", "report.html", "snapshots"} <= names
    (state,) = list_runs(tmp_path / "outdir")
    assert (state.status, state.preset, state.kimg) == ("finished", "tiny", 0.048)
    again = runs.read_record(folder)["config"]
    assert TrainConfig.from_json(again) == tiny.config()


def test_a_state_comes_back_as_it_was(tmp_path):
    tree = {"a": [torch.arange(3), (1, 2.5, None)], 7: {"b": torch.tensor(0.1)}, "empty": {}, "flag": True}
    write_state(tree, tmp_path / "s")
    back = read_state(tmp_path / "s")
    assert back["a"][1] == (1, 2.5, None) and back[7]["b"] == tree[7]["b"] and back["empty"] == {}
    assert torch.equal(back["a"][0], torch.arange(3)) and back["flag"] is True


def test_a_state_that_is_not_finite_is_not_written_and_names_the_part(tmp_path):
    write_state({"G": torch.zeros(2)}, tmp_path / "s")
    with pytest.raises(BrokenWeights, match=r"G\.weight"):
        write_state({"G": {"weight": torch.tensor([1.0, float("nan")])}}, tmp_path / "s")
    assert torch.equal(read_state(tmp_path / "s")["G"], torch.zeros(2))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
