"""ADA: changes that a discriminator must bear, each with probability p, so that few pictures can train a GAN.

A change with p < 1 is one that the generator need not learn (it "does not leak"): a share of the pictures stays as it
is. All geometric changes of a picture become one matrix and one warp, all changes of colour one matrix. A picture that
nothing was drawn for comes out bit by bit as it went in, and so does every picture at p = 0.

    geometry   flip, rot90, shift, scale, rotate, stretch, drift
    colour     brightness, contrast, luma_flip, hue, saturation
    filter     bands
    noise      noise
    cutout     cutout

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", appendix B, whose order,
ranges and names of the operations are kept; the first two groups are its default ("bgc").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ganvas.checks import check_img
from ganvas.errors import BadConfig, BadImage
from ganvas.fields import check_known
from ganvas.training.ada_geometry import MIN_WARP_PX, reflect_index, straight, warp, warp_exact, warp_straight
from ganvas.training.diffaugment import within

ADA_GROUPS: dict[str, tuple[str, ...]] = {
    "geometry": ("flip", "rot90", "shift", "scale", "rotate", "stretch", "drift"),
    "colour": ("brightness", "contrast", "luma_flip", "hue", "saturation"),
    "filter": ("bands",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
MAX_MATRIX_WARP_PX = 256  # of a side up to which a CPU warps upright pictures by matrices rather than by samples
# The expected power of natural pictures in the four bands of `filter`, low to high: 1/f.
BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
# The low-pass half of Daubechies' wavelet with two vanishing moments (symlet 2), sum √2.
SYM2 = tuple((a + b * math.sqrt(3)) / (4 * math.sqrt(2)) for a, b in ((1, 1), (3, 1), (3, -1), (1, -1)))


@dataclass(frozen=True)
class Ada:
    """Change pictures at random; see the module for what there is.

    Args:
        groups: groups of operations, or single operations by name.
        colour_share: colour operations happen with this share of p.

    Raises:
        BadConfig: an unknown name, or a range that makes no sense.
    """

    groups: tuple[str, ...] = ("geometry", "colour")
    colour_share: float = 1.0
    shift_reach: float = 0.125  # whole-pixel steps, up to this share of the side
    scale_std: float = 0.2  # of log2 of the size
    stretch_std: float = 0.2  # of log2 of the aspect
    drift_std: float = 0.125  # of the fractional step, as a share of the side
    brightness_std: float = 0.2
    contrast_std: float = 0.5  # of log2
    saturation_std: float = 1.0  # of log2
    bands_std: float = 1.0  # of log2 of each band's gain
    noise_std: float = 0.1  # of the strength, which is half-normal
    cutout_size: float = 0.5  # share of each side

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))  # JSON turns tuples into lists
        known = [*ADA_GROUPS, *(name for names in ADA_GROUPS.values() for name in names)]
        for name in self.groups:
            check_known(name, set(known), what="augmentation")
        for name, value in vars(self).items():
            if name != "groups" and not 0 <= value < math.inf:
                raise BadConfig(f"Ada.{name} must be 0 or more, got {value}")
        if self.colour_share > 1 or self.cutout_size > 1:
            raise BadConfig(
                f"Ada's colour_share and cutout_size must be at most 1, got {self.colour_share} and {self.cutout_size}"
            )

    @classmethod
    def r3gan(cls) -> Ada:
        """What R3GAN trains with: ADA's operations and cutout, those of colour half as often (Huang et al. 2024)."""
        return cls(("geometry", "colour", "cutout"), colour_share=0.5)

    @property
    def operations(self) -> frozenset[str]:
        """The single operations that `groups` stand for."""
        return frozenset(name for group in self.groups for name in ADA_GROUPS.get(group, (group,)))

    def __call__(self, img: Tensor, *, p: float, rng: torch.Generator) -> Tensor:
        """Change each picture by its own draw.

        Args:
            img: [N, C, H, W] in [-1, 1]; sides of 4 px or more.
            p: probability of each operation, 0 … 1; 0 gives `img` itself.
            rng: draws everything; on the CPU it costs no waiting for an accelerator.

        Returns:
            [N, C, H, W] in the type of img, about that range: an affine function of img, twice differentiable.

        Raises:
            BadImage: another shape, or colours asked of pictures that have neither one nor three channels.
            BadConfig: p is not a probability.
        """
        check_img(img, who="Ada", channels=None)
        if not 0 <= p <= 1:
            raise BadConfig(f"p must be a probability from 0 to 1, got {p}")
        if p == 0 or not self.groups:
            return img
        self._check_shape(img)
        dice = Dice(len(img), p, rng)
        with torch.autocast(img.device.type, enabled=False):
            changed = img if img.dtype == torch.float64 else img.float()
            for change in (self._geometry, self._colour, self._filter, self._noise, self._cutout):
                changed = change(changed, dice)
        return changed.to(img.dtype)

    def _check_shape(self, img: Tensor) -> None:
        if min(img.shape[2:]) < MIN_WARP_PX:
            raise BadImage(f"Ada expects images of {MIN_WARP_PX} px or more per side, got {list(img.shape)}.")
        if img.shape[1] not in (1, 3) and self.operations & set(ADA_GROUPS["colour"]):
            raise BadImage(
                f"Ada's colour operations are for 1 or 3 channels, got {list(img.shape)}; omit 'colour' from groups."
            )

    # -----------------------------------------------------------------------------------------------------------------
    # One method a group, in the order in which they happen; each takes and gives [N, C, H, W].

    def _geometry(self, img: Tensor, dice: Dice) -> Tensor:
        transform = self.draw_geometry(dice, *img.shape[2:])
        along_lines = transform.smooth & straight(transform.inverse, *img.shape[2:])
        if img.device.type != "cpu" or max(img.shape[2:]) > MAX_MATRIX_WARP_PX:
            along_lines = torch.zeros_like(along_lines)
        img = _on_rows(
            img, transform.is_changed & ~transform.smooth, lambda x, at: warp_exact(x, transform.inverse[at])
        )
        img = _on_rows(img, along_lines, lambda x, at: warp_straight(x, transform.inverse[at]))
        return _on_rows(img, transform.smooth & ~along_lines, lambda x, at: warp(x, transform.inverse[at]))

    def draw_geometry(self, dice: Dice, height: int, width: int) -> GeometryTransform:
        """Draw where the pictures of one batch go."""
        transform, on = GeometryTransform(dice.n, dice.device), self.operations
        one, square = torch.ones(dice.n, device=dice.device), height == width
        if "flip" in on:
            transform.add(_stretching(1 - 2 * dice.whole(2), one), dice.chance(), exact=True)
        if "rot90" in on:
            turns = dice.whole(4)
            transform.add(_quarter_turns(turns), dice.chance(), exact=(turns % 2 == 0) | square)
        if "shift" in on:
            reach_x, reach_y = self.shift_reach * width, self.shift_reach * height
            steps = dice.uniform(-reach_x, reach_x).round(), dice.uniform(-reach_y, reach_y).round()
            transform.add(_steps(*steps), dice.chance(), exact=True)
        if "scale" in on:
            size = dice.power_of_two(self.scale_std)
            transform.add(_stretching(size, size), dice.chance())
        # Two rotations, with a change of aspect between them, that together leave 1 − p of the pictures unturned.
        half = 1 - math.sqrt(1 - dice.p)
        if "rotate" in on:
            transform.add(_rotation(dice.angle()), dice.chance(half))
        if "stretch" in on:
            aspect = dice.power_of_two(self.stretch_std)
            transform.add(_stretching(aspect, 1 / aspect), dice.chance())
        if "rotate" in on:
            transform.add(_rotation(dice.angle()), dice.chance(half))
        if "drift" in on:
            steps = dice.normal(self.drift_std * width), dice.normal(self.drift_std * height)
            transform.add(_steps(*steps), dice.chance())
        return transform

    def _colour(self, img: Tensor, dice: Dice) -> Tensor:
        matrix = self.draw_colour(dice)
        changed = (matrix != torch.eye(4, device=dice.device)).flatten(1).any(dim=1)
        return _on_rows(img, changed, lambda x, at: recolour(x, matrix[at].to(x)))

    def draw_colour(self, dice: Dice) -> Tensor:
        """Draw what happens to the colours (r, g, b, 1) of the pictures of one batch: [N, 4, 4]."""
        colours, on, p = ColourTransform(dice.n, dice.device), self.operations, dice.p * self.colour_share
        grey = torch.full([3, 3], 1 / 3, device=dice.device)  # takes a colour to its grey
        plain = torch.eye(3, device=dice.device)
        if "brightness" in on:
            colours.then(plain, dice.chance(p), add=dice.normal(self.brightness_std))
        if "contrast" in on:
            colours.then(plain * dice.power_of_two(self.contrast_std)[:, None, None], dice.chance(p))
        if "luma_flip" in on:
            colours.then(plain - 2 * grey * dice.whole(2)[:, None, None], dice.chance(p))
        if "hue" in on:
            colours.then(_rotation_about_grey(dice.angle()), dice.chance(p))
        if "saturation" in on:
            colours.then(grey + (plain - grey) * dice.power_of_two(self.saturation_std)[:, None, None], dice.chance(p))
        return colours.matrix

    def _filter(self, img: Tensor, dice: Dice) -> Tensor:
        if "bands" not in self.operations:
            return img
        gains = self.draw_gains(dice)
        changed = (gains != 1).any(dim=1)
        return _on_rows(img, changed, lambda x, at: equalise(x, gains[at].to(x)))

    def draw_gains(self, dice: Dice) -> Tensor:
        """Draw how much of each frequency band the pictures of one batch keep: [N, 4]; the expected power stays."""
        gains = torch.ones(dice.n, 4, device=dice.device)
        power = torch.tensor(BAND_POWER, device=dice.device)
        for band in range(4):
            one = torch.ones_like(gains)
            one[:, band] = dice.power_of_two(self.bands_std)
            one = one / (power * one.square()).sum(dim=1, keepdim=True).sqrt()
            gains = torch.where(dice.chance()[:, None], gains * one, gains)
        return gains

    def _noise(self, img: Tensor, dice: Dice) -> Tensor:
        if "noise" not in self.operations:
            return img
        strength = dice.normal(self.noise_std).abs()
        happens = dice.chance()
        noise = torch.randn(img.shape, generator=dice.rng, device=dice.device).to(img)
        return _on_rows(img, happens, lambda x, at: x + noise[at.to(x.device)] * _per_picture(strength[at], x))

    def _cutout(self, img: Tensor, dice: Dice) -> Tensor:
        if "cutout" not in self.operations:
            return img
        height, width = img.shape[2:]
        x, y = dice.uniform(0, 1), dice.uniform(0, 1)  # the centre, as a share of the side
        rows = within(height, y, self.cutout_size * height)[:, None, :, None]
        columns = within(width, x, self.cutout_size * width)[:, None, None, :]
        hidden = rows & columns & dice.chance()[:, None, None, None]
        return img.masked_fill(hidden.to(img.device), 0)


