"""One photo of a project on disk: its file, what was found of its faces, and all that was done to them."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.editing.recipe import Recipe
from ganvas.editing.regions import Region
from ganvas.errors import BadConfig
from ganvas.inversion.result import Inversion
from ganvas.session.history import EditHistory
from ganvas.session.photo_edits import PhotoEdits
from ganvas.session.project_index import ProjectIndex, UnknownProject
from ganvas.session.records import (
    LayerRecord,
    PhotoRecord,
    face_from_data,
    face_to_data,
    facts_of,
    inversion_from,
    tensors_of,
)
from ganvas.session.variants import PhotoVariant, VariantList
from ganvas.weights.checkpoint import write_atomically

MAX_NAME = 100
ORIGINAL, THUMBNAIL = "original", "small.jpg"
_WHOLE, _PLAIN = -1, -2  # layers without a face: a square of one's own or a seed; finishing steps alone


@dataclass(frozen=True, kw_only=True)
class PhotoSummary:
    """What a list shows of a photo."""

    id: str
    name: str
    width: int
    height: int
    faces: int
    edits: int  # steps of all faces
    changed: float  # seconds since 1970


class StoredPhoto:
    """One photo of a project on disk. `save` writes what has changed since the last time.

    Args:
        index: of all projects.
        project: the id of the one it belongs to.
        id: of the photo.
    """

    def __init__(self, index: ProjectIndex, project: str, id: str):
        self.index, self.project, self.id = index, project, id
        self._saved: dict[tuple[int, str], tuple[Inversion | None, tuple[Recipe, ...], int, Region | None]] = {}
        self._card: dict[str, Any] | None = None
        self._variants: list[PhotoVariant] | None = None

    @property
    def folder(self) -> Path:
        """Its files."""
        return self.index.folder / self.project / self.id

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        _, card = self._row()
        return card["width"], card["height"]

    @property
    def original(self) -> Path | None:
        """Its file as it came; None = a picture from a seed."""
        path = self.folder / ORIGINAL
        return path if path.is_file() else None

    def record(self) -> PhotoRecord:
        """All that is known of it, read from the disk.

        Raises:
            UnknownProject: it was deleted. BadConfig: its files are damaged.
        """
        name, card = self._row()
        try:
            layers = tuple(self._read_layer(*row) for row in self._layer_rows())
            faces = None if card["faces"] is None else tuple(map(face_from_data, card["faces"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadConfig(f"the photo {name!r} is damaged: {error}") from error
        original = None if card["seed"] else self.folder / ORIGINAL
        return PhotoRecord(
            name=name,
            original=original,
            model=card["model"],
            face=card["face"],
            faces=faces,
            needs_face=card["needs_face"],
            layers=layers,
            variants=tuple(self.variants()),
        )

    def earlier(self, face: int | None, fingerprint: str) -> LayerRecord | None:
        """What was done to a face in a model that it was found in earlier, without what was found."""
        query = "SELECT face, at, '', facts, region, id FROM layer WHERE photo = ? AND face = ? AND fingerprint = ?"
        rows = self.index.read(query, self.id, _WHOLE if face is None else face, fingerprint)
        return self._read_layer(*rows[0]) if rows else None

    def save(self, edits: PhotoEdits, *, model: str = "", needs_face: bool = False, name: str | None = None) -> None:
        """Write what has changed. When it returns, a killed process loses nothing of it.

        Args:
            edits: of this photo.
            model: the generator it is edited with.
            needs_face: does that paint faces only?
            name: of the photo; None = as it was.
        """
        for face, session in edits.sessions.items():
            self._save_history(_WHOLE if face is None else face, session, session.inversion, session.region)
        if len(edits.plain.history) > 1:
            self._save_history(_PLAIN, edits.plain, None, None)
        record = PhotoRecord(
            name="", original=None, model=model, face=edits.face, faces=edits.faces, needs_face=needs_face
        )
        card = _card_of(record, edits.photo.size) | {"seed": self.original is None}
        with self.index.writing() as db:
            if card != self._card:
                db.execute("UPDATE photo SET card = ? WHERE id = ?", (json.dumps(card), self.id))
                self._card = card
            if name is not None:
                db.execute("UPDATE photo SET name = ? WHERE id = ?", (name[:MAX_NAME], self.id))
            now = time.time()
            db.execute("UPDATE photo SET changed = ? WHERE id = ?", (now, self.id))
            db.execute("UPDATE project SET changed = ? WHERE id = ?", (now, self.project))

    def save_layer(self, layer: LayerRecord) -> None:
        """Write one face's editing as it was recorded."""
        place = _PLAIN if layer.inversion is None else _WHOLE if layer.face is None else layer.face
        self._write_layer(place, layer.history, layer.at, layer.inversion, layer.region)

    def variants(self) -> VariantList:
        """Its states under names.

        Raises:
            BadConfig: they are damaged.
        """
        rows = self.index.read("SELECT data FROM variant WHERE photo = ? ORDER BY position", self.id)
        try:
            return VariantList(PhotoVariant.from_json(text) for (text,) in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise BadConfig(f"the variants of this photo are damaged: {error}") from error

    def save_variants(self, variants: VariantList) -> None:
        """Write its states under names, where they have changed."""
        now = list(variants)
        if now == self._variants:
            return
        with self.index.writing() as db:
            db.execute("DELETE FROM variant WHERE photo = ?", (self.id,))
            rows = [(self.id, position, variant.to_json()) for position, variant in enumerate(now)]
            db.executemany("INSERT INTO variant VALUES (?, ?, ?)", rows)
        self._variants = now

    def save_thumbnail(self, jpeg: bytes) -> None:
        """How it looks now, for lists."""
        _write(self.folder / THUMBNAIL, jpeg)

    def delete(self) -> None:
        """Take it out of its project for good."""
        with self.index.writing() as db:
            db.execute("DELETE FROM photo WHERE id = ?", (self.id,))
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- rows

    def _row(self) -> tuple[str, dict[str, Any]]:
        rows = self.index.read("SELECT name, card FROM photo WHERE id = ?", self.id)
        if not rows:
            raise UnknownProject("there is no such photo in this project, or it was deleted")
        return rows[0][0], json.loads(rows[0][1])

    def _layer_rows(self) -> list[Any]:
        return self.index.read(
            "SELECT face, at, latents, facts, region, id FROM layer WHERE photo = ? AND current ORDER BY id", self.id
        )

    def _read_layer(self, face: int, at: int, latents: str, facts: str, region: str, id: int) -> LayerRecord:
        rows = self.index.read("SELECT recipe FROM entry WHERE layer = ? ORDER BY position", id)
        inversion = inversion_from(json.loads(facts), (self.folder / latents).read_bytes()) if latents else None
        history = tuple(Recipe.from_json(text) for (text,) in rows)
        return LayerRecord(
            face=None if face < 0 else face,
            history=history,
            at=min(at, len(history) - 1),
            inversion=inversion,
            region=Region.from_dict(json.loads(region)) if region else None,
        )

    def _save_history(
        self, place: int, editing: EditHistory, inversion: Inversion | None, region: Region | None
    ) -> None:
        key = place, editing.recipe.fingerprint
        now = inversion, editing.history, editing.at, region
        saved = self._saved.get(key)
        if saved is not None and all(a is b for a, b in zip(saved[:2], now[:2], strict=True)) and saved[2:] == now[2:]:
            return
        self._write_layer(place, editing.history, editing.at, inversion, region, saved)

    def _write_layer(
        self,
        place: int,
        history: Sequence[Recipe],
        at: int,
        inversion: Inversion | None,
        region: Region | None,
        saved: tuple[Inversion | None, tuple[Recipe, ...], int, Region | None] | None = None,
    ) -> None:
        """One face: its latents where they are new, and those entries of its history that are."""
        history, at = tuple(history), at
        latents = ""
        if inversion is not None and (saved is None or saved[0] is not inversion):
            latents = f"face{place}-{secrets.token_hex(4)}.safetensors"
            _write(self.folder / latents, tensors_of(inversion))
        facts = json.dumps({} if inversion is None else facts_of(inversion))
        drawn = "" if region is None else json.dumps(region.to_dict())
        fingerprint = history[0].fingerprint
        same = _shared_start(saved[1], history) if saved is not None else 0
        with self.index.writing() as db:
            rows = db.execute(
                "SELECT id, latents FROM layer WHERE photo = ? AND face = ? AND fingerprint = ?",
                (self.id, place, fingerprint),
            ).fetchall()
            old = rows[0][1] if rows else ""
            latents = latents or old
            if inversion is not None:  # one model at a time is a face's own; what was done in others is kept
                db.execute(
                    "UPDATE layer SET current = 0 WHERE photo = ? AND face = ? AND fingerprint != ?",
                    (self.id, place, fingerprint),
                )
            if rows:
                values = (at, latents, facts, drawn, rows[0][0])
                db.execute(
                    "UPDATE layer SET current = 1, at = ?, latents = ?, facts = ?, region = ? WHERE id = ?", values
                )
                id = rows[0][0]
            else:
                same = 0
                cursor = db.execute(
                    "INSERT INTO layer (photo, face, fingerprint, current, at, latents, facts, region) "
                    "VALUES (?, ?, ?, 1, ?, ?, ?, ?)",
                    (self.id, place, fingerprint, at, latents, facts, drawn),
                )
                id = cursor.lastrowid
            db.execute("DELETE FROM entry WHERE layer = ? AND position >= ?", (id, same))
            entries = ((id, i, recipe.to_json()) for i, recipe in enumerate(history[same:], start=same))
            db.executemany("INSERT INTO entry VALUES (?, ?, ?)", entries)
        self._saved[place, fingerprint] = inversion, history, at, region
        if old and old != latents:
            (self.folder / old).unlink(missing_ok=True)

    @classmethod
    def create(cls, index: ProjectIndex, project: str, record: PhotoRecord, size: tuple[int, int]) -> StoredPhoto:
        """A photo that is new in its project; see `Project.add`."""
        stored, now = cls(index, project, secrets.token_hex(8)), time.time()
        stored.folder.mkdir(parents=True)
        original = record.read_original()
        if original is not None:
            _write(stored.folder / ORIGINAL, original)
        with index.writing() as db:
            place = db.execute("SELECT coalesce(max(position), -1) + 1 FROM photo WHERE project = ?", (project,))
            card = json.dumps(_card_of(record, size))
            values = (stored.id, project, place.fetchone()[0], record.name[:MAX_NAME], card, now, now)
            db.execute("INSERT INTO photo VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            db.execute("UPDATE project SET changed = ? WHERE id = ?", (now, project))
        for layer in record.layers:
            stored.save_layer(layer)
        stored.save_variants(VariantList(record.variants))
        return stored


def _shared_start(old: Sequence[Recipe], new: Sequence[Recipe]) -> int:
    """How many entries of two histories are the same ones."""
    count = 0
    for a, b in zip(old, new, strict=False):
        if a is not b:
            break
        count += 1
    return count


def _card_of(record: PhotoRecord, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "model": record.model,
        "face": record.face,
        "faces": None if record.faces is None else [face_to_data(face) for face in record.faces],
        "needs_face": record.needs_face,
        "seed": record.seed,
        "width": size[0],
        "height": size[1],
    }


def summarize_photo(id: str, name: str, card: str, changed: float, edits: int) -> PhotoSummary:
    """A row of the index as a list shows it."""
    facts: Mapping[str, Any] = json.loads(card)
    faces = len(facts["faces"] or ())
    return PhotoSummary(
        id=id, name=name, width=facts["width"], height=facts["height"], faces=faces, edits=edits, changed=changed
    )


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, lambda part: Path(part).write_bytes(data))
