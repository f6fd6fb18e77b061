"""Does the picture of a face hold together? A small critic tells whole faces from fog, ghosts and broken mouths.

It looks at textures: means and spreads of the channels of EfficientNet-Lite0 in seven zones of an aligned face, with a
weight each. It was taught on photos and on the generator's good pictures as whole, and on breaks made on purpose
(tools/learn_critic.py repeats it).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ganvas.errors import BrokenWeights

CRITIC_WEIGHTS = Path(__file__).parent / "data" / "face-critic.safetensors"
CRITIC_PX = 256  # what the critic was taught on; other sizes have other textures
FACE_ZONES = (  # (left, top, right, bottom) in shares of an aligned crop
    (0.20, 0.20, 0.80, 0.92),  # the face
    (0.24, 0.38, 0.76, 0.54),  # eyes
    (0.36, 0.46, 0.64, 0.66),  # nose
    (0.32, 0.62, 0.68, 0.80),  # mouth
    (0.20, 0.50, 0.38, 0.75),  # cheeks
    (0.62, 0.50, 0.80, 0.75),
    (0.25, 0.22, 0.75, 0.40),  # forehead and brows
)


class FaceCritic(NamedTuple):
    """One weight for each texture; `bias` puts 0 where 95 % of real photos lie above."""

    weight: Tensor  # [D]
    bias: Tensor  # []


@cache
def load_face_critic() -> FaceCritic:
    """The weights that ship with ganvas.

    Raises:
        BrokenWeights: the installation is damaged.
    """
    try:
        tensors = load_file(CRITIC_WEIGHTS)
        return FaceCritic(tensors["weight"].float(), tensors["bias"].float())
    except (OSError, SafetensorError, KeyError) as error:
        why = f"{CRITIC_WEIGHTS.name} is damaged or missing; install ganvas again ({error})"
        raise BrokenWeights(why) from error


def score_naturalness(maps: list[Tensor]) -> Tensor:
    """How whole aligned faces look: above 0 as 95 % of real photos do, below it broken.

    Args:
        maps: what `EfficientNetLite0.features` gives for img [N, 3, CRITIC_PX, CRITIC_PX], aligned as FFHQ's are.

    Returns:
        [N] logits.
    """
    critic, textures = load_face_critic(), measure_textures(maps)
    return textures @ critic.weight.to(textures) + critic.bias.to(textures)


def measure_textures(maps: list[Tensor]) -> Tensor:
    """Mean and spread of every channel in each zone of an aligned face: maps of `features` → [N, D]."""
    columns = []
    for h in maps:
        for zone in FACE_ZONES:
            left, top, right, bottom = (round(share * h.shape[3]) for share in zone)
            values = h[:, :, top:bottom, left:right].flatten(2)
            columns += [values.mean(dim=2), values.std(dim=2)]
    return torch.cat(columns, dim=1)
