import pytest
import torch
import torch.nn.functional as F

from ganvas.features.efficientnet import EfficientNetLite0, feature_distance
from ganvas.features.face_networks import score_faces
from ganvas.inversion.loss import (
    EmbedderTerm,
    ReconstructionLoss,
    ReconstructionLossConfig,
    embed_face,
    reconstruction_metrics,
    smile_metrics,
)

PIXELS_ONLY = ReconstructionLossConfig(coarse=0, edges=0, features=0, identity=0)


def test_it_is_zero_for_the_target_and_grows_with_the_difference():
    target = torch.rand(1, 3, 64, 64) * 2 - 1
    likeness = ReconstructionLoss(target)
    near, far = target + 0.05 * torch.randn(target.shape), target + 0.2 * torch.randn(target.shape)
    assert likeness(target) == 0
    assert 0 < likeness(near) < likeness(far)


def test_the_middle_counts_more_and_the_mean_weight_is_one():
    target = torch.zeros(1, 3, 64, 64)
    likeness = ReconstructionLoss(target, config=PIXELS_ONLY)
    assert likeness(target + 0.5).item() == pytest.approx(0.5, rel=1e-5)
    middle, corner = target.clone(), target.clone()
    middle[..., 28:36, 28:36] = corner[..., :8, :8] = 1
    assert likeness(middle) > 2 * likeness(corner)


def test_a_bell_holds_at_every_scale():
    target = torch.zeros(1, 3, 64, 64)
    only_coarse = ReconstructionLossConfig(pixels=0, edges=0, coarse=1)
    plain = ReconstructionLoss(target, config=only_coarse)
    face = ReconstructionLoss(target, config=only_coarse, bell=(0.95, 0.3))
    middle, corner = target.clone(), target.clone()
    middle[..., 24:40, 24:40] = corner[..., :16, :16] = 1
    assert plain(middle) == plain(corner)
    assert face(middle) > 10 * face(corner)
    assert face(target + 0.5).item() == pytest.approx(2 * 0.25, rel=1e-5)


@pytest.mark.parametrize("size", [16, 48, 80])
def test_the_target_is_brought_to_the_size_of_the_picture(size):
    target = F.interpolate(torch.rand(1, 1, 6, 6) * 2 - 1, (48, 48), mode="bicubic").clamp(-1, 1)
    likeness = ReconstructionLoss(target)
    assert likeness(likeness.at(size)) == 0
    assert likeness.at(size).shape == (1, 1, size, size)
    assert likeness.at(size).abs().max() <= 1


def test_features_take_the_place_of_edges():
    torch.manual_seed(0)
    extractor = EfficientNetLite0()
    target, img = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    only = ReconstructionLoss(
        target, extractor=extractor, config=ReconstructionLossConfig(pixels=0, coarse=0, features=2)
    )
    expected = 2 * feature_distance(extractor.features(img), extractor.features(target))
    assert torch.allclose(only(img), expected.mean())
    assert torch.allclose(
        ReconstructionLoss(target, config=ReconstructionLossConfig(pixels=0, coarse=0, edges=0))(img), torch.zeros(())
    )


def test_every_embedder_counts_by_its_weight():
    target, img = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    nothing = ReconstructionLossConfig(pixels=0, coarse=0, edges=0)
    embedders = [EmbedderTerm(lambda x: x.mean(dim=(2, 3)), 3), EmbedderTerm(lambda x: x[:, :, 0, 0], 0.5, 32)]
    loss = ReconstructionLoss(target, embedders=embedders, config=nothing)
    expected = sum(term.weight * (term.embed(img) - term.embed(target)).square().sum() for term in embedders)
    assert torch.allclose(loss(img), expected)
    assert loss(target) == 0
    large = torch.nn.functional.interpolate(img, 64)
    only_first = 3 * (large.mean(dim=(2, 3)) - target.mean(dim=(2, 3))).square().sum()
    assert torch.allclose(loss(large), only_first), "the second is for pictures of at most 32 px"


def test_features_may_be_of_a_part_of_the_picture():
    torch.manual_seed(0)
    extractor = EfficientNetLite0()
    target, img = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    only = ReconstructionLossConfig(pixels=0, coarse=0)
    loss = ReconstructionLoss(target, extractor=extractor, config=only, features_box=(0.25, 0, 0.75, 0.5))
    outside = target.clone()
    outside[..., 40:, :] = img[..., 40:, :]
    assert loss(outside) == 0
    a, b = (extractor.features(x[:, :, :32, 16:48]) for x in (img, target))
    assert torch.allclose(loss(img), 0.5 * feature_distance(a, b).mean())


def test_faces_are_embedded_with_gradients():
    img = torch.rand(2, 3, 64, 64).requires_grad_()
    embedded = embed_face(img)
    assert embedded.shape[0] == 2
    embedded.square().sum().backward()
    assert img.grad.abs().sum() > 0
    smiles = smile_metrics(img.detach()[:1], torch.zeros(1, 1, 32, 32))
    assert smiles["latent_smile"] == pytest.approx(score_faces(img.detach()[:1], "smile").item(), abs=1e-5)
    assert 0 <= smiles["photo_smile"] <= 1


def test_figures():
    target = torch.zeros(1, 1, 64, 64)
    figures = reconstruction_metrics(target + 0.2, target)
    assert figures.keys() == {"psnr_db", "ssim"}
    assert figures["psnr_db"] == pytest.approx(20)  # 10·log10(2² / 0.2²)
    torch.manual_seed(0)
    extractor = EfficientNetLite0()
    more = reconstruction_metrics(target, target, extractor=extractor, embedder=lambda x: x.mean(dim=(2, 3)))
    assert more["ssim"] == pytest.approx(1)
    assert more["feature_distance"] == 0
    assert more["identity_distance"] == 0


def test_figures_are_of_the_full_picture_averaged_down_to_256():
    img = torch.rand(1, 3, 512, 512) * 2 - 1
    assert reconstruction_metrics(img, F.avg_pool2d(img, 2))["psnr_db"] > 140
