"""A session as a file: the original, what was found in the model, and all that was done to it, to resume it later.

A saved picture holds the edited pixels; to go on editing, or to go back, one needs those from before. So a PNG that is
saved with its editing carries all of it in a private chunk of its own ("gaNS": tools that change the pixels drop it, as
its capital S asks them to). For other formats the same bytes are a file beside it, NAME.ganvas.

    card.json               format, history of recipes, where in it we are, the inversion's facts
    inversion.safetensors   "ws" float32 [1, num_ws, w_dim], "delta.NAME" float16: the tuning
    original                the photo's file as it came, byte by byte; none for a picture from a seed

It is a zip whose members are stored as they are, so that its size says what it unfolds to. Nothing in it is executed.
Whoever gets such a file gets the original, too.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors, save as save_tensors
from torch import Tensor

from ganvas.checks import check_ws
from ganvas.editing.recipe import Recipe
from ganvas.errors import BadImage
from ganvas.features.efficientnet import EfficientNetLite0
from ganvas.images.files import read_image
from ganvas.images.png16 import PNG_SIGNATURE, png_chunk, png_chunks
from ganvas.inversion.result import Inversion
from ganvas.session.finishing import NetworkLoader
from ganvas.session.open import open_seed, open_session
from ganvas.session.renderer import SeedRenderer
from ganvas.session.session import Session
from ganvas.weights.load import load

_FORMAT = "ganvas-session-1"
PNG_CHUNK = b"gaNS"
ZIP_START = b"PK\x03\x04"
CARD, TENSORS, ORIGINAL = "card.json", "inversion.safetensors", "original"
MAX_MEMBER_BYTES = {CARD: 16 * 2**20, TENSORS: 512 * 2**20}
MAX_HISTORY_ENTRIES = 200  # of the history; older ones are left out
_FACTS = ("figures", "effort", "seed", "fingerprint", "source", "crop")


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """What such a file holds, checked as far as it can be without its generator."""

    history: tuple[Recipe, ...]
    at: int
    inversion: Inversion
    original: bytes | None
    name: str
    face: int | None  # from 0

    @property
    def recipe(self) -> Recipe:
        """What was in force."""
        return self.history[self.at]

    @property
    def seed(self) -> bool:
        """Of a picture from a seed?"""
        return self.original is None


def build_project_file(session: Session, *, original: bytes | None, name: str, face: int | None) -> bytes:
    """The file of a session.

    Args:
        session: to be kept.
        original: the bytes of the photo's file; None = the session is one of a seed.
        name: what the photo is called.
        face: which of its faces, from 0.
    """
    history, at = trim_history(session.history, session.at)
    inversion = session.inversion
    card: dict[str, Any] = {
        "format": _FORMAT,
        "name": name,
        "face": face,
        "seed": isinstance(session.renderer, SeedRenderer),
        "at": at,
        "history": [json.loads(recipe.to_json()) for recipe in history],
        "inversion": {fact: getattr(inversion, fact) for fact in _FACTS},
    }
    if inversion.crop is not None:
        card["inversion"]["crop"] = [float(number) for number in inversion.crop]
    tensors = {"ws": inversion.ws.contiguous()} | {
        f"delta.{n}": t.half().contiguous() for n, t in inversion.delta.items()
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as members:
        members.writestr(_member(CARD), json.dumps(card, ensure_ascii=False))
        members.writestr(_member(TENSORS), save_tensors(tensors))
        if original is not None:
            members.writestr(_member(ORIGINAL), original)
    return file.getvalue()


def resume_project(
    project: ProjectFile,
    generator: Any,
    *,
    name: str,
    max_pixels: int,
    extractor: EfficientNetLite0 | None = None,
    network: NetworkLoader = load,
) -> Session:
    """The session that was saved: nothing is searched, the whole history is there.

    Args:
        project: from `read_project_file`.
        generator: the one it was edited with.
        name: what the recipe calls it.
        max_pixels: of the original; see `read_image`.
        extractor, network: see `open_session`.

    Raises:
        BadConfig, BadLatent: another generator, or a step that does not fit. BadImage: the original cannot be read.
    """
    if project.original is None:
        seed, psi = project.recipe.seed, project.recipe.truncation_psi
        session = open_seed(seed, model=generator, name=name, truncation_psi=psi, network=network)
    else:
        check_ws(project.inversion.ws, who="this editing", num_ws=generator.num_ws, w_dim=generator.w_dim)
        session = open_session(
            read_image(project.original, max_pixels=max_pixels),
            model=generator,
            name=name,
            effort=project.history[0].effort,
            inversion=project.inversion,
            extractor=extractor,
            network=network,
        )
    session.restore(project.history, project.at)
    return session


def trim_history(history: Sequence[Recipe], at: int) -> tuple[list[Recipe], int]:
    """As much of a history as a file holds: the untouched beginning, what is in force, and what is nearest to it.

    Args:
        history: all of it.
        at: which entry is in force.

    Returns:
        The entries that are kept, and which of them is in force.
    """
    sizes = [len(recipe.to_json().encode()) for recipe in history]
    chosen, room = {0, at}, MAX_MEMBER_BYTES[CARD] // 2 - sizes[0] - sizes[at]
    for i in sorted(range(len(history)), key=lambda i: abs(i - at)):
        if i not in chosen and len(chosen) < MAX_HISTORY_ENTRIES and sizes[i] <= room:
            chosen.add(i)
            room -= sizes[i]
    indices = sorted(chosen)
    return [history[i] for i in indices], indices.index(at)


def _member(name: str) -> zipfile.ZipInfo:
    """Always of one date: the same session gives the same bytes."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def embed_in_png(file: bytes, project: bytes) -> bytes:
    """A PNG with a project file in it, before its last chunk."""
    end = file.rindex(b"IEND") - 4
    return file[:end] + png_chunk(PNG_CHUNK, project) + file[end:]


