"""Set the ends of sliders where pictures of real people break up, and count what two sliders at their ends do.

    python tools/set_dial_ends.py ends FILE --people INVERSIONS [--sheets DIR] [--table ends.json] [--write]
    python tools/set_dial_ends.py pairs FILE --people INVERSIONS [--settings 300] [--table pairs.json]

FILE has the directions of `faces`, INVERSIONS the .npz of `ganvas invert`. An amount holds where the guard of the
session finds nothing in the generator's picture (`TunedGenerator.is_broken`: the critic of faces, the length of the
latents) and where it is still the same person as unedited, for at least HELD of the people; sliders of age and gender,
and those that hide the eyes, may show somebody else. Each side is narrowed from the card's own end in steps of a
tenth, never widened. `--write` puts the ends into FILE.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import ganvas
from ganvas.editing.directions import Direction, apply_direction, load_directions, save_directions
from ganvas.editing.step import EditedLatents
from ganvas.features.efficientnet import load_efficientnet
from ganvas.features.identity import SIMILAR_PERSON, identity_distance
from ganvas.images.contact_sheet import grid
from ganvas.inversion.result import Inversion
from ganvas.session.tuned_generator import CROP_PREVIEW_PX, TunedGenerator

HELD = 11 / 12  # of the people
STEPS = 10  # to which a range is narrowed
# Groups and names of sliders that may show somebody else: they are meant to, or hide the eyes, and with them who it is.
CHANGES_PERSON = ("age", "accessories")
CHANGES_PERSON_NAMES = ("gender", "eyes_open")


@dataclass(frozen=True)
class Person:
    """Somebody who was found in the generator."""

    name: str
    tuned: TunedGenerator

    def paint(self, edited: EditedLatents) -> Tensor:
        """As the guard looks at it, [1, 3, PX, PX]."""
        return self.tuned.picture(edited, self.tuned.first_share, CROP_PREVIEW_PX, precision="fast")

    @cached_property
    def unedited(self) -> Tensor:
        """The picture without an edit."""
        return self.paint(self.tuned.unedited)

    def edit(self, amounts: Sequence[tuple[Direction, float]]) -> EditedLatents:
        """What sliders make of the person's latents."""
        ws, shift = self.tuned.inversion.ws, None
        for direction, amount in amounts:
            ws, more = apply_direction(ws, direction, amount, self.tuned.generator)
            shift = more if shift is None or more is None else shift + more
        return EditedLatents(ws, shift)

    def judge(self, edited: EditedLatents, *, same: bool) -> tuple[bool, dict[str, float]]:
        """Does an edit hold, with the figures; `same`: must it stay the same person?"""
        figures = {"length": self.tuned.latent_length(edited), "critic": self.tuned.naturalness(edited)}
        if same:
            figures["identity"] = identity_distance(self.paint(edited), self.unedited).item()
        holds = not self.tuned.is_broken(edited) and figures.get("identity", 0.0) <= SIMILAR_PERSON
        return holds, {name: round(value, 3) for name, value in figures.items()}


def read_people(folder: Path, generator: Any, count: int) -> list[Person]:
    """The first of the inversions in a folder."""
    extractor = load_efficientnet()
    files = sorted(folder.glob("*.npz"))[:count]
    return [
        Person(file.stem, TunedGenerator(generator, Inversion.load(file), extractor, aligned=True)) for file in files
    ]


