"""File → `FileContents`: the format is detected by the first bytes, never by the name."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ganvas.errors import BrokenWeights, UnknownWeights, WeightsError
from ganvas.weights.contents import FileContents
from ganvas.weights.pickles.archives import Zip, read_npy, read_npz, read_torch_zip
from ganvas.weights.pickles.limits import ReadLimits
from ganvas.weights.pickles.unpickle import LEGACY_MAGIC, read_legacy, unpickle

# First bytes → what it is and what to do.
_FOREIGN_FORMATS: list[tuple[int, bytes, str]] = [
    (0, b"\x89HDF\r\n", "a Keras or HDF5 file. ganvas reads PyTorch, safetensors, OpenVINO and ncnn weights"),
    (4, b"TFL3", "a TensorFlow Lite model. ganvas reads PyTorch, safetensors, OpenVINO and ncnn weights"),
    (0, b"GGUF", "a GGUF language model, not a GAN"),
    (0, b"\x1f\x8b", "compressed with gzip. Unpack it first (gunzip)"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive. Unpack it first"),
    (0, b"Rar!", "a RAR archive. Unpack it first"),
    (0, b"\x89PNG", "an image. Open images with ganvas.read_image"),
    (0, b"\xff\xd8\xff", "an image. Open images with ganvas.read_image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
]
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".tar")
_SIBLINGS = (".param", ".xml")  # beside the .bin of ncnn and of OpenVINO


def open_file(path: str | Path) -> FileContents:
    """The contents of a weights file as inert data; nothing of it is run.

    Args:
        path: a file: .safetensors, .pkl, .pt, .pth, .npy, .npz, OpenVINO's .xml, ncnn's .param (or their .bin).

    Returns:
        What is in it. Tensors look into the memory-mapped file: copy them before the file is changed.

    Raises:
        UnsafeWeights: the file asks for code, or for more memory than it could need.
        BrokenWeights: no such file, cut short, a web page or a pointer under the file's name.
        UnknownWeights: a kind of file that ganvas does not read.
    """
    path = _resolve_folder(Path(path).expanduser())
    _check_file(path)
    data = _memory_map(path)
    try:
        return _read_contents(path, data)
    except WeightsError:
        raise
    except MemoryError as error:
        raise BrokenWeights(f"{path.name} needs more memory than is available.") from error
    except Exception as error:
        # The file is somebody else's and may be anything. What we did not foresee is its defect, not the user's crash.
        raise BrokenWeights(f"{path.name} cannot be read ({type(error).__name__}: {str(error)[:200]}).") from error


def _resolve_folder(path: Path) -> Path:
    """A folder of OpenVINO networks is opened by one of its descriptions; the reader finds the rest."""
    descriptions = sorted(path.glob("*.xml")) if path.is_dir() else []
    return descriptions[-1] if descriptions else path


def _check_file(path: Path) -> None:
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix in (*_PICKLE_SUFFIXES, ".safetensors"))
        hint = f"Choose a file in it: {', '.join(inside[:5])}." if inside else "There is no weights file in it."
        raise BrokenWeights(f"{path} is a folder. {hint}")
    if not path.exists():
        raise BrokenWeights(f"there is no file {path}")
    if not path.is_file():
        raise BrokenWeights(f"{path} is not a regular file")
    if path.stat().st_size == 0:
        raise BrokenWeights(f"{path.name} is empty (0 bytes): the download failed. Download it again.")


def _memory_map(path: Path) -> memoryview:
    """The file's bytes without reading them; private, so that nothing can be written back."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except OSError as error:
        raise BrokenWeights(f"{path} cannot be opened: {error.strerror or error}") from error