# ---------------------------------------------------------------------------------------------------------------------
# Drawing


class Dice:
    """One batch's draws: [N] float32 each, made where `rng` lives.

    Args:
        n: pictures in the batch.
        p: probability of an operation.
        rng: where the numbers come from.
    """

    def __init__(self, n: int, p: float, rng: torch.Generator):
        self.n, self.p, self.rng, self.device = n, p, rng, rng.device

    def uniform(self, low: float, high: float) -> Tensor:
        """U(low, high)."""
        return low + (high - low) * torch.rand(self.n, generator=self.rng, device=self.device)

    def chance(self, p: float | None = None) -> Tensor:
        """True with probability p; None = the batch's own."""
        return self.uniform(0, 1) < (self.p if p is None else p)

    def whole(self, count: int) -> Tensor:
        """One of 0, …, count − 1."""
        return torch.randint(count, (self.n,), generator=self.rng, device=self.device).float()

    def normal(self, std: float) -> Tensor:
        """N(0, std²)."""
        return std * torch.randn(self.n, generator=self.rng, device=self.device)

    def power_of_two(self, std: float) -> Tensor:
        """2 to the power of N(0, std²)."""
        return self.normal(std).exp2()

    def angle(self) -> Tensor:
        """U(−π, π)."""
        return self.uniform(-math.pi, math.pi)


