"""Work for the processes of test_worker_pool, which import this and nothing large."""

import os
import signal
import time
from functools import partial
from pathlib import Path


def start(folder):
    """Work whose items say what is to happen."""
    return partial(do, Path(folder))


def do(folder, item):
    with open(folder / f"{item}.pids", "a") as file:
        print(os.getpid(), file=file)
    tries = len((folder / f"{item}.pids").read_text().split())
    if item == "dies always" or (item == "dies once" and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "sleeps":
        time.sleep(60)
    return item.upper()


def start_badly():
    os._exit(3)
