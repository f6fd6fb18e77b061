"""An editing as plain data: a photo, its faces, and of each face what was found and everything done to it.

The same records lie in a project on disk (`projects`) and in a file to be carried elsewhere (`project_file`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors, save as save_tensors
from torch import Tensor

from ganvas.checks import check_ws
from ganvas.editing.recipe import Recipe, face_steps_of
from ganvas.editing.regions import Region
from ganvas.errors import BadConfig
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.features.faces import Face
from ganvas.images.files import read_image
from ganvas.inversion.result import Inversion
from ganvas.session.finishing import NetworkLoader
from ganvas.session.open import open_seed, open_session
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.session import Session
from ganvas.session.variants import PhotoVariant
from ganvas.weights.load import load

MAX_HISTORY_ENTRIES = 200  # of one face in a file; older ones are left out
MAX_FACES = 1000
_FACTS = ("figures", "effort", "seed", "fingerprint", "source", "crop")
_PLAIN_TYPES = {"effort": str, "seed": int, "fingerprint": str, "source": str}


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """One face's editing: what was found of it (None = only finishing steps), and every recipe there was."""

    face: int | None  # its place in the photo's faces
    history: tuple[Recipe, ...]
    at: int
    inversion: Inversion | None
    region: Region | None = None


@dataclass(frozen=True, kw_only=True)
class PhotoRecord:
    """One photo with all its faces; `original` is its file, None = a picture from a seed."""

    name: str
    original: bytes | Path | None
    model: str = ""
    face: int | None = None  # that is being edited
    faces: tuple[Face, ...] | None = None  # None = nobody has looked yet
    needs_face: bool = False
    layers: tuple[LayerRecord, ...] = ()
    variants: tuple[PhotoVariant, ...] = ()

    @property
    def seed(self) -> bool:
        """Of a picture from a seed?"""
        return self.original is None

    @property
    def active(self) -> LayerRecord | None:
        """What is being edited; None = nothing was found or done yet."""
        chosen = [layer for layer in self.layers if layer.inversion is not None and layer.face == self.face]
        inverted = [layer for layer in self.layers if layer.inversion is not None]
        return next(iter([*chosen, *inverted, *self.layers]), None)

    @property
    def recipe(self) -> Recipe | None:
        """What is in force in `active`."""
        return None if self.active is None else self.active.history[self.active.at]

    def read_original(self) -> bytes | None:
        """The bytes of the photo's file."""
        return self.original.read_bytes() if isinstance(self.original, Path) else self.original


def record_edits(
    edits: PhotoEdits,
    *,
    name: str,
    original: bytes | Path | None,
    model: str = "",
    needs_face: bool = False,
    variants: Iterable[PhotoVariant] = (),
) -> PhotoRecord:
    """An editing as it is now.

    Args:
        edits: of the photo.
        name: what the photo is called.
        original: its file.
        model: the generator it is edited with.
        needs_face: does that paint faces only?
        variants: its states under names.
    """
    layers = [
        LayerRecord(
            face=face, history=session.history, at=session.at, inversion=session.inversion, region=session.region
        )
        for face, session in edits.sessions.items()
    ]
    if len(edits.plain.history) > 1:
        layers.append(LayerRecord(face=None, history=edits.plain.history, at=edits.plain.at, inversion=None))
    return PhotoRecord(
        name=name,
        original=original,
        model=model,
        face=edits.face,
        faces=edits.faces,
        needs_face=needs_face,
        layers=tuple(layers),
        variants=tuple(variants),
    )


def restore_edits(
    record: PhotoRecord,
    generator: Callable[[str], Any],
    *,
    max_pixels: int,
    extractor: EfficientNetLite0 | None = None,
    network: NetworkLoader = load,
) -> PhotoEdits:
    """The editing that was recorded: nothing is searched for, every history is there.

    Args:
        record: of the photo.
        generator: what a recipe calls a model → that generator.
        max_pixels: of the original; see `read_image`.
        extractor, network: see `open_session`.

    Raises:
        BadConfig, BadLatent: another generator, or a step that does not fit. BadImage: the original cannot be read.
    """
    if record.original is None:
        return _restore_seed(record, generator, network)
    photo = read_image(record.read_original() or b"", max_pixels=max_pixels)
    edits = PhotoEdits(photo, record.faces or (), network=network)
    for layer in record.layers:
        if layer.inversion is None:
            edits.plain.restore(layer.history, layer.at)
            continue
        G = generator(layer.history[0].model)
        check_ws(layer.inversion.ws, who="this editing", num_ws=G.num_ws, w_dim=G.w_dim)
        first = layer.history[0]
        face = record.faces[layer.face] if record.faces and layer.face is not None else None
        session = open_session(
            photo,
            model=G,
            name=first.model,
            effort=first.effort,
            face=face,
            inversion=layer.inversion,
            extractor=extractor,
            network=network,
        )
        session.restore(layer.history, layer.at)
        session.region = layer.region
        edits.sessions[layer.face] = session
    _activate(edits, record)
    return edits


