"""ONNX files: every family, with batches and sizes they were not traced with, against PyTorch and against a lie.

An export takes seconds: what can be looked at in the same file is looked at there.
"""

import json
import shutil
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ganvas.errors import BadConfig, GanvasError, MissingExtra
from ganvas.models import FAMILIES, build
from ganvas.weights import export
from ganvas.weights.export import export_onnx
from tests.contracts import LABELS, TINY, Case

GENERATORS = [name for name, row in FAMILIES.items() if row.kind == "generator"]
IMG_TO_IMG = [name for name, row in FAMILIES.items() if row.kind != "generator"]


# Another layer of the same kind shows nothing new, and the exporter takes a second for each.
FEWER_LAYERS = {
    "stylegan2": {"img_resolution": 8},
    "stylegan3": {"num_layers": 3, "num_critical": 1},
    "mobilestylegan": {"channels": (12, 8)},
    "r3gan": {"img_resolution": 8, "widths": (16, 16), "blocks": (1, 2)},
}


def tiny(family, *, conditional=False, **fewer):
    fields = TINY[family].fields | FEWER_LAYERS.get(family, {}) | fewer
    with patch.dict(TINY, {family: replace(TINY[family], fields=fields)}):
        return Case(family, "G", conditional).build()


def run(path, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {name: np.asarray(value, dtype=np.float32) for name, value in inputs.items()}
    return [torch.from_numpy(value) for value in session.run(None, given)]


def told_by(path):
    """The file's metadata."""
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


@pytest.fixture(scope="module")
def srvgg_file(tmp_path_factory):
    return export_onnx(tiny("srvgg"), tmp_path_factory.mktemp("srvgg") / "n.onnx").path


@pytest.mark.parametrize("family", GENERATORS)
def test_a_generator_draws_the_same_from_z_and_is_left_as_it_was(family, tmp_path):
    G = tiny(family).train()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    made = export_onnx(G, tmp_path / "g.onnx")
    assert G.training
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert all(parameter.requires_grad for parameter in G.parameters())
    assert made.max_difference < 1e-3
    G.eval()
    z = torch.randn(5, G.z_dim)  # a batch it was neither traced nor compared with
    img, ws = run(made.path, z=z, truncation_psi=0.6)
    with torch.no_grad():
        expected_ws = G.mapping(z, truncation_psi=0.6)
        expected = G.synthesis(expected_ws)
    assert torch.allclose(ws, expected_ws, atol=1e-4)
    assert torch.allclose(img, expected, atol=1e-3)
    assert made.inputs == {"z": ("N", G.z_dim), "truncation_psi": ()}
    assert made.outputs["ws"] == ("N", G.num_ws, G.w_dim)


def test_a_generator_draws_the_same_from_edited_latents(tmp_path):
    G = tiny("stylegan2", img_resolution=4)
    made = export_onnx(G, tmp_path / "g.onnx", latent="ws")
    ws = torch.randn(4, G.num_ws, G.w_dim)  # every row another
    with torch.no_grad():
        assert torch.allclose(run(made.path, ws=ws)[0], G.synthesis(ws), atol=1e-3)


@pytest.mark.parametrize(
    ("family", "fewer", "unit_range"), [("dcgan", {}, True), ("stylegan2", {"img_resolution": 4}, False)]
)
def test_a_conditional_generator_takes_its_labels(family, fewer, unit_range, tmp_path):
    G = tiny(family, conditional=True, **fewer)
    made = export_onnx(G, tmp_path / "g.onnx", unit_range=unit_range)
    z, c = torch.randn(4, G.z_dim), torch.eye(LABELS)[[2, 0, 1, 1]]
    with torch.no_grad():
        expected = G(z, c, truncation_psi=0.3)
    expected = ((expected + 1) / 2).clamp(0, 1) if unit_range else expected
    assert torch.allclose(run(made.path, z=z, truncation_psi=0.3, c=c)[0], expected, atol=1e-3)


@pytest.mark.parametrize("family", IMG_TO_IMG)
def test_an_img_to_img_network_takes_any_size_its_rules_allow(family, tmp_path):
    network = tiny(family)
    made = export_onnx(network, tmp_path / "n.onnx")
    assert made.max_difference < 1e-3
    assert told_by(made.path)["pixels"] == "RGB, -1 to 1"
    channels = getattr(network, "in_channels", None) or network.img_channels
    step = network.size_rules.multiple_of
    for count, down, right in ((1, 3, 5), (4, 6, 3)):
        height, width = (-(-max(n * step, network.size_rules.minimum_px) // step) * step for n in (down, right))
        img = torch.rand(count, channels, height, width) * 2 - 1
        with torch.no_grad():
            assert torch.allclose(run(made.path, img=img)[0], network(img), atol=1e-3)


def test_unit_range_means_pixels_from_0_to_1_and_the_file_says_what_its_user_must_know(tmp_path):
    network = build("srvgg", **TINY["srvgg"].fields, scale=2)
    network.facts = {"licence": "MIT", "trained_kimg": 12}
    path = export_onnx(network, tmp_path / "n.onnx", unit_range=True).path
    img = torch.rand(2, 3, 9, 7)
    with torch.no_grad():
        expected, came = network(img * 2 - 1), run(path, img=img)[0]
    assert torch.allclose(came, ((expected + 1) / 2).clamp(0, 1), atol=1e-5)
    assert (came.min() >= 0) and (came.max() <= 1)
    told = told_by(path)
    assert told["family"] == "srvgg"
    assert told["kind"] == "upscaler"
    assert json.loads(told["scale"]) == 2
    assert told["pixels"] == "RGB, 0 to 1"
    assert told["fact.licence"] == "MIT"
    assert json.loads(told["fact.trained_kimg"]) == 12
    assert onnx.load(str(path)).opset_import[0].version == export.OPSET


@pytest.mark.parametrize(("bias", "said"), [(0.1, r"not written.*differ by 0\.2"), (float("nan"), "differ by nan")])
def test_a_file_that_differs_from_pytorch_never_gets_its_name(tmp_path, monkeypatch, srvgg_file, bias, said):
    """The file holds other weights than the compared network: as if the exporter had made a mistake."""
    network = tiny("srvgg")
    with torch.no_grad():
        network.body[-1].bias += bias
    (tmp_path / "n.onnx").write_bytes(b"the old file")
    monkeypatch.setattr(export, "_trace", lambda plan, made: shutil.copy(srvgg_file, made))
    with pytest.raises(GanvasError, match=said):
        export_onnx(network, tmp_path / "n.onnx")
    assert (tmp_path / "n.onnx").read_bytes() == b"the old file"
    assert [path.name for path in tmp_path.iterdir()] == ["n.onnx"]


def test_a_network_that_branches_on_its_batch_is_named_not_frozen(tmp_path, monkeypatch):
    """Tracing must not silently make a file that takes batches of two only."""
    network = tiny("srvgg")
    transform = network.transform
    monkeypatch.setattr(network, "transform", lambda img: transform(img.reshape(len(img), *img.shape[1:])))
    with pytest.raises(GanvasError, match="cannot be exported to ONNX"):
        export_onnx(network, tmp_path / "n.onnx")


def test_discriminators_are_not_exported(tmp_path):
    with pytest.raises(BadConfig, match="generators, translators and upscalers"):
        export_onnx(build("dcgan", network="D", **TINY["dcgan"].discriminator), tmp_path / "d.onnx")


def test_an_unknown_latent_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(BadConfig, match="unknown latent 'w'; known: ws, z"):
        export_onnx(tiny("dcgan"), tmp_path / "g.onnx", latent="w")


def test_without_the_extra_the_message_has_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'ganvas\[onnx\]'"):
        export_onnx(tiny("dcgan"), tmp_path / "g.onnx")


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GanvasError, match="cannot write"):
        export_onnx(tiny("srvgg"), tmp_path / "file" / "n.onnx")
