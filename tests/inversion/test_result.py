import numpy as np
import pytest
import torch

from ganvas.errors import BadLatent
from ganvas.inversion.result import Inversion


def some(**more):
    fields = {
        "ws": torch.randn(1, 5, 8),
        "delta": {"conv.weight": torch.randn(4, 3).half()},
        "figures": {"psnr_db": 31.5, "seconds": 2.0},
        "effort": "fast",
        "seed": 7,
        "fingerprint": "ab" * 32,
        "source": "cd" * 32,
        "crop": (10.0, 20.0, 300.0, -4.5),
    }
    return Inversion(**(fields | more))


def same(a, b):
    plain = ("figures", "effort", "seed", "fingerprint", "source", "crop", "finished", "stage", "step")
    return (
        torch.equal(a.ws, b.ws)
        and all(getattr(a, name) == getattr(b, name) for name in plain)
        and a.delta.keys() == b.delta.keys()
        and all(torch.equal(a.delta[n], b.delta[n]) for n in a.delta)
        and a.moments.keys() == b.moments.keys()
        and all(torch.equal(a.moments[n], b.moments[n]) for n in a.moments)
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"delta": {}},
        {"crop": None},
        {"finished": False, "stage": 1, "step": 9, "moments": {"0 exp_avg": torch.randn(3)}},
    ],
)
def test_what_is_saved_is_what_is_read(tmp_path, more):
    found = some(**more)
    path = found.save(tmp_path / "face.npz")
    assert path == tmp_path / "face.npz"
    assert same(Inversion.load(path), found)
    assert (tmp_path / "face.delta.safetensors").is_file() == bool(found.delta)


def test_the_latents_are_readable_by_others(tmp_path):
    found = some()
    with np.load(found.save(tmp_path / "face"), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["w"], found.ws.numpy())  # "w", as StyleGAN's projector names it


def test_saving_again_without_a_tuning_leaves_none_of_the_old_one(tmp_path):
    some().save(tmp_path / "face")
    some(delta={}).save(tmp_path / "face")
    assert Inversion.load(tmp_path / "face.npz").delta == {}
    assert not (tmp_path / "face.delta.safetensors").exists()


def test_missing_and_damaged_files_are_named(tmp_path):
    path = some().save(tmp_path / "face")
    (tmp_path / "face.delta.safetensors").unlink()
    with pytest.raises(BadLatent, match="face"):
        Inversion.load(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadLatent, match="damaged"):
        Inversion.load(path)
    np.savez(tmp_path / "other.npz", w=np.zeros((1, 2, 3)))
    with pytest.raises(BadLatent, match=r"other\.npz"):
        Inversion.load(tmp_path / "other.npz")
    with pytest.raises(BadLatent):
        Inversion.load(tmp_path / "nothing.npz")


def test_code_in_a_file_is_not_run(tmp_path):
    np.savez(tmp_path / "trap.npz", w=np.array([print], dtype=object), card=np.array("{}"))
    with pytest.raises(BadLatent):
        Inversion.load(tmp_path / "trap.npz")
