"""Several figures at once, and the eyes they are measured with."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.errors import BadConfig, BadImage, Stopped
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.feature_extractor import (
    choose_indices,
    efficientnet_extractor,
    fake_features,
    lanczos_resize,
    network_fingerprint,
    preprocess_images,
    real_features,
    to_uint8,
)
from ganvas.metrics.frechet import fd_effnet
from tests.features.test_efficientnet import published_layout
from tests.metrics.makers import NoiseGenerator, NoisePictures, Pool, small_eyes


def by_name(figures):
    return {figure.name: figure for figure in figures}


def test_one_pass_gives_what_each_figure_gives_alone(tmp_path):
    G, pictures, extractor = NoiseGenerator(), NoisePictures(300), small_eyes()
    found = by_name(evaluate(G, pictures, metrics=("pr", "fd", "kid"), num=250, seed=3, extractor=extractor))
    assert list(found) == [
        "precision-Pool", "recall-Pool", "density-Pool", "coverage-Pool", "FD-Pool", "KID-Pool"
    ]  # fmt: skip
    alone = fd_effnet(G, pictures, num=250, seed=3, extractor=extractor)
    assert found["FD-Pool"].value == pytest.approx(alone.value, rel=1e-9)
    assert found["FD-Pool"].floor == pytest.approx(alone.floor, rel=1e-9)
    (cached,) = evaluate(G, pictures, metrics=("fd",), num=250, seed=3, extractor=extractor, cache=tmp_path)
    assert cached.value == pytest.approx(alone.value, rel=1e-9) and len(list(tmp_path.iterdir())) == 1
    assert all(figure.protocol.data == "noise-300-0" and figure.protocol.real == 250 for figure in found.values())


def test_figures_tell_a_good_generator_from_a_collapsed_one():
    pictures, extractor = NoisePictures(300), small_eyes()
    even = float(torch.tensor(1 / 3).sqrt())
    good, dull = (
        by_name(
            evaluate(NoiseGenerator(spread=spread), pictures, metrics=("fd", "kid", "pr"), num=300, extractor=extractor)
        )
        for spread in (even, even / 10)
    )
    assert good["FD-Pool"].value < dull["FD-Pool"].value and good["KID-Pool"].value < dull["KID-Pool"].value
    assert good["recall-Pool"].value > 0.7 > 0.3 > dull["recall-Pool"].value
    assert abs(good["KID-Pool"].value) < 4 * good["KID-Pool"].spread


def test_too_few_pictures_are_named_with_the_metric():
    G, extractor = NoiseGenerator(), small_eyes()
    for metric, few in (("fd", 150), ("kid", 49), ("pr", 199)):
        with pytest.raises(BadConfig, match=f"{metric} needs at least .* got {few} real and {few} fake"):
            evaluate(G, NoisePictures(few), metrics=(metric,), num=few, extractor=extractor)
    assert evaluate(G, NoisePictures(50), metrics=("kid",), num=50, extractor=extractor)[0].value != 0


def test_what_does_not_exist_or_fit_is_refused():
    with pytest.raises(BadConfig, match="known: copies, eqr, eqt, eqt_frac, fd, is, kid"):
        evaluate(NoiseGenerator(), NoisePictures(300), metrics=("fid",), num=300, extractor=small_eyes())
    pictures = NoisePictures(300)
    pictures.img_resolution = 16
    with pytest.raises(BadConfig, match="resolution=8 or less"):
        evaluate(NoiseGenerator(), pictures, num=300, extractor=small_eyes())


def test_a_long_measurement_reports_and_can_be_stopped():
    told = []

    def on_step(stage, done, total):
        told.append((stage, done, total))
        if stage == "making pictures":
            raise Stopped

    with pytest.raises(Stopped):
        evaluate(
            NoiseGenerator(), NoisePictures(200), metrics=("kid",), num=200, extractor=small_eyes(), on_step=on_step
        )
    assert told[-2:] == [("looking at the data", 200, 200), ("making pictures", 32, 200)]


def test_a_figure_is_plain_json():
    for figure in evaluate(NoiseGenerator(), NoisePictures(300), metrics=("fd", "pr"), num=250, extractor=small_eyes()):
        again = json.loads(json.dumps(figure.to_dict(), allow_nan=False))
        assert again["protocol"]["real"] == 250 and again["value"] == figure.value and again["name"] == figure.name


# ---------------------------------------------------------------------------------------------------------------------
# Eyes


def test_fakes_are_rounded_as_files_are():
    img = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 1 / 127.5]).reshape(1, 1, 1, 6)
    assert to_uint8(img).flatten().tolist() == [0, 0, 128, 255, 255, 129]
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)
    with pytest.raises(BadImage, match="diverged"):
        to_uint8(torch.tensor([[[[float("inf")]]]]))


def test_larger_fakes_shrink_as_photos_do():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))
    photo = Image.fromarray(pixels[1].permute(1, 2, 0).numpy()).resize((8, 8), Image.Resampling.LANCZOS)
    assert np.array_equal(lanczos_resize(pixels, 8)[1].permute(1, 2, 0).numpy(), np.asarray(photo))
    assert lanczos_resize(pixels[:, :1], 8).shape == (2, 1, 8, 8)
    extractor, pictures = small_eyes(), NoisePictures(10)
    pictures.img_resolution = 4
    G = NoiseGenerator()
    z = torch.randn(20, 1, 192, generator=torch.Generator().manual_seed(0)).flatten(1)
    expected = extractor(lanczos_resize(to_uint8((z.reshape(-1, 3, 8, 8) * 0.3).clamp(-1, 1)), 4))
    assert torch.allclose(
        torch.cat(list(fake_features(G, num=20, seed=0, extractor=extractor, pictures=pictures))), expected
    )


def test_pictures_get_to_the_networks_size_without_aliasing():
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255  # as fine as can be: shrunk four times, it is an even grey
    img = preprocess_images(stripes, 16)
    assert img.shape == (1, 3, 16, 16) and img[..., 2:-2].abs().max() < 0.02
    assert torch.equal(preprocess_images(stripes, 64)[0, 2, 0, :2], torch.tensor([1.0, -1.0]))
    with pytest.raises(BadImage, match="uint8"):
        preprocess_images(torch.zeros(1, 3, 8, 8), 8)


def test_which_real_pictures_are_looked_at():
    assert choose_indices(5, None, 0).tolist() == choose_indices(5, 9, 7).tolist() == [0, 1, 2, 3, 4]
    some = choose_indices(100, 30, 1)
    assert len(set(some.tolist())) == 30 and (np.diff(some) > 0).all()
    assert not np.array_equal(some, choose_indices(100, 30, 2))
    pictures = NoisePictures(70)
    features = torch.cat(list(real_features(pictures, num=None, seed=0, extractor=small_eyes())))
    assert pictures.looked_at == list(range(70))
    assert torch.allclose(features, small_eyes()(pictures.pixels))


def test_a_changed_network_has_another_fingerprint():
    one, other = Pool(), Pool()
    assert network_fingerprint(one) == network_fingerprint(other)
    with torch.no_grad():
        other.scale += 1e-6
    assert network_fingerprint(one) != network_fingerprint(other)


def test_eyes_with_weights_of_the_users_own(tmp_path):
    torch.manual_seed(0)
    torch.save(published_layout(), tmp_path / "mine.pth")
    exact, fast = (efficientnet_extractor(tmp_path / "mine.pth", precision=way) for way in ("exact", "fast"))
    assert exact.name == "EfficientNet-lite0 of mine.pth" and exact.fingerprint == fast.fingerprint
    pixels = NoisePictures(2).pixels
    assert exact(pixels).shape == (2, 1280) and exact(pixels).dtype == torch.float32
    assert torch.allclose(exact(pixels), exact.network.embed(preprocess_images(pixels, 224)))
    with pytest.raises(BadConfig, match="precision"):
        efficientnet_extractor(tmp_path / "mine.pth", precision="quick")