def strip_project_file(data: bytes) -> bytes:
    """The same file without one: what is edited again as a picture does not carry its past along for ever."""
    if not data.startswith(PNG_SIGNATURE) or PNG_CHUNK not in data:
        return data
    chunks = [png_chunk(name, body) for name, body in png_chunks(data) if name != PNG_CHUNK]
    return PNG_SIGNATURE + b"".join(chunks)


def read_project_file(data: bytes, *, upload_bytes: int) -> ProjectFile | None:
    """What a saved PNG or a .ganvas file holds; None for any other picture.

    Args:
        data: of a file, whatever it is.
        upload_bytes: the original may have so many.

    Raises:
        BadImage: a .ganvas file that is damaged, or something else under its name. (A PNG whose chunk is damaged is
            still a picture, and gives None.)
    """
    if data.startswith(ZIP_START):
        return _parse(data, upload_bytes)
    try:
        chunk = _find_chunk(data)
        return None if chunk is None else _parse(chunk, upload_bytes)
    except BadImage:
        return None


def _find_chunk(data: bytes) -> bytes | None:
    if not data.startswith(PNG_SIGNATURE) or PNG_CHUNK not in data:
        return None
    return next((body for name, body in png_chunks(data) if name == PNG_CHUNK), None)


def _parse(file: bytes, upload_bytes: int) -> ProjectFile:
    """The contents, with everything that is not as we write it refused."""
    try:
        members = _members(file, upload_bytes)
        card = json.loads(members[CARD].decode("utf-8"))
        if card["format"] != _FORMAT:
            raise ValueError(f"another format, {str(card['format'])[:40]}")
        history, at = _history(card)
        face = card["face"]
        if not (face is None or (isinstance(face, int) and 0 <= face < 1000)) or not isinstance(card["name"], str):
            raise ValueError("invalid face or name")
        if bool(card["seed"]) != (ORIGINAL not in members):
            raise ValueError("the original is missing")
        inversion = _inversion(card["inversion"], members[TENSORS])
    except BadImage:
        raise
    except Exception as error:  # of zipfile, json, safetensors: whatever a hostile file makes them raise
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise BadImage(f"this is not a session that ganvas saved, or it is damaged ({reason})") from error
    return ProjectFile(
        history=history, at=at, inversion=inversion, original=members.get(ORIGINAL), name=card["name"][:100], face=face
    )


def _members(file: bytes, upload_bytes: int) -> dict[str, bytes]:
    most = MAX_MEMBER_BYTES | {ORIGINAL: upload_bytes}
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names) or not set(names) <= most.keys():
            raise ValueError("its members are unexpected")
        for entry in entries:
            packed = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
            if packed or entry.flag_bits & 1 or entry.file_size > most[entry.filename]:
                raise ValueError(f"{entry.filename} is packed or too large")
        return {name: archive.read(name) for name in names}


def _history(card: dict[str, Any]) -> tuple[tuple[Recipe, ...], int]:
    entries, at = card["history"], card["at"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_HISTORY_ENTRIES:
        raise ValueError("invalid history")
    history = tuple(Recipe.from_json(json.dumps(recipe)) for recipe in entries)
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < len(history):
        raise ValueError("its position in the history is invalid")
    if history[0].steps or len({recipe.fingerprint for recipe in history}) != 1:
        raise ValueError("its history starts with an edit, or has several generators")
    return history, at


def _inversion(facts: dict[str, Any], file: bytes) -> Inversion:
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
    kinds = {"effort": str, "seed": int, "fingerprint": str, "source": str}
    if not all(isinstance(getattr(inversion, name), kind) for name, kind in kinds.items()):
        raise ValueError("facts have the wrong type")
    return dataclasses.replace(
        inversion, crop=inversion.crop if inversion.crop is None or len(inversion.crop) == 4 else None
    )


def _check_finite(tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
        raise ValueError("its latents are not finite")
