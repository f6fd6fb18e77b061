"""Scores of aligned faces: a small network of our own, and measurements on landmarks. Any function img → [N] fits too.

The network was taught by others (an MIT expression net, CC0 age and gender nets) on samples of the model `faces` and on
free portraits; tools/learn_scorers.py repeats it, docs/editing.md has how far it agrees with its teachers. It looks at
expressions, not at people: it is for steering sliders, and says nothing about anybody's feelings, age or sex.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganvas.checks import check_img
from ganvas.errors import BrokenWeights
from ganvas.fields import check_known

Scorer: TypeAlias = Callable[[Tensor], Tensor]

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
FACE_INPUT_PX = 96
SHARE = 2 / 3  # of the aligned crop's side: brows to chin, ear to ear
SCORER_WEIGHTS = Path(__file__).parent / "data" / "face-scorer.safetensors"


class FaceScoreNet(nn.Module):
    """Seven expressions, age and gender expression from an aligned face; 0.4 M parameters."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.SiLU()]
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.SiLU()]
            channels = width
        self.body = nn.Sequential(*layers)
        self.heads = nn.Linear(channels * 4, len(EXPRESSIONS) + 2)

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Aligned faces [N, 3, S, S] in [-1, 1] → expression logits [N, 7], age [N] in years, gender logit [N]."""
        return self.forward_cropped(crop_face(img))

    def forward_cropped(self, cropped: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, from cuts that are [N, 3, 96, 96] already."""
        h = F.adaptive_avg_pool2d(self.body(cropped), 2).flatten(1)
        out = self.heads(h)
        return out[:, :7], 40 + 20 * out[:, 7], out[:, 8]


def crop_face(img: Tensor) -> Tensor:
    """The middle of an aligned crop as [N, 3, 96, 96]."""
    check_img(img, who="crop_face")
    side = img.shape[3]
    first, last = round(side * (1 - SHARE) / 2), round(side * (1 + SHARE) / 2)
    return F.interpolate(img[:, :, first:last, first:last], (FACE_INPUT_PX, FACE_INPUT_PX), mode="area")


@cache
def load_face_score_net() -> FaceScoreNet:
    """The network with the weights that ship with ganvas, frozen.

    Raises:
        BrokenWeights: the installation is damaged.
    """
    net = FaceScoreNet()
    try:
        net.load_state_dict({name: w.float() for name, w in load_file(SCORER_WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BrokenWeights(f"{SCORER_WEIGHTS.name} is damaged or missing; reinstall ganvas ({error})") from error
    return net.requires_grad_(False).eval()


def score_faces(img: Tensor, attribute: str) -> Tensor:
    """One attribute of aligned faces, [N]; the mean of what the picture and its mirror image show.

    Args:
        img: [N, 3, S, S] aligned as in FFHQ, in [-1, 1].
        attribute: an expression ("happy", "neutral", …: a probability), "smile" (= "happy"), "age" (years) or "gender"
            (probability of a feminine expression).
    """
    check_known(attribute, (*EXPRESSIONS, "smile", "age", "gender"), what="attribute")
    expression, age, gender = (score.mean(dim=0) for score in _with_mirror_image(img))
    if attribute == "age":
        return age
    if attribute == "gender":
        return gender.sigmoid()
    return expression.softmax(dim=1)[:, EXPRESSIONS.index("happy" if attribute == "smile" else attribute)]


def _with_mirror_image(img: Tensor) -> list[Tensor]:
    """Every output of the network for the pictures and their mirror images, [2, N, …] each."""
    net, cut = load_face_score_net(), crop_face(img)
    return [torch.stack(pair) for pair in zip(net.forward_cropped(cut), net.forward_cropped(cut.flip(3)), strict=True)]
