"""Face restoration for `--face-enhance`: faces of an upscaled photo are inverted into a face generator and pasted back.

An upscaler knows edges and textures; a generator of faces knows faces. The enlarged face is brought into the generator
(inversion), which can only paint faces: crooked eyes and smeared teeth become eyes and teeth. A short tuning brings the
likeness back, and is stopped before it brings the smears back, too. Broad colours are those of the photo. What comes
out is a likeness, not evidence: lashes and pores are the model's.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet
from ganvas.features.faces import Face, FaceFinder, find_faces
from ganvas.images.batch_paths import Task, check_fits, target_for
from ganvas.images.crop import Crop, paste
from ganvas.images.digital_source import EDITED
from ganvas.images.files import read_image, write_image
from ganvas.images.masks import superellipse
from ganvas.images.output_check import check_output
from ganvas.images.photo import Photo
from ganvas.inversion.optimise import InversionStage, invert
from ganvas.inversion.pivotal import with_delta
from ganvas.upscaling.tiles import OnUpscaleStep, match_colours
from ganvas.upscaling.upscale import UpscaleConfig, Upscaling
from ganvas.weights.load import load

MAX_FACE_RATIO = (
    0.5  # a face that is larger than this share of the generator's pictures holds more than the generator adds
)
# Tried on faces of 60 px: without tuning it is somebody else; with 70 steps the smears are back.
RESTORE_STAGES = (
    InversionStage(kind="w", px=128, steps=40, lr=0.12, fine=1, cost=30),
    InversionStage(kind="w", px=256, steps=20, lr=0.08, fine=1, cost=60),
    InversionStage(kind="tune", px=256, steps=25, lr=0.006, every=12, fine=1, cost=85),
)


class FaceRestorer:
    """Upscales files like `upscale_file`, and restores their faces.

    Args:
        model: a generator of aligned faces.
        strength: 0 … 1, how much of the painted face is laid over the enlarged one.
        finder: finds the faces; None = one with the catalogue's weights.
        disclose: see `write_image`.
    """

    def __init__(self, model: Any, *, strength: float, finder: FaceFinder | None = None, disclose: bool = True):
        self.generator = load(model) if isinstance(model, (str, Path)) else model
        self.strength, self.disclose = strength, disclose
        self.finder = finder or FaceFinder()
        self._extractor: EfficientNetLite0 | None = None

    def upscale_file(
        self, task: Task, net: Any, config: UpscaleConfig, *, on_step: OnUpscaleStep | None = None
    ) -> Path:
        """Upscale one file and restore its faces.

        Returns:
            The file written.

        Raises:
            BadImage: the picture cannot be read, or the result not be written.
        """
        photo = read_image(task.source)
        target = target_for(photo, task.target)
        work = Upscaling(photo, net, config)
        check_fits(target, work.width, work.height)
        target.parent.mkdir(parents=True, exist_ok=True)
        check_output(photo, target)
        large = work.whole(on_step)
        picture = self.restore_faces(photo, large, find_faces(photo.img, finder=self.finder))
        return write_image(picture, target, disclose=self.disclose)

    def restore_faces(self, photo: Photo, large: Photo, faces: list[Face]) -> Photo:
        """The upscaled photo with these faces restored.

        Args:
            photo: before it was enlarged.
            large: after.
            faces: found in `photo`. Large ones are left as they are.
        """
        scale, size = large.width / photo.width, self.generator.img_resolution
        for face in faces:
            crop = Crop.from_landmarks(face.points)
            if crop.side <= MAX_FACE_RATIO * size:
                low = crop.cut(photo.img, resolution=power_of_two(crop.side, most=size))
                restored = self.restore_face(crop.rescale(scale).cut(large.img, resolution=size), low)
                mask = superellipse(size) * self.strength
                large = replace(paste(large, crop.rescale(scale), restored, mask=mask), digital_source=EDITED)
        return large

    def restore_face(self, face: Tensor, low: Tensor) -> Tensor:
        """A face as the generator paints it.

        Args:
            face: [1, 3, S, S], the crop of the enlarged photo at the generator's size.
            low: [1, 3, s, s], the crop of the photo before, s a divisor of S: whose broad colours count.

        Returns:
            [1, 3, S, S] in [-1, 1].
        """
        inversion = invert(face, self.generator, stages=RESTORE_STAGES, extractor=self._load_extractor())
        with torch.no_grad():
            restored = with_delta(self.generator, inversion.delta).synthesis(inversion.ws).clamp(-1, 1)
            return match_colours(restored, low, factor=face.shape[3] // low.shape[3]).clamp(-1, 1)

    def _load_extractor(self) -> EfficientNetLite0:
        if self._extractor is None:
            self._extractor = load_efficientnet()
        return self._extractor


def power_of_two(side_px: float, *, most: int) -> int:
    """The largest power of two up to `side_px` and `most`; at least 8."""
    return int(min(most, 2 ** max(3, math.floor(math.log2(max(side_px, 1))))))
