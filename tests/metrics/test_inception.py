"""FID, KID and the Inception score: only with FID's own network, by published conventions."""

import dataclasses

import numpy as np
import pytest
import torch

from ganvas.errors import BadConfig, BadInput, UnknownWeights
from ganvas.features.inception import InceptionNetwork, load_inception, preprocess_for_inception
from ganvas.metrics.evaluate import evaluate
from ganvas.metrics.feature_extractor import choose_indices
from ganvas.metrics.inception_score import inception_score
from ganvas.metrics.open_extractor import open_extractor
from tests.metrics.makers import NoiseGenerator, NoisePictures, Pool, small_eyes


class Classifier(Pool):
    """The interface of FID's network, on features that one can compute by hand."""

    def classify(self, features):
        return (4 * features[:, :6]).softmax(dim=1)


def stand_in():
    return dataclasses.replace(small_eyes(), network=Classifier().eval(), short="Inception", inception=True)


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def test_fid_is_named_so_and_follows_the_published_convention():
    G, pictures, eyes = NoiseGenerator(), NoisePictures(260), stand_in()
    fid, kid, score = evaluate(G, pictures, metrics=("fd", "kid", "is"), num=240, seed=1, extractor=eyes)
    assert (fid.name, kid.name, score.name) == ("FID", "KID", "IS")
    real = eyes(pictures.batch(choose_indices(260, 240, 1))[0]).double().numpy()
    z = torch.randn(240, 1, 192, generator=torch.Generator().manual_seed(1))
    fakes = ((z[:, 0].reshape(-1, 3, 8, 8) * 0.3).clamp(-1, 1) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    fake = eyes(fakes).double().numpy()
    covs = [np.cov(rows, rowvar=False, bias=True) for rows in (real, fake)]  # divided by n, as NVIDIA's tools do
    shift = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    cross = root(root(covs[0]) @ covs[1] @ root(covs[0]))
    assert fid.value == pytest.approx(shift + np.trace(covs[0] + covs[1] - 2 * cross), rel=1e-8)
    p = torch.from_numpy(fake[:, :6] * 4).softmax(1).numpy()
    parts = [np.exp((part * np.log(part / part.mean(0))).sum(1).mean()) for part in np.split(p, 10)]
    assert (score.value, score.spread) == (pytest.approx(np.mean(parts)), pytest.approx(np.std(parts)))


def test_an_inception_score_is_1_for_one_class_and_k_for_k_sure_classes():
    assert inception_score(torch.full((50, 7), 1 / 7))[0] == pytest.approx(1)
    assert inception_score(torch.eye(7).repeat(20, 1))[0] == pytest.approx(7, rel=1e-3)
    with pytest.raises(BadConfig, match="FID's network"):
        evaluate(NoiseGenerator(), NoisePictures(260), metrics=("is",), num=240, extractor=small_eyes())


def test_pictures_reach_inception_as_tensorflow_1_made_them():
    pixels = torch.randint(0, 256, (1, 1, 5, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    img = preprocess_for_inception(pixels, 7)
    for y in range(7):
        for x in range(7):
            down, right = y * 5 / 7, x * 8 / 7
            i, j = int(down), int(right)
            corners = [
                (1 - abs(down - a)) * (1 - abs(right - b)) * float(pixels[0, 0, min(a, 4), min(b, 7)])
                for a in (i, i + 1)
                for b in (j, j + 1)
            ]
            assert img[0, :, y, x].tolist() == pytest.approx([(sum(corners) - 128) / 128] * 3, abs=1e-4)


def test_the_file_is_known_by_its_names_and_shapes(tmp_path):
    network = InceptionNetwork()
    assert sum(p.numel() for p in network.parameters()) == 23_850_960  # as torchvision's with 1,008 classes
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "inception.pth")
    eyes = open_extractor(tmp_path / "inception.pth")
    assert eyes.inception and eyes.name == "Inception 2015-12-05 of inception.pth, not the common file"
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    expected = network.embed(torch.full((1, 3, 299, 299), -1.0))
    torch.testing.assert_close(eyes(pixels), expected, rtol=1e-4, atol=1e-5)
    torch.save({name: tensor for name, tensor in state.items() if name != "fc.weight"}, tmp_path / "less.pth")
    with pytest.raises(UnknownWeights, match=r"fc\.weight should have shape \[1008, 2048\], is not there"):
        load_inception(tmp_path / "less.pth")


def test_any_onnx_network_gives_features(tmp_path):
    onnx = pytest.importorskip("onnx")
    mean = onnx.helper.make_node("ReduceMean", ["img"], ["features"], axes=[2, 3], keepdims=0)
    shapes = (("img", ["N", 3, 16, 16]), ("features", ["N", 3]))
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = onnx.helper.make_graph([mean], "eyes", ends[:1], ends[1:])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8),
        tmp_path / "eyes.onnx",
    )
    eyes = open_extractor(tmp_path / "eyes.onnx")
    pixels = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(eyes(pixels), pixels.float().div(127.5).sub(1).mean(dim=(2, 3)), atol=1e-5, rtol=0)
    result = evaluate(NoiseGenerator(), NoisePictures(220), metrics=("fd",), num=220, extractor=eyes)[0]
    assert result.name == "FD-eyes" and "not FID" in result.cautions[0]
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(BadInput, match="cannot be opened"):
        open_extractor(tmp_path / "bad.onnx")
