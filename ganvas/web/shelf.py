"""The models of a studio: which are known, and those in memory, one copy each for all sessions."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, FetchError, GanvasError
from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet
from ganvas.features.faces import FaceFinder
from ganvas.inversion.framing import is_aligned
from ganvas.models.protocol import Generator, Translator, Upscaler
from ganvas.weights import catalogue
from ganvas.weights.checkpoint import read_card
from ganvas.weights.load import load

KEPT = 3  # networks in memory that nobody uses at the moment
KINDS = {"generate": Generator, "upscale": Upscaler, "translate": Translator}


@dataclass(frozen=True)
class Known:
    """A model that can be asked for by name: of the catalogue, of a run below the runs' folder, or the studio's own."""

    name: str
    task: str
    about: str
    licence: str
    source: str  # what `load` takes; never told to anybody
    entry: catalogue.Entry | None = None

    @property
    def here(self) -> bool:
        """On this computer?"""
        return self.entry is None or self.entry.here


class Shelf:
    """Names → models. What a caller asks for is looked up here and is never a path.

    Args:
        runs: the folder of training runs; each one's `model.safetensors` is offered as "runs/NAME".
        own: one more generator, a file that whoever started the studio named.
    """

    def __init__(self, *, runs: Path, own: str | None = None):
        self.runs = runs
        self.own = None if own is None or own in catalogue.names() else Path(own)
        self.default = own if self.own is None else self.own.stem
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._facts: dict[str, dict[str, Any]] = {}
        self._eyes: EfficientNetLite0 | None = None
        self._finder: FaceFinder | None = None

    def known(self) -> dict[str, Known]:
        """Everything that has a name here."""
        found = {
            entry.name: Known(entry.name, entry.task, entry.about, entry.licence, entry.name, entry)
            for entry in catalogue.ENTRIES.values()
        }
        for file in sorted(self.runs.glob("*/model.safetensors")) if self.runs.is_dir() else []:
            name = f"runs/{file.parent.name}"
            found[name] = Known(name, "generate", f"trained here: {file.parent.name}", "your own", str(file))
        if self.own is not None:
            about = f"the file {self.own.name} that this studio was started with"
            found[self.own.stem] = Known(self.own.stem, "generate", about, "see its file", str(self.own))
        return found

    def find(self, name: str, *, task: str | None = None) -> Known:
        """One of them.

        Raises:
            BadConfig: no such name, or not for this task.
        """
        known = self.known()
        if not isinstance(name, str) or name not in known:
            here = ", ".join(one.name for one in known.values() if one.here and task in (None, one.task)) or "none yet"
            raise BadConfig(f"there is no model {str(name)[:80]!r}; models on this computer: {here}")
        if task is not None and known[name].task != task:
            raise BadConfig(f"{name} {catalogue.TASKS[known[name].task]}; a model for {task!r} is needed")
        return known[name]

    def first(self) -> str | None:
        """The generator to begin with: the studio's own, `faces`, or any that is here."""
        known = self.known()
        wanted = [self.default, "faces", *(one.name for one in known.values() if one.task == "generate")]
        return next((name for name in wanted if name in known and known[name].here), None)

    def get(self, name: str, *, task: str) -> Any:
        """The network, read once. On the device's thread only.

        Raises:
            BadConfig: an unknown name or another kind of network. FetchError, WeightsError: not here, or damaged.
        """
        known = self.find(name, task=task)
        key = _stamped(known)
        if key not in self._loaded:
            network = load(known.source)
            if not isinstance(network, KINDS[task]):
                raise BadConfig(f"{name} is a {network.family}, not a model for {task!r}")
            self._loaded[key] = network
            self._shorten()
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def _shorten(self) -> None:
        """Sessions hold on to theirs, so what is dropped here is at worst read again."""
        while len(self._loaded) > KEPT:
            self._loaded.popitem(last=False)

    def eyes(self) -> EfficientNetLite0 | None:
        """The perceptual network, where its weights are here."""
        if self._eyes is None:
            try:
                self._eyes = load_efficientnet()
            except FetchError:
                return None
        return self._eyes

    def finder(self) -> FaceFinder | None:
        """The face finder, where its weights are here."""
        if self._finder is None:
            try:
                self._finder = FaceFinder()
            except FetchError:
                return None
        return self._finder

    def facts(self, known: Known) -> dict[str, Any]:
        """Family, resolution and whether it knows faces, as far as a look at the file tells; read once a file."""
        if not known.here or known.task != "generate":
            return {"family": None, "resolution": None, "faces": None}
        key = _stamped(known)
        if key not in self._facts:
            self._facts[key] = self._look(known, key)
        return self._facts[key]

    def _look(self, known: Known, key: str) -> dict[str, Any]:
        if key in self._loaded:
            G = self._loaded[key]
            return {"family": G.family, "resolution": G.img_resolution, "faces": is_aligned(G, "auto")}
        if known.name == "faces":
            return {"family": "mobilestylegan", "resolution": 1024, "faces": True}
        guess = re.search(r"(\d{2,4})$", known.name)
        said = {"family": None, "resolution": int(guess[1]) if guess else None, "faces": "ffhq" in known.name}
        try:
            card = read_card(known.source if known.entry is None else known.entry.path)
            config = re.search(r'"img_resolution": ?(\d+)', card.config)
            return {
                "family": card.family,
                "resolution": int(config[1]) if config else None,
                "faces": card.family == "mobilestylegan" or "ffhq" in card.facts.lower(),
            }
        except (GanvasError, OSError):
            return said


def _stamped(known: Known) -> str:
    """Another file under the same name (a run that went on) is another model."""
    if known.entry is not None:
        return known.name
    status = Path(known.source).stat()
    return f"{known.name} {status.st_mtime_ns} {status.st_size}"
