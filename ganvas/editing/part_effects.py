"""What the steps of parts do to pixels: img and soft masks in, img out.

All work in CIELAB, where lightness can stay while colour moves, and on pictures of any size; lengths are shares of
`side`, the side of the aligned face square. Where a mask is 0 the picture is left as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganvas.ops.blur import gaussian_blur
from ganvas.ops.guided_filter import filter_guided
from ganvas.ops.lab import from_lab, to_lab
from ganvas.ops.smoothstep import smoothstep

MASK_ENDS = 0.1, 0.9  # of what a network says: below is certainly not of the part, above certainly is
SHADE, SHADE_EPS = 0.03, 4e-3  # how coarse light and shade are, against strands and pores
COLOUR_VARIETY = 0.7  # of the part's own play of colours that stays
COLOUR_ROUNDS = 10  # until the mean colour is the wanted one
FIT_COLOUR_PX = 200  # of the copy on which the aim is corrected
STRAND_PX = 2.0  # of the same copy
CONTRAST_RANGE = 0.8, 4.0  # of what is finer than shade
DARKEST = 0.25  # share of the aim's lightness from which on strands take no less colour
MASK_RIM = 0.98, 1.0  # of a mask: below, a place has to have the part's colours
STRANGE, LEAST_SPREAD = (1.4, 2.6), 3.0  # in standard deviations of the part's colours; and the least of those
HIGHLIGHT = 12.0, 40.0  # lightness above the surroundings: from here on it is gloss, which has the light's colour


def parse_colour(text: str) -> Tensor:
    """`#7a3b1e` → img [1, 3, 1, 1]."""
    return torch.tensor([int(text[i : i + 2], 16) for i in (1, 3, 5)]).view(1, 3, 1, 1) / 127.5 - 1


def sharpen_mask(mask: Tensor) -> Tensor:
    """Probabilities as a mask: exactly 0 where the part is not."""
    return smoothstep(mask, *MASK_ENDS)


def recolour_part(img: Tensor, mask: Tensor, colour: Tensor, amount: float, *, side: float) -> Tensor:
    """Another colour: the means move to the picked one's, light and shade and gloss stay around them.

    What is finer than shade (strands, pores) keeps its lightness, so its contrast stays. Dark strands take less colour,
    as pigments do, and gloss, which has the light's. The aim is corrected on a small copy until the mean inside the
    mask is the picked colour, as far as sRGB has it; contrast too, since gloss on hair that was dark would be lighter
    than white on fair hair.

    Args:
        img: [1, 3, H, W] in [-1, 1]; mask: [1, 1, H, W]; colour: [1, 3, 1, 1].
        amount: 0 … 1.
        side: of the aligned face square, in pixels.
    """
    lab, goal = to_lab(img), to_lab(colour)
    base = filter_guided(lab[:, :1], (img + 1) / 2, radius_px=SHADE * side, eps=SHADE_EPS)
    core = mask**4  # a soft rim has colours of its neighbours, which should not count
    means = _mean(lab, core), _mean(base, core)
    step = max(1, round(max(img.shape[2:]) / FIT_COLOUR_PX))
    some_lab, some_base, some_core = (x[:, :, ::step, ::step] for x in (lab, base, core))
    aim, contrast = goal.clone(), 1.0
    for _ in range(COLOUR_ROUNDS):
        new = to_lab(_paint_colour(some_lab, some_base, means, aim, contrast))
        aim = aim + (goal - _mean(new, some_core))
        lost = _local_contrast(some_lab, some_core) / _local_contrast(new, some_core)
        contrast = min(max(contrast * lost, CONTRAST_RANGE[0]), CONTRAST_RANGE[1])
    return img.lerp(_paint_colour(lab, base, means, aim, contrast), _without_strangers(mask, lab, core) * amount)


def _local_contrast(lab: Tensor, mask: Tensor) -> float:
    """Of lightness against its surroundings, inside a mask: 1 or more."""
    fine = lab[:, :1] - gaussian_blur(lab[:, :1], STRAND_PX)
    return max(1.0, _mean(fine.square(), mask).sqrt().item())


def _without_strangers(mask: Tensor, lab: Tensor, core: Tensor) -> Tensor:
    """The mask without places in its soft rim whose colour is none of the part's: skin that shows beside the hair."""
    mean = _mean(lab, core)
    spread = _mean((lab - mean).square(), core).sqrt() + LEAST_SPREAD
    far = ((lab - mean) / spread).square().mean(dim=1, keepdim=True).sqrt()
    return mask * torch.maximum(1 - smoothstep(far, *STRANGE), smoothstep(mask, *MASK_RIM))


def _paint_colour(
    lab: Tensor, base: Tensor, means: tuple[Tensor, Tensor], aim: Tensor, contrast: float = 1.0
) -> Tensor:
    """img with its colours moved from the means, of all of lab and of the lightness of shade, to an aim."""
    fine = lab[:, :1] - base
    light = _move_lightness(base, means[1], aim[:, :1]) + contrast * fine
    pigment = (light / aim[:, :1].clamp(min=1)).clamp(DARKEST, 1) ** 0.5
    play = (lab[:, 1:] - means[0][:, 1:]) * COLOUR_VARIETY
    gloss = 1 - 0.7 * smoothstep(fine, *HIGHLIGHT)
    return from_lab(torch.cat([light, lab[:, 1:].lerp(aim[:, 1:] * pigment + play, gloss)], dim=1))


