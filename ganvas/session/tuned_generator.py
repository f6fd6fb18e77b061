"""A generator with the tuning of an inversion: it paints edited latents with as much of that tuning as they bear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from ganvas.editing.step import EditedLatents
from ganvas.editing.style import sum_deltas
from ganvas.editing.style_space import shift_styles, synthesize_with_shift
from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.features.naturalness import CRITIC_PX, score_naturalness
from ganvas.inversion.latent_space import LatentSpace, latent_length, latent_space
from ganvas.inversion.pivotal import with_delta
from ganvas.inversion.result import Inversion
from ganvas.ops.resample import downscale

CROP_PREVIEW_PX = 256  # side of a preview of the crop, where nobody asks for another
# How much of the tuning an edit keeps, tried in this order. All of it holds the unedited face in place: measured on 24
# portraits, a smile needs a quarter more of the slider, and mouths break. Half of it is enough, because only the change
# goes back into the photo.
TUNING_SHARES = (0.5, 0.25)
# Strain: how much the tuning changes features, as a multiple of what it changes in the unedited picture. Much more, and
# the edit breaks under the tuning (a melted mouth).
MAX_STRAIN_RATIO = 1.6
# How far latents may lie from natural ones (see `latent_length`). Whole pictures at the ends of 15 sliders of 12 people
# lay up to 2.4; beyond that faces of `faces` fall apart, to whatever side.
MAX_LATENT_LENGTH = 2.6
# How far the critic's score may fall from the unedited picture's: on 12 people, 71 of 72 whole edits lost up to 4.4,
# and fog lost 5.2 or more. A photo that scores low itself, of a face rare among those taught, keeps its sliders so.
MAX_NATURALNESS_LOSS = 4.8
MAX_CACHED_IMAGES = 12  # pictures that were asked for last
MAX_CACHED_SCORES = 64
MAX_CACHED_GENERATORS = 6  # generators with a tuning and styles that were asked for last

_SPACES: WeakKeyDictionary[Any, LatentSpace] = WeakKeyDictionary()  # generator → where its natural latents lie


class TunedGenerator:
    """Paints what `run_steps` gives; the generator itself is never changed.

    Args:
        generator: any that keeps the protocol.
        inversion: its `ws` is the unedited picture, its `delta` the tuning.
        extractor: for the guard that lowers the share of the tuning where an edit breaks; None = all of it is used.
        aligned: the pictures are faces, cut as FFHQ's are: a critic of faces looks at them, too.
    """

    def __init__(
        self, generator: Any, inversion: Inversion, extractor: EfficientNetLite0 | None, *, aligned: bool = False
    ):
        self.generator, self.inversion, self.extractor, self.aligned = generator, inversion, extractor, aligned
        self.unedited = EditedLatents(inversion.ws)
        self._generator_cache: dict[tuple[float, bytes], Any] = {}  # share, styles → the generator with them
        self._image_cache: dict[tuple[float, int, bytes], Tensor] = {}  # share, size, latents → picture
        self._draft_error_cache: dict[tuple[float, int, bytes], Tensor] = {}  # share, size, styles → what drafts miss
        self._baseline_strain: dict[float, float] = {}  # share → strain of the unedited picture
        self._naturalness_cache: dict[bytes, float] = {}

    def picture(self, edited: EditedLatents, share: float, size: int, *, precision: str) -> Tensor:
        """[1, C, size, size] in [-1, 1]; "exact", "fast" for previews, or "draft" while something moves."""
        if precision == "draft" and edited.key != self.unedited.key:
            return self._draft(edited, share, size)
        if precision != "exact":
            return self._preview(edited, share, size)
        return downscale(self.synthesize(edited, share), size)

    def synthesize(self, edited: EditedLatents, share: float) -> Tensor:
        """[1, C, R, R] in [-1, 1] at the generator's own size R."""
        return synthesize_with_shift(self.with_share(edited, share), edited.ws, edited.shift).clamp(-1, 1)

    def _preview(self, edited: EditedLatents, share: float, resolution: int) -> Tensor:
        """The picture, quickly: painted whole and averaged down.

        Not an early exit: those were learnt on the generator as it was, and show a face that is tuned and edited too
        dull (a wide smile without its teeth). The last few pictures are kept: a slider asks for some of them again.
        """
        key = share, resolution, edited.key
        img = self._image_cache.pop(key, None)
        if img is None:
            generator = self.with_share(edited, share)
            with shift_styles(generator, edited.shift):
                img = generator.synthesize_downscaled(edited.ws, resolution, precision="fast").float().clamp(-1, 1)
        self._image_cache[key] = img  # last again: the unedited picture is asked for at every move and never drops out
        if len(self._image_cache) > MAX_CACHED_IMAGES:
            del self._image_cache[next(iter(self._image_cache))]
        return img

    def _draft(self, edited: EditedLatents, share: float, size: int) -> Tensor:
        """The generator's draft, less the error that a draft of the unedited picture has."""
        draft = self._paint_draft(edited, share, size)
        key = share, size, edited.styles_key
        if key not in self._draft_error_cache:
            unedited = EditedLatents(self.unedited.ws, styles=edited.styles)
            error = self._paint_draft(unedited, share, size) - self._preview(unedited, share, size)
            if len(self._draft_error_cache) >= MAX_CACHED_GENERATORS:
                self._draft_error_cache.clear()
            self._draft_error_cache[key] = error
        return (draft - self._draft_error_cache[key]).clamp(-1, 1)

    def _paint_draft(self, edited: EditedLatents, share: float, size: int) -> Tensor:
        generator = self.with_share(edited, share)
        with shift_styles(generator, edited.shift):
            img: Tensor = generator.synthesize_draft(edited.ws, size).float()
        return img

    def with_share(self, edited: EditedLatents, share: float) -> Any:
        """The generator with a share of the tuning and the edit's styles; the last few are kept."""
        key = share, edited.styles_key
        generator = self._generator_cache.pop(key, None)
        if generator is None:
            delta = sum_deltas(self.generator, edited.styles, [(self.inversion.delta, share)])
            generator = with_delta(self.generator, delta) if delta else self.generator
        self._generator_cache[key] = generator
        if len(self._generator_cache) > MAX_CACHED_GENERATORS:
            del self._generator_cache[next(iter(self._generator_cache))]
        return generator

    @property
    def first_share(self) -> float:
        """What the guard tries first, and mostly finds."""
        return TUNING_SHARES[0] if self.extractor is not None and self.inversion.delta else 1.0

    def share(self, edited: EditedLatents) -> float:
        """The guard: the tuning was made for the unedited face; where an edit breaks under it, less of it is used.

        Compared are features of one picture with and without the tuning. On the unedited face their distance is what
        the tuning is for; on the edited one it should be about the same. A melted mouth shows as a much larger one.
        """
        if self._is_unguarded(edited):
            return 1.0
        for share in TUNING_SHARES[:-1]:
            if self.strain_ratio(edited, share) <= MAX_STRAIN_RATIO:
                return share
        return TUNING_SHARES[-1]

    def is_broken(self, edited: EditedLatents) -> bool:
        """Has an edit left the pictures that the generator knows? A smaller edit helps then, less tuning does not.

        Two looks: how far the latents are from natural ones, for any generator; and what the critic of faces says to
        the picture: less than to most photos, and much less than to the unedited one. Where that itself is odd, an
        edit may be as odd.
        """
        if edited.key == self.unedited.key:
            return False
        if self.is_far(edited):
            return True
        return self._sees_faces and self._is_odd(self.naturalness(edited))

    def is_far(self, edited: EditedLatents) -> bool:
        """Are latents farther out than any that hold, and than the unedited ones?"""
        return self.latent_length(edited) > max(MAX_LATENT_LENGTH, self.latent_length(self.unedited))

    def is_collage_broken(self, img: Tensor, edits: Iterable[EditedLatents]) -> bool:
        """`is_broken` for a picture img [1, 3, CRITIC_PX, CRITIC_PX] that several edits make up, each in its region.

        What one of them would look like where it is not shown does not matter: the critic decides, where there is one.
        """
        if not self._sees_faces:
            return any(map(self.is_far, edits))
        assert self.extractor is not None
        return self._is_odd(score_naturalness(self.extractor.features(img)).item())

    def _is_odd(self, naturalness: float) -> bool:
        return naturalness < min(0.0, self.naturalness(self.unedited) - MAX_NATURALNESS_LOSS)

    def latent_length(self, edited: EditedLatents) -> float:
        """How far latents are from natural ones; see `ganvas.inversion.latent_space.latent_length`."""
        return latent_length(self._space, edited.ws).item()

    def naturalness(self, edited: EditedLatents) -> float:
        """What the critic says to the picture of an edit, above 0 = whole; see `score_naturalness`."""
        assert self.extractor is not None
        key = edited.key
        if key not in self._naturalness_cache:
            # With the share that mostly holds: to find the right one takes as long again, and fog is fog with either.
            img = self._preview(edited, self.first_share, CRITIC_PX)
            if len(self._naturalness_cache) >= MAX_CACHED_SCORES:
                self._naturalness_cache.clear()
            self._naturalness_cache[key] = score_naturalness(self.extractor.features(img)).item()
        return self._naturalness_cache[key]

    @property
    def _sees_faces(self) -> bool:
        return self.extractor is not None and self.aligned and self.generator.img_resolution >= CRITIC_PX

    @property
    def _space(self) -> LatentSpace:
        if self.generator not in _SPACES:
            _SPACES[self.generator] = latent_space(self.generator)
        return _SPACES[self.generator]

    def strain_ratio(self, edited: EditedLatents, share: float) -> float:
        """How much a share of the tuning changes features of an edit, as a multiple of what it does unedited."""
        if share not in self._baseline_strain:
            self._baseline_strain[share] = self._strain(self.unedited, share)
        return self._strain(edited, share) / max(self._baseline_strain[share], 1e-9)

    def _is_unguarded(self, edited: EditedLatents) -> bool:
        return self.extractor is None or not self.inversion.delta or edited.key == self.unedited.key

    def _strain(self, edited: EditedLatents, share: float) -> float:
        assert self.extractor is not None
        size = min(CROP_PREVIEW_PX, self.generator.img_resolution)
        plain, tuned = (self.extractor.features(self._preview(edited, part, size)) for part in (0.0, share))
        return feature_distance(tuned, plain).item()
