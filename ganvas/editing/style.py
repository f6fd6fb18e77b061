"""Styles: what a generator was taught to paint like, as a small file beside it.

A style is a difference of weights. Added to its parent at any strength it paints in that style; several add up. It is
taught in `ganvas.training.style.teach`.

Paper: Chong and Forsyth 2022, "JoJoGAN: One Shot Face Stylization".
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganvas.errors import BadConfig, BadLatent, BrokenWeights, WeightsError
from ganvas.weights.catalogue import store
from ganvas.weights.checkpoint import write_atomically
from ganvas.weights.open_file import open_file

STYLE_FORMAT = "ganvas-style-1"
UP, DOWN = ":up", ":down"  # two thin factors in place of a large tensor
MAX_FACTS_CHARS = 100_000  # characters
STYLE_NAME = re.compile(r"[\w-]{1,64}")
STYLE_NAME_RULE = "up to 64 letters, digits, - or _, such as ink-1"
STYLE_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def check_style_name(name: object) -> None:
    """Letters, digits, - and _: a name is a file's, too.

    Raises:
        BadConfig: anything else.
    """
    if not isinstance(name, str) or not STYLE_NAME.fullmatch(name):
        raise BadConfig(f"a style's name is {STYLE_NAME_RULE}, got {str(name)[:80]!r}")


@dataclass(frozen=True, kw_only=True)
class Style:
    """A difference of weights with where it came from.

    `tensors`: parameter name → difference; a large tensor [O, …] may be there as two thin ones instead, `name:up`
    [O, r] and `name:down` [r, …], whose product it is. `parent` is the fingerprint of the generator it belongs to.
    """

    name: str
    tensors: dict[str, Tensor] = field(repr=False)
    parent: str
    facts: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Which style this is: SHA-256 over parent and tensors."""
        digest = hashlib.sha256(self.parent.encode())
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
        return digest.hexdigest()

    def delta(self, generator: Any) -> dict[str, Tensor]:
        """The whole differences, parameter name → float32 tensor.

        Raises:
            BadLatent: a tensor that does not fit the generator.
        """
        parameters = dict(generator.named_parameters())
        deltas = {}
        for name, tensor in self.tensors.items():
            if name.endswith(DOWN):
                continue
            plain = name.removesuffix(UP)
            shape = list(parameters[plain].shape) if plain in parameters else None
            down = self.tensors.get(plain + DOWN) if name.endswith(UP) else None
            came = list(tensor.shape) if down is None else [tensor.shape[0], *down.shape[1:]]
            if shape != came or (name.endswith(UP) and (down is None or tensor.shape[1:] != down.shape[:1])):
                raise BadLatent(
                    f"style {self.name!r} belongs to another generator: {plain} {came} does not match {shape}"
                )
            deltas[plain] = tensor.float() if down is None else low_rank_product(tensor, down)
        return deltas


def low_rank_product(up: Tensor, down: Tensor) -> Tensor:
    """up [O, r] times down [r, …] → [O, …], float32."""
    return torch.tensordot(up.float(), down.float(), dims=1)


