"""The directions that ship with ganvas, and those that a user keeps."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganvas.editing.directions import Direction, add_directions, load_directions
from ganvas.errors import BadConfig
from ganvas.weights.catalogue import store

SHIPPED_DIRECTIONS = Path(__file__).parent / "shipped"
OLDER_DIRECTIONS = SHIPPED_DIRECTIONS / "older"  # a file an edition and model, faces-1: what was learnt anew since


def user_directions() -> Path:
    """The folder of the directions that the user keeps."""
    return store.home() / "directions"


def list_directions() -> list[tuple[Path, Direction]]:
    """Every direction on this computer with the file it is in: those that ship first, each folder by file name."""
    files = [
        file for folder in (SHIPPED_DIRECTIONS, user_directions()) for file in sorted(folder.glob("*.safetensors"))
    ]
    return [(file, direction) for file in files for direction in load_directions(file).values()]


def directions_of(generator_fingerprint: str) -> dict[str, Direction]:
    """The directions that ship with ganvas and those the user keeps, for one generator, by name; the user's win."""
    return {d.name: d for _, d in list_directions() if d.fingerprint == generator_fingerprint}


def older_directions(generator_fingerprint: str, edition: int) -> dict[str, Direction]:
    """What shipped for one generator in an edition, where that was replaced later; by name."""
    files = sorted(OLDER_DIRECTIONS.glob("*.safetensors"))
    shipped = [d for file in files if _edition_of(file) >= edition for d in load_directions(file).values()]
    return {d.name: d for d in reversed(shipped) if d.fingerprint == generator_fingerprint}


def _edition_of(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def find_direction(name: str, directions: Mapping[str, Direction], *, model: str) -> Direction:
    """A direction by its name, or, for recipes from before it was learnt anew, by name and edition ("age@1").

    Raises:
        BadConfig: there is none of that name for this model; the message has the nearest, and those there are.
    """
    if name in directions:
        return directions[name]
    plain, at, edition = name.partition("@")
    if at and edition.isdigit() and directions:
        older = older_directions(next(iter(directions.values())).fingerprint, int(edition))
        now = directions.get(plain)
        if plain in older and (now is None or now.facts.get("edition", 1) > int(edition)):
            return older[plain]
        name = plain
        if now is not None:
            return now
    near = difflib.get_close_matches(name, directions, n=1)
    known = ", ".join(sorted(directions)) or "none; learn one with 'ganvas directions learn'"
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise BadConfig(f"unknown direction {name!r} for {model}{hint}; known: {known}")


def keep_directions(
    directions: Sequence[Direction], model: str, *, licence: str, origin: str, path: Path | None = None
) -> Path:
    """Add directions of one generator to the user's own, where sessions of that generator find them.

    Args:
        directions: at least one; each takes the place of one of its name.
        model: what the user calls the generator; the file's name begins with it.
        licence, origin: see `add_directions`.
        path: another file to add to.

    Returns:
        The file.
    """
    name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', model)}-{directions[0].fingerprint[:12]}.safetensors"
    path = path or user_directions() / name
    add_directions(directions, path, licence=licence, origin=origin)
    return path
