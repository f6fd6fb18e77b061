"""Conversion between an image's own colour space and sRGB, the colour space of every img.

A photo may carry an ICC profile (Display P3, Adobe RGB, a scanner's, a press's). Models know sRGB only, so `read_image`
converts; `write_image` converts back what was edited, and only that. Profiles made of three curves and a matrix (nearly
all of cameras, phones and editors) and grey curves are computed here, at any depth; profiles made of tables, and CMYK,
go through LittleCMS (Pillow's ImageCms) at 8 bits.

Specification: ICC.1:2022 (profile version 4.4), sections 7, 8.3, 10.6 and 10.18; sRGB: IEC 61966-2-1.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganvas.images.tensors import bands, from_pixels, to_pixels

COLOUR_CHANNELS = {"grey": 1, "rgb": 3, "cmyk": 4}
_ICC_SPACE = {"grey": b"GRAY", "rgb": b"RGB ", "cmyk": b"CMYK"}
_STEPS = 2**14  # of the tables that lead from light back to numbers
_SAME_AS_SRGB = 1 / 255  # a profile that never differs more from sRGB than a grey level is taken as sRGB
# The sRGB primaries as every sRGB profile states them, adapted to the D50 white of profile space: columns R, G, B.
_SRGB_TO_D50 = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_D50_WHITE = np.array([0.9642, 1.0, 0.8249])


class ColourSpace(Protocol):
    """One colour space, both ways. Pixels are uint8 or uint16 [H, W, C] in the file's own colours."""

    def to_srgb(self, pixels: np.ndarray) -> Tensor:
        """[H, W, C] → img [1, 3, H, W] in [-1, 1]."""
        ...

    def from_srgb(self, img: Tensor, *, bits: int) -> np.ndarray:
        """img [1, 3, H, W] → [H, W, C]. Raises `OneWayProfile` where the profile has no way back."""
        ...


class OneWayProfile(Exception):
    """The profile describes an input device only; the caller writes sRGB instead."""


def colour_space_of(profile: bytes | None, space: str) -> ColourSpace | None:
    """The conversion, or None if the pixels are already sRGB (or grey with its curve).

    Args:
        profile: an ICC profile; None, or one that is broken or of another kind of picture, counts as no profile.
        space: "grey", "rgb" or "cmyk".
    """
    usable = profile if profile is not None and profile[16:20] == _ICC_SPACE[space] else None
    if usable is not None:
        for make in (_read_matrix_profile, _read_lut_profile):
            try:
                colours = make(usable, space)
                return None if _is_srgb(colours, space) else colours
            except _UnsupportedProfile:
                continue
    return PlainCMYK() if space == "cmyk" else None


class _UnsupportedProfile(ValueError):
    """Not a profile that this way of computing can take."""


# ── curves and a matrix ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class MatrixProfile:
    """c → curve → linear light → matrix → linear sRGB → sRGB, the "three-component matrix" model of the specification.

    `curves` are functions of float64 arrays in [0, 1], one a channel; `matrix` [3, C] leads to linear sRGB.
    """

    curves: tuple[Callable[[np.ndarray], np.ndarray], ...]
    matrix: np.ndarray

    def to_srgb(self, pixels: np.ndarray) -> Tensor:
        height, width, channels = pixels.shape
        levels = np.iinfo(pixels.dtype).max + 1
        codes = np.arange(levels) / (levels - 1)
        tables = [curve(codes).astype(np.float32) for curve in self.curves]
        matrix = torch.from_numpy(self.matrix).float()
        img = torch.empty(1, 3, height, width)
        for rows in bands(height, width):
            part = pixels[rows]
            light = torch.from_numpy(np.stack([np.take(tables[c], part[..., c]) for c in range(channels)]))
            srgb = _encode_srgb((matrix @ light.view(channels, -1)).clamp_(0, 1))  # [3, rows · W]
            img[0, :, rows] = srgb.mul_(2).sub_(1).view(3, -1, width)
        return img

    def from_srgb(self, img: Tensor, *, bits: int) -> np.ndarray:
        height, width = img.shape[2:]
        back = torch.from_numpy(np.linalg.pinv(self.matrix)).float()  # [C, 3]; for grey the mean of three equal rows
        tables = [self._back_table(curve, 2**bits - 1) for curve in self.curves]
        pixels = np.empty((height, width, len(tables)), np.uint8 if bits == 8 else np.uint16)
        for rows in bands(height, width):
            srgb = img[0, :, rows].to("cpu", torch.float32).div(2).add_(0.5).clamp_(0, 1)
            light = (back @ _decode_srgb(srgb).view(3, -1)).clamp_(0, 1)  # [C, rows · W]
            place = light.sqrt_().mul_(_STEPS)
            below = place.floor().clamp_(max=_STEPS - 1)
            share, index = (place - below).numpy(), below.int().numpy()
            for c, table in enumerate(tables):
                low, high = np.take(table, index[c]), np.take(table, index[c] + 1)
                pixels[rows, :, c] = (low + share[c] * (high - low) + 0.5).reshape(-1, width)  # cut = rounded
        return pixels

    @staticmethod
    def _back_table(curve: Callable[[np.ndarray], np.ndarray], most: int) -> np.ndarray:
        """light → code, at evenly spaced roots of light: codes are nearly linear in them, also near black."""
        codes = np.linspace(0, 1, 2**16)
        light = np.linspace(0, 1, _STEPS + 1) ** 2
        return (np.interp(light, curve(codes), codes) * most).astype(np.float32)


