"""The same weights in the wrappings of training frameworks give the same network."""

import pytest
import torch
from safetensors.torch import save_file

from ganvas.errors import UnknownWeights
from ganvas.weights.load import load
from tests.weights.foreign_img2img import esrgan, srvgg


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def other(state):
    """The same names with other numbers: what must not be taken."""
    return {name: tensor + 1 for name, tensor in state.items()}


DISCRIMINATOR = {"conv_0.weight": torch.zeros(4, 3, 3, 3), "conv_9.bias": torch.zeros(1)}
WRAPPINGS = {
    "mmagic": lambda s: {
        "meta": {"iter": 1},
        "state_dict": {
            **prefixed("generator.", other(s)),
            **prefixed("generator_ema.", s),
            **prefixed("discriminator.", DISCRIMINATOR),
            "step_counter": torch.tensor(1),
        },
    },
    "lightning": lambda s: {"epoch": 1, "state_dict": prefixed("net_g.", s), "optimizer_states": [{"state": {}}]},
    "lightning of two": lambda s: {"state_dict": prefixed("netG.", s) | prefixed("netD.", DISCRIMINATOR)},
    "by name": lambda s: {"net_g": s, "net_d": DISCRIMINATOR, "epoch": 3},
    "averaged beside plain": lambda s: {"g": other(s), "g_ema": s},
    "data parallel in a model": lambda s: {"model": prefixed("module.", s), "args": {"lr": 0.1}},
    "model.module": lambda s: prefixed("model.module.", s),
    "a prefix nobody knows": lambda s: prefixed("my_upscaler.", s),
    "two prefixes nobody knows": lambda s: {"state_dict": prefixed("a.b.", s)},
    "compiled": lambda s: {"params": prefixed("_orig_mod.", s)},
    "compiled in Lightning": lambda s: {"state_dict": prefixed("generator._orig_mod.", s)},
    "four dicts deep": lambda s: {"a": {"b": {"generator": {"params": s}}}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("make", [srvgg, lambda: esrgan("new"), lambda: esrgan("old")], ids=["srvgg", "new", "old"])
def test_wrapped_weights_are_the_plain_ones(wrapping, make, tmp_path):
    torch.manual_seed(0)
    state = make()
    torch.save(state, tmp_path / "plain.pth")
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "wrapped.pth")
    plain, wrapped = (load(tmp_path / f"{name}.pth").state_dict() for name in ("plain", "wrapped"))
    assert plain.keys() == wrapped.keys() and all(torch.equal(plain[name], wrapped[name]) for name in plain)


def test_the_plain_weights_are_there_for_who_asks(tmp_path):
    torch.manual_seed(0)
    state = srvgg()
    torch.save(WRAPPINGS["mmagic"](other(state)), tmp_path / "a.pth")  # the plain ones are then `state` + 2
    averaged, plain = (load(tmp_path / "a.pth", network=name).state_dict() for name in ("G_ema", "G"))
    assert all(torch.allclose(plain[name], averaged[name] + 1) for name in plain)


def test_safetensors_with_a_prefix(tmp_path):
    torch.manual_seed(0)
    save_file(prefixed("generator.", srvgg()), tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").family == "srvgg"


def test_a_discriminator_is_no_generator(tmp_path):
    torch.save({"state_dict": prefixed("discriminator.", srvgg())}, tmp_path / "a.pth")
    with pytest.raises(UnknownWeights, match="no family matches"):
        load(tmp_path / "a.pth")


def test_what_fits_nothing_is_compared_by_its_inner_names(tmp_path):
    state = esrgan("new")
    state = {name: tensor for name, tensor in state.items() if "rdb1.conv1" not in name}
    torch.save({"state_dict": prefixed("net_g.", state)}, tmp_path / "a.pth")
    with pytest.raises(UnknownWeights, match="By its tensor names it is an ESRGAN or Real-ESRGAN upscaler"):
        load(tmp_path / "a.pth")
