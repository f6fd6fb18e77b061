"""Does a picture show the same person as another? For telling whether an edit, or a latent, kept the person.

A small network of our own, taught by dlib's public-domain descriptor on free portraits and on samples of the model
`faces` (tools/learn_identity.py). It compares two aligned pictures that are meant to show one person. It does not
recognise people: it is far too coarse to find somebody among many or to let somebody in, and must not be used for that.
Its errors need not be the same for every age, sex and skin.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ganvas.errors import BrokenWeights
from ganvas.features.face_networks import FaceScoreNet, crop_face

IDENTITY_WEIGHTS = Path(__file__).parent / "data" / "face-identity.safetensors"
IDENTITY_DIM = 128
# Largest distances, calibrated on photos and latents found for them: where dlib's distance is .5, and .6 (strangers).
SAME_PERSON, SIMILAR_PERSON = 0.26, 0.36
VERDICTS = ("this is you", "resembles you", "another person")


class IdentityNet(nn.Module):
    """A descriptor of who an aligned face shows; 0.5 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        scorer = FaceScoreNet()
        self.body = scorer.body
        self.head = nn.Linear(scorer.heads.in_features, IDENTITY_DIM)

    def features(self, cropped: Tensor) -> Tensor:
        """[N, 3, 96, 96] → [N, 512]."""
        return F.adaptive_avg_pool2d(self.body(cropped), 2).flatten(1)

    def forward_cropped(self, cropped: Tensor) -> Tensor:
        """From cuts that are [N, 3, 96, 96] already."""
        return self.head(self.features(cropped))

    def forward(self, img: Tensor) -> Tensor:
        """Aligned faces [N, 3, S, S] in [-1, 1] → [N, 128]."""
        return self.forward_cropped(crop_face(img))


@cache
def load_identity_net() -> IdentityNet:
    """The network with the weights that ship with ganvas, frozen.

    Raises:
        BrokenWeights: the installation is damaged.
    """
    net = IdentityNet()
    try:
        net.load_state_dict({name: w.float() for name, w in load_file(IDENTITY_WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        why = f"{IDENTITY_WEIGHTS.name} is damaged or missing; install ganvas again ({error})"
        raise BrokenWeights(why) from error
    return net.requires_grad_(False).eval()


def embed_identity(img: Tensor) -> Tensor:
    """Who aligned faces show: the mean of what the picture and its mirror image give. Differentiable.

    Args:
        img: [N, 3, S, S] aligned as in FFHQ, in [-1, 1].

    Returns:
        [N, 128]; distances between rows tell people apart, the rows themselves mean nothing.
    """
    net, cropped = load_identity_net().to(img.device), crop_face(img)
    return (net.forward_cropped(cropped) + net.forward_cropped(cropped.flip(3))) / 2


def identity_distance(a: Tensor, b: Tensor) -> Tensor:
    """[N] distances of aligned faces in pairs, 0 = the same."""
    return (embed_identity(a) - embed_identity(b)).norm(dim=1)


def describe_identity(distance: float) -> str:
    """A distance in words, one of VERDICTS."""
    if distance <= SAME_PERSON:
        return VERDICTS[0]
    return VERDICTS[1] if distance <= SIMILAR_PERSON else VERDICTS[2]
