"""Files that are there whole or not at all: written under another name, forced to the disk, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_new_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """A name in the same folder for the block to write to; what it wrote takes the place of `path` when it ends well.

    A link stays one: the file that it leads to is replaced. A block that fails leaves nothing behind.

    Args:
        path: the file's name.
        suffix: at the end of the other name, for writers that go by it.

    Raises:
        OSError: the folder is not there or cannot be written, the disk is full, or the name is that of a folder, a
            device or a pipe, in whose place a file would be put.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(None, "a folder, a device or a pipe has this name; expected a file name")
    part = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part{suffix}")
    try:
        with open(part, "xb") as file:
            mode = os.fstat(file.fileno()).st_mode
        yield part
        os.chmod(part, mode)  # safetensors makes files that only their owner can read
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
