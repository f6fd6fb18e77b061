"""The directions that ship with ganvas, and those that a user keeps."""

from __future__ import annotations

from pathlib import Path

from ganvas.editing.directions import Direction, load_directions
from ganvas.weights.catalogue import store

SHIPPED_DIRECTIONS = Path(__file__).parent / "shipped"


def directions_of(generator_fingerprint: str) -> dict[str, Direction]:
    """The directions that ship with ganvas and those the user keeps, for one generator, by name; the user's win."""
    directions: dict[str, Direction] = {}
    for folder in (SHIPPED_DIRECTIONS, store.home() / "directions"):
        for file in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            directions |= {n: d for n, d in load_directions(file).items() if d.fingerprint == generator_fingerprint}
    return directions
