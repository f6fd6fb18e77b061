"""How much may be taken in from one file: a small file must not become hours of work or gigabytes of memory.

Weights hardly compress, so an honest file holds about as many bytes as the tensors in it, and a few thousand small
instructions. Everything beyond that is refused while it is still only a number in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ganvas.errors import BrokenWeights, UnsafeWeights

MAX_INSTRUCTIONS = 2_000_000  # instructions in all pickles of a file; the largest published StyleGAN has some 40,000
MAX_NESTING = 200  # containers inside containers; published files stay below 60
MAX_UNFOLDED = 20_000_000  # places one reaches by walking down every path
SPARE_BYTES = 16 << 20


@runtime_checkable
class HasChildren(Protocol):
    """Something of a file that holds other things and is no container of Python's own."""

    def child_nodes(self) -> tuple[object, ...]:
        """What is inside."""
        ...


@dataclass
class ReadLimits:
    """The account of one file.

    `name` is how messages call it, `size` its bytes after unpacking. Tensors that share a storage or repeat it by a
    stride of 0 are counted each time, since whoever reads them will copy them: up to four times the file.
    """

    name: str
    size: int
    steps: int = 0
    copied: int = 0
    viewed: int = 0
    depth: int = 0  # pickles inside pickles

    def step(self, count: int = 1) -> None:
        """Count instructions, or items that one instruction copies."""
        self.steps += count
        if self.steps > MAX_INSTRUCTIONS:
            raise self.unsafe_error(f"it has more than {MAX_INSTRUCTIONS:,} instructions, which no weights file needs")

    def copy(self, count_bytes: int) -> None:
        """Count bytes that are copied out of the file one by one."""
        self.copied += count_bytes
        if self.copied > 4 * self.size + SPARE_BYTES:
            raise self.unsafe_error(f"it wants {self.copied:,} bytes of memory and is itself {self.size:,} bytes long")

    def view(self, count_bytes: int) -> None:
        """Count bytes of a tensor or array that looks into the file."""
        self.viewed += count_bytes
        if self.viewed > 4 * self.size + SPARE_BYTES:
            raise self.unsafe_error(f"its tensors claim {self.viewed:,} bytes and the file is {self.size:,} bytes long")

    def broken_error(self, why: str) -> BrokenWeights:
        """The error for a damaged file, to be raised by the caller."""
        return BrokenWeights(f"{self.name} is damaged: {why}. Fetch or copy it again.")

    def unsafe_error(self, why: str) -> UnsafeWeights:
        """The error for a file that asks for too much, to be raised by the caller."""
        return UnsafeWeights(f"{self.name} is refused: {why}. Nothing of it was run.")


def check_tree(tree: object, limits: ReadLimits) -> None:
    """Refuse trees that would trap whoever walks them: circles, endless depth, few objects with very many paths.

    Raises:
        UnsafeWeights: the tree refers to itself, is deeper than MAX_NESTING or unfolds to more than MAX_UNFOLDED.
    """
    done: dict[int, tuple[int, int]] = {}  # id → (depth, places below, itself included)
    open_: set[int] = set()
    todo: list[tuple[object, bool]] = [(tree, False)]
    while todo:
        node, children_are_done = todo.pop()
        key = id(node)
        if key in done or not (children := _children(node)):
            continue
        if not children_are_done:
            if key in open_:
                raise limits.unsafe_error("its contents refer to themselves")
            open_.add(key)
            todo.append((node, True))
            todo += [(child, False) for child in children]
            continue
        below = [done.get(id(child), (0, 1)) for child in children]
        depth, places = 1 + max(d for d, _ in below), 1 + sum(n for _, n in below)
        if depth > MAX_NESTING or places > MAX_UNFOLDED:
            raise limits.unsafe_error(f"its contents are nested {depth} deep and unfold to {places:,} places")
        done[key] = depth, places
        open_.discard(key)


def _children(node: object) -> list[object]:
    """What a container or a record holds; [] for leaves."""
    if isinstance(node, dict):
        return list(node.values())
    if isinstance(node, (list, tuple)):
        return list(node)
    if isinstance(node, np.ndarray) and node.dtype == object:
        return list(node.flat)
    return list(node.child_nodes()) if isinstance(node, HasChildren) else []