def _read_contents(path: Path, data: memoryview) -> FileContents:
    head = bytes(data[:1024])
    _check_text(path, head, len(data))
    if _is_safetensors(head):
        return _safetensors(path, len(data))
    if head[:2] == b"PK":
        return _zip(path, data)
    limits = ReadLimits(path.name, len(data))
    if head[:6] == b"\x93NUMPY":
        return FileContents(path, "numpy", read_npy(data, limits))
    if head.startswith(LEGACY_MAGIC):
        return FileContents(path, "torch", read_legacy(data, limits))
    if head[257:262] == b"ustar":
        raise UnknownWeights(
            f"{path.name} is a tar archive. Unpack it and load the weights file in it. If torch wrote it "
            "before 2017, load it with torch where that is safe, and save the weights again with "
            "torch.save."
        )
    if head.startswith(b"7767517"):
        return FileContents(path, "ncnn")
    if b"<net " in head:
        return FileContents(path, "openvino")
    if path.suffix == ".bin" and (description := _sibling(path)):
        return open_file(description)
    if _is_pickle(head, path):
        return FileContents(path, "pickle", unpickle(data, limits))
    raise _unknown(path, head)


def _check_text(path: Path, head: bytes, size: int) -> None:
    """Pages, pointers and notes that were saved in place of the file."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")) or (text.startswith(b"<") and b"<html" in text):
        raise BrokenWeights(
            f"{path.name} is a web page, not a weights file ({size:,} bytes): the host returned its "
            "download page, a login or a 'quota exceeded' notice. Open the address in a browser, "
            "download the file manually and load that."
        )
    if text.startswith(b"version https://git-lfs"):
        raise BrokenWeights(
            f"{path.name} is a git-LFS pointer ({size:,} bytes), not the file itself. Run `git lfs pull` in its "
            "repository, or download the file from the repository's page."
        )
    if text.startswith(b"<?xml") and b"<error>" in text:
        raise BrokenWeights(f"{path.name} is an error message of a file host, not a weights file. Download it again.")


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32


def _safetensors(path: Path, size: int) -> FileContents:
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            return FileContents(path, "safetensors", {name: file.get_tensor(name) for name in file.keys()}, header)
    except SafetensorError as error:
        raise BrokenWeights(
            f"{path.name} is a damaged safetensors file ({error}) of {size:,} bytes. Download it again."
        ) from error


def _zip(path: Path, data: memoryview) -> FileContents:
    archive = Zip(path, data, path.name)
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.members):
        return FileContents(path, "torch", read_torch_zip(archive))
    if archive.members and all(name.endswith(".npy") for name in archive.members):
        return FileContents(path, "numpy", read_npz(archive))
    names = ", ".join(list(archive.members)[:5]) or "nothing"
    raise UnknownWeights(f"{path.name} is a zip archive of {names[:200]}. Unpack it and load the weights file in it.")


def _sibling(path: Path) -> Path | None:
    return next((path.with_suffix(end) for end in _SIBLINGS if path.with_suffix(end).is_file()), None)


def _is_pickle(head: bytes, path: Path) -> bool:
    if head[0] == 0x80:
        return len(head) > 1 and head[1] <= 5
    return head[:1] in (b"(", b"]", b"}", b"c") and path.suffix in _PICKLE_SUFFIXES  # protocols 0 and 1 have no mark


def _unknown(path: Path, head: bytes) -> UnknownWeights:
    for at, magic, meaning in _FOREIGN_FORMATS:
        if head[at : at + len(magic)] == magic:
            return UnknownWeights(f"{path.name} is {meaning}.")
    if path.suffix == ".onnx":
        return UnknownWeights(f"{path.name} is an ONNX model. ganvas exports ONNX, but cannot load it.")
    if path.suffix == ".bin":
        return UnknownWeights(
            f"{path.name} needs its description next to it: {path.stem}.param (ncnn) or .xml (OpenVINO)."
        )
    return UnknownWeights(
        f"{path.name} is not a supported weights file; it begins with {head[:16]!r}. Supported: "
        ".safetensors, .pkl, .pt and .pth of PyTorch, .npy and .npz, OpenVINO's .xml with .bin, ncnn's "
        ".param with .bin."
    )


def largest_state_dict(contents: FileContents) -> dict[str, Any]:
    """The longest flat name → tensor mapping anywhere in the first two levels of a file; for messages."""
    trees = [contents.tree, *(contents.tree.values() if isinstance(contents.tree, dict) else ())]
    states = [
        FileContents(contents.path, contents.container, tree).state_dict() for tree in trees if isinstance(tree, dict)
    ]
    return max(states, key=len, default={})
