import torch

from ganvas.editing.grain import measure_grain, missing_grain


def test_a_smooth_picture_gets_the_photos_noise_and_a_noisy_one_none():
    noise = lambda seed: torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(seed))  # noqa: E731
    photo, smooth, layer = 0.05 * noise(1), torch.zeros(1, 1, 256, 256), torch.ones(1, 1, 256, 256)
    added = missing_grain(smooth, measure_grain(photo, layer), seed=0)
    assert 0.8 < added.std() / photo.std() < 1.1
    assert missing_grain(0.06 * noise(2), measure_grain(photo, layer), seed=0).std() < 0.1 * photo.std()
    assert torch.equal(added, missing_grain(smooth, measure_grain(photo, layer), seed=0))


def test_only_the_layer_and_its_calm_places_are_measured():
    noise = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    layer = torch.zeros(1, 1, 256, 256)
    layer[..., :128] = 1
    photo = torch.where(layer > 0, 0.02, 0.2) * noise
    photo[..., :32] *= 10  # a quarter of the layer is structure
    added = missing_grain(torch.zeros_like(photo), measure_grain(photo, layer), seed=0)
    assert 0.012 < added.std() < 0.025
    assert measure_grain(photo, torch.zeros_like(layer)) == (0, 0)
