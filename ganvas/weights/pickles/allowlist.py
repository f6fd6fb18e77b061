"""The short list: every name that a weights file may ask for, and what stands for it here.

A name becomes a container, a number type, a tensor or a `Record`; the functions below are ours, whatever the name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from ganvas.errors import UnknownWeights, UnsafeWeights, WeightsError
from ganvas.weights.pickles import tensors
from ganvas.weights.pickles.limits import ReadLimits
from ganvas.weights.pickles.records import PLACEHOLDER_TENSOR, Deferred, Global, Record
from ganvas.weights.pickles.tensors import Storage


class ReaderProtocol(Protocol):
    """What the functions below need of whoever reads the pickle: `ganvas.weights.pickles.unpickle` has the one."""

    limits: ReadLimits
    memo: dict[int, Any]

    def key(self, key: Any, *, inside: bool = False) -> Any: ...

    def add_items(self, target: Any, pairs: list[Any]) -> None: ...

    def call(self, what: Any, args: Any) -> Any: ...

    def read_nested(self, data: memoryview) -> Any: ...


def as_dict(reader: ReaderProtocol, *args: Any) -> dict[Any, Any]:
    """dict(), OrderedDict(pairs), defaultdict(type, items): all are a dict here."""
    result: dict[Any, Any] = {}
    for source in args:
        if isinstance(source, dict):
            source = list(source.items())
        if isinstance(source, list):
            reader.limits.step(len(source))
            if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in source):
                raise reader.limits.broken_error("a dict is made from something else than pairs")
            reader.add_items(result, [entry for pair in source for entry in pair])
    return result


def _as_set(reader: ReaderProtocol, items: Any = ()) -> set[Any]:
    if not isinstance(items, (list, tuple)):
        raise reader.limits.broken_error("a set is made from something else than a list")
    reader.limits.step(len(items))
    return set(map(reader.key, items))


def _as_frozenset(reader: ReaderProtocol, items: Any = ()) -> frozenset[Any]:
    return frozenset(_as_set(reader, items))


def as_bytes(reader: ReaderProtocol, text: Any = "", encoding: Any = "latin1") -> bytes:
    """How protocols 0 to 2 write bytes: as text in latin-1."""
    if isinstance(text, (bytes, memoryview)):
        reader.limits.copy(len(text))
        return bytes(text)
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise reader.limits.broken_error("bytes in an unknown encoding")
    reader.limits.copy(len(text))
    return text.encode("latin-1")


def _as_numbers(reader: ReaderProtocol, *items: Any) -> tuple[Any, ...]:
    """torch.Size."""
    if len(items) == 1 and isinstance(items[0], (tuple, list)):
        items = tuple(items[0])
    reader.limits.step(len(items))
    return items


def _as_text(reader: ReaderProtocol, *parts: Any) -> str:
    """torch.device('cuda', 0), PosixPath('a', 'b'): only their text is kept."""
    return "/".join(str(part)[:200] for part in parts[:20] if isinstance(part, (str, int)))


def _nested_file(reader: ReaderProtocol, raw: Any) -> Any:
    """A whole torch file as bytes inside the pickle. torch's own function would unpickle it without any check."""
    if not isinstance(raw, (bytes, memoryview)):
        raise reader.limits.broken_error("a nested file that is no bytes")
    return reader.read_nested(memoryview(bytearray(raw)) if isinstance(raw, bytes) else raw)  # torch wants it writable


def _tensor(reader: ReaderProtocol, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    if not isinstance(storage, Storage):
        raise reader.limits.broken_error("a tensor without a storage")
    if storage.data is None:
        return PLACEHOLDER_TENSOR
    return tensors.tensor(storage, offset, size, stride, reader.limits)


def _tensor_of_dtype(
    reader: ReaderProtocol,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    _grad: Any,
    _hooks: Any,
    dtype: Any,
    *_: Any,
) -> Any:
    """_rebuild_tensor_v3: a storage without a type, and the type beside it."""
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype) or dtype not in _DTYPES.values():
        raise reader.limits.broken_error("a tensor without a storage or a type")
    if storage.data is None:
        return PLACEHOLDER_TENSOR
    typed = tensors.storage(dtype, storage.nbytes // dtype.itemsize, storage.data, reader.limits)
    return tensors.tensor(typed, offset, size, stride, reader.limits)


def _parameter(reader: ReaderProtocol, tensor: Any, *_: Any) -> Any:
    if not isinstance(tensor, torch.Tensor) and tensor is not PLACEHOLDER_TENSOR:
        raise reader.limits.broken_error("a parameter without a tensor")
    return tensor


def _tensor_with_attributes(reader: ReaderProtocol, function: Any, _type: Any, args: Any, _state: Any) -> Any:
    return reader.call(function, args)


def _persistent_object(reader: ReaderProtocol, meta: Any) -> Record:
    """NVIDIA's networks carry their source code and ask to run it. Only name and state are taken."""
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str) or "state" not in meta:
        raise reader.limits.broken_error("a network without class name or state")
    return Record(meta["class_name"], state=meta["state"])


def _deferred_dtype(reader: ReaderProtocol, code: Any, *_: Any) -> Deferred:
    return Deferred("dtype", code=code)


def _deferred_array(reader: ReaderProtocol, *_: Any) -> Deferred:
    return Deferred("array")


