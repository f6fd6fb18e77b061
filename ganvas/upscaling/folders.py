"""One file made larger, without holding all of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganvas.images.batch_paths import Task, check_fits, target_for
from ganvas.images.files import read_image, write_image
from ganvas.images.frames import Frames, change_frames, open_frames
from ganvas.images.output_check import check_output
from ganvas.images.photo import Photo
from ganvas.images.png_writer import PngStripWriter
from ganvas.upscaling.tiles import OnUpscaleStep
from ganvas.upscaling.upscale import UpscaleConfig, Upscaling

LARGE_PIXELS = 16_000_000  # results above this are written in strips, where the format is made of them


def upscale_file(
    task: Task, net: Any, config: UpscaleConfig, *, on_step: OnUpscaleStep | None = None, quality: int = 95
) -> Path:
    """Make one file larger; a large PNG is written while it is made.

    Of a file of several pictures every one is, where the target can hold them: frames in .gif, .webp and .png, pages in
    .tif. A transparent picture whose target cannot be (.jpg, .bmp) becomes a .png beside it.

    Returns:
        The file written.

    Raises:
        BadImage: the picture cannot be read, or the result not be written; where that is foreseeable, before the work.
    """
    frames = open_frames(task.source, task.target)
    if frames is not None:
        return _upscale_frames(frames, task.target, net, config, on_step=on_step, quality=quality)
    photo = read_image(task.source)
    target = target_for(photo, task.target)
    work = Upscaling(photo, net, config)
    check_fits(target, work.width, work.height)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_output(photo, target)
    if target.suffix.lower() == ".png" and work.height * work.width > LARGE_PIXELS:
        with PngStripWriter(target, work.template) as file:
            for img, alpha in work.bands(on_step):
                file.write_rows(img, alpha)
        return target
    return write_image(work.whole(on_step), target, quality=quality)


def _upscale_frames(
    frames: Frames, target: Path, net: Any, config: UpscaleConfig, *, on_step: OnUpscaleStep | None, quality: int
) -> Path:
    def enlarge(photo: Photo, report: OnUpscaleStep) -> Photo:
        work = Upscaling(photo, net, config)
        check_fits(target, work.width, work.height)
        return work.whole(report)

    target.parent.mkdir(parents=True, exist_ok=True)
    return change_frames(frames, enlarge, target, on_step=on_step, quality=quality)