def _encode_srgb(light: Tensor) -> Tensor:
    """Linear sRGB → sRGB, both in [0, 1]. IEC 61966-2-1."""
    dark = light <= 0.0031308
    return torch.where(dark, light * 12.92, light.pow(1 / 2.4).mul_(1.055).sub_(0.055))


def _decode_srgb(value: Tensor) -> Tensor:
    """sRGB → linear sRGB, both in [0, 1]."""
    dark = value <= 0.04045
    return torch.where(dark, value / 12.92, value.add(0.055).div_(1.055).pow_(2.4))


def _read_matrix_profile(profile: bytes, space: str) -> MatrixProfile:
    """Read the curves and primaries of a profile; one with tables for its colours, or of CMYK, is not for us."""
    try:
        tags = _tags(profile)
        if b"A2B0" in tags or space == "cmyk" or profile[20:24] != b"XYZ ":
            raise _UnsupportedProfile("a LUT profile")
        names = (b"kTRC",) if space == "grey" else (b"rTRC", b"gTRC", b"bTRC")
        curves = tuple(_read_curve(tags[name]) for name in names)
        if space == "grey":
            return MatrixProfile(curves, np.ones((3, 1)))
        primaries = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        matrix = np.linalg.inv(_SRGB_TO_D50) @ primaries
        if abs(np.linalg.det(matrix)) < 1e-3:
            raise _UnsupportedProfile("its primaries lie on a line")
        return MatrixProfile(curves, matrix)
    except (KeyError, struct.error, IndexError, np.linalg.LinAlgError) as error:
        raise _UnsupportedProfile("broken") from error


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Section 7.3: the tag table."""
    count = min(struct.unpack_from(">I", profile, 128)[0], 256)
    rows = [struct.unpack_from(">4sII", profile, 132 + 12 * row) for row in range(count)]
    return {name: profile[start : start + size] for name, start, size in rows}


def _xyz(tag: bytes) -> np.ndarray:
    if tag[:4] != b"XYZ ":
        raise _UnsupportedProfile("no XYZ")
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _read_curve(tag: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Sections 10.6 (curv: nothing, a gamma, or samples) and 10.18 (para: five formulas)."""
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        samples = np.frombuffer(tag, ">u2", count, 12).astype(np.float64) if count <= len(tag) // 2 else np.empty(0)
        if count == 0:
            return lambda x: x
        if count == 1:
            return _check_monotonic(lambda x: x ** (samples[0] / 256))
        if len(samples) == count:
            return _check_monotonic(lambda x: np.interp(x, np.linspace(0, 1, count), samples / 65535))
    if tag[:4] == b"para":
        return _check_monotonic(_read_parametric_curve(tag))
    raise _UnsupportedProfile("no curve")