def find_end(
    direction: Direction, end: float, people: Sequence[Person]
) -> tuple[float, dict[str, Any], Sequence[Tensor]]:
    """The largest amount toward an end that holds, with what was seen there, and the pictures.

    It is the smallest step where none holds.
    """
    same = direction.group not in CHANGES_PERSON and direction.name not in CHANGES_PERSON_NAMES
    tried: dict[int, dict[str, Any]] = {}
    pictures: dict[int, list[Tensor]] = {}
    allowed = len(people) - round(HELD * len(people))

    def holds(step: int) -> bool:
        seen, broken = {}, []
        pictures[step] = []
        for person in people:
            edited = person.edit([(direction, end * step / STEPS)])
            well, seen[person.name] = person.judge(edited, same=same)
            pictures[step].append(person.paint(edited))
            broken += [] if well else [person.name]
            if len(broken) > allowed:  # enough is known
                break
        tried[step] = {"broken": broken, "seen": seen}
        return len(broken) <= allowed

    low, high = (STEPS, STEPS) if holds(STEPS) else (0, STEPS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    best = max(1, low)
    return round(end * best / STEPS, 2), tried[best] | {"of": end, "first": tried[STEPS]}, pictures[best]


@torch.no_grad()
def find_ends(
    directions: Sequence[Direction], people: Sequence[Person], sheets: Path | None
) -> Iterator[tuple[Direction, dict[str, Any]]]:
    """Each direction with narrowed ends, and what was seen at them; `sheets` is a folder for the pictures there."""
    for direction in directions:
        sides, rows = {}, []
        for side in ("low", "high"):
            end = getattr(direction, side)
            if end:
                end, sides[side], row = find_end(direction, end, people)
                sides[side]["end"] = end
                rows.append(row)
        if sheets is not None:
            write_sheet(rows, sheets / f"{direction.name}.png")
        narrowed = {side: seen["end"] for side, seen in sides.items()}
        print(
            direction.name,
            {side: (seen["of"], seen["end"], seen["broken"]) for side, seen in sides.items()},
            flush=True,
        )
        yield replace(direction, **narrowed), sides


@torch.no_grad()
def count_pairs(directions: Sequence[Direction], people: Sequence[Person], settings: int, seed: int) -> dict[str, Any]:
    """Two sliders at their ends: how many settings hold of all, or of as many as are asked for, drawn by seed."""
    ends = [(d, end) for d in directions for end in (d.low, d.high) if end]
    pairs = [(a, b) for a, b in itertools.combinations(ends, 2) if a[0].name != b[0].name]
    every = [(person, pair) for pair in pairs for person in people]
    drawn = every if settings >= len(every) else Random(seed).sample(every, settings)
    broken = []
    for i, (person, pair) in enumerate(drawn):
        edited = person.edit(pair)
        if person.tuned.is_broken(edited):
            names = " ".join(f"{direction.name}{amount:+g}" for direction, amount in pair)
            figures = person.judge(edited, same=False)[1]
            broken.append({"person": person.name, "pair": names, **figures})
        if i % 20 == 19:
            print(f"{i + 1} of {len(drawn)} settings, {len(broken)} break up", flush=True)
    return {"settings": len(drawn), "of": len(every), "broken": broken}


def write_sheet(pictures: Sequence[Sequence[Tensor]], file: Path) -> None:
    """A row for each end, everybody beside one another."""
    columns = max(map(len, pictures))
    blank = torch.ones_like(pictures[0][0])
    rows = [torch.cat([*row, *[blank] * (columns - len(row))]) for row in pictures]
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = ((grid(torch.cat(rows), columns=columns)[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    Image.fromarray(pixels).save(file)


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ends", "pairs"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--count", type=int, help="of people; 12, for pairs 6")
    parser.add_argument("--only", nargs="*", default=[], help="names of directions")
    parser.add_argument("--settings", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    generator, every = ganvas.load("faces"), load_directions(a.file)
    directions = [d for d in every.values() if not a.only or d.name in a.only]
    if a.what == "pairs":
        people = read_people(a.people, generator, a.count or 6)
        counted = count_pairs(directions, people, a.settings, a.seed)
        print(f"{len(counted['broken'])} of {counted['settings']} settings break up")
        if a.table:
            a.table.write_text(json.dumps(counted, indent=1), "utf-8")
        return
    people, table = read_people(a.people, generator, a.count or 12), {}
    for direction, sides in find_ends(directions, people, a.sheets):
        every[direction.name], table[direction.name] = direction, sides
        if a.table:
            a.table.write_text(json.dumps(table, indent=1), "utf-8")
    if a.write:
        facts = directions[0].facts
        save_directions(list(every.values()), a.file, licence=facts["licence"], origin=facts["origin"])


if __name__ == "__main__":
    main()
