"""Frames of a video as pictures (needs the extra [video])."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import BadConfig, BadImage, MissingExtra


def read_frames(path: Path, *, every_sec: float) -> Iterator[tuple[float, np.ndarray]]:
    """One frame of a video every so many seconds: (its time in seconds, uint8 pixels [H, W, 3]), upright.

    Raises:
        BadConfig: `every_sec` below 0.
        BadImage: no video, or one that breaks off; what was yielded before is good.
        MissingExtra: PyAV is not installed.
    """
    if every_sec < 0:
        raise BadConfig(f"the interval must be 0 (all frames) or more seconds, got {every_sec}")
    av = _av()
    try:
        with av.open(str(path)) as film:
            if not film.streams.video:
                raise BadImage(f"{path} has no video stream")
            stream = film.streams.video[0]
            stream.thread_type = "AUTO"
            due = 0.0
            for number, frame in enumerate(film.decode(stream)):
                at_sec = float(frame.time) if frame.time is not None else number / 25
                if at_sec + 1e-6 >= due:
                    due = (np.floor(at_sec / every_sec + 1e-6) + 1) * every_sec if every_sec else 0.0
                    yield at_sec, _upright(frame)
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, BadImage):
            raise
        raise BadImage(f"{path} is not a readable video, or is truncated: {error}") from error


def estimate_frame_count(path: Path, *, every_sec: float) -> int:
    """About how many frames `read_frames` will yield, for showing how far it is; 0 where the video does not say."""
    av = _av()
    try:
        with av.open(str(path)) as film:
            if every_sec == 0:
                return sum(stream.frames for stream in film.streams.video[:1])
            return int((film.duration or 0) / 1e6 / every_sec) + 1
    except (av.FFmpegError, OSError, ValueError):
        return 0


def _upright(frame: Any) -> np.ndarray:
    """Phones film sideways and write down how to turn."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtra("reading videos", "video") from error
    return av
