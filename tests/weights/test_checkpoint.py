"""Our own file: what is saved comes back, says what it is, and is never half written."""

import json
import math
import os
import struct

import pytest
import torch
from safetensors import safe_open

import ganvas
from ganvas.errors import BadConfig, BrokenWeights, UnknownWeights
from ganvas.models import FAMILIES
from ganvas.weights import checkpoint
from ganvas.weights.checkpoint import Card, fingerprint, read_card
from tests import contracts

TINY = {"img_resolution": 16, "channel_base": 128, "channel_max": 8, "z_dim": 8, "w_dim": 8, "num_mapping_layers": 2}


def tiny(**fields):
    return ganvas.build("stylegan2", **{**TINY, **fields})


def same_state(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def comes_back(net, path, *, network="G"):
    loaded = ganvas.load(ganvas.save(net, path), network="D" if network == "D" else "G_ema")
    assert type(loaded) is type(net)
    assert loaded.config == net.config
    assert same_state(net, loaded)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_comes_back(tmp_path, family):
    small = contracts.TINY[family]
    comes_back(ganvas.build(family, **small.fields), tmp_path / "G.safetensors")
    if FAMILIES[family].discriminator:
        D = ganvas.build(family, network="D", **small.discriminator)
        comes_back(D, tmp_path / "D.safetensors", network="D")


def test_a_network_of_the_size_that_real_files_have_comes_back(tmp_path):
    comes_back(ganvas.build("stylegan2"), tmp_path / "G.safetensors")  # about 30 M numbers


def test_the_face_has_save_and_load_and_they_round_trip_to_the_bit(tmp_path):
    G = tiny().eval()
    path = ganvas.save(G, tmp_path / "G", licence="CC0-1.0", trained_kimg=12)
    assert path == tmp_path / "G.safetensors"
    loaded = ganvas.load(path)
    z = torch.randn(2, 8)
    assert torch.equal(G(z), loaded(z))
    assert loaded.facts == {"licence": "CC0-1.0", "trained_kimg": 12, "file": "G.safetensors"}
    assert not loaded.training
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in loaded.parameters())


def test_facts_of_the_network_are_kept_and_overwritten(tmp_path):
    G = tiny()
    G.facts = {"licence": "?", "source": "here"}
    ganvas.save(G, tmp_path / "a", licence="MIT")
    first = ganvas.load(tmp_path / "a.safetensors")
    again = ganvas.load(ganvas.save(first, tmp_path / "b"))
    assert {key: again.facts[key] for key in ("licence", "source")} == {"licence": "MIT", "source": "here"}


