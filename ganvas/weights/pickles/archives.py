"""Archives as weights files use them: torch's zip, numpy's npy and npz.

Nothing is unpacked to disk. Members that lie uncompressed in the file (torch's always do) are looked at where they are.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UnknownWeights
from ganvas.weights.pickles import tensors
from ganvas.weights.pickles.limits import ReadLimits
from ganvas.weights.pickles.tensors import Storage
from ganvas.weights.pickles.unpickle import storage_id, unpickle

_MAX_DIRECTORY = 8 << 20  # bytes of a zip's table of contents: some 80,000 members
_HONEST_RATIO = 50  # weights hardly compress; 50 still lets an array of zeros through
_SPARE_BYTES = 64 << 20


class Zip:
    """The members of a zip archive, each checked and as bytes.

    Raises:
        BrokenWeights: no zip, cut short, or a member whose checksum is wrong.
        UnsafeWeights: member names that point out of the archive, or sizes no honest file has.
    """

    def __init__(self, path: Path, data: memoryview, name: str):
        self.path, self.data = path, data
        limits = ReadLimits(name, len(data))
        _check_directory(data, limits)
        try:
            with zipfile.ZipFile(path) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OSError) as error:
            raise limits.broken_error(f"its table of contents cannot be read ({error})") from error
        self.members = {info.filename: info for info in infos}
        self._check_members(infos, limits)
        self.limits = ReadLimits(name, max(len(data), sum(info.file_size for info in infos)))

    def _check_members(self, infos: list[zipfile.ZipInfo], limits: ReadLimits) -> None:
        if len(self.members) != len(infos):
            raise limits.unsafe_error("two of its members have the same name")
        for info in infos:
            if _leads_outside(info.orig_filename):
                raise limits.unsafe_error(
                    f"it has a member named {info.orig_filename[:80]!r}, which points outside the archive"
                )
        if sum(info.compress_size for info in infos) > len(self.data):
            raise limits.unsafe_error("its members overlap or announce more bytes than the file has")
        unpacked = sum(info.file_size for info in infos)
        if unpacked > _HONEST_RATIO * len(self.data) + _SPARE_BYTES:
            raise limits.unsafe_error(f"it is {len(self.data):,} bytes long and unpacks to {unpacked:,}")

    def read(self, member: str) -> memoryview:
        """The bytes of one member."""
        info = self.members.get(member)
        if info is None:
            raise self.limits.broken_error(f"its member {member[:80]!r} is missing")
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            return self._read_stored(info)
        return self._decompress(info)

    def _read_stored(self, info: zipfile.ZipInfo) -> memoryview:
        at = info.header_offset
        head = bytes(self.data[at : at + 30])
        if len(head) < 30 or head[:4] != b"PK\x03\x04":
            raise self.limits.broken_error(f"its member {info.filename[:80]!r} does not begin where it should")
        name_length, extra_length = struct.unpack("<HH", head[26:30])
        begin = at + 30 + name_length + extra_length
        part = self.data[begin : begin + info.file_size]
        if info.file_size != info.compress_size or len(part) != info.file_size:
            raise self.limits.broken_error(f"its member {info.filename[:80]!r} is cut short")
        if info.CRC and zlib.crc32(part) != info.CRC:  # torch can be told to write no checksum: 0
            raise self.limits.broken_error(f"its member {info.filename[:80]!r} has a wrong checksum")
        return part

    def _decompress(self, info: zipfile.ZipInfo) -> memoryview:
        self.limits.copy(info.file_size)
        try:
            with zipfile.ZipFile(self.path) as archive:
                return memoryview(bytearray(archive.read(info)))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise self.limits.broken_error(f"its member {info.filename[:80]!r} cannot be unpacked ({error})") from error


def _check_directory(data: memoryview, limits: ReadLimits) -> None:
    """The table of contents stands at the end: a file cut short has none."""
    tail = bytes(data[-(1 << 16) - 100 :])
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        raise limits.broken_error(f"it is a zip archive without its end: {len(data):,} bytes came, then it was cut off")
    size = struct.unpack_from("<I", tail, end + 12)[0]
    large = tail.rfind(b"PK\x06\x06", 0, end)
    if size == 0xFFFFFFFF and large >= 0 and large + 48 <= len(tail):
        size = struct.unpack_from("<Q", tail, large + 40)[0]
    if size > _MAX_DIRECTORY:
        raise limits.unsafe_error(f"its table of contents has {size:,} bytes")


def _leads_outside(member: str) -> bool:
    """Nothing is unpacked to disk here, but an archive with such names was made to harm somebody."""
    return (
        member.startswith(("/", "\\")) or ":" in member or "\\" in member or "\0" in member or ".." in member.split("/")
    )


def read_torch_zip(archive: Zip) -> Any:
    """What torch.save has written since 2020: data.pkl, and each storage as a member.

    Raises:
        UnsafeWeights, BrokenWeights: see `Zip` and `unpickle`.
        UnknownWeights: a TorchScript program.
    """
    limits = archive.limits
    pickles = [name for name in archive.members if name == "data.pkl" or re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise limits.broken_error(f"it should have one data.pkl and has {len(pickles)}")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.members:
        raise UnknownWeights(
            f"{limits.name} is a TorchScript program (torch.jit.save): code and weights in one, and ganvas runs no "
            "code of files. Save the weights alone: torch.save(model.state_dict(), 'weights.pth')."
        )
    if f"{folder}byteorder" in archive.members and bytes(archive.read(f"{folder}byteorder")) != b"little":
        raise limits.broken_error("its numbers are in the byte order of another kind of computer (big-endian)")
    storages: dict[str, Storage] = {}

    def persistent(pid: Any) -> Storage:
        dtype, key, numel = storage_id(pid, limits)
        if key not in storages:
            storages[key] = tensors.storage(dtype, numel, archive.read(f"{folder}data/{key}"), limits)
        if storages[key].dtype != dtype:
            raise limits.broken_error(f"storage {key[:40]!r} is of two types")
        return storages[key]

    return unpickle(archive.read(pickles[0]), limits, persistent=persistent)


_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER = re.compile(
    rb"\s*\{\s*'descr'\s*:\s*'([^']{1,12})'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    rb"\s*'shape'\s*:\s*\(([\dL, ]{0,300})\)\s*,?\s*\}\s*"
)


def read_npy(data: memoryview, limits: ReadLimits) -> np.ndarray:
    """One array; an array of objects goes through `unpickle`, so it holds inert data only.

    Raises:
        UnsafeWeights, BrokenWeights: see `unpickle`; also for structured arrays.
    """
    version = data[6] if len(data) > 10 else 0
    if bytes(data[:6]) != _NPY_MAGIC or version not in (1, 2, 3):
        raise limits.broken_error("it does not begin like an array of numpy")
    length_at, layout = (8, "<H") if version == 1 else (8, "<I")
    begin = length_at + struct.calcsize(layout)
    length = struct.unpack_from(layout, data, length_at)[0] if len(data) >= begin else 0
    match = _NPY_HEADER.fullmatch(bytes(data[begin : begin + min(length, 4096)]))
    if match is None:
        raise limits.broken_error("its header is not that of a plain array")
    dtype = tensors.numpy_dtype(match[1].decode("latin-1"), "|", limits)
    shape = tuple(int(n.strip(b"L ")) for n in match[3].split(b",") if n.strip(b"L "))
    body = data[begin + length :]
    if dtype.hasobject:
        return _object_npy(body, shape, limits)
    return tensors.array(body, dtype, shape, match[2] == b"True", limits)


def _object_npy(body: memoryview, shape: tuple[int, ...], limits: ReadLimits) -> np.ndarray:
    tree = unpickle(body, limits)
    if not isinstance(tree, np.ndarray) or tree.shape != shape:
        raise limits.broken_error(f"it announces an array of shape {shape} and holds something else")
    return tree


def read_npz(archive: Zip) -> dict[str, np.ndarray]:
    """All arrays of an npz, by name.

    Raises:
        UnsafeWeights, BrokenWeights: see `Zip` and `read_npy`.
    """
    names = [name for name in archive.members if name.endswith(".npy")]
    return {name.removesuffix(".npy"): read_npy(archive.read(name), archive.limits) for name in names}
