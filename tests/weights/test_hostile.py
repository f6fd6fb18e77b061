"""Files made to harm: each is refused with a WeightsError, and nothing runs. The canary is a file they would write."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

import ganvas
from ganvas.errors import BrokenWeights, UnsafeWeights, WeightsError
from ganvas.weights.open_file import open_file
from ganvas.weights.pickles.limits import MAX_INSTRUCTIONS


class Runs:
    """An object whose unpickling would call something."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the file was obeyed"


def text(line: str) -> bytes:
    return b"\x8c" + bytes([len(line)]) + line.encode()


def name(module: str, attribute: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(attribute) + b"\x93"


def refused(path, data: bytes, match: str, error=UnsafeWeights):
    path.write_bytes(data)
    started = time.process_time()
    with pytest.raises(error, match=match):
        ganvas.load(path)
    assert time.process_time() - started < 5


# ---- Code --------------------------------------------------------------------------------------------------------


def calls(canary):
    shell = f"touch {canary}"
    source = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Runs(os.system, shell),
        "subprocess": Runs(subprocess.check_call, ["touch", str(canary)]),
        "eval": Runs(eval, source),
        "exec": Runs(exec, source),
        "open": Runs(open, str(canary), "w"),
        "import": Runs(__import__, "os"),
        "getattr": Runs(getattr, "", "join"),
        "torch.load": Runs(torch.load, str(canary)),
        "torch.hub.load": Runs(torch.hub.load, "owner/repository", "model"),
        "pickle.loads": Runs(pickle.loads, pickle.dumps(Runs(os.system, shell))),
        "numpy.load": Runs(np.load, str(canary)),
        "numpy.savetxt": Runs(np.savetxt, str(canary), [1.0]),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("which", calls("x"))
def test_calls_are_refused_by_name(tmp_path, canary, which, protocol):
    thing = calls(canary)[which]
    function = thing.reduced[0]
    refused(tmp_path / "G.pkl", pickle.dumps({"G_ema": thing}, protocol=protocol), f"asks for .*{function.__name__}")


@pytest.mark.parametrize("legacy", [False, True])
def test_calls_in_torch_files_are_refused(tmp_path, canary, legacy):
    data = io.BytesIO()
    torch.save({"params": Runs(os.system, f"touch {canary}")}, data, _use_new_zipfile_serialization=not legacy)
    refused(tmp_path / "x.pth", data.getvalue(), r"asks for (posix|nt)\.system")


def test_a_torch_file_inside_a_pickle_is_read_as_carefully(tmp_path, canary):
    """torch's own function for it unpickles without any check: design decision 4."""
    inner = io.BytesIO()
    torch.save(Runs(os.system, f"touch {canary}"), inner, _use_new_zipfile_serialization=False)
    tree = {"G_ema": Runs(torch.storage._load_from_bytes, inner.getvalue())}
    refused(tmp_path / "G.pkl", pickle.dumps(tree), r"asks for (posix|nt)\.system")


def test_object_arrays_are_read_as_carefully(tmp_path, canary):
    array = np.array([Runs(os.system, f"touch {canary}")], dtype=object)
    np.save(tmp_path / "direction.npy", array, allow_pickle=True)
    refused(tmp_path / "direction.npy", (tmp_path / "direction.npy").read_bytes(), "system")
    np.savez(tmp_path / "d.npz", a=array)
    refused(tmp_path / "d.npz", (tmp_path / "d.npz").read_bytes(), "system")


@pytest.mark.parametrize(
    "program",
    [
        # getattr(getattr(…)) chains, in one name and in two
        name("builtins", "getattr"),
        name("torch", "_utils.os.system"),
        name("torch.nn.modules", "module.__builtins__"),
        name("torch.nn.modules.linear", "Linear.__init__.__globals__"),
        name("torch.nn.modules.module.os", "system"),
        name("collections", "OrderedDict.__reduce__"),
        name("numpy.core.multiarray.os", "system"),
        name("training.networks.os", "system.x"),
        name("builtins", "__import__"),
        b"cos\nsystem\n",
        b"(cos\nsystem\nS'true'\no",  # OBJ
        b"(S'true'\nios\nsystem\n",  # INST
    ],
)
def test_names_are_looked_up_in_our_tables_only(tmp_path, program):
    refused(tmp_path / "x.pkl", b"\x80\x04" + program + b".", "asks for")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (name("torch", "float32") + text("x") + b"\x85R", "calls dtype"),
        (name("builtins", "list") + b")R", r"calls builtins\.list"),
        (name("torch.nn.modules.linear", "Linear") + b")R", r"calls torch\.nn\.modules\.linear\.Linear"),
        (name("builtins", "int") + b")\x81", r"makes an object of builtins\.int"),
        (b"]}b", "sets the inner state of a list"),
        (name("collections", "OrderedDict") + b"}b", "sets the inner state"),
        (b"\x82\x01", "pickle extensions"),
    ],
)
def test_allowed_names_cannot_be_put_to_another_use(tmp_path, program, says):
    refused(tmp_path / "x.pkl", b"\x80\x04" + program + b".", says)