def test_a_half_file_is_half_as_long_and_the_same_network(tmp_path):
    G = tiny(channel_max=32, channel_base=512)
    whole, half = ganvas.save(G, tmp_path / "whole"), ganvas.save(G, tmp_path / "half", half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = ganvas.load(half)
    assert all(parameter.dtype == torch.float32 for parameter in loaded.parameters())
    assert fingerprint(loaded) == fingerprint(G) == read_card(half).fingerprint
    for name, tensor in G.state_dict().items():
        assert torch.allclose(loaded.state_dict()[name], tensor, rtol=2**-11, atol=1e-7), name


def test_numbers_beyond_float16_are_kept_whole(tmp_path):
    G = tiny()
    with torch.no_grad():
        G.synthesis.b8.conv0.weight[0, 0, 0, 0] = 1e6
    assert ganvas.load(ganvas.save(G, tmp_path / "G", half=True)).synthesis.b8.conv0.weight[0, 0, 0, 0] == 1e6


def test_fingerprints_tell_networks_apart_and_nothing_else():
    G = tiny(resample_filter=(1, 2, 1))
    copy = tiny(resample_filter=(1, 2, 1))
    copy.load_state_dict(G.state_dict())
    assert fingerprint(copy) == fingerprint(G) == fingerprint(copy.eval().requires_grad_(False))
    copy.facts["licence"] = "MIT"
    assert fingerprint(copy) == fingerprint(G)
    with torch.no_grad():
        copy.mapping.fc0.weight[0, 0] *= 1.01
    assert fingerprint(copy) != fingerprint(G)
    other = tiny(resample_filter=(1, 2, 1), conv_clamp=256)  # the same tensors, another computation
    other.load_state_dict(G.state_dict())
    assert fingerprint(other) != fingerprint(G)


def test_fingerprints_do_not_change_with_the_program(tmp_path):
    """Stored results: directions and recipes carry them. Made by this function on the day it was written."""
    G = ganvas.build("mlp", img_resolution=8)
    with torch.no_grad():
        for k, tensor in enumerate(G.state_dict().values()):
            tensor.copy_(((torch.arange(tensor.numel()) + k) % 17 - 8).reshape(tensor.shape))
    assert fingerprint(G) == "9918ab01bf06931652b64dcd5ba690f0f4ade8a932755bc1cc94458a07c702fb"


def test_the_card_is_in_the_header_and_can_be_hashed(tmp_path):
    path = ganvas.save(tiny(), tmp_path / "G", licence="CC0-1.0")
    card = read_card(path)
    assert (card.family, card.network) == ("stylegan2", "G")
    assert json.loads(card.config)["img_resolution"] == 16
    assert json.loads(card.facts) == {"licence": "CC0-1.0"}
    assert card in {card}
    assert Card.from_json(card.to_json(), who="x") == card
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == "pt"


def test_a_discriminator_says_so(tmp_path):
    path = ganvas.save(
        ganvas.build("stylegan2", network="D", img_resolution=16, channel_base=128, channel_max=8), tmp_path / "D"
    )
    assert read_card(path).network == "D"
    assert ganvas.load(path, network="D").img_resolution == 16
    with pytest.raises(UnknownWeights, match="contains only D of stylegan2; G_ema was requested"):
        ganvas.load(path)


# ---- What is not written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, bad):
    G = tiny()
    with torch.no_grad():
        G.synthesis.b8.conv0.bias[2] = bad
    with pytest.raises(BrokenWeights, match=r"synthesis\.b8\.conv0\.bias has 1 values that are not finite"):
        ganvas.save(G, tmp_path / "G")
    assert list(tmp_path.iterdir()) == []


def test_large_but_finite_weights_are_saved(tmp_path):
    G = tiny()
    with torch.no_grad():
        G.synthesis.b8.conv0.bias.fill_(3e38)  # their sum overflows, they do not
    again = ganvas.load(ganvas.save(G, tmp_path / "G"))
    assert torch.equal(again.synthesis.b8.conv0.bias, G.synthesis.b8.conv0.bias)


@pytest.mark.parametrize("facts", [{"when": object()}, {"loss": math.nan}, {"set": {1}}])
def test_facts_that_json_cannot_hold_are_refused(tmp_path, facts):
    with pytest.raises(BadConfig, match="JSON values"):
        ganvas.save(tiny(), tmp_path / "G", **facts)


def test_only_networks_of_ours_are_saved(tmp_path):
    with pytest.raises(BadConfig, match=r"expects a ganvas network .*got Linear"):
        ganvas.save(torch.nn.Linear(2, 2), tmp_path / "G")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(BadConfig, match=r"cannot write .*: No such file"):
        ganvas.save(tiny(), tmp_path / "nowhere" / "G.safetensors")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    G = tiny()
    path = ganvas.save(G, tmp_path / "G")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        ganvas.save(tiny(), path)
    assert same_state(ganvas.load(path), G)
    assert [file.name for file in tmp_path.iterdir()] == ["G.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="file modes are a matter of POSIX")
def test_others_may_read_the_file(tmp_path):
    path = ganvas.save(tiny(), tmp_path / "G")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


# ---- Files that were changed ---------------------------------------------------------------------------------------


def with_card(path, **changes):
    """The same file with another card."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["ganvas"])
    header["__metadata__"]["ganvas"] = json.dumps({**card, **changes})
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + length :])


def test_a_flipped_bit_is_noticed(tmp_path):
    path = ganvas.save(tiny(), tmp_path / "G")
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(BrokenWeights, match=r"is damaged: its weights have the fingerprint|not finite"):
        ganvas.load(path)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"family": "biggan"}, UnknownWeights, "is of family 'biggan'; known: .*stylegan2"),
        ({"format": 99}, BrokenWeights, "which is newer"),
        ({"config": "{"}, BrokenWeights, "card cannot be read"),
        ({"config": "[]"}, BrokenWeights, "not a table of names and values"),
        ({"facts": "3"}, BrokenWeights, "not a table of names and values"),
        (
            {"config": '{"img_resolution": 17}'},
            BrokenWeights,
            "config does not fit: img_resolution must be a power of two",
        ),
        ({"config": '{"colour": 1}'}, BrokenWeights, "unknown field of StyleGAN2Config 'colour'"),
        ({"extra": "x"}, BrokenWeights, "card cannot be read"),
        ({"family": 3}, BrokenWeights, "a non-text value where text is expected"),
    ],
)
def test_a_card_that_was_changed_is_said(tmp_path, changes, error, says):
    path = ganvas.save(tiny(), tmp_path / "G")
    with_card(path, **changes)
    with pytest.raises(error, match=says):
        ganvas.load(path)


def test_files_of_others_carry_no_card(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UnknownWeights, match="has no card"):
        read_card(tmp_path / "x.safetensors")
