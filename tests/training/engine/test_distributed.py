"""Two processes give what one gives with the same global batch in the same portions, up to the order of float sums."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from ganvas.errors import BadConfig, BadInput, GanvasError
from ganvas.training.engine import overlap
from ganvas.training.engine.distributed import (
    World,
    any_process,
    average,
    average_numbers,
    in_turns,
    init_distributed,
    sum_over_processes,
)
from ganvas.training.engine.run_folder import read_log
from ganvas.training.engine.run_list import read_run_state
from ganvas.training.engine.state import read_state
from ganvas.training.generator import train as train_module
from ganvas.training.generator.train import train
from tests.training import tiny
from tests.training.children import CHILDREN, needs_children

# Everything that draws, and everything that is averaged: ADA, noise, mixing, lazy R1, path length, labels aside.
CHANGES = {"augment": "ada", "ada_kimg": 0.05, "mixing": 0.9, "path_length": 1.0, "mirror": True, "micro_batch": 2}


def train_as(rank, port, folder, data, home, reports):
    torch.set_num_threads(1)
    os.environ.update(addresses(rank, port) | {"GANVAS_HOME": str(home)})
    opened = train_module.open_image_dataset

    def open_and_tell(*args, **options):
        pictures = opened(*args, **options)
        reports.put((rank, pictures.report[-1]))
        return pictures

    train_module.open_image_dataset = open_and_tell
    train(data, config=tiny.config(**CHANGES), folder=folder, device="cpu")


# What was registered first runs last at the end, so this looks when `init_distributed`'s own parting is done.
# Networks whose buffers move: each portion by itself, and batch normalisation over all processes.
CLASSIC = {"family": "dcgan", "generator": {"ngf": 4, "z_dim": 8}, "r1_gamma": 0.0, "total_kimg": 0.04}
BUFFERS = {
    "portions": {**CLASSIC, "discriminator": {"ndf": 4, "norm": "spectral"}, "augment": "diffaug", "micro_batch": 2},
    "together": {**CLASSIC, "discriminator": {"ndf": 4}, "augment": "none", "sync_norm": True},
}

FAILING_CHILD = """
import atexit, sys, torch.distributed as dist
atexit.register(lambda: print("still joined" if dist.is_initialized() else "parted"))
from ganvas.training.engine.distributed import init_distributed
assert init_distributed("cpu").size == 2 and dist.is_initialized()
raise ValueError("planted")
"""


def addresses(rank, port):
    """Of one process of two, as torchrun says them."""
    rank = str(rank)
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**there, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@needs_children
def test_two_processes_give_what_one_gives_and_only_the_first_decodes(tmp_path):
    port, reports, data = free_port(), CHILDREN.Queue(), tmp_path / "data"
    data.mkdir()
    for number, img in enumerate(tiny.pictures()):
        Image.fromarray(img.permute(1, 2, 0).numpy()).save(data / f"{number:02}.png")
    rest = (port, tmp_path / "two", data, tmp_path / "home", reports)
    pair = [CHILDREN.Process(target=train_as, args=(rank, *rest)) for rank in range(2)]
    for process in pair:
        process.start()
    train(data, config=tiny.config(**CHANGES), folder=tmp_path / "one", device="cpu")
    (first, saved), (second, found) = reports.get(timeout=120), reports.get(timeout=120)
    assert (first, second) == (0, 1) and "saved in the cache" in saved and "read from the cache" in found
    for process in pair:
        process.join(120)
        assert process.exitcode == 0
    one, two = (read_state(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert read_run_state(tmp_path / "two").status == "finished"
    assert one["ada"]["p"] == two["ada"]["p"] > 0
    for network in ("G", "D"):
        for name, value in one[network].items():
            torch.testing.assert_close(two[network][name], value, rtol=5e-3, atol=5e-4, msg=f"{network}.{name}")
    torch.testing.assert_close(two["path"]["mean"], one["path"]["mean"], rtol=1e-2, atol=1e-3)
    for mine, theirs in zip(read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        assert mine["loss_D"] == pytest.approx(theirs["loss_D"], rel=1e-3)
        assert mine["sign_real"] == pytest.approx(theirs["sign_real"])


def test_a_process_that_fails_parts_from_the_others_before_python_ends():
    """Else gloo's threads may abort it (SIGABRT) and hide what was wrong."""
    port, pipe, root = free_port(), subprocess.PIPE, Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FAILING_CHILD]
    pair = [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment | addresses(rank, port))
        for rank in range(2)
    ]
    for process in pair:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1 and "ValueError: planted" in err, err
        assert out.split() == ["parted"]


def train_until_lost(rank, port, folder, answers):
    torch.set_num_threads(1)
    os.environ.update(addresses(rank, port))

    def on_step(status):
        if status.step == 3:
            answers.put("three steps")

    config = tiny.config(total_kimg=100, save_minutes=0)
    try:
        train(tiny.pictures(), config=config, folder=folder, device="cpu", on_step=on_step)
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")


