from dataclasses import replace

import pytest
import torch

from ganvas.inversion.detail import DetailLoss
from ganvas.inversion.loss import FACE_PARTS, ReconstructionLoss, ReconstructionLossConfig, cut_box
from ganvas.inversion.optimise import InversionStage, invert
from ganvas.inversion.pivotal import with_delta
from tests.inversion.generators import picture_of, tiny

BOXES = list(FACE_PARTS.values())


def detail_loss(target, boxes, seed=0):
    config = ReconstructionLossConfig()
    whole = ReconstructionLoss(target, config=config)
    return DetailLoss(whole, target.shape[3], boxes=boxes, extractor=None, config=config, seed=seed)


def test_squares_count_as_large_as_they_are_painted():
    target = torch.zeros(1, 3, 512, 512)
    fine = 0.5 * (2 * (torch.arange(512) % 2) - 1.0).expand_as(target)  # gone in an average over 2 px
    loss = detail_loss(target, BOXES)
    assert loss(target) == 0
    eye, corner = target.clone(), target.clone()
    cut_box(eye, BOXES[0]).copy_(cut_box(fine, BOXES[0]))
    corner[..., :48, :48] = fine[..., :48, :48]
    assert loss(eye) > 0.1
    assert loss(corner) < 1e-4, "the outermost part is compared at 256 px alone"


@pytest.mark.parametrize("boxes", [BOXES, []])
def test_some_square_is_another_one_at_every_step(boxes):
    target, img = torch.rand(2, 1, 1, 512, 512)
    a, b = detail_loss(target, boxes, seed=3), detail_loss(target, boxes, seed=3)
    first, second = a(img), a(img)
    assert first != second
    assert torch.equal(b(img), first), "where they are is up to the seed"


def test_boxes_of_one_size_cut_squares_of_one_size():
    img = torch.rand(1, 1, 300, 300)
    shapes = {cut_box(img, (i / 37, i / 53, i / 37 + 0.3, i / 53 + 0.3)).shape for i in range(20)}
    assert shapes == {(1, 1, 90, 90)}


def test_a_detail_stage_tunes_the_weights_of_large_generators_alone():
    steps = []
    detail = InversionStage(kind="detail", px=512, steps=2, lr=0.005)
    latent = InversionStage(kind="w", px=16, steps=2, lr=0.1)
    small = tiny("stylegan2")
    found = invert(picture_of(small), small, stages=(latent, detail), on_step=lambda step, *_: steps.append(step))
    assert steps == [0, 1, 2], "a small picture is compared in full already"
    assert not found.delta


def test_a_detail_stage_brings_the_large_picture_nearer():
    G = tiny("stylegan2", img_resolution=512, channel_base=512)
    random = torch.Generator().manual_seed(2)
    img = (picture_of(G) + 0.3 * torch.randn(1, 3, 512, 512, generator=random).cumsum(3) / 20).clamp(-1, 1)
    latent = InversionStage(kind="w", px=16, steps=2, lr=0.1)
    detail = InversionStage(kind="detail", px=512, steps=6, lr=0.02, every=3)
    before, after = (invert(img, G, stages=stages) for stages in ((latent,), (latent, detail)))
    assert torch.equal(before.ws, after.ws)
    losses = []
    with torch.no_grad():
        for found in (before, after):
            losses.append(detail_loss(img, [])(with_delta(G, found.delta).synthesis(found.ws)))
    assert losses[1] < 0.95 * losses[0]
    again = invert(img, G, stages=(latent, replace(detail, precision="exact")))
    assert again.delta.keys() == after.delta.keys()