def test_a_record_of_a_real_class_stays_a_record(tmp_path):
    """Named like a class that exists, made, given a state: still no class is touched."""
    program = name("torch.nn.modules.linear", "Linear") + b")\x81}" + text("forward") + text("x") + b"sb"
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + program + b".")
    tree = open_file(tmp_path / "x.pkl").tree
    assert type(tree).__name__ == "Record"
    assert tree.state == {"forward": "x"}


def test_nothing_named_in_a_file_is_imported(tmp_path):
    program = b"\x80\x04" + name("training.networks_evil", "Generator") + b")\x81."
    (tmp_path / "x.pkl").write_bytes(program)
    with pytest.raises(WeightsError):
        ganvas.load(tmp_path / "x.pkl")
    assert "training" not in sys.modules
    assert "training.networks_evil" not in sys.modules


# ---- Bombs -------------------------------------------------------------------------------------------------------


def memo(i: int) -> bytes:
    return b"r" + struct.pack("<I", i)


def recall(i: int) -> bytes:
    return b"j" + struct.pack("<I", i)


def billion_laughs(levels=60) -> bytes:
    """Each list holds the one before ten times: few bytes, very many paths."""
    program = b"]" + memo(0)
    for level in range(1, levels):
        program += b"](" + recall(level - 1) * 10 + b"e" + memo(level)
    return program


