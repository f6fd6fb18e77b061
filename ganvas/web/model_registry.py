"""The models of a studio: names, and loaded networks shared by all sessions."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig, FetchError, GanvasError
from ganvas.features.efficientnet import EfficientNetLite0, load_efficientnet
from ganvas.features.faces import FaceFinder
from ganvas.models.protocol import Generator, Translator, Upscaler, paints_faces
from ganvas.weights.catalogue import catalogue, entries
from ganvas.weights.checkpoint import read_card
from ganvas.weights.load import load

MAX_CACHED_MODELS = 3  # networks in memory that nobody uses at the moment
_TRANSLATORS = ("AtoB", "BtoA", "to-*")  # files of a run
NETWORK_TYPES = {"generate": Generator, "upscale": Upscaler, "translate": Translator}


@dataclass(frozen=True)
class RegisteredModel:
    """A model that can be asked for by name: of the catalogue, of a run below the runs' folder, or the studio's own."""

    name: str
    task: str
    about: str
    licence: str
    source: str  # what `load` takes; never told to anybody
    entry: entries.CatalogueEntry | None = None

    @property
    def here(self) -> bool:
        """On this computer?"""
        return self.entry is None or self.entry.here


class ModelRegistry:
    """Names → models. What a caller asks for is looked up here and is never a path.

    Args:
        runs: the folder of training runs; a generator's `model.safetensors` is offered as "runs/NAME", a translator's
            files as "runs/NAME-AtoB" or, between many domains, "runs/NAME-to-DOMAIN".
        own: one more generator, a file that whoever started the studio named.
    """

    def __init__(self, *, runs: Path, own: str | None = None):
        self.runs = runs
        self.own = None if own is None or own in catalogue.names() else Path(own)
        self.default = own if self.own is None else self.own.stem
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._facts: dict[str, dict[str, Any]] = {}
        self._extractor: EfficientNetLite0 | None = None
        self._finder: FaceFinder | None = None

    def models(self) -> dict[str, RegisteredModel]:
        """Everything that has a name here."""
        models = {
            entry.name: RegisteredModel(entry.name, entry.task, entry.about, entry.licence, entry.name, entry)
            for entry in entries.ENTRIES.values()
        }
        for file in sorted(self.runs.glob("*/model.safetensors")) if self.runs.is_dir() else []:
            name = f"runs/{file.parent.name}"
            models[name] = RegisteredModel(name, "generate", f"trained here: {file.parent.name}", "your own", str(file))
        for file in sorted(file for way in _TRANSLATORS for file in self.runs.glob(f"*/{way}.safetensors")):
            name = f"runs/{file.parent.name}-{file.stem}"
            models[name] = RegisteredModel(
                name, "translate", f"trained here: {file.parent.name}", "your own", str(file)
            )
        if self.own is not None:
            about = f"the file {self.own.name} given at startup"
            models[self.own.stem] = RegisteredModel(self.own.stem, "generate", about, "see its file", str(self.own))
        return models

    def find(self, name: str, *, task: str | None = None) -> RegisteredModel:
        """One of them.

        Raises:
            BadConfig: no such name, or not for this task.
        """
        models = self.models()
        if not isinstance(name, str) or name not in models:
            here = ", ".join(one.name for one in models.values() if one.here and task in (None, one.task)) or "none yet"
            raise BadConfig(f"there is no model {str(name)[:80]!r}; models on this computer: {here}")
        if task is not None and models[name].task != task:
            raise BadConfig(f"{name} {entries.TASKS[models[name].task]}; a model for {task!r} is needed")
        return models[name]

    def default_generator(self) -> str | None:
        """The generator to begin with: the studio's own, `faces`, or any that is here."""
        models = self.models()
        wanted = [self.default, "faces", *(one.name for one in models.values() if one.task == "generate")]
        return next((name for name in wanted if name in models and models[name].here), None)

    def get(self, name: str, *, task: str) -> Any:
        """The network, read once. On the device's thread only.

        Raises:
            BadConfig: an unknown name or another kind of network. FetchError, WeightsError: not here, or damaged.
        """
        model = self.find(name, task=task)
        key = _cache_key(model)
        if key not in self._loaded:
            network = load(model.source)
            if not isinstance(network, NETWORK_TYPES[task]):
                raise BadConfig(f"{name} is a {network.family}, not a model for {task!r}")
            self._loaded[key] = network
            self._evict()
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def _evict(self) -> None:
        """Sessions hold on to theirs, so what is dropped here is at worst read again."""
        while len(self._loaded) > MAX_CACHED_MODELS:
            self._loaded.popitem(last=False)

    def extractor(self) -> EfficientNetLite0 | None:
        """The perceptual network, where its weights are here."""
        if self._extractor is None:
            try:
                self._extractor = load_efficientnet()
            except FetchError:
                return None
        return self._extractor

    def finder(self) -> FaceFinder | None:
        """The face finder, where its weights are here."""
        if self._finder is None:
            try:
                self._finder = FaceFinder()
            except FetchError:
                return None
        return self._finder

    def facts(self, model: RegisteredModel) -> dict[str, Any]:
        """Family, resolution and whether it knows faces, as far as a look at the file tells; read once a file."""
        if not model.here or model.task != "generate":
            return {"family": None, "resolution": None, "faces": None}
        key = _cache_key(model)
        if key not in self._facts:
            self._facts[key] = self._inspect(model, key)
        return self._facts[key]

    def _inspect(self, model: RegisteredModel, key: str) -> dict[str, Any]:
        if key in self._loaded:
            G = self._loaded[key]
            return {"family": G.family, "resolution": G.img_resolution, "faces": paints_faces(G.family, G.facts)}
        if model.name == "faces":
            return {"family": "mobilestylegan", "resolution": 1024, "faces": True}
        guess = re.search(r"(\d{2,4})$", model.name)
        fallback = {"family": None, "resolution": int(guess[1]) if guess else None, "faces": "ffhq" in model.name}
        try:
            card = read_card(model.source if model.entry is None else model.entry.path)
            config = re.search(r'"img_resolution": ?(\d+)', card.config)
            return {
                "family": card.family,
                "resolution": int(config[1]) if config else None,
                "faces": paints_faces(card.family, card.facts),
            }
        except (GanvasError, OSError):
            return fallback


def _cache_key(model: RegisteredModel) -> str:
    """Another file under the same name (a run that went on) is another model."""
    if model.entry is not None:
        return model.name
    status = Path(model.source).stat()
    return f"{model.name} {status.st_mtime_ns} {status.st_size}"