def _read_parametric_curve(tag: bytes) -> Callable[[np.ndarray], np.ndarray]:
    kind = struct.unpack_from(">H", tag, 8)[0]
    if kind > 4:
        raise _UnsupportedProfile("an unknown formula")
    count = (1, 3, 4, 5, 7)[kind]
    parameters = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = parameters + [0.0] * (7 - count)
    if kind == 0:
        return lambda x: x**g
    if kind in (1, 2):  # (a·x + b)^g + c from x = −b/a upward, c below
        return lambda x: np.maximum(a * x + b, 0) ** g + c
    if kind == 3:
        return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g, c * x)
    return lambda x: np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _check_monotonic(curve: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A curve that falls or goes nowhere has no way back, and no camera has one."""
    with np.errstate(all="ignore"):
        probe = curve(np.linspace(0, 1, 257))
    if not np.isfinite(probe).all() or (np.diff(probe) < -1e-9).any() or probe[-1] - probe[0] < 0.1:
        raise _UnsupportedProfile("no rising curve")
    return lambda x: np.clip(curve(x), 0, 1)


# ── tables, and CMYK ─────────────────────────────────────────────────────────────────────────────────────────────────

_PIL_MODE = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}


@dataclass(frozen=True)
class LUTProfile:
    """Conversion by LittleCMS, relative colorimetric with black point compensation, at 8 bits."""

    profile: bytes
    space: str

    def to_srgb(self, pixels: np.ndarray) -> Tensor:
        height, width, _ = pixels.shape
        transform = self._transform(forward=True)
        img = torch.empty(1, 3, height, width)
        for rows in bands(height, width):
            srgb = transform.apply(_picture(_eight_bits(pixels[rows]), _PIL_MODE[self.space]))
            img[0, :, rows] = torch.from_numpy(np.array(srgb)).permute(2, 0, 1).float().div_(127.5).sub_(1)
        return img

    def from_srgb(self, img: Tensor, *, bits: int) -> np.ndarray:
        height, width = img.shape[2:]
        transform = self._transform(forward=False)
        pixels = np.empty((height, width, COLOUR_CHANNELS[self.space]), np.uint8)
        for rows in bands(height, width):
            srgb = _picture(to_pixels(img[:, :, rows]), "RGB")
            try:
                own = transform.apply(srgb)
            except OSError as error:  # LittleCMS reads some profiles that it cannot write
                raise OneWayProfile("the profile has no inverse transform") from error
            pixels[rows] = np.asarray(own).reshape(pixels[rows].shape)
        return pixels if bits == 8 else pixels.astype(np.uint16) * 257

    def _transform(self, *, forward: bool) -> Any:
        from PIL import ImageCms

        own = (ImageCms.ImageCmsProfile(io.BytesIO(self.profile)), _PIL_MODE[self.space])
        srgb = (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), "RGB")
        (source, source_mode), (target, target_mode) = (own, srgb) if forward else (srgb, own)
        try:
            return ImageCms.buildTransform(
                source,
                target,
                source_mode,
                target_mode,
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except ImageCms.PyCMSError as error:
            raise OneWayProfile("the profile has no inverse transform") from error


def _read_lut_profile(profile: bytes, space: str) -> LUTProfile:
    colours = LUTProfile(profile, space)
    try:
        colours._transform(forward=True)
    except (OneWayProfile, ImportError, OSError, ValueError, TypeError) as error:
        raise _UnsupportedProfile("LittleCMS cannot use it") from error
    return colours


class PlainCMYK:
    """CMYK without a profile: the inks as light filters, red = (1 − cyan)·(1 − black); the way back uses no black."""

    def to_srgb(self, pixels: np.ndarray) -> Tensor:
        height, width, _ = pixels.shape
        most = np.iinfo(pixels.dtype).max
        img = torch.empty(1, 3, height, width)
        for rows in bands(height, width):
            light = 1 - torch.from_numpy(pixels[rows].astype(np.float32)) / most  # [rows, W, 4]
            img[0, :, rows] = (light[..., :3] * light[..., 3:]).permute(2, 0, 1).mul_(2).sub_(1)
        return img

    def from_srgb(self, img: Tensor, *, bits: int) -> np.ndarray:
        inks = np.zeros((*img.shape[2:], 4), np.uint8 if bits == 8 else np.uint16)
        inks[..., :3] = np.iinfo(inks.dtype).max - to_pixels(img, bits=bits)
        return inks


def _is_srgb(colours: ColourSpace, space: str) -> bool:
    """Nearly every profile in the wild is sRGB itself; then pixels and img stand for the same numbers."""
    if space == "cmyk":
        return False
    steps = np.linspace(0, 255, 18).astype(np.uint8)
    axes = np.meshgrid(*[steps] * COLOUR_CHANNELS[space], indexing="ij")
    grid = np.stack(axes, axis=-1).reshape(len(steps), -1, COLOUR_CHANNELS[space])
    return bool(((colours.to_srgb(grid) - from_pixels(grid)).abs() / 2).max() <= _SAME_AS_SRGB)


def _picture(pixels: np.ndarray, mode: str) -> Image.Image:
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