BOMBS = {
    "billion laughs": (billion_laughs(), "unfold to"),
    "deep lists": (b"]" * 100_000 + b"a" * 99_999, "nested"),
    "deep tuples": (b")" + b"\x85" * 100_000, "nested"),
    "deep tuples as a key": (b"})" + b"\x85" * 100_000 + b"Ns", "as the key of a dict"),
    "deep records": (
        name("training.networks", "G") + memo(0) + b")\x81" + (memo(1) + recall(0) + recall(1) + b"\x85\x81") * 1000,
        "nested",
    ),
    "a circle": (b"]" + memo(0) + recall(0) + b"a", "refer to themselves"),
    "a circle of dicts": (b"}" + memo(0) + text("a") + b"}" + text("b") + recall(0) + b"ss", "refer to themselves"),
    "too many steps": (b"N0" * (MAX_INSTRUCTIONS // 2 + 10) + b"N", "instructions"),
    "copies of a set": (
        name("builtins", "set") + memo(0) + b"](" + b"K\x01" * 100_000 + b"e" + memo(1)
        + (recall(0) + recall(1) + b"\x85R0") * 1000 + b"N",
        "instructions",
    ),
    "copies of a text": (
        name("_codecs", "encode") + memo(0) + b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + memo(1)
        + (recall(0) + recall(1) + text("latin1") + b"\x86R0") * 1000 + b"N",
        "wants .* bytes of memory",
    ),
    "a huge number": (b"\x8b" + struct.pack("<I", 1 << 20) + b"\x7f" * (1 << 20), "a number of"),
}  # fmt: skip


@pytest.mark.parametrize("which", BOMBS)
def test_bombs_are_refused(tmp_path, which):
    program, says = BOMBS[which]
    refused(tmp_path / "x.pkl", b"\x80\x04" + program + b".", says, error=WeightsError)


def test_keys_chosen_to_collide_do_not_slow_the_reader(tmp_path):
    """Numbers that leave the same rest modulo 2^61 - 1 hash alike: a dict of n of them takes n² steps."""
    program = (
        b"}(" + b"".join(b"\x8a\x0a" + (k * (2**61 - 1)).to_bytes(10, "little") + b"N" for k in range(1, 20_000)) + b"u"
    )
    refused(tmp_path / "x.pkl", b"\x80\x04" + program + b".", "as the key of a dict", error=BrokenWeights)


@pytest.mark.parametrize("index", [0, 255, 2**31, 2**32 - 1])
def test_memo_entries_anywhere_cost_nothing(tmp_path, index):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04}" + memo(index) + b"0" + recall(index) + b".")
    assert open_file(tmp_path / "x.pkl").tree == {}


@pytest.mark.parametrize(
    "program",
    [recall(7), b"0", b"1", b"a", b"s", b"(", b"R", b"b", b"\x85", b"Q", b"(e", b"Pabc\n", b"\xff", b"\x97", b"N" * 3],
)
def test_broken_programs_are_refused(tmp_path, program):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04" + program)
    with pytest.raises(WeightsError):
        open_file(path)


def torch_zip(path, tree, **replaced: bytes):
    """A torch file with some of its members replaced or added."""
    torch.save(tree, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members |= {next((k for k in members if k.endswith("/" + key)), key): value for key, value in replaced.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path.read_bytes()


@pytest.mark.parametrize("member", ["../../evil.py", "/etc/evil", "a/../../evil", "C:evil", "..\\evil", "a\\b"])
def test_members_that_point_outside_are_refused(tmp_path, member):
    data = torch_zip(tmp_path / "x.pth", {"a": torch.zeros(2)}, **{member: b"x"})
    refused(tmp_path / "x.pth", data, "points outside the archive")


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"y")
    refused(path, path.read_bytes(), "the same name")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "x.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("a.npy", "w") as member,
    ):
        for _ in range(200):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 300_000
    refused(path, path.read_bytes(), "unpacks to")


def test_members_that_overlap_are_refused(tmp_path):
    """Many entries of the table of contents that point at the same bytes (the 2019 kind of zip bomb)."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", bytes(1 << 20))
        first = archive.infolist()[0]
        for k in range(50):
            twin = zipfile.ZipInfo(f"b{k}.npy")
            twin.CRC, twin.compress_size, twin.file_size = first.CRC, first.compress_size, first.file_size
            twin.header_offset, twin.compress_type = first.header_offset, first.compress_type
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True
    refused(path, path.read_bytes(), "overlap")


def rebuild_call(numel: int, size: tuple, stride: tuple, offset: int = 0) -> bytes:
    """The pickle of a torch zip with one tensor of any description."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", numel) if isinstance(thing, Storage) else None

    data = io.BytesIO()
    tensor = Runs(torch._utils._rebuild_tensor_v2, Storage(), offset, size, stride, False, {})
    Pickler(data, protocol=2).dump({"a": tensor})
    return data.getvalue()


@pytest.mark.parametrize(
    ("numel", "size", "stride", "offset", "error"),
    [
        (2**40, (2**40,), (1,), 0, BrokenWeights),  # a storage larger than the file
        (2**61, (2,), (1,), 0, BrokenWeights),
        (-4, (2,), (1,), 0, BrokenWeights),
        (4, (5,), (1,), 0, BrokenWeights),  # reaches beyond the storage
        (4, (2,), (1,), 3, BrokenWeights),
        (4, (2,), (1,), -1, BrokenWeights),
        (4, (2,), (-1,), 1, BrokenWeights),
        (4, (2, 2), (1,), 0, BrokenWeights),
        (4, (0, 2**40), (1, 1), 0, BrokenWeights),
        (4, (2**20, 2**20), (0, 0), 0, UnsafeWeights),  # one number, a million times a million times
        (4, (2**61,) * 32, (0,) * 32, 0, UnsafeWeights),
        (4, ("2",), (1,), 0, BrokenWeights),
        (4, (True,), (1,), 0, BrokenWeights),
    ],
)
def test_tensors_that_do_not_fit_their_file_are_refused(tmp_path, numel, size, stride, offset, error):
    data = torch_zip(
        tmp_path / "x.pth", {"a": torch.zeros(4)}, **{"data.pkl": rebuild_call(numel, size, stride, offset)}
    )
    refused(tmp_path / "x.pth", data, r"x\.pth is (damaged|refused)", error=error)