class GeometryTransform:
    """Where the contents of the pictures of a batch go, gathered operation by operation.

    Attributes:
        inverse: [N, 3, 3], from a place in the result back to the place in the picture, as `warp` takes it.
        smooth: [N] bool, places fall between pixels.
    """

    def __init__(self, n: int, device: torch.device):
        self.inverse = torch.eye(3, device=device).repeat(n, 1, 1)
        self.smooth = torch.zeros(n, dtype=torch.bool, device=device)

    @property
    def is_changed(self) -> Tensor:
        """[N] bool: something is to be done."""
        return (self.inverse != torch.eye(3, device=self.inverse.device)).flatten(1).any(dim=1)

    def add(self, step: Tensor, happens: Tensor, *, exact: Tensor | bool = False) -> None:
        """The next operation; `step` [N, 3, 3] leads back from its result, to where the ones before have led.

        All operations are drawn symmetrically, so that each is drawn as its own inverse.
        """
        self.inverse = torch.where(happens[:, None, None], self.inverse @ step, self.inverse)
        self.smooth = self.smooth | (happens & ~torch.as_tensor(exact, device=happens.device))


class ColourTransform:
    """What happens to the colours (r, g, b, 1) of the pictures of a batch: `matrix` [N, 4, 4]."""

    def __init__(self, n: int, device: torch.device):
        self.matrix = torch.eye(4, device=device).repeat(n, 1, 1)

    def then(self, linear: Tensor, happens: Tensor, *, add: Tensor | None = None) -> None:
        """The next operation: colour → linear·colour + add. linear [N, 3, 3] or [3, 3], add [N]."""
        step = torch.eye(4, device=happens.device).repeat(len(happens), 1, 1)
        step[:, :3, :3] = linear
        if add is not None:
            step[:, :3, 3] = add[:, None]
        self.matrix = torch.where(happens[:, None, None], step @ self.matrix, self.matrix)


