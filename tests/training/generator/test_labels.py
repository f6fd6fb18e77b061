"""A discriminator is shown every picture, real or fake, with the picture's own label: in every loss, in every step."""

import pytest
import torch
from torch import nn

from ganvas.datasets.image_dataset import ImageDataset
from ganvas.training.generator.config import TrainConfig
from ganvas.training.generator.train import train

CLASSES, PX = 4, 8
GREY = [20, 90, 160, 230]  # of each class
LOSSES = ("ns", "minimax", "lsgan", "hinge", "wgan", "rpgan", "ragan")


class LabelledGenerator(nn.Module):
    """Paints the grey of the label that it is given, and leaves room for a gradient."""

    z_dim, c_dim = 4, CLASSES

    def __init__(self):
        super().__init__()
        self.light = nn.Parameter(torch.zeros(()))

    def forward(self, z, c):
        grey = torch.tensor(GREY)[c.argmax(1)] / 127.5 - 1
        return (grey + 0.001 * self.light)[:, None, None, None].expand(-1, 3, PX, PX) + 0 * z.mean()


class RecordingDiscriminator(nn.Module):
    """Notes of each picture whether its label is the one of its grey."""

    c_dim = CLASSES

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.1))
        self.right: list[bool] = []

    def forward(self, img, c):
        grey = (img.detach().mean((1, 2, 3)) + 1) * 127.5
        seen = (grey[:, None] - torch.tensor(GREY)).abs().argmin(1)
        self.right += (seen == c.argmax(1)).tolist()
        return self.weight * img.square().mean((1, 2, 3))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty_every", [1, 2], ids=["every step", "lazy"])
def test_each_picture_is_judged_by_its_own_label(loss, penalty_every):
    classes = torch.arange(40) % CLASSES
    pixels = torch.tensor(GREY, dtype=torch.uint8)[classes][:, None, None, None].expand(-1, 3, PX, PX)
    penalty = {"gradient_penalty": 10.0} if loss == "wgan" else {"r1_gamma": 0.1, "r2_gamma": 0.1}
    config = TrainConfig(
        family="own",
        labels="auto",
        loss=loss,
        penalty_every=1 if loss == "wgan" else penalty_every,
        augment="none",
        batch_size=8,
        micro_batch=4,
        total_kimg=0.048,
        tick_kimg=0.024,
        ema="none",
        watchdog=False,
        precision="exact",
        **penalty,
    )
    D = RecordingDiscriminator()
    train(ImageDataset.from_pixels(pixels, classes), generator=LabelledGenerator(), discriminator=D, config=config)
    assert len(D.right) >= 6 * 8 * 3  # reals and fakes for D, fakes for G
    assert all(D.right), f"{sum(D.right)} of {len(D.right)} pictures came with their own label"
