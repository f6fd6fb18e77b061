"""Animations: GIF, WebP and (with the extra [video]) MP4, written frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganvas.errors import BadConfig, MissingExtra
from ganvas.images.digital_source import add_digital_source
from ganvas.images.files import write_image_file
from ganvas.images.tensors import to_pixels

ANIMATION_SUFFIXES = (".gif", ".mp4", ".webp")


def write_animation(
    frames: Iterable[Tensor], path: Path | str, *, frames_per_sec: float = 30, digital_source: str | None = None
) -> Path:
    """Write a looping animation; the suffix decides the format.

    Args:
        frames: img [1, C, H, W] in [-1, 1], all of one size; taken one at a time, so a long film needs little memory
            (GIF and WebP are compressed as they come).
        path: .gif, .webp or .mp4.
        frames_per_sec: shown a second; GIF rounds to hundredths of a second a frame.
        digital_source: who made it, for the XMP of a .webp; see `write_image`.

    Raises:
        BadConfig: another suffix, or no frame at all.
        MissingExtra: .mp4 without the extra [video].
        BadImage: the file cannot be written.
    """
    path = Path(path)
    check_animation(path)
    with write_image_file(path, path.suffix) as part:
        if path.suffix.lower() == ".mp4":
            _write_mp4(_pixels(frames), part, frames_per_sec)
        else:
            _write_looping(_pixels(frames), part, frames_per_sec, digital_source)
    return path


def check_animation(path: Path) -> None:
    """Raise before any frame is computed if this format cannot be written.

    Raises:
        BadConfig: an unknown suffix.
        MissingExtra: .mp4 without the extra [video].
    """
    if path.suffix.lower() not in ANIMATION_SUFFIXES:
        raise BadConfig(f"an animation is written as {', '.join(ANIMATION_SUFFIXES)}, got {path.name!r}")
    if path.suffix.lower() == ".mp4":
        _av()


def _pixels(frames: Iterable[Tensor]) -> Iterator[Any]:
    none = True
    for frame in frames:
        none = False
        pixels = to_pixels(frame)
        yield pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
    if none:
        raise BadConfig("an animation needs at least one frame, got none")


def _write_looping(pixels: Iterator[Any], path: Path, frames_per_sec: float, source: str | None) -> None:
    pictures = (Image.fromarray(frame) for frame in pixels)
    first = next(pictures)
    duration_ms = max(1, round(1000 / frames_per_sec))
    options: dict[str, Any] = {}
    if path.suffix.lower() == ".webp":
        xmp = add_digital_source(None, source)
        options = {"quality": 85, "method": 2, **({"xmp": xmp} if xmp else {})}
    first.save(path, save_all=True, append_images=pictures, duration=duration_ms, loop=0, **options)


def _write_mp4(pixels: Iterator[Any], path: Path, frames_per_sec: float) -> None:
    av = _av()
    from fractions import Fraction

    with av.open(str(path), "w") as film:
        stream: Any = None
        for frame in pixels:
            frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]  # yuv420p halves the colours
            if stream is None:
                stream = film.add_stream("libx264", rate=Fraction(frames_per_sec).limit_denominator(1001))
                stream.height, stream.width, stream.pix_fmt = frame.shape[0], frame.shape[1], "yuv420p"
                stream.options = {"crf": "17", "preset": "medium"}
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtra("writing .mp4", "video") from error
    return av
