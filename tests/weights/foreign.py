"""Writers of other people's layouts, for the tests: from tensors to the file that others would have made.

Pickles name functions and classes by module. The modules need not exist when a file is read, only while it is written:
`borrowed` puts empty stand-ins in their place.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


@contextmanager
def borrowed(**names: Any):
    """Let `package__module__Name=thing` be importable as package.module.Name, so that pickle writes that name."""
    added = []
    for key, thing in names.items():
        *path, name = key.split("__")
        for depth in range(1, len(path) + 1):
            module = ".".join(path[:depth])
            if module not in sys.modules:
                sys.modules[module] = types.ModuleType(module)
                added.append(module)
        setattr(sys.modules[".".join(path)], name, thing)
        thing.__module__, thing.__qualname__, thing.__name__ = ".".join(path), name, name
    try:
        yield
    finally:
        for module in added:
            del sys.modules[module]


class Part:
    """A module of torch as pickle sees it: tensors, parts and notes."""

    def __init__(self, class_name: str = "Part", **notes: Any):
        self.class_name = class_name
        self.notes = notes
        self.tensors: dict[str, torch.Tensor] = {}
        self.parts: dict[str, Part] = {}

    def at(self, path: str) -> Part:
        """The part "synthesis.b4", made if it is not there."""
        part = self
        for step in filter(None, path.split(".")):
            part = part.parts.setdefault(step, Part())
        return part

    def fill(self, state: dict[str, torch.Tensor]) -> Part:
        for name, tensor in state.items():
            path, _, last = name.rpartition(".")
            self.at(path).tensors[last] = tensor.detach().clone()
        return self

    def state(self, wrap) -> dict[str, Any]:
        """What torch's modules keep in their __dict__."""
        return {
            "training": False,
            "_parameters": OrderedDict(
                (k, torch.nn.Parameter(v)) for k, v in self.tensors.items() if v.is_floating_point()
            ),
            "_buffers": OrderedDict((k, v) for k, v in self.tensors.items() if not v.is_floating_point()),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict((k, wrap(v)) for k, v in self.parts.items()),
            **self.notes,
        }


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the reader must not call this")


class EasyDict(dict):
    pass


SOURCE = "import os\nopen({canary!r}, 'w').write('source was run')\nclass Generator: pass\n"


def write_nvidia(path: Path, networks: dict[str, Part], *, canary: str = "canary", protocol: int = 4) -> Path:
    """A snapshot .pkl: each network is a call that carries its source code."""

    class Call:
        def __init__(self, part: Part):
            meta = EasyDict(type="class", version=6, module_src=SOURCE.format(canary=canary))
            self.meta = EasyDict(meta, class_name=part.class_name, state=part.state(Call))

        def __reduce__(self):
            return _reconstruct_persistent_obj, (self.meta,)

    with borrowed(
        torch_utils__persistence___reconstruct_persistent_obj=_reconstruct_persistent_obj,
        dnnlib__util__EasyDict=EasyDict,
    ):
        tree = {name: Call(part) for name, part in networks.items()}
        tree |= {
            "augment_pipe": None,
            "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        }
        with path.open("wb") as file:
            pickle.dump(tree, file, protocol=protocol)
    return path


def write_whole_modules(path: Path, networks: dict[str, Part], module: str, *, protocol: int = 4) -> Path:
    """A pickle of plain objects of classes in `module`, as R3GAN's published weights are."""
    classes: dict[str, type] = {}

    def wrap(part: Part) -> Any:
        cls = classes[part.class_name]
        made = cls.__new__(cls)
        made.__dict__.update(part.state(wrap))
        return made

    def names(part: Part) -> set[str]:
        return {part.class_name}.union(*map(names, part.parts.values()))

    for name in set().union(*map(names, networks.values())):
        classes[name] = type(name, (), {})
    with (
        borrowed(**{f"{module.replace('.', '__')}__{name}": cls for name, cls in classes.items()}),
        path.open("wb") as file,
    ):
        pickle.dump({name: wrap(part) for name, part in networks.items()}, file, protocol=protocol)
    return path
