"""How many threads are worth having now: more is slower where other programs use the cores too.

Threads of one operation wait for one another, so one that must share its core holds up all of them. That depends on
the load at this moment, not on the machine, and is therefore measured when a command starts.
"""

from __future__ import annotations

import os
import statistics
import time

import torch
import torch.nn.functional as F

MAX_TIME_RATIO = 0.9  # a larger count must take at most this share of the smaller one's time


def calibrate_threads() -> int:
    """Set torch's thread count to the one at which a small convolution is quickest now. For the whole process.

    Takes about 50 ms. Does nothing where the environment already says how many (OMP_NUM_THREADS).

    Returns:
        The count in force afterwards.
    """
    most = torch.get_num_threads()
    if most == 1 or os.environ.get("OMP_NUM_THREADS"):
        return most
    chosen = best_thread_count(_seconds_by_count(sorted({1, max(most // 2, 1), most})))
    torch.set_num_threads(chosen)
    return chosen


def share_threads(workers: int) -> None:
    """Set torch's thread count to this process's share, where so many work beside one another."""
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def best_thread_count(seconds: dict[int, float]) -> int:
    """The smallest count that no larger one beats by a tenth. `seconds` maps counts to times."""
    best = min(seconds)
    for count in sorted(seconds):
        if seconds[count] <= MAX_TIME_RATIO * seconds[best]:
            best = count
    return best


@torch.no_grad()
def _seconds_by_count(counts: list[int], *, rounds: int = 5) -> dict[int, float]:
    """Median time of one convolution at each count; the counts take turns, so that a passing load hits all alike."""
    x = torch.ones(1, 128, 64, 64).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(128, 128, 3, 3)
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            torch.set_num_threads(count)
            F.conv2d(x, weight, padding=1)  # wakes the threads
            start = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            times[count].append(time.perf_counter() - start)
    return {count: statistics.median(values) for count, values in times.items()}
