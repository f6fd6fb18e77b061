"""Standard output and error that cannot end a job: closed, full, or of an encoding that lacks a letter."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


class JobStream:
    """A text stream whose failures wait until the job is done.

    A training or a batch must not end because the disk under its log is full. A closed pipe is different: who reads
    `ganvas models list | head` has seen enough, and the command may stop.

    Attributes:
        error: the first failure; None while all was written.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """As of a file. Raises BrokenPipeError."""
        return self._try(self._stream.write, text) or len(text)

    def flush(self) -> None:
        """As of a file. Raises BrokenPipeError."""
        self._try(self._stream.flush)

    def _try(self, act: Any, *args: Any) -> Any:
        try:
            return act(*args)
        except BrokenPipeError:
            raise
        except OSError as error:
            self.error = self.error or error
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_streams() -> list[JobStream]:
    """Put a `JobStream` before standard output and error; one that is closed becomes the null device."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w")
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, JobStream(stream))
    return [sys.stdout, sys.stderr]  # type: ignore[list-item]


def output_error(streams: list[JobStream]) -> str:
    """What could not be written, in words; "" where all was."""
    for stream in streams:
        try:
            stream.flush()
        except BrokenPipeError:
            _drop_output(stream)
    failed = next((stream for stream in streams if stream.error is not None), None)
    if failed is None or failed.error is None:
        return ""
    for stream in streams:
        if stream.error is not None:
            _drop_output(stream)
    why = os.strerror(failed.error.errno) if failed.error.errno else str(failed.error)
    return f"standard {'output' if failed is streams[0] else 'error'} could not be written: {why}"


def _drop_output(stream: JobStream) -> None:
    """What is still buffered goes to the null device, so that Python's own flush at the end does not complain."""
    with contextlib.suppress(OSError, ValueError):  # no file behind it
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