def test_one_storage_shown_a_thousand_times_is_refused(tmp_path):
    shared = torch.zeros(1 << 18)
    torch.save({str(k): shared.view(512, 512) for k in range(100)}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", (tmp_path / "x.pth").read_bytes(), "its tensors claim")


@pytest.mark.parametrize("shape", ["(1099511627776,)", "(4294967296, 4294967296)", "(-1,)", "(1,2,3,", "(2,)" * 99])
def test_arrays_that_do_not_fit_their_file_are_refused(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(8)
    refused(tmp_path / "a.npy", data, r"a\.npy is damaged", error=BrokenWeights)


@pytest.mark.parametrize(
    "descr", ["'|O'", "[('a', '<f8')]", "'|V8'", "'<M8[s]'", "'|S99999'", "__import__('os').system('true')"]
)
def test_other_headers_of_arrays_are_refused(tmp_path, canary, descr):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(8)
    refused(tmp_path / "a.npy", data, r"a\.npy is damaged", error=BrokenWeights)


# ---- safetensors and our own card --------------------------------------------------------------------------------


def safetensors_with(header: dict | bytes, body: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


@pytest.mark.parametrize(
    "data",
    [
        safetensors_with({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        safetensors_with({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_with({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4)),
        safetensors_with(b"{" + b'"a":{' * 10_000),
        struct.pack("<Q", 2**31) + b"{" + bytes(100),
        safetensors_with({"__metadata__": {"ganvas": "{}"}}),
        safetensors_with({"__metadata__": {"ganvas": "[" * 100_000}}),
    ],
)
def test_hostile_safetensors_are_refused(tmp_path, data):
    refused(tmp_path / "x.safetensors", data, r"x\.safetensors", error=WeightsError)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_dims": [10**9]},
        {"img_resolution": 2**40},
        {"img_resolution": 2**19},
        {"num_mapping_layers": 2**19},
        {"num_mapping_layers": 10**12},
        {"channel_base": 2**20, "channel_max": 2**20},
        {"z_dim": 2**20, "w_dim": 2**20},
        {"img_resolution": "256"},
        {"img_resolution": None},
        {"resample_filter": [0.0]},
        {"resample_filter": [1.0] * 100_000},
        {"resample_filter": []},
        {"conv_clamp": float("inf")},
        {"unknown_field": 1},
        {"architecture": "skip; import os"},
        [],
        "x",
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_card_that_asks_for_another_network_than_the_file_holds_is_refused(tmp_path, change):
    G = ganvas.build(
        "stylegan2", img_resolution=8, channel_base=64, channel_max=8, z_dim=4, w_dim=4, num_mapping_layers=1
    )
    refuse_with(change, ganvas.save(G, tmp_path / "G.safetensors"))


@pytest.mark.parametrize(
    "change",
    [
        {"filter_size": 2**19},
        {"filter_size": 2**14},
        {"lrelu_upsampling": 2**16},
        {"num_layers": 2**19},
        {"margin_size": 2**20},
        {"first_cutoff": 1e-300},
        {"first_stopband": 1e6},
        {"img_resolution": 2**20},
        {"conv_kernel": 2**19 + 1},
        {"last_stopband_rel": 1e6},
    ],
    ids=str,
)
@pytest.mark.parametrize("variant", ["t", "r"])
def test_filters_that_a_card_asks_for_are_not_computed_at_any_size(tmp_path, variant, change):
    G = ganvas.build("stylegan3", variant=variant, img_resolution=16, channel_base=64, channel_max=4, z_dim=4, w_dim=4)
    refuse_with(change, ganvas.save(G, tmp_path / "G.safetensors"))


def refuse_with(change, path):
    """The same file with another config in its card."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["ganvas"])
    config = json.loads(card["config"])
    card["config"] = json.dumps({**config, **change} if isinstance(change, dict) else change)
    header["__metadata__"]["ganvas"] = json.dumps(card)
    refused(path, safetensors_with(header, data[8 + length :]), r"G\.safetensors", error=WeightsError)
