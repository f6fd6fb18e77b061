"""Directions: which way to move a latent so that one attribute changes. What they are, applied, kept in files.

An amount of 1 is one standard deviation of the attribute's score among natural samples of the generator. Where they
come from: see `discovery/`, and `import_direction` for
those of other tools.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ganvas.editing.layers import check_layers
from ganvas.editing.style_space import style_slices
from ganvas.editing.zones import ZONES
from ganvas.errors import BadConfig, BadLatent, BrokenWeights
from ganvas.features.parts import PART_GROUPS, PARTS
from ganvas.fields import check_known
from ganvas.weights.checkpoint import write_atomically
from ganvas.weights.open_file import open_file
from ganvas.weights.readers.directions import ForeignDirection

_FORMAT = "ganvas-directions-1"
SPACES = ("w", "w+", "s")
DIRECTION_GROUPS = (
    "expression",
    "age",
    "pose",
    "hair",
    "skin",
    "accessories",
    "other",
)  # of those that ship; yours may differ
MAX_GROUP_CHARS = 40


@dataclass(frozen=True)
class Direction:
    """One direction of one generator.

    `space` says what `vector` changes for amount 1: "w" [1, w_dim], every row of ws alike; "w+" [num_ws, w_dim], each
    row in its own way; "s" [1, S], the styles of all layers side by side. `layers` are the rows of ws that move, or, in
    "s", whose styles move (None = all). Amounts from `low` to `high` were checked. `fingerprint` names the generator.
    `facts` say how it was learnt and how well. `group` is the heading that it is shown under. `parts` are the parts of
    a face picture in which it acts (see `ganvas.features.parts`): a pasted change is limited to them; () = not said.
    `zone` narrows them to a band of an aligned face (see `ganvas.editing.zones`); "" = all of them. `discs` (x, y,
    radius), in sides of the aligned crop, are where it is painted at all, such as one eye: elsewhere the generator
    paints without it; () = everywhere.
    """

    name: str
    vector: Tensor
    layers: tuple[int, ...] | None = None
    low: float = -3.0
    high: float = 3.0
    fingerprint: str = ""
    facts: dict[str, Any] = field(default_factory=dict, compare=False)
    space: str = "w"
    group: str = "other"
    parts: tuple[str, ...] = ()
    zone: str = ""
    discs: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        for part in self.parts:
            check_known(part, (*PARTS, *PART_GROUPS), what=f"part of direction {self.name!r}")
        check_known(self.space, SPACES, what="space of a direction")
        check_known(self.zone, ("", *ZONES), what="zone of a direction")
        for disc in self.discs:
            if len(disc) != 3 or not all(0 < number < 1 for number in disc):
                raise BadConfig(f"the discs of direction {self.name!r} are (x, y, radius) in (0, 1), got {disc}")
        if not (isinstance(self.group, str) and 0 < len(self.group) <= MAX_GROUP_CHARS and self.group.isprintable()):
            raise BadConfig(
                f"the group of direction {self.name!r} should be a word such as {DIRECTION_GROUPS[0]!r}, at most "
                f"{MAX_GROUP_CHARS} characters, got {str(self.group)[:60]!r}"
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise BadConfig(f"direction {self.name!r} has the range {self.low} to {self.high}")
        if self.space == "w" and self.vector.ndim == 2 and len(self.vector) > 1:
            object.__setattr__(self, "space", "w+")  # as files from before there were spaces mean it

    @property
    def card(self) -> dict[str, Any]:
        """All but name, vector and generator, as plain data."""
        fields = ("space", "layers", "low", "high", "group", "parts", "zone", "discs", "facts")
        return {name: getattr(self, name) for name in fields}


def move_along_direction(
    ws: Tensor, direction: Direction, amount: float, *, layers: Iterable[int] | None = None
) -> Tensor:
    """Move latents along a direction.

    Args:
        ws: [N, num_ws, w_dim].
        direction: of the same generator, in space "w" or "w+".
        amount: in standard deviations of the attribute.
        layers: rows to move; None = the direction's own.

    Returns:
        [N, num_ws, w_dim], a new tensor.

    Raises:
        BadLatent: the direction has another w_dim or number of rows; the message has both.
        BadConfig: it moves styles, not ws; see `style_shift`.
    """
    num_ws, w_dim = ws.shape[1:]
    if direction.space == "s":
        raise BadConfig(
            f"direction {direction.name!r} moves style channels (space 's'), which no change of ws can "
            "do: use ganvas.editing.style_space.paint(generator, ws, style_shift(direction, amount, "
            "generator))"
        )
    if direction.vector.shape[1] != w_dim or direction.vector.shape[0] not in (1, num_ws):
        raise BadLatent(
            f"direction {direction.name!r} is {list(direction.vector.shape)}, ws is {list(ws.shape)}: "
            "it was learnt on another generator"
        )
    chosen = layers if layers is not None else direction.layers
    rows = list(range(num_ws)) if chosen is None else check_layers(chosen, num_ws=num_ws)
    moved = ws.clone()
    moved[:, rows] += amount * direction.vector.to(ws).expand(num_ws, -1)[rows]
    return moved


def style_shift(direction: Direction, amount: float, generator: Any, *, layers: Iterable[int] | None = None) -> Tensor:
    """What a direction of space "s" adds to the styles: [S], for `ganvas.editing.style_space.synthesize_with_shift`.

    Args:
        direction: of this generator, in space "s".
        amount: in standard deviations of the attribute.
        generator: one with style layers.
        layers: rows of ws whose styles move; None = the direction's own.

    Raises:
        BadLatent: another number of channels. BadConfig: another space, or a generator without styles.
    """
    if direction.space != "s":
        raise BadConfig(f"direction {direction.name!r} is in space {direction.space!r}; apply it with move()")
    slices = style_slices(generator)
    if direction.vector.shape != (1, slices[-1][1].stop):
        raise BadLatent(
            f"direction {direction.name!r} has {direction.vector.shape[-1]} style channels, this generator "
            f"{slices[-1][1].stop}: it was learnt on another generator"
        )
    shift = amount * direction.vector[0]
    chosen = layers if layers is not None else direction.layers
    if chosen is not None:
        rows = set(check_layers(chosen, num_ws=generator.num_ws))
        for layer, part in slices:
            if layer.row not in rows:
                shift[part] = 0
    return shift


def apply_direction(
    ws: Tensor, direction: Direction, amount: float, generator: Any, *, layers: Iterable[int] | None = None
) -> tuple[Tensor, Tensor | None]:
    """A direction of any space: the latents to paint, and the shift of styles to paint them with (None = none)."""
    if direction.space == "s":
        return ws, style_shift(direction, amount, generator, layers=layers)
    return move_along_direction(ws, direction, amount, layers=layers), None


def project_out(direction: Direction, others: Sequence[Direction]) -> Direction:
    """The direction with what it shares with others taken out, so that their attributes stay where they are.

    What is left is made longer again, so that an amount of 1 still moves the attribute as far (measured along the
    direction as it was), at most twice.

    Raises:
        BadConfig: nothing is left: the direction lies within the others; or they are of another space.

    Source: conditional manipulation in Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face
    Editing", section 3.2.
    """
    if not others:
        return direction
    if mixed := [other.name for other in others if (other.space == "s") != (direction.space == "s")]:
        raise BadConfig(
            f"direction {direction.name!r} (space {direction.space!r}) cannot be orthogonalised against "
            f"{', '.join(mixed)}: style channels and latents are different spaces"
        )
    flat = direction.vector.expand(max(d.vector.shape[0] for d in (direction, *others)), -1)
    left = flat.double().flatten()
    for known in orthonormalize([other.vector.expand_as(flat) for other in others]):
        left = left - (left @ known) * known
    share = (left.square().sum() / flat.double().square().sum()).item()
    if share < 1e-4:
        raise BadConfig(
            f"direction {direction.name!r} vanishes when orthogonalised against the directions to keep: keep fewer"
        )
    return replace(direction, vector=(left / max(share, 0.5)).float().view_as(flat))


def orthonormalize(vectors: Sequence[Tensor]) -> list[Tensor]:
    """Gram-Schmidt, in float64; vectors that add nothing new are left out."""
    basis: list[Tensor] = []
    for vector in vectors:
        v = vector.double().flatten()
        for known in basis:
            v = v - (v @ known) * known
        if v.norm() > 1e-9 * max(1e-12, vector.norm().item()):
            basis.append(v / v.norm())
    return basis


def import_direction(foreign: ForeignDirection, generator: Any, *, name: str, fingerprint: str) -> Direction:
    """A direction of another tool as one of ours.

    Its unit stays what it was in its own tool (a step of the file's vector times its scale), since nothing in such
    files says how far the attribute moves. A GANSpace file that sets the coordinate becomes one that moves by it.

    Args:
        foreign: from `ganvas.weights.readers.directions.read_directions`.
        generator: the one it was made for; the file cannot tell, so only shapes are compared.
        name: what it will be called.
        fingerprint: of the generator.

    Raises:
        BadLatent: it moves z, or has another shape than the generator's ws.
    """
    if foreign.space == "z" and generator.num_ws > 1:
        raise BadLatent(
            f"direction {foreign.name!r} is in z space, before the mapping network; it cannot be applied "
            "to ws. InterFaceGAN has files for w, too: their names end in _w_boundary.npy"
        )
    rows, w_dim = foreign.vectors.shape
    if w_dim != generator.w_dim or rows not in (1, generator.num_ws):
        raise BadLatent(
            f"direction {foreign.name!r} is {[rows, w_dim]}, this generator's ws is "
            f"{[generator.num_ws, generator.w_dim]}: it was made for another generator"
        )
    layers = None if foreign.layers is None else tuple(check_layers(foreign.layers, num_ws=generator.num_ws))
    facts = {**foreign.facts, "method": f"imported: {foreign.format}", "unit": "a unit of the imported file"}
    return Direction(name, foreign.step.float(), layers, fingerprint=fingerprint, facts=facts)


def save_directions(directions: Sequence[Direction], path: Path | str, *, licence: str, origin: str) -> Path:
    """Write directions of one generator into one small .safetensors with a card; atomic.

    Raises:
        BadConfig: directions of different generators, or two of one name.
    """
    if len({d.fingerprint for d in directions}) != 1 or len({d.name for d in directions}) != len(directions):
        raise BadConfig("a file may only have directions of one generator, with unique names")
    header = {
        "format": _FORMAT,
        "fingerprint": directions[0].fingerprint,
        "licence": licence,
        "origin": origin,
        "directions": json.dumps({d.name: d.card for d in directions}),
    }
    tensors = {d.name: d.vector.contiguous() for d in directions}
    write_atomically(Path(path), lambda part: save_file(tensors, part, header))
    return Path(path)


def add_directions(directions: Sequence[Direction], path: Path | str, *, licence: str, origin: str) -> Path:
    """Write directions into a file beside those that are there; one of the same name takes the old one's place.

    Raises:
        BadConfig: the file's are of another generator. WeightsError: the file is damaged, or something else.
    """
    existing = load_directions(path) if Path(path).exists() else {}
    provenance = {"licence": licence, "origin": origin}
    fresh = {d.name: replace(d, facts={**d.facts, **provenance}) for d in directions}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return save_directions(list((existing | fresh).values()), path, licence=licence, origin=origin)


def load_directions(path: Path | str) -> dict[str, Direction]:
    """Read what `save_directions` wrote.

    Raises:
        WeightsError: not such a file, or a damaged one.
    """
    contents = open_file(Path(path))
    if contents.container != "safetensors" or contents.header.get("format") != _FORMAT:
        raise BrokenWeights(
            f"{path} does not contain ganvas directions (expected a .safetensors with format {_FORMAT})"
        )
    tensors = contents.state_dict()
    try:
        cards = json.loads(contents.header["directions"])
        return {name: _from_card(name, tensors[name], card, contents.header) for name, card in cards.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenWeights(f"{path}: the card of these directions is damaged ({error})") from error


def _from_card(name: str, vector: Tensor, card: dict[str, Any], header: dict[str, str]) -> Direction:
    if vector.ndim != 2 or not vector.isfinite().all():
        raise ValueError(f"direction {name!r} is not a finite matrix")
    layers = None if card["layers"] is None else tuple(int(row) for row in card["layers"])
    low, high = float(card["low"]), float(card["high"])
    facts = {"licence": header.get("licence", ""), "origin": header.get("origin", ""), **card["facts"]}
    # Not in older files.
    more = card.get("space", "w"), card.get("group", "other"), tuple(card.get("parts", ())), card.get("zone", "")
    discs = tuple((float(x), float(y), float(radius)) for x, y, radius in card.get("discs", ()))
    return Direction(name, vector.float(), layers, low, high, header["fingerprint"], facts, *more, discs)