def low_rank_factors(tensor: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The two factors [O, r], [r, …] whose product is nearest to a tensor [O, …] (Eckart and Young 1936)."""
    u, s, v = torch.linalg.svd(tensor.float().flatten(1), full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, (root[:, None] * v[:rank]).view(-1, *tensor.shape[1:])


def sum_deltas(
    generator: Any, styles: Iterable[tuple[Style, float]], others: Iterable[tuple[Mapping[str, Tensor], float]] = ()
) -> dict[str, Tensor]:
    """Styles and other differences added up, each with its strength: parameter name → difference.

    Raises:
        BadLatent: one of another generator.
    """
    total: dict[str, Tensor] = {}
    for delta, strength in [*others, *((style.delta(generator), strength) for style, strength in styles)]:
        for name, tensor in delta.items() if strength else ():
            part = strength * tensor.float()
            total[name] = total[name] + part if name in total else part
    return total


def apply_style(generator: Any, style: Style, strength: float = 1.0) -> Any:
    """A copy of the generator with the style applied; the given one is not changed.

    Raises:
        BadLatent: the style is of another generator.
    """
    restyled = copy.deepcopy(generator)
    parameters = dict(restyled.named_parameters())
    with torch.no_grad():
        for name, difference in style.delta(generator).items():
            parameters[name].add_(difference.to(parameters[name]), alpha=strength)
    restyled.facts = {**generator.facts, "style": {"name": style.name, "strength": strength, **style.facts}}
    return restyled


# ---------------------------------------------------------------------------------------------------------------------
# Files


def styles_folder() -> Path:
    """Where the user's styles lie."""
    return store.home() / "styles"


def style_state_file(name: str) -> Path:
    """What the teaching of a style keeps until it is done."""
    return styles_folder() / "unfinished" / f"{name}.safetensors"


def save_style(style: Style, path: Path | str | None = None) -> Path:
    """Write a style with its card to one .safetensors; atomic.

    Args:
        style: what to keep; tensors are stored as float16.
        path: where; None = under its name in the user's folder.

    Raises:
        BadConfig: a name that is none, or a folder that cannot be written. BrokenWeights: numbers that are not finite.
    """
    check_style_name(style.name)
    if path is None:
        styles_folder().mkdir(parents=True, exist_ok=True)
        path = styles_folder() / f"{style.name}.safetensors"
    tensors = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in style.tensors.items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise BrokenWeights(f"style {style.name!r} is not saved: {name} has values that are not finite")
    header = {"format": STYLE_FORMAT, "name": style.name, "parent": style.parent, "facts": json.dumps(style.facts)}
    write_atomically(Path(path), lambda part: save_file(tensors, part, header))
    return Path(path)


def load_style(path: Path | str) -> Style:
    """Read what `save_style` wrote; nothing in it is executed.

    Raises:
        WeightsError: the file is missing, damaged or something else.
    """
    contents = open_file(Path(path))
    if contents.container != "safetensors" or contents.header.get("format") != STYLE_FORMAT:
        raise BrokenWeights(
            f"{path} does not contain a ganvas style (expected a .safetensors with format {STYLE_FORMAT})"
        )
    tensors = contents.state_dict()
    try:
        if len(contents.header["facts"]) > MAX_FACTS_CHARS:
            raise ValueError("too long")
        facts = json.loads(contents.header["facts"])
        name, parent = contents.header["name"], contents.header["parent"]
        check_style_name(name)
        if not isinstance(facts, dict) or not STYLE_FINGERPRINT.fullmatch(parent):
            raise ValueError("facts or parent are invalid")
    except (KeyError, ValueError, RecursionError) as error:
        raise BrokenWeights(f"{path}: the card of this style is damaged ({error})") from error
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise BrokenWeights(f"{path}: {key} is not finite")
    return Style(name=name, tensors=tensors, parent=parent, facts=facts)


def list_styles(parent: str | None = None) -> dict[str, Style]:
    """The styles in the user's folder, by name; `parent` = of this generator only. Damaged files are left out."""
    styles = {}
    for file in sorted(styles_folder().glob("*.safetensors")) if styles_folder().is_dir() else []:
        try:
            style = load_style(file)
        except WeightsError:
            continue
        if parent in (None, style.parent):
            styles[style.name] = style
    return styles


def find_style(name: str, fingerprint: str = "", *, parent: str) -> Style:
    """A style of the user's folder.

    Args:
        name: as it was taught.
        fingerprint: which one is meant; "" = whichever has the name. Under another name it is found, too.
        parent: fingerprint of the generator that is to paint it.

    Raises:
        BadConfig: none such, one of another generator, or another style under that name; the message has what is there.
    """
    check_style_name(name)
    path = styles_folder() / f"{name}.safetensors"
    style = load_style(path) if path.is_file() else None
    if style is not None and style.parent == parent and fingerprint in ("", style.fingerprint):
        return style
    known = list_styles(parent)
    for other in known.values() if fingerprint else ():
        if other.fingerprint == fingerprint:
            return other
    names = ", ".join(sorted(known)) or "none; learn one with 'ganvas stylise --example PICTURE --name NAME'"
    why = f"no style {name!r} in {styles_folder()}"
    if style is not None:
        another = f"a different style of that name ({style.fingerprint[:12]}), not {fingerprint[:12]}"
        why = f"style {name!r} was learnt on another generator" if style.parent != parent else f"there is {another}"
    raise BadConfig(f"{why}; styles of this generator: {names}")
