"""Directions: which way to move a latent so that one attribute changes. Learnt, kept in files, applied.

An amount of 1 is one standard deviation of the attribute's score among natural samples of the generator.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvas.editing.mix import check_layers
from ganvas.errors import BadConfig, BadLatent, BrokenWeights
from ganvas.weights.checkpoint import write_atomically
from ganvas.weights.files import open_file

FORMAT = "ganvas-directions-1"


@dataclass(frozen=True)
class Direction:
    """One direction of one generator.

    `vector` is the change of ws for amount 1: [1, w_dim], the same for every row, or [num_ws, w_dim]. `layers` are the
    rows that move (None = all). Amounts from `low` to `high` were checked. `fingerprint` names the generator.
    """

    name: str
    vector: Tensor
    layers: tuple[int, ...] | None = None
    low: float = -3.0
    high: float = 3.0
    fingerprint: str = ""
    facts: dict[str, Any] = field(default_factory=dict, compare=False)


def move(ws: Tensor, direction: Direction, amount: float, *, layers: Iterable[int] | None = None) -> Tensor:
    """Move latents along a direction.

    Args:
        ws: [N, num_ws, w_dim].
        direction: of the same generator.
        amount: in standard deviations of the attribute.
        layers: rows to move; None = the direction's own.

    Returns:
        [N, num_ws, w_dim], a new tensor.

    Raises:
        BadLatent: the direction has another w_dim or number of rows; the message has both.
    """
    num_ws, w_dim = ws.shape[1:]
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


def without(direction: Direction, others: Sequence[Direction]) -> Direction:
    """The direction with what it shares with others taken out, so that their attributes stay where they are.

    What is left is made longer again, so that an amount of 1 still moves the attribute as far (measured along the
    direction as it was), at most twice.

    Raises:
        BadConfig: nothing is left: the direction lies within the others.

    Source: conditional manipulation in Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face
    Editing", section 3.2.
    """
    if not others:
        return direction
    flat = direction.vector.expand(max(d.vector.shape[0] for d in (direction, *others)), -1)
    left = flat.double().flatten()
    for known in _orthonormal([other.vector.expand_as(flat) for other in others]):
        left = left - (left @ known) * known
    share = (left.square().sum() / flat.double().square().sum()).item()
    if share < 1e-4:
        raise BadConfig(f"direction {direction.name!r} has nothing of its own beside those to keep: keep fewer")
    return replace(direction, vector=(left / max(share, 0.5)).float().view_as(flat))


def learn_direction(
    w: Tensor,
    scores: Tensor,
    *,
    name: str,
    keep: Sequence[Tensor] = (),
    ridge: float = 1e-2,
    folds: int = 5,
) -> Direction:
    """A direction from scored samples, by ridge regression on all of them.

    Every sample counts, not only the extremes: see Shen et al. 2020, "Interpreting the Latent Space of GANs for
    Semantic Face Editing" (InterFaceGAN) for the classic recipe, of which this is the better-conditioned form. Other
    attributes are held still by projecting their directions out, the paper's conditional manipulation.

    Args:
        w: [N, w_dim] latents of natural samples.
        scores: [N], any scale; for yes/no marks use 1 and 0.
        name: what it will be called.
        keep: [w_dim] vectors along which nothing may move.
        ridge: regularisation as a share of the mean variance of w.
        folds: of the cross-validation whose R² is reported.

    Returns:
        A Direction with a [1, w_dim] vector scaled to one standard deviation of the score; `facts` has `r2`
        (cross-validated) and `samples`.

    Raises:
        BadLatent: shapes that do not fit.
        BadConfig: fewer than 10 samples, scores that are all the same or not finite.
    """
    if w.ndim != 2 or scores.shape != (len(w),):
        raise BadLatent(
            f"learn_direction expects w [N, w_dim] and scores [N], got {list(w.shape)}, {list(scores.shape)}"
        )
    w, y = w.double(), scores.double()
    if len(w) < 10 or not y.isfinite().all() or y.std() == 0:
        raise BadConfig("learn_direction needs ten samples or more whose scores are finite and differ")
    r2 = _cross_validated_r2(w, y, ridge, folds)
    slope = _ridge(w, y, ridge)
    for other in _orthonormal(keep):
        slope = slope - (slope @ other) * other
    gain = slope.norm()
    if gain < 1e-12:
        raise BadConfig(f"direction {name!r} vanishes when the attributes to keep are held still: keep fewer of them")
    # Along the unit vector u the fitted score rises by slope·u a unit; one amount shall raise it by one std of y.
    vector = slope / gain.square() * y.std()
    return Direction(name, vector.float()[None], facts={"r2": r2, "samples": len(w)})


def _ridge(w: Tensor, y: Tensor, ridge: float) -> Tensor:
    centred = w - w.mean(dim=0)
    scatter = centred.T @ centred
    scatter.diagonal().add_(ridge * scatter.diagonal().mean())
    return torch.linalg.solve(scatter, centred.T @ (y - y.mean()))


def _cross_validated_r2(w: Tensor, y: Tensor, ridge: float, folds: int) -> float:
    left, total = 0.0, (y - y.mean()).square().sum().item()
    for fold in range(folds):
        held = torch.arange(len(w)) % folds == fold
        slope = _ridge(w[~held], y[~held], ridge)
        guess = (w[held] - w[~held].mean(dim=0)) @ slope + y[~held].mean()
        left += (y[held] - guess).square().sum().item()
    return 1 - left / total


def _orthonormal(vectors: Sequence[Tensor]) -> list[Tensor]:
    """Gram-Schmidt; vectors that add nothing new are left out."""
    basis: list[Tensor] = []
    for vector in vectors:
        v = vector.double().flatten()
        for known in basis:
            v = v - (v @ known) * known
        if v.norm() > 1e-9 * max(1e-12, vector.norm().item()):
            basis.append(v / v.norm())
    return basis


def save_directions(directions: Sequence[Direction], path: Path | str, *, licence: str, origin: str) -> Path:
    """Write directions of one generator into one small .safetensors with a card; atomic.

    Raises:
        BadConfig: directions of different generators, or two of one name.
    """
    if len({d.fingerprint for d in directions}) != 1 or len({d.name for d in directions}) != len(directions):
        raise BadConfig("one file holds directions of one generator, each with a name of its own")
    cards = {d.name: {"layers": d.layers, "low": d.low, "high": d.high, "facts": d.facts} for d in directions}
    header = {
        "format": FORMAT,
        "fingerprint": directions[0].fingerprint,
        "licence": licence,
        "origin": origin,
        "directions": json.dumps(cards),
    }
    tensors = {d.name: d.vector.contiguous() for d in directions}
    write_atomically(Path(path), lambda part: save_file(tensors, part, header))
    return Path(path)


def load_directions(path: Path | str) -> dict[str, Direction]:
    """Read what `save_directions` wrote.

    Raises:
        WeightsError: not such a file, or a damaged one.
    """
    found = open_file(Path(path))
    if found.container != "safetensors" or found.header.get("format") != FORMAT:
        raise BrokenWeights(f"{path} does not hold ganvas directions (expected a .safetensors with format {FORMAT})")
    tensors = found.state_dict()
    try:
        cards = json.loads(found.header["directions"])
        return {name: _from_card(name, tensors[name], card, found.header) for name, card in cards.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenWeights(f"{path}: the card of these directions is damaged ({error})") from error


def _from_card(name: str, vector: Tensor, card: dict[str, Any], header: dict[str, str]) -> Direction:
    if vector.ndim != 2 or not vector.isfinite().all():
        raise ValueError(f"direction {name!r} is not a finite matrix")
    layers = None if card["layers"] is None else tuple(int(row) for row in card["layers"])
    low, high = float(card["low"]), float(card["high"])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"direction {name!r} has the range {low} to {high}")
    facts = {**card["facts"], "licence": header.get("licence", ""), "origin": header.get("origin", "")}
    return Direction(name, vector.float(), layers, low, high, header["fingerprint"], facts)
