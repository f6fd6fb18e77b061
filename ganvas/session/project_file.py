"""A project as a file: its photos as they were, what was found in the model, and all that was done, to resume it later.

A saved picture holds the edited pixels; to go on editing, or to go back, one needs those from before. So a PNG that is
saved with its editing carries all of it in a private chunk of its own ("gaNS": tools that change the pixels drop it, as
its capital S asks them to). For other formats the same bytes are a file beside it, NAME.ganvas; a whole project is
exported as one such file, too.

    card.json                    format, name, photos: faces, and of each face history, where in it we are, facts
    latents-P-L.safetensors      of photo P, layer L: "ws" float32 [1, num_ws, w_dim], "delta.NAME" float16: the tuning
    original-P                   the photo's file as it came, byte by byte; none for a picture from a seed

It is a zip whose members are stored as they are, so that its size says what it unfolds to. Nothing in it is executed.
Whoever gets such a file gets the originals, too. Files of format 1 (one face of one photo; card.json,
inversion.safetensors, original) are read as well.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import Region
from ganvas.errors import BadImage
from ganvas.images.png16 import PNG_SIGNATURE, png_chunk, png_chunks
from ganvas.session.records import (
    MAX_FACES,
    MAX_HISTORY_ENTRIES,
    LayerRecord,
    PhotoRecord,
    face_from_data,
    face_to_data,
    facts_of,
    history_from,
    inversion_from,
    tensors_of,
)
from ganvas.session.variants import MAX_VARIANTS, PhotoVariant

FORMAT = "ganvas-project-2"
_FORMAT_1 = "ganvas-session-1"
PNG_CHUNK = b"gaNS"
ZIP_START = b"PK\x03\x04"
CARD = "card.json"
MAX_PHOTOS = 1000
MAX_MEMBER_BYTES = {"card": 64 * 2**20, "latents": 512 * 2**20}
MAX_HISTORY_BYTES = 8 * 2**20  # of one face
_MEMBER = re.compile(r"(card)\.json|(latents)-\d{1,4}-\d{1,4}\.safetensors|(original)-\d{1,4}")
_OLD_MEMBERS = {CARD: "card", "inversion.safetensors": "latents", "original": "original"}


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """What such a file holds, checked as far as it can be without its generators."""

    name: str
    photos: tuple[PhotoRecord, ...]


def write_project_file(file: IO[bytes], photos: Sequence[PhotoRecord], *, name: str) -> None:
    """Write a project.

    Args:
        file: open for writing.
        photos: its photos.
        name: what it is called.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as members:
        card = {"format": FORMAT, "name": name, "photos": [_write_photo(members, p, i) for i, p in enumerate(photos)]}
        members.writestr(_member(CARD), json.dumps(card, ensure_ascii=False))


def build_project_file(photos: Sequence[PhotoRecord], *, name: str) -> bytes:
    """The same as bytes."""
    file = io.BytesIO()
    write_project_file(file, photos, name=name)
    return file.getvalue()


def _write_photo(members: zipfile.ZipFile, photo: PhotoRecord, index: int) -> dict[str, Any]:
    original = photo.read_original()
    if original is not None:
        members.writestr(_member(f"original-{index}"), original)
    return {
        "name": photo.name,
        "model": photo.model,
        "seed": photo.seed,
        "face": photo.face,
        "faces": None if photo.faces is None else [face_to_data(face) for face in photo.faces],
        "needs_face": photo.needs_face,
        "variants": [json.loads(variant.to_json()) for variant in photo.variants],
        "layers": [_write_layer(members, layer, index, i) for i, layer in enumerate(photo.layers)],
    }


def _write_layer(members: zipfile.ZipFile, layer: LayerRecord, photo: int, index: int) -> dict[str, Any]:
    history, at = trim_history(layer.history, layer.at)
    if layer.inversion is not None:
        members.writestr(_member(f"latents-{photo}-{index}.safetensors"), tensors_of(layer.inversion))
    return {
        "face": layer.face,
        "at": at,
        "history": [json.loads(recipe.to_json()) for recipe in history],
        "inversion": None if layer.inversion is None else facts_of(layer.inversion),
        "region": None if layer.region is None else layer.region.to_dict(),
    }


def trim_history(history: Sequence[Recipe], at: int) -> tuple[list[Recipe], int]:
    """As much of a history as a file holds: the untouched beginning, what is in force, and what is nearest to it.

    Args:
        history: all of it.
        at: which entry is in force.

    Returns:
        The entries that are kept, and which of them is in force.
    """
    sizes = [len(recipe.to_json().encode()) for recipe in history]
    chosen, room = {0, at}, MAX_HISTORY_BYTES - sizes[0] - sizes[at]
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
    with io.BytesIO(file) as stream:
        return parse_project_file(stream, upload_bytes=upload_bytes)


