"""Will a picture go into a file? Asked before the work, and answered by what writing itself would say."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from ganvas.errors import ImageWarning
from ganvas.images.encode import encode_image
from ganvas.images.files import check_target, format_of
from ganvas.images.photo import Photo


def check_output_path(path: str | os.PathLike[str]) -> None:
    """Is there a folder to write this image to, and does its suffix name a format?

    Raises:
        BadConfig: an unknown suffix. BadImage: no such folder, one that cannot be written, or a folder as the file.
    """
    format_of(path)
    check_target(Path(path))


def check_output(photo: Photo, path: str | os.PathLike[str], *, background: str | None = None) -> None:
    """Will `write_image` take the photo's kind of picture at this path: transparency, profile, metadata?

    Two pixels with everything else of the photo are encoded, so nothing is promised that the encoder refuses.

    Args:
        photo: before the work; size and colours play no part.
        path: where the result will be written.
        background: see `write_image`.

    Raises:
        BadConfig: an unknown suffix or colour. BadImage: it does not fit the format, or the file cannot be written.
    """
    check_output_path(path)
    sample = replace(photo, img=torch.zeros(1, 3, 1, 2), alpha=_alpha_sample(photo), native=None, palette=None)
    with warnings.catch_warnings():  # what is left out is said when it is written
        warnings.simplefilter("ignore", ImageWarning)
        encode_image(sample, format_of(path), background=background)


def _alpha_sample(photo: Photo) -> torch.Tensor | None:
    """The most transparent value, and one that is neither opaque nor clear where there is any: [1, 1, 1, 2]."""
    if photo.alpha is None:
        return None
    partial = photo.alpha[(photo.alpha > 0) & (photo.alpha < 1)]
    least = photo.alpha.min()
    return torch.stack([least, partial[0] if len(partial) else least]).view(1, 1, 1, 2)