def _array_from_buffer(reader: ReaderProtocol, raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """numpy.core.numeric._frombuffer, of protocol 5."""
    return tensors.array(_raw(reader, raw), _dtype(reader, dtype), shape, order == "F", reader.limits)


def _scalar(reader: ReaderProtocol, dtype: Any, raw: Any = b"") -> Any:
    """A numpy number becomes a number of Python."""
    known = _dtype(reader, dtype)
    return tensors.array(_raw(reader, raw), known, (), False, reader.limits).item()


def complete_deferred(reader: ReaderProtocol, deferred: Deferred, state: Any) -> Any:
    """BUILD for numpy: a dtype learns its byte order, an array its shape and numbers."""
    if not isinstance(state, tuple):
        raise reader.limits.broken_error(f"the state of a {deferred.kind} is no tuple")
    if deferred.kind == "dtype":
        deferred.order = state[1] if len(state) > 1 and isinstance(state[1], str) else "?"
        return deferred
    done = _array(reader, state)
    for slot in deferred.slots:
        reader.memo[slot] = done
    return done


def _array(reader: ReaderProtocol, state: tuple[Any, ...]) -> np.ndarray:
    """(version,) shape, dtype, fortran order, numbers: what ndarray.__reduce__ writes."""
    if len(state) not in (4, 5):
        raise reader.limits.broken_error("the state of an array has a wrong length")
    shape, dtype, fortran, raw = state[-4:]
    if isinstance(raw, list):
        return tensors.object_array(raw, shape, reader.limits)
    return tensors.array(_raw(reader, raw), _dtype(reader, dtype), shape, bool(fortran), reader.limits)


def _dtype(reader: ReaderProtocol, deferred: Any) -> np.dtype:
    if not isinstance(deferred, Deferred) or deferred.kind != "dtype":
        raise reader.limits.broken_error("an array without a type")
    return tensors.numpy_dtype(deferred.code, deferred.order, reader.limits)


def _raw(reader: ReaderProtocol, raw: Any) -> memoryview:
    if isinstance(raw, str):
        raw = as_bytes(reader, raw)
    if not isinstance(raw, (bytes, memoryview)):
        raise reader.limits.broken_error("the numbers of an array are no bytes")
    return memoryview(raw)


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": as_dict,
    "collections.defaultdict": as_dict,
    "builtins.dict": as_dict,
    "builtins.set": _as_set,
    "builtins.frozenset": _as_frozenset,
    "builtins.bytes": as_bytes,
    "builtins.bytearray": as_bytes,
    "_codecs.encode": as_bytes,
    "torch.Size": _as_numbers,
    "torch.device": _as_text,
    "pathlib.PosixPath": _as_text,
    "pathlib.WindowsPath": _as_text,
    "torch.storage._load_from_bytes": _nested_file,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "numpy.dtype": _deferred_dtype,
    "numpy.core.multiarray._reconstruct": _deferred_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_from_buffer,
}

# Classes whose objects become a dict.
DICTS = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "dnnlib.util.EasyDict"}

# Classes whose objects become a Record: what published networks are made of, and the options saved beside them.
RECORD = re.compile(
    r"(?:training\.networks\w*|R3GAN\.\w+|BaselineGAN\.\w+|torch\.nn\.modules\.\w+)\.[A-Za-z]\w*|argparse\.Namespace"
)

# Names that are only handed on: types as arguments.
_NAMES = {
    "numpy.ndarray",
    "builtins.list",
    "builtins.int",
    "builtins.float",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
}

_DTYPES = {f"torch.{name}": getattr(torch, name) for name in (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
)}  # fmt: skip
_STORAGE_TYPES = {
    f"{module}.{name}": dtype
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in tensors.STORAGES.items()
}
_VALUES = {**_DTYPES, **_STORAGE_TYPES}

_RENAMED_MODULES = {
    "__builtin__": "builtins",
    "numpy._core": "numpy.core",
    "copy_reg": "copyreg",
}  # other years, other spelling


def resolve_global(module: str, name: str, limits: ReadLimits) -> Any:
    """What stands for module.name: a dtype, or a Global that the tables above know.

    Raises:
        UnsafeWeights: the name is in none of the tables.
        UnknownWeights: it belongs to a format that we know and do not read.
    """
    full = f"{_current_module_name(module)}.{name}"
    if full in _VALUES:
        return _VALUES[full]
    if full in CALLS or full in DICTS or full in _NAMES or RECORD.fullmatch(full):
        return Global(full)
    raise _refusal(full, limits)


def _current_module_name(module: str) -> str:
    for old, new in _RENAMED_MODULES.items():
        if module == old or module.startswith(old + "."):
            return new + module[len(old) :]
    return module


def _refusal(full: str, limits: ReadLimits) -> WeightsError:
    quoted_name = repr(full[:120])[1:-1]
    if full.startswith("dnnlib.tflib"):
        return UnknownWeights(
            f"{limits.name} is a StyleGAN pickle of the TensorFlow years ({quoted_name}). ganvas reads the "
            f"PyTorch ones: "
            "convert it once with legacy.py of NVIDIA's stylegan2-ada-pytorch or stylegan3, then load the result."
        )
    return UnsafeWeights(
        f"{limits.name} asks for {quoted_name}, which is not on the short list of names that weights need. "
        f"Nothing of it was "
        "run. If you trust its author, ask for the weights alone: a state_dict() saved as .safetensors or .pth."
    )