def parse_project_file(file: IO[bytes] | Path, *, upload_bytes: int) -> ProjectFile:
    """What a .ganvas file holds, with everything that is not as we write it refused.

    Args:
        file: open for reading, or its path.
        upload_bytes: each original may have so many.

    Raises:
        BadImage: it is damaged, or something else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, upload_bytes)
            card = json.loads(members[CARD].decode("utf-8"))
            if card["format"] == _FORMAT_1:
                return _migrate(card, members)
            if card["format"] != FORMAT:
                raise ValueError(f"another format, {str(card['format'])[:40]}")
            return _project(card, members)
    except BadImage:
        raise
    except Exception as error:  # of zipfile, json, safetensors: whatever a hostile file makes them raise
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise BadImage(f"this is not a session that ganvas saved, or it is damaged ({reason})") from error


def _project(card: Mapping[str, Any], members: Mapping[str, bytes]) -> ProjectFile:
    photos = card["photos"]
    if not isinstance(photos, list) or not 0 < len(photos) <= MAX_PHOTOS:
        raise ValueError("it has no photos, or too many")
    return ProjectFile(
        name=_text(card["name"]), photos=tuple(_photo(one, members, index) for index, one in enumerate(photos))
    )


def _photo(data: Mapping[str, Any], members: Mapping[str, bytes], index: int) -> PhotoRecord:
    original = members.get(f"original-{index}")
    if bool(data["seed"]) != (original is None):
        raise ValueError("the original is missing")
    faces = None if data["faces"] is None else tuple(map(face_from_data, data["faces"][: MAX_FACES + 1]))
    layers = tuple(_layer(one, members, index, i) for i, one in enumerate(data["layers"]))
    if any(layer.face is not None and layer.face >= len(faces or ()) for layer in layers):
        raise ValueError("a face that is not in the photo")
    if original is None and not layers:
        raise ValueError("a picture from a seed without a recipe")
    return PhotoRecord(
        name=_text(data["name"]),
        original=original,
        model=_text(data["model"]),
        face=_place(data["face"]),
        faces=faces,
        needs_face=bool(data["needs_face"]),
        layers=layers,
        variants=tuple(PhotoVariant.from_json(json.dumps(one)) for one in data.get("variants", [])[:MAX_VARIANTS]),
    )


def _layer(data: Mapping[str, Any], members: Mapping[str, bytes], photo: int, index: int) -> LayerRecord:
    history, at = history_from(data["history"], data["at"], most=MAX_HISTORY_ENTRIES)
    facts, region = data["inversion"], data["region"]
    inversion = None if facts is None else inversion_from(facts, members[f"latents-{photo}-{index}.safetensors"])
    return LayerRecord(
        face=_place(data["face"]),
        history=history,
        at=at,
        inversion=inversion,
        region=None if region is None else Region.from_dict(region),
    )


def _migrate(card: Mapping[str, Any], members: Mapping[str, bytes]) -> ProjectFile:
    """Format 1: one face of one photo. Its faces were counted by size, and are looked for again."""
    history, at = history_from(card["history"], card["at"], most=MAX_HISTORY_ENTRIES)
    _place(card["face"])
    original = members.get("original")
    if bool(card["seed"]) != (original is None):
        raise ValueError("the original is missing")
    layer = LayerRecord(
        face=None, history=history, at=at, inversion=inversion_from(card["inversion"], members["inversion.safetensors"])
    )
    name = _text(card["name"])
    photo = PhotoRecord(
        name=name,
        original=original,
        model=history[0].model,
        needs_face=card["face"] is not None,
        layers=(layer,),
    )
    return ProjectFile(name=name, photos=(photo,))


def _place(face: Any) -> int | None:
    if face is None:
        return None
    if isinstance(face, bool) or not isinstance(face, int) or not 0 <= face < MAX_FACES:
        raise ValueError("invalid face")
    return face


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("invalid name")
    return value[:100]


def _members(archive: zipfile.ZipFile, upload_bytes: int) -> dict[str, bytes]:
    most = MAX_MEMBER_BYTES | {"original": upload_bytes}
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise ValueError("its members are unexpected")
    for entry in entries:
        packed = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
        if packed or entry.flag_bits & 1 or entry.file_size > most[_kind(entry.filename)]:
            raise ValueError(f"{entry.filename} is packed or too large")
    return {name: archive.read(name) for name in names}


def _kind(name: str) -> str:
    match = _MEMBER.fullmatch(name)
    if match is None and name not in _OLD_MEMBERS:
        raise ValueError("its members are unexpected")
    return _OLD_MEMBERS[name] if match is None else next(filter(None, match.groups()))
