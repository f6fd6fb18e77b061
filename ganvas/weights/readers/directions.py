"""Edit directions and latents in the files of InterFaceGAN, GANSpace, idinvert, e4e; NVIDIA, rosinality, ReStyle.

A direction comes back as a `ForeignDirection`, which says in which space it lives, which rows it moves and how long one
unit is. What a file does not say (for which generator it was made) stays unsaid: whoever applies it must know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.checks import check_ws
from ganvas.errors import BadLatent, BrokenWeights, UnknownWeights
from ganvas.weights.contents import FileContents
from ganvas.weights.open_file import open_file

_FLAT_FROM = 2048  # longer rows are W+ latents laid out flat: 18 × 512 and the like; no w is that long
_W_DIM = 512  # of those


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignDirection:
    """One direction of a file that is not ours.

    Attributes:
        name: from the file, or the file's name.
        vectors: [1, w_dim], the same for every row, or [num_ws, w_dim].
        space: "z", "w" or "w+".
        scale: an amount of 1 moves by vectors · scale; 1 where the vectors are the whole story, else the spread of
            natural latents along them.
        layers: rows of ws that move; None = all.
        mean: [w_dim] where the amount is a place instead of a step: it *sets* the coordinate along the direction,
            counted from this mean (GANSpace as e4e uses it); else None.
        format: which kind of file it was.
        facts: what else the file said.
    """

    name: str
    vectors: Tensor
    space: str
    format: str
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    mean: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> Tensor:
        """What an amount of 1 adds to a row: [1 or num_ws, w_dim]."""
        return self.vectors * self.scale


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignLatents:
    """A latent of a file that is not ours: ws [1, num_ws, w_dim]; num_ws = 1 where the file has one w for all rows."""

    name: str
    ws: Tensor
    format: str


def shift(ws: Tensor, direction: ForeignDirection, amount: float) -> Tensor:
    """Move latents as the tool that wrote the direction would.

    Args:
        ws: [N, num_ws, w_dim].
        direction: of the same generator, in space "w" or "w+".
        amount: in units of the direction's scale.

    Returns:
        [N, num_ws, w_dim], a new tensor.

    Raises:
        BadLatent: another w_dim or number of rows, or a direction in z; nothing is cut to fit.
    """
    rows, w_dim = direction.vectors.shape
    num_ws = rows if rows > 1 or ws.ndim != 3 else ws.shape[1]
    check_ws(ws, who=f"direction {direction.name!r}", num_ws=num_ws, w_dim=w_dim)
    if direction.space == "z":
        raise BadLatent(
            f"direction {direction.name!r} is in z space, before the mapping network; it cannot be applied to ws."
        )
    layers = range(num_ws) if direction.layers is None else direction.layers
    if outside := [layer for layer in layers if layer >= num_ws]:
        raise BadLatent(f"direction {direction.name!r} moves the rows {outside}, and ws has {num_ws}.")
    chosen, step = list(layers), direction.step.to(ws).expand(num_ws, -1)
    moved = ws.clone()
    moved[:, chosen] += _amounts(ws, direction, amount)[:, chosen] * step[chosen]
    return moved


def _amounts(ws: Tensor, direction: ForeignDirection, amount: float) -> Tensor:
    """[N, num_ws, 1], how many steps each row takes."""
    if direction.mean is None:
        return torch.full_like(ws[:, :, :1], amount)
    along = (ws - direction.mean.to(ws)) @ direction.vectors[0].to(ws) / direction.scale  # [N, num_ws]
    return amount - along[:, :, None]


def read_directions(path: str | Path) -> list[ForeignDirection]:
    """All directions in a file of InterFaceGAN, GANSpace, idinvert, e4e or StyleFeatureEditor.

    Args:
        path: .npy, .npz, .pt or .pkl; see the page on weights for the kinds.

    Returns:
        At least one direction.

    Raises:
        UnknownWeights: readable, but no direction; the message has what was seen.
        UnsafeWeights, BrokenWeights: see `open_file`.
    """
    contents = open_file(path)
    tree = _entry(contents.tree)
    for read in (_ganspace_components, _ganspace_pca, _ganspace_direction, _idinvert, _plain):
        directions = read(tree, contents.path)
        if directions:
            return directions
    raise UnknownWeights(f"{contents.path.name} contains no supported edit direction: {_describe(tree)}.")


def read_latents(path: str | Path) -> list[ForeignLatents]:
    """All latents in a file that a projector or an encoder wrote.

    Args:
        path: NVIDIA's projected_w.npz, rosinality's .pt (picture → latent), ReStyle's latents.npy, or a .npy or .pt
            with nothing but ws.

    Raises:
        UnknownWeights: readable, but no latents.
        UnsafeWeights, BrokenWeights: see `open_file`.
    """
    contents = open_file(path)
    tree, stem = _entry(contents.tree), contents.path.stem
    if isinstance(tree, dict) and contents.container == "numpy" and isinstance(tree.get("w"), np.ndarray):
        return [_latents(stem, tree["w"], "NVIDIA projector", contents)]
    if (
        isinstance(tree, dict)
        and all(isinstance(value, dict) and "latent" in value for value in tree.values())
        and tree
    ):
        return [_latents(str(name), value["latent"], "rosinality projector", contents) for name, value in tree.items()]
    if isinstance(tree, dict) and tree and all(isinstance(value, (list, np.ndarray)) for value in tree.values()):
        return [_latents(str(name), _last(value), "ReStyle latents", contents) for name, value in tree.items()]
    if isinstance(tree, (np.ndarray, Tensor)):
        return [_latents(stem, tree, "ws", contents)]
    raise UnknownWeights(f"{contents.path.name} contains no supported latents: {_describe(tree)}.")


# ---- One function a format: [] where it is another one ---------------------------------------------------------------


def _ganspace_components(tree: Any, path: Path) -> list[ForeignDirection]:
    """.npz: lat_comp [c, 1, w_dim], lat_stdev [c], lat_mean; edit = lat_comp · lat_stdev · amount."""
    if not isinstance(tree, dict) or not {"lat_comp", "lat_stdev"} <= tree.keys():
        return []
    if "lat_mean" not in tree:  # a single direction; see _ganspace_direction
        return []
    components, spreads = _numbers(tree["lat_comp"], path), _numbers(tree["lat_stdev"], path).flatten()
    return _components(components, spreads, None, "GANSpace components", path)


def _ganspace_pca(tree: Any, path: Path) -> list[ForeignDirection]:
    """.pt: comp [c, 1, w_dim], mean [1, w_dim], std [c]; the amount sets the coordinate."""
    if not isinstance(tree, dict) or not {"comp", "mean", "std"} <= tree.keys():
        return []
    mean = _numbers(tree["mean"], path).flatten()
    spreads = _numbers(tree["std"], path).flatten()
    return _components(_numbers(tree["comp"], path), spreads, mean, "GANSpace PCA", path)


def _components(
    components: Tensor, spreads: Tensor, mean: Tensor | None, kind: str, path: Path
) -> list[ForeignDirection]:
    if components.ndim not in (2, 3) or (components.ndim == 3 and components.shape[1] != 1):
        raise UnknownWeights(f"{path.name}: components of shape {list(components.shape)}; expected [count, 1, w_dim].")
    flat = components.flatten(1)  # [c, w_dim]
    if len(flat) != len(spreads) or (mean is not None and len(mean) != flat.shape[1]):
        raise BrokenWeights(f"{path.name} contradicts itself: {len(flat)} components and {len(spreads)} spreads.")
    if not bool((spreads > 0).all()):
        raise BrokenWeights(f"{path.name} is damaged: a spread must be above 0, got {spreads.min().item():g}.")
    return [
        ForeignDirection(
            name=f"{path.stem}-{index}",
            vectors=vector[None],
            space="w",
            scale=float(spread),
            mean=mean,
            format=kind,
            facts={"component": index},
        )
        for index, (vector, spread) in enumerate(zip(flat, spreads, strict=True))
    ]


def _ganspace_direction(tree: Any, path: Path) -> list[ForeignDirection]:
    """.pkl: one component with a name and the layers it is good on; edit_end is exclusive."""
    if not isinstance(tree, dict) or not {"lat_comp", "lat_stdev", "edit_start", "edit_end"} <= tree.keys():
        return []
    start, end = tree["edit_start"], tree["edit_end"]
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= 64):
        raise BrokenWeights(f"{path.name}: it edits the layers {start!r} to {end!r}, which is invalid.")
    said = {key: tree[key] for key in ("component_index", "truncation", "decomposition") if key in tree}
    return [
        ForeignDirection(
            name=str(tree.get("name", path.stem)),
            vectors=_numbers(tree["lat_comp"], path).reshape(1, -1),
            space="z" if str(tree.get("latent_space", "W")).upper() == "Z" else "w",
            scale=float(_numbers(tree["lat_stdev"], path).reshape(-1)[0]),
            layers=tuple(range(start, end)),
            format="GANSpace direction",
            facts={key: value for key, value in said.items() if isinstance(value, (str, int, float))},
        )
    ]


def _idinvert(tree: Any, path: Path) -> list[ForeignDirection]:
    """.npy of an object: boundary [1, num_ws, w_dim], and in meta_data the layers to move."""
    if not isinstance(tree, dict) or "boundary" not in tree:
        return []
    meta = tree.get("meta_data")
    layers = meta.get("manipulate_layers") if isinstance(meta, dict) else None
    vectors = _rows(_numbers(tree["boundary"], path), path)
    if layers is not None:
        layers = tuple(int(layer) for layer in _numbers(np.asarray(layers), path).flatten())
        if not all(0 <= layer < len(vectors) for layer in layers):
            raise BrokenWeights(f"{path.name} contradicts itself: layers {layers} of {len(vectors)}.")
    return [ForeignDirection(name=path.stem, vectors=vectors, space="w+", layers=layers, format="idinvert boundary")]


def _plain(tree: Any, path: Path) -> list[ForeignDirection]:
    """.npy or .pt with nothing but the vector: InterFaceGAN, StyleFeatureEditor, e4e."""
    if not isinstance(tree, (np.ndarray, Tensor)) or tree.ndim not in (1, 2, 3):
        return []
    if tree.ndim == 3 and tree.shape[0] != 1:
        return []
    vectors = _rows(_numbers(tree, path), path)
    if len(vectors) > 1:
        return [ForeignDirection(name=path.stem, vectors=vectors, space="w+", format="W+ direction")]
    words = path.stem.lower().split("_")
    # InterFaceGAN's files differ in nothing but their name: ..._w_boundary moves w, ..._boundary moves z.
    space = "z" if isinstance(tree, np.ndarray) and "boundary" in words and "w" not in words else "w"
    facts = {"conditioned": "c" in words} if "boundary" in words else {}
    kind = "InterFaceGAN boundary" if "boundary" in words else "w direction"
    return [ForeignDirection(name=path.stem, vectors=vectors, space=space, format=kind, facts=facts)]


# ---- Numbers -------------------------------------------------------------------------------------------------------


def _entry(tree: Any) -> Any:
    """A dict that numpy wrapped into an array without axes, unwrapped."""
    return tree.item() if isinstance(tree, np.ndarray) and tree.dtype == object and tree.ndim == 0 else tree


def _numbers(value: Any, path: Path) -> Tensor:
    """float32 numbers of their own, finite.

    Raises:
        UnknownWeights: something else. BrokenWeights: not finite.
    """
    if isinstance(value, (int, float)):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = torch.from_numpy(value.astype(np.float32))
    if not isinstance(value, Tensor) or value.is_complex() or value.numel() == 0:
        raise UnknownWeights(f"{path.name}: expected numbers, got {_describe(value)}.")
    numbers = value.detach().float().clone()
    if not bool(torch.isfinite(numbers).all()):
        raise BrokenWeights(f"{path.name} is damaged: it has values that are not finite.")
    return numbers


def _rows(numbers: Tensor, path: Path) -> Tensor:
    """[1 or num_ws, w_dim] from [w_dim], [1, w_dim], [1, num_ws · 512], [num_ws, w_dim] or [1, num_ws, w_dim]."""
    if numbers.ndim == 3:
        numbers = numbers[0]
    if numbers.ndim == 1:
        numbers = numbers[None]
    if len(numbers) == 1 and numbers.shape[1] >= _FLAT_FROM:
        if numbers.shape[1] % _W_DIM:
            raise UnknownWeights(f"{path.name}: {numbers.shape[1]} values per row are not a multiple of {_W_DIM}.")
        numbers = numbers.reshape(-1, _W_DIM)
    return numbers


def _latents(name: str, value: Any, kind: str, contents: FileContents) -> ForeignLatents:
    numbers = _numbers(value, contents.path)
    if numbers.ndim == 1:
        numbers = numbers[None]
    if numbers.ndim == 2:
        numbers = numbers[None]
    if numbers.ndim != 3 or numbers.shape[0] != 1:
        raise UnknownWeights(
            f"{contents.path.name}: latents of shape {list(numbers.shape)}; expected [1, num_ws, w_dim]."
        )
    return ForeignLatents(name=name, ws=numbers, format=kind)


def _last(steps: Any) -> Any:
    """ReStyle keeps the latent of every iteration; the last one is the result."""
    if isinstance(steps, list):
        return steps[-1] if steps else steps
    return steps[-1] if steps.ndim == 3 else steps


def _describe(value: Any) -> str:
    if isinstance(value, (np.ndarray, Tensor)):
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    if isinstance(value, Mapping):
        return f"a dict with {', '.join(str(key)[:40] for key in list(value)[:6]) or 'nothing'}"
    return f"a {type(value).__name__}"