@needs_children
def test_a_killed_process_is_told_in_a_sentence_and_the_run_resumes(tmp_path):
    port, answers = free_port(), CHILDREN.Queue()
    pair = [
        CHILDREN.Process(target=train_until_lost, args=(rank, port, tmp_path / "run", answers)) for rank in range(2)
    ]
    for process in pair:
        process.start()
    assert answers.get(timeout=120) == "three steps"
    pair[1].kill()
    words = answers.get(timeout=120)
    pair[0].join(120)
    assert words.startswith("LostProcess: another of the 2 processes has ended")
    assert f"kept in {tmp_path / 'run'}: start all processes again to resume" in words
    state = read_run_state(tmp_path / "run")
    assert state.status == "failed" and "has ended" in state.words and state.kimg > 0
    resumed = tiny.config(total_kimg=state.kimg + 0.008, save_minutes=0)
    assert train(tiny.pictures(), config=resumed, folder=tmp_path / "run", device="cpu").finished


def train_with_buffers_as(rank, ports, folder):
    torch.set_num_threads(1)
    for port, (name, changes) in zip(ports, BUFFERS.items(), strict=True):
        os.environ.update(addresses(rank, port))
        train(tiny.pictures(), config=tiny.config(**changes), folder=folder / name, device="cpu")


@needs_children
def test_two_processes_give_what_one_gives_where_networks_move_their_buffers(tmp_path):
    """Batch normalisation's running means and spectral normalisation's vectors: all but the order of float sums."""
    ports = [free_port() for _ in BUFFERS]
    pair = [CHILDREN.Process(target=train_with_buffers_as, args=(rank, ports, tmp_path / "two")) for rank in range(2)]
    for process in pair:
        process.start()
    for name, changes in BUFFERS.items():
        train(tiny.pictures(), config=tiny.config(**changes), folder=tmp_path / "one" / name, device="cpu")
    for process in pair:
        process.join(120)
        assert process.exitcode == 0
    for name in BUFFERS:
        one, two = (read_state(tmp_path / count / name / "state.safetensors") for count in ("one", "two"))
        moved = []
        for network in ("G", "D"):
            for key, value in one[network].items():
                torch.testing.assert_close(
                    two[network][key], value, rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}"
                )
                moved += [key] * ("running_mean" in key or "weight_u" in key)
        assert len(moved) >= 3


def prepare_as(rank, port, answers):
    os.environ.update(addresses(rank, port))
    world = init_distributed("cpu")

    def read():
        if rank == 0:
            raise BadInput("no pictures")
        answers.put("the second process went to work")

    try:
        in_turns(read, world)
    except GanvasError as error:
        answers.put(f"{rank} {type(error).__name__}: {error}")


@needs_children
def test_when_the_first_process_cannot_read_the_data_the_others_end_too():
    port, answers = free_port(), CHILDREN.Queue()
    pair = [CHILDREN.Process(target=prepare_as, args=(rank, port, answers)) for rank in range(2)]
    for process in pair:
        process.start()
    words = sorted(answers.get(timeout=120) for _ in pair)
    for process in pair:
        process.join(60)
    assert words[0] == "0 BadInput: no pictures"
    assert words[1] == "1 LostProcess: another process could not prepare the data; its own message says why"


def test_one_process_alone_has_nothing_to_average():
    world, tensor = World(), torch.tensor([1.0, 2.0])
    average([tensor], world)
    assert tensor.tolist() == [1, 2] and sum_over_processes(tensor, world).tolist() == [1, 2]
    assert any_process(True, world) and not any_process(False, world)
    assert average_numbers({"b": 2.0, "a": 1.0}, world) == {"a": 1.0, "b": 2.0}


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(BadConfig, match="auto, cpu"):
        init_distributed("abacus")


def test_gradients_are_sent_while_the_backward_pass_computes_those_of_earlier_layers(monkeypatch):
    """By counting: how many gradients there are when each message goes out; another equal process is played."""
    monkeypatch.setattr(overlap, "BUCKET_BYTES", 4 * 64)
    net = torch.nn.Sequential(*(torch.nn.Linear(8, 8, bias=False) for _ in range(4)), torch.nn.ReLU())
    unused = torch.nn.Parameter(torch.zeros(8))
    parameters, there = [unused, *net.parameters()], []

    def all_reduce(flat, async_op):
        there.append(sum(p.grad is not None for p in parameters))
        flat.mul_(2)
        return SimpleNamespace(wait=lambda: None)

    monkeypatch.setattr(overlap.dist, "all_reduce", all_reduce)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    for portions in (1, 2):
        net(x).sum().backward()
        alone = [portions * p.grad for p in net.parameters()]
        if portions == 1:
            net.zero_grad()
        with overlap.OverlappedAverage(parameters, World(size=2)):
            net(x).sum().backward()
        assert all(torch.equal(p.grad, mean) for p, mean in zip(net.parameters(), alone, strict=True))
        net.zero_grad()
    assert there == [1, 2, 3, 4, 4, *[4] * 5] and unused.grad is None
    with overlap.OverlappedAverage(parameters, World()):
        net(x).sum().backward()
    assert len(there) == 10  # alone, nothing is sent