def _restore_seed(record: PhotoRecord, generator: Callable[[str], Any], network: NetworkLoader) -> PhotoEdits:
    layer = record.active
    if layer is None:
        raise BadConfig("this picture from a seed has no recipe")
    recipe = layer.history[layer.at]
    G = generator(recipe.model)
    session = open_seed(recipe.seed, model=G, name=recipe.model, truncation_psi=recipe.truncation_psi, network=network)
    session.restore(layer.history, layer.at)
    session.region = layer.region
    return edits_of_session(session)


def edits_of_session(session: Session) -> PhotoEdits:
    """The editing of a photo of which one square was found, no matter which face."""
    edits = PhotoEdits(session.photo, network=session.renderer.network)
    edits.sessions[None] = session
    edits.active = session
    return edits


def _activate(edits: PhotoEdits, record: PhotoRecord) -> None:
    """As it was left; without carrying the finish along, since every layer was written with its own."""
    if edits.sessions:
        edits.face = record.face if record.face in edits.sessions else next(iter(edits.sessions))
        edits.active = edits.sessions[edits.face]


# ---------------------------------------------------------------------------------------------------------------------
# As JSON and tensors


def face_to_data(face: Face) -> dict[str, Any]:
    """A face as JSON."""
    return {
        "box": [float(number) for number in face.box],
        "points": face.points.tolist(),
        "score": face.score,
        "turn_deg": face.turn_deg,
        "number": face.number,
    }


def face_from_data(data: Mapping[str, Any]) -> Face:
    """The face that `face_to_data` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    left, top, right, bottom = map(float, data["box"])
    points = torch.tensor(data["points"], dtype=torch.float32)
    number = data["number"]
    if points.shape != (5, 2) or not bool(points.isfinite().all()) or not (number is None or isinstance(number, int)):
        raise ValueError("a face is invalid")
    return Face(
        box=(left, top, right, bottom),
        points=points,
        score=float(data["score"]),
        turn_deg=int(data["turn_deg"]),
        number=number,
    )


def facts_of(inversion: Inversion) -> dict[str, Any]:
    """What is known of an inversion, beside its tensors, as JSON."""
    facts: dict[str, Any] = {fact: getattr(inversion, fact) for fact in _FACTS}
    if inversion.crop is not None:
        facts["crop"] = [float(number) for number in inversion.crop]
    return facts


def tensors_of(inversion: Inversion) -> bytes:
    """The latents and the tuning as a safetensors file."""
    tensors = {"ws": inversion.ws.contiguous()}
    return save_tensors(tensors | {f"delta.{n}": t.half().contiguous() for n, t in inversion.delta.items()})


def inversion_from(facts: Mapping[str, Any], file: bytes) -> Inversion:
    """The inversion of which `facts_of` and `tensors_of` wrote.

    Raises:
        ValueError, KeyError, TypeError: they are not what those wrote.
    """
    try:
        tensors = load_tensors(file)
    except SafetensorError as error:
        raise ValueError(f"its latents cannot be read: {error}") from error
    ws = tensors.pop("ws")
    if ws.ndim != 3 or len(ws) != 1 or not ws.is_floating_point():
        raise ValueError("its latents have the wrong shape")
    delta = {name.removeprefix("delta."): tensor for name, tensor in tensors.items()}
    for tensor in (ws, *delta.values()):
        _check_finite(tensor)
    crop = facts["crop"]
    numbers = {k: float(v) for k, v in facts["figures"].items() if isinstance(v, (int, float))}
    plain = {name: facts[name] for name in _FACTS if name not in ("figures", "crop")}
    inversion = Inversion(
        ws=ws.float(),
        delta=delta,
        figures=numbers,
        crop=None if crop is None else tuple(float(number) for number in crop),  # type: ignore[arg-type]
        **plain,
    )
    if not all(isinstance(getattr(inversion, name), kind) for name, kind in _PLAIN_TYPES.items()):
        raise ValueError("facts have the wrong type")
    return inversion if inversion.crop is None or len(inversion.crop) == 4 else replace(inversion, crop=None)


def _check_finite(tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
        raise ValueError("its latents are not finite")


def history_from(entries: Any, at: Any, *, most: int) -> tuple[tuple[Recipe, ...], int]:
    """Recipes one after another, and which of them is in force, checked.

    Raises:
        ValueError, BadConfig: they are not a history.
    """
    if not isinstance(entries, list) or not 0 < len(entries) <= most:
        raise ValueError("invalid history")
    history = tuple(Recipe.from_json(one if isinstance(one, str) else json.dumps(one)) for one in entries)
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < len(history):
        raise ValueError("its position in the history is invalid")
    if face_steps_of(history[0]) or len({recipe.fingerprint for recipe in history}) != 1:
        raise ValueError("its history starts with an edit, or has several generators")
    return history, at