def _matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Rows of [N] tensors → [N, 3, 3]."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _stretching(x: Tensor, y: Tensor) -> Tensor:
    o, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix((x, o, o), (o, y, o), (o, o, one))


def _steps(x: Tensor, y: Tensor) -> Tensor:
    o, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix((one, o, x), (o, one, y), (o, o, one))


def _rotation(angle: Tensor) -> Tensor:
    return _turning(angle.cos(), angle.sin())


def _quarter_turns(turns: Tensor) -> Tensor:
    """By 90° `turns` times, in whole numbers, which cosines of π/2 are not."""
    exact = torch.tensor([1.0, 0.0, -1.0, 0.0], device=turns.device)
    return _turning(exact[turns.long()], exact[(turns.long() - 1) % 4])


def _turning(cos: Tensor, sin: Tensor) -> Tensor:
    o, one = torch.zeros_like(cos), torch.ones_like(cos)
    return _matrix((cos, -sin, o), (sin, cos, o), (o, o, one))


def _rotation_about_grey(angle: Tensor) -> Tensor:
    """Turn colours about the axis (1, 1, 1)/√3 (Rodrigues): [N] → [N, 3, 3]."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    grey = torch.full([3, 3], 1 / 3, device=angle.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / math.sqrt(3)
    return cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) * grey


# ---------------------------------------------------------------------------------------------------------------------
# Doing


def recolour(img: Tensor, matrix: Tensor) -> Tensor:
    """Put every colour (r, g, b, 1) through a matrix.

    Args:
        img: [N, 3, H, W], or [N, 1, H, W]: a grey counts as (g, g, g) and comes out as the mean of what that becomes.
        matrix: [N, 4, 4], of which the last row does not matter.
    """
    linear, add = matrix[:, :3, :3], matrix[:, :3, 3:]  # [N, 3, 3], [N, 3, 1]
    if img.shape[1] == 1:
        linear, add = linear.sum(dim=2).mean(dim=1)[:, None, None], add.mean(dim=1, keepdim=True)
    return torch.baddbmm(add, linear, img.flatten(2)).view_as(img)


def equalise(img: Tensor, gains: Tensor) -> Tensor:
    """Weigh four frequency bands, along both axes one after the other.

    Args:
        img: [N, C, H, W]; beyond its borders it goes on as its mirror image.
        gains: [N, 4], from the lowest band (up to 1/8 of the finest frequency) to the highest (from 1/2); all 1 gives
            the picture back.
    """
    down = torch.einsum("nb,bij->nij", gains, band_matrices(img.shape[2]).to(img))[:, None]  # [N, 1, H, H]
    across = torch.einsum("nb,bij->nij", gains, band_matrices(img.shape[3]).to(img))[:, None]  # [N, 1, W, W]
    return down @ img @ across.mT


@lru_cache(maxsize=8)
def band_matrices(length: int) -> Tensor:
    """The four bands of a line of pixels that is mirrored at both ends: [4, length, length], adding up to the identity.

    With the wavelet's zero-phase low-pass L(z) = h(z)·h(1/z)/2 and what it leaves, H(z) = 1 − L(z), the bands are
    H(z), L(z)·H(z²), L(z)·L(z²)·H(z⁴) and L(z)·L(z²)·L(z⁴): each octave splits what the one before has kept.
    """
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = torch.nn.functional.conv1d(taps.view(1, 1, -1), taps.view(1, 1, -1), padding=3).flatten() / 2  # 7 taps
    whole = torch.ones(1, dtype=torch.float64)
    bands = []
    for spread in (1, 2, 4):
        low_passed = _convolve(whole, _spread(low, spread))
        bands.append(_pad_taps(whole, low_passed) - low_passed)
        whole = low_passed
    bands.append(whole)
    return torch.stack([_as_matrix(band, length) for band in reversed(bands)]).float()


def _spread(taps: Tensor, gap: int) -> Tensor:
    """taps(z) → taps(z^gap)."""
    spread = torch.zeros(gap * (len(taps) - 1) + 1, dtype=taps.dtype)
    spread[::gap] = taps
    return spread


def _convolve(a: Tensor, b: Tensor) -> Tensor:
    return torch.nn.functional.conv1d(a.view(1, 1, -1), b.flip(0).view(1, 1, -1), padding=len(b) - 1).flatten()


def _pad_taps(taps: Tensor, like: Tensor) -> Tensor:
    """Zeros on both sides of an odd filter, up to the length of another."""
    side = (len(like) - len(taps)) // 2
    return torch.nn.functional.pad(taps, (side, side))


def _as_matrix(taps: Tensor, length: int) -> Tensor:
    """A centred filter as what it does to a line that is mirrored at both ends."""
    matrix = torch.zeros(length, length, dtype=taps.dtype)
    at = torch.arange(length)
    for k, tap in enumerate(taps.tolist()):
        matrix.index_put_(
            (at, reflect_index(at + k - len(taps) // 2, length)), torch.tensor(tap, dtype=taps.dtype), True
        )
    return matrix


def _on_rows(img: Tensor, rows: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change some pictures of a batch and leave the others untouched.

    Args:
        img: [N, C, H, W].
        rows: [N] bool.
        change: (the pictures, their numbers [M]) → the changed pictures.
    """
    at = rows.nonzero().flatten()
    if len(at) == 0:
        return img
    if len(at) == len(img):
        return change(img, at)
    there = at.to(img.device)
    return img.index_copy(0, there, change(img.index_select(0, there), at))


def _per_picture(values: Tensor, like: Tensor) -> Tensor:
    """[N] → [N, 1, 1, 1] in the type of the pictures."""
    return values.to(like)[:, None, None, None]
