"""The contents of a weights file, before its model family is known.

A reader is a module `from_*.py` with two functions, asked in the order of `load.READERS`:

    fits(found: Found) -> bool                       cheap: looks at names and shapes only
    read(found: Found, *, network: str) -> Network   builds the model; raises WeightsError with what it saw

Both see inert data whose tensors look into the memory-mapped file; `load_state_dict_checked` compares
names and shapes, builds, copies, and words the complaint when something does not fit.

`network` is "G_ema", "G" or "D"; a file that holds only one network gives that one for "G_ema" and "G".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class FileContents:
    """The contents of one file as inert data.

    `container` is "safetensors", "torch", "pickle", "numpy", "openvino" or "ncnn". `tree` is made of dicts, lists,
    tuples, tensors, arrays, numbers, strings and inert records of `unpickle.py`; for openvino and ncnn it is None
    and the reader opens `path` itself.
    """

    path: Path
    container: str
    tree: Any = None
    header: dict[str, str] = field(default_factory=dict)

    def state_dict(self, *keys: str) -> dict[str, Tensor]:
        """The flat name → tensor mapping under the first of `keys` that is there, else of the tree itself; else {}.

        Prefixes that wrappers leave ("module.", "_orig_mod.") are taken off.
        """
        tree = self.tree
        if isinstance(tree, dict):
            tree = next((tree[key] for key in keys if isinstance(tree.get(key), dict)), tree)
        if not isinstance(tree, dict):
            return {}
        return {
            _strip_prefixes(name): value
            for name, value in tree.items()
            if isinstance(name, str) and isinstance(value, Tensor)
        }


def _strip_prefixes(name: str) -> str:
    while name.startswith(("module.", "_orig_mod.")):
        name = name.split(".", 1)[1]
    return name
