"""A polite kill ends a command as an error does: temporary files are deleted on the way out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NAMES = ("SIGTERM", "SIGHUP")  # a kill, a terminal that is closed


class Terminated(SystemExit):
    """Raised where the command is at that moment; its code is 128 + the signal's number, as a shell has it."""


@contextmanager
def raise_on_stop_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `Terminated`; a second one ends the process at once.

    A signal that is ignored stays so: that is how `nohup` lets a command outlive its terminal.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:
            with suppress(ValueError):  # not in the main thread
                signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):
                signal.signal(number, handler)


def _terminate(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Terminated(128 + number)
