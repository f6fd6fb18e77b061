"""The process of a run: its randomness and its signals."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import torch

from ganvas.training.engine.distributed import World


@contextlib.contextmanager
def isolated_rng(seed: int, world: World) -> Iterator[None]:
    """Inside, torch's RNG is the run's; afterwards the caller's RNG state is restored."""
    # Only the process's own card: asking the others for their state would take memory on each.
    with torch.random.fork_rng(devices=[world.device] if world.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[list[int]]:
    """Inside, Ctrl-C and a polite kill are noted in the list that is given; a second one interrupts at once."""
    signals: list[int] = []

    def note(number: int, _: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
