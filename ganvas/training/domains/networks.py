"""One translator for many domains, and the discriminator that names them (StarGAN).

Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation". The
paper lays a constant plane for each domain beside the picture's channels. A convolution answers a constant plane with a
constant, where its border reflects: so a plane is a bias of the first layer, one a domain, and that is how it is kept
here. Different from the paper: the first layer has no instance normalisation, which would take that very constant out
again, and the domain is named from the mean over all patches.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.models import build
from ganvas.models.cyclegan import ResNetGenerator
from ganvas.models.pix2pix import PatchGAN
from ganvas.training.domains.config import DomainsConfig


class DomainTranslator(nn.Module):
    """img and the domain it shall go to → img.

    Args:
        net: a ResNet without normalisation in its first layer.
        domains: how many.
    """

    def __init__(self, net: ResNetGenerator, domains: int):
        super().__init__()
        self.net = net
        self.planes = nn.Linear(domains, net.config.ngf, bias=False)  # what the first layer makes of each plane
        nn.init.normal_(self.planes.weight, 0, 0.1)

    def forward(self, img: Tensor, c: Tensor) -> Tensor:
        """img [N, 3, H, W], c [N, domains] one-hot → [N, 3, H, W]."""
        net = self.net
        x = F.relu(net.first.conv(img) + self.planes(c)[:, :, None, None])
        for stage in (*net.down, *net.blocks, *net.up):
            x = stage(x)
        return torch.tanh(net.last(x))

    @torch.no_grad()
    def to_domain(self, domain: int) -> ResNetGenerator:
        """A copy that goes to one domain: an ordinary translator."""
        net = copy.deepcopy(self.net)
        net.first.conv.bias += self.planes.weight[:, domain]
        return net


class DomainDiscriminator(nn.Module):
    """img → real or fake of each patch, and the domain."""

    def __init__(self, patches: PatchGAN, domains: int):
        super().__init__()
        self.patches = patches
        self.to_domain = nn.Linear(patches.convs[-1].in_channels, domains)  # type: ignore[arg-type]

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] → logits of patches [N, P], logits of domains [N, domains]."""
        *inner, last = self.patches.convs
        x = img
        for conv in inner:
            x = F.leaky_relu(conv(x), 0.2)
        return last(x).flatten(1), self.to_domain(x.mean(dim=(2, 3)))


def build_domain_networks(config: DomainsConfig, domains: int) -> tuple[DomainTranslator, DomainDiscriminator]:
    """Fresh networks in train mode. Draws from torch's global randomness.

    Raises:
        BadConfig: a field that a family does not have, or a resolution that it cannot take.
    """
    net = build("cyclegan", **{**config.generator, "first_norm": False})
    fields = {**config.discriminator, "norm": "none", "img_resolution": config.resolution}
    patches = build("cyclegan", network="D", **fields)
    return DomainTranslator(net, domains), DomainDiscriminator(patches, domains)
