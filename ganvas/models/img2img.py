"""What all img → img networks have in common: their size rules, how far a pixel sees, and the two precisions.

Translators (`pix2pix`, `cyclegan`) and upscalers (`rrdbnet`, `srvgg`) are built on `ImageToImage`. A network refuses a
picture whose size it cannot take; a caller makes it fit with `pad_to_rules` and cuts the result with `crop_back`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadImage
from ganvas.fields import check_known
from ganvas.models.fast_copy import LowPrecisionCopy
from ganvas.models.protocol import PRECISIONS, Network, SizeRules
from ganvas.models.row_strips import StripCostEstimator, StripRunner
from ganvas.ops.precision import fast_dtype


def check_size(img: Tensor, rules: SizeRules, *, who: str) -> None:
    """The height and width of `img` must keep `rules`.

    Raises:
        BadImage: the message has the rule and the size that would fit.
    """
    height, width = img.shape[-2:]
    fitting = fitting_size(height, width, rules)
    if (height, width) == fitting:
        return
    words = [f"at least {rules.minimum_px} px"] if rules.minimum_px > 1 else []
    words += [f"a multiple of {rules.multiple_of}"] if rules.multiple_of > 1 else []
    words += ["square"] if rules.square else []
    raise BadImage(
        f"{who} expects height and width to be {', '.join(words)}; got {height}×{width}. The next valid "
        f"size is {fitting[0]}×{fitting[1]}: pad with ganvas.models.img2img.pad_to_rules, crop the result "
        "with crop_back."
    )


def fitting_size(height: int, width: int, rules: SizeRules) -> tuple[int, int]:
    """The smallest (height, width) that keeps `rules` and holds the given one."""
    if rules.square:
        height = width = max(height, width)
    m = rules.multiple_of
    return tuple(-(-max(side, rules.minimum_px) // m) * m for side in (height, width))  # type: ignore[return-value]


def pad_to_rules(img: Tensor, rules: SizeRules) -> Tensor:
    """Grow a picture on its right and lower side until a network takes it.

    Args:
        img: [N, C, H, W]; any size.
        rules: of the network.

    Returns:
        [N, C, H', W'] with img in its upper left corner; the rest mirrors it. img itself where it fits already.
    """
    height, width = fitting_size(img.shape[-2], img.shape[-1], rules)
    while img.shape[-2:] != (height, width):  # a mirror adds at most side − 1 px, so tiny pictures need some rounds
        down, right = height - img.shape[-2], width - img.shape[-1]
        mirrored = (0, min(right, img.shape[-1] - 1), 0, min(down, img.shape[-2] - 1))
        img = F.pad(img, mirrored, mode="reflect") if any(mirrored) else img
        if 1 in img.shape[-2:]:  # one row has nothing to mirror
            down, right = height - img.shape[-2], width - img.shape[-1]
            line = (0, right if img.shape[-1] == 1 else 0, 0, down if img.shape[-2] == 1 else 0)
            img = F.pad(img, line, mode="replicate")
    return img


def crop_back(img: Tensor, height: int, width: int, *, scale: int = 1) -> Tensor:
    """Undo `pad_to_rules` on a network's answer.

    Args:
        img: [N, C, ≥ height·scale, ≥ width·scale].
        height, width: of the picture before it was padded.
        scale: of the network; 1 for a translator.

    Returns:
        [N, C, height·scale, width·scale], a view.
    """
    return img[..., : height * scale, : width * scale]


class ImageToImage(Network):
    """The call of every img → img network: check, then run in the chosen precision. A family writes `transform`."""

    size_rules: SizeRules
    on_progress: Callable[[float], object] | None = (
        None  # told how much of a long call is done, 0 … 1; what it raises stops it
    )

    def __init__(self) -> None:
        super().__init__()
        self._fast_copy = LowPrecisionCopy()

    def transform(self, img: Tensor) -> Tensor:
        """img [N, C, H, W] in [-1, 1], checked → img; in the dtype and memory order that came."""
        raise NotImplementedError

    def transform_fast(self, img: Tensor, dtype: torch.dtype) -> Tensor:
        """The same by a copy of the network in another type, without gradients; a family may keep some of it exact."""
        return (
            self._fast_copy.get(self, dtype).transform(img.to(dtype, memory_format=torch.channels_last)).to(img.dtype)
        )

    def transform_in_strips(self, img: Tensor, strips: StripRunner) -> Tensor:
        """The same as `transform`, without gradients, layer by layer in strips of rows; see `models/row_strips.py`."""
        raise NotImplementedError

    def check(self, img: Tensor) -> None:
        """The first line of every call: channels and size."""
        channels = getattr(self, "in_channels", None) or getattr(self, "img_channels", None)
        check_img(img, who=self.family, channels=channels)
        check_size(img, self.size_rules, who=self.family)

    def forward(self, img: Tensor, *, precision: str = "exact") -> Tensor:
        """Run the network.

        Args:
            img: [N, C, H, W] in [-1, 1], of a size that keeps `size_rules`.
            precision: "exact" = in the type of the weights; "fast" = in bfloat16, where this machine computes that
                faster (elsewhere the same as "exact").

        Returns:
            [N, C', H', W'] in [-1, 1], but for the small overshoots a network without a final tanh makes.

        Raises:
            BadImage: wrong channels, or a size against the rules.
        """
        check_known(precision, PRECISIONS, what="precision")
        self.check(img)
        dtype = fast_dtype(img.device.type) if precision == "fast" else torch.float32
        if dtype == torch.float32:
            return self.transform(img)
        if torch.is_grad_enabled():
            with torch.autocast(img.device.type, dtype=dtype):
                return self.transform(img).to(img.dtype)
        return self.transform_fast(img, dtype)

    @property
    def has_strips(self) -> bool:
        """Can it be run in strips, so that memory hardly grows with the picture?"""
        return type(self).transform_in_strips is not ImageToImage.transform_in_strips

    @torch.no_grad()
    def in_strips(self, img: Tensor, *, budget_bytes: float, precision: str = "exact") -> Tensor:
        """What `forward` gives, layer by layer in strips of rows: slower by a little, in far less memory.

        Args:
            img, precision: as for `forward`.
            budget_bytes: that the strips may take, besides the maps that are kept (`strips_need`).

        Returns:
            As `forward`, but for the rounding of sums.
        """
        check_known(precision, PRECISIONS, what="precision")
        self.check(img)
        dtype = fast_dtype(img.device.type) if precision == "fast" else img.dtype
        net = self if dtype == img.dtype else self._fast_copy.get(self, dtype)
        total, _ = self.strips_need(img)
        strips = StripRunner(budget_bytes, on_progress=self.on_progress, total_work=total)
        return net.transform_in_strips(img.to(dtype), strips).to(img.dtype)

    def strips_need(self, img: Tensor) -> tuple[float, int]:
        """(multiplications, numbers in kept maps at the same time) of `in_strips` for a picture; it is not run."""
        sketch = StripCostEstimator()
        self.transform_in_strips(torch.empty(img.shape, device="meta"), sketch)
        return sketch.done, sketch.most
