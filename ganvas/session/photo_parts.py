"""The parts of the photo that is being edited: regions by name, and which part lies at a place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.editing.part_effects import sharpen_mask
from ganvas.editing.regions import BITMAP_PX, PART_FEATHER, InRegion, Region, region_of, unwrap_step
from ganvas.editing.step import LatentStep
from ganvas.errors import BadConfig, BadMask
from ganvas.features.part_clusters import find_part_clusters, read_part_features
from ganvas.features.parts import PART_GROUPS, PARTS, PARTS_PX, parse_parts, refine_parts
from ganvas.fields import check_known
from ganvas.images.crop import Crop

_LEVELS = 15  # of a part's mask in a recipe: as fine as it shows, and a quarter of the bytes


class PhotoParts:
    """The parts of one photo, looked for once, when they are first asked for.

    Args:
        names: of the parts; none = the parts of this picture are not known.
        find: looks for them: [1, len(names), S, S] in [0, 1], in the square that the model paints.
        groups: names for several parts together.
    """

    def __init__(
        self, names: Sequence[str], find: Callable[[], Tensor], groups: Mapping[str, Sequence[str]] | None = None
    ):
        self._single, self._find, self._groups = tuple(names), find, groups or {}

    @property
    def names(self) -> tuple[str, ...]:
        """What can be asked for: parts, then groups of them."""
        return (*self._single, *self._groups)

    def check(self) -> None:
        """Are there parts at all?

        Raises:
            BadConfig: nothing is known of this picture's parts.
        """
        if not self._single:
            raise BadConfig(
                "the parts of this picture are not known: it is no face, and its generator has no parts with names "
                "(see 'ganvas parts learn'); paint a region, or use a mask instead"
            )

    @cached_property
    def probabilities(self) -> Tensor:
        """[1, parts, S, S] in [0, 1].

        Raises:
            BadConfig: nothing is known of this picture's parts.
        """
        self.check()
        return self._find()

    def mask(self, names: Iterable[str]) -> Tensor:
        """[1, 1, S, S] in [0, 1]: some parts or groups together.

        Raises:
            BadConfig: an unknown name, or nothing is known of this picture's parts.
        """
        self.check()
        chosen: set[str] = set()
        for name in names:
            check_known(name, self.names, what="part")
            chosen |= set(self._groups.get(name, (name,)))
        rows = [row for row, name in enumerate(self._single) if name in chosen]
        return self.probabilities[:, rows].sum(dim=1, keepdim=True).clamp(0, 1)

    def region(self, names: Sequence[str], *, feather: float = PART_FEATHER) -> Region:
        """Parts as a region of the crop; `feather` in sides of the crop.

        Raises:
            BadConfig: as `mask`. BadMask: none of it is in the picture.
        """
        mask = F.interpolate(sharpen_mask(self.mask(names)), (BITMAP_PX, BITMAP_PX), mode="area")
        mask = (mask * _LEVELS).round() / _LEVELS
        if not mask.any():
            raise BadMask(f"there is no {' and no '.join(names)} in this picture")
        return Region.of_mask(mask, feather=feather, parts=names)

    def at(self, crop: Crop, x: float, y: float) -> str:
        """The part at a place of the photo, in pixels.

        Raises:
            BadConfig: nothing is known of this picture's parts. BadMask: outside the crop.
        """
        p = self.probabilities
        column, row = crop.to_crop_coords([[x, y]], resolution=p.shape[-1])[0].floor().int().tolist()
        if not (0 <= column < p.shape[-1] and 0 <= row < p.shape[-1]):
            raise BadMask(f"the place {x:g}, {y:g} is outside the model's crop, so its part is not known")
        return self._single[int(p[0, :, row, column].argmax())]

    def renew(self, steps: Iterable[LatentStep]) -> tuple[LatentStep, ...]:
        """Steps of a recipe, perhaps from another photo, with their regions where the parts are in this one."""
        return tuple(self._renew(step) for step in steps)

    def _renew(self, step: LatentStep) -> LatentStep:
        old = region_of(step)
        if old is None or not old.parts:
            return step
        new = self.region(old.parts, feather=old.feather)
        return InRegion(unwrap_step(step), replace(new, strokes=old.strokes))


def find_photo_parts(img: Tensor, generator: Any, ws: Tensor, *, aligned: bool, fingerprint: str) -> PhotoParts:
    """Parts of the square that a model paints: of a face by the network that ships; of anything else by the
    generator's own features, where its clusters have names (see `ganvas.features.part_clusters`).

    Args:
        img: [1, 3, S, S] the square, in [-1, 1].
        generator: with the photo's tuning.
        ws: where the square lies in its latent space.
        aligned: whether it is a face, cut as FFHQ's are.
        fingerprint: of the generator, without the tuning.
    """
    if aligned:
        small = F.interpolate(img, (PARTS_PX, PARTS_PX), mode="area")
        return PhotoParts(PARTS, lambda: parse_parts(small), PART_GROUPS)
    clusters = find_part_clusters(fingerprint)

    def find() -> Tensor:
        assert clusters is not None
        p = clusters.parse(read_part_features(generator, ws))
        rest = (1 - p.sum(dim=1, keepdim=True)).clamp(min=0)
        whole = F.interpolate(torch.cat([p, rest], dim=1), (PARTS_PX, PARTS_PX), mode="bilinear", align_corners=False)
        small = F.interpolate(img, (PARTS_PX, PARTS_PX), mode="bilinear", align_corners=False, antialias=True)
        return refine_parts(whole, small)[:, :-1]

    return PhotoParts(clusters.parts if clusters is not None else (), find)


def parse_part_names(text: str) -> tuple[str, ...]:
    """`part:hair+lips`, or `hair+lips` → ("hair", "lips").

    Raises:
        BadConfig: no names.
    """
    parts = tuple(name.strip() for name in text.strip().removeprefix("part:").split("+"))
    if not all(parts):
        raise BadConfig(f"parts are written as part:hair or part:hair+lips, got {text!r}")
    return parts