def _move_lightness(light: Tensor, mean: Tensor, goal: Tensor) -> Tensor:
    """Half way between adding, which keeps shade as deep as it is, and a power, which keeps black and white."""
    share = [(x / 100).clamp(0.02, 0.98) for x in (mean, goal)]
    power = 100 * (light / 100).clamp(1e-4, 1) ** (share[1].log() / share[0].log())
    return (power + (light + goal - mean).clamp(0, 100)) / 2


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    """Inside a mask, [1, C, 1, 1]."""
    return (x * mask).sum(dim=(2, 3), keepdim=True) / mask.sum().clamp(min=1e-6)


def whiten_teeth(img: Tensor, masks: Mapping[str, Tensor], amount: float, *, side: float) -> Tensor:
    """Less yellow and a little lighter where an open mouth is light and not red: teeth, neither gums nor tongue."""
    lab = to_lab(img)
    light, red, yellow = lab.split(1, dim=1)
    inside = masks["mouth"]
    top = light[inside > 0.5].quantile(0.9) if bool((inside > 0.5).any()) else light.new_tensor(100.0)
    tooth = smoothstep(light, float(top) * 0.45, float(top) * 0.75) * (1 - smoothstep(red, 12, 24))
    weight = inside * gaussian_blur(tooth, 0.002 * side) * amount
    moved = torch.cat(
        [light + 9 * weight * (1 - light / 100) * 2, red * (1 - 0.3 * weight), yellow * (1 - 0.8 * weight)], dim=1
    )
    return torch.where(weight > 0, from_lab(moved), img)


def smooth_skin(img: Tensor, masks: Mapping[str, Tensor], amount: float, *, side: float) -> Tensor:
    """Blotches and lines between pores and shade fade: a band of sizes is taken out, edges are left alone.

    The band is the difference of an edge-keeping mean (guided by the picture itself) and a small blur, so that pores,
    finer than the blur, stay.
    """
    coarse = (filter_guided((img + 1) / 2, (img + 1) / 2, radius_px=0.022 * side, eps=2.5e-3)) * 2 - 1
    middle = gaussian_blur(img, 0.0035 * side)
    return img + masks["skin"] * (0.85 * amount) * (coarse - middle)


def brighten_eyes(img: Tensor, masks: Mapping[str, Tensor], amount: float, *, side: float) -> Tensor:
    """Whites lighter and less red, irises clearer: more light and more contrast around their own shade."""
    lab, whites, iris = to_lab(img), masks["whites"] * amount, masks["iris"] * amount
    light, colour = lab[:, :1], lab[:, 1:]
    shade = gaussian_blur(light, 0.008 * side)
    lift = whites * 0.28 * (1 - light / 100) * light * 0.6 + iris * (
        0.35 * (light - shade) + 0.16 * light * (1 - light / 100)
    )
    moved = torch.cat([light + lift, colour * (1 - 0.5 * whites + 0.25 * iris)], dim=1)
    return torch.where(whites + iris > 0, from_lab(moved), img)


def put_blush(img: Tensor, masks: Mapping[str, Tensor], colour: Tensor, amount: float, *, side: float) -> Tensor:
    """Colour on the cheeks: between eye and mouth, a little outside the eye; lightness hardly moves."""
    weight = masks["skin"] * _cheeks(masks) * amount
    lab, goal = to_lab(img), to_lab(colour)
    toward = (goal - lab) * torch.tensor([0.12, 0.55, 0.35]).view(1, 3, 1, 1)
    return torch.where(weight > 0, from_lab(lab + weight * toward), img)


def _cheeks(masks: Mapping[str, Tensor]) -> Tensor:
    """[1, 1, H, W]: a soft oval on each cheek; nothing where eyes or mouth are not to be seen."""
    eyes, mouth = masks["whites"] + masks["iris"], masks["lips"] + masks["mouth"]
    cheeks = torch.zeros_like(eyes)
    if float(eyes.sum()) < 1 or float(mouth.sum()) < 1:
        return cheeks
    y, x = (axis.to(eyes)[None, None] for axis in torch.meshgrid(*map(torch.arange, eyes.shape[2:]), indexing="ij"))
    at = torch.stack([_mean(x, mouth), _mean(y, mouth)]).flatten()
    middle = _mean(x, eyes)
    for half in (x < middle, x >= middle):
        eye = eyes * half
        if float(eye.sum()) < 1:
            continue
        to_mouth = at - torch.stack([_mean(x, eye), _mean(y, eye)]).flatten()
        length = to_mouth.norm()
        centre = at - to_mouth * 0.45 - torch.stack([to_mouth[0], to_mouth[0] * 0]) * 0.65
        oval = (((x - centre[0]) / (0.36 * length)) ** 2 + ((y - centre[1]) / (0.27 * length)) ** 2).neg().exp()
        cheeks = torch.maximum(cheeks, oval)
    return cheeks * (cheeks > 0.02)
