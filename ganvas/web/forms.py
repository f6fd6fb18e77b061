"""Dataclass → form: the fields of a step or a configuration, with kind, default, range and help, as plain data.

Nothing is said twice: kind and default are the field's own, help is the comment behind it, choices are those of a
Literal. A new step, or a new setting, appears on the page without a line here.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from functools import lru_cache
from typing import Any

from ganvas.editing.recipe import STEPS
from ganvas.training.generator.config import TrainConfig

_KINDS = {bool: "bool", int: "integer", float: "number", str: "text"}
_RANGE = re.compile(r"^(-?\d+(?:\.\d+)?) (?:…|to) (-?\d+(?:\.\d+)?)\b")


def form_of(kind: type) -> list[dict[str, Any]]:
    """The fields of a dataclass.

    Args:
        kind: the dataclass.

    Returns:
        For each field: name, kind ("number", "integer", "text", "bool", "choice", "list" or "other"), optional (may be
        null), required, default, choices, help, low and high (null where the class does not say).
    """
    hints, notes = typing.get_type_hints(kind), _comments(kind)
    return [_field(field, hints[field.name], notes.get(field.name, "")) for field in dataclasses.fields(kind)]


def step_forms() -> dict[str, dict[str, Any]]:
    """Every edit step: its help and its fields."""
    return {name: {"help": inspect.getdoc(step) or "", "fields": form_of(step)} for name, step in STEPS.items()}


def training_form() -> list[dict[str, Any]]:
    """The settings of a training run."""
    return form_of(TrainConfig)


def _field(field: dataclasses.Field, hint: Any, note: str) -> dict[str, Any]:
    inner, optional = _without_none(hint)
    low, high = _range(note)
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return {
        "name": field.name,
        "kind": _kind(inner),
        "optional": optional,
        "required": required,
        "default": None if required else _plain(field),
        "choices": list(typing.get_args(inner)) if typing.get_origin(inner) is typing.Literal else None,
        "help": note,
        "low": low,
        "high": high,
    }


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = [one for one in typing.get_args(hint) if one is not type(None)]
    return (rest[0] if len(rest) == 1 else hint), len(rest) < len(typing.get_args(hint))


def _kind(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return "choice"
    if origin in (tuple, list):
        return "list"
    return _KINDS.get(hint, "other")


def _plain(field: dataclasses.Field) -> Any:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return list(value) if isinstance(value, tuple) else value


def _range(note: str) -> tuple[float | None, float | None]:
    match = _RANGE.match(note)
    return (float(match[1]), float(match[2])) if match else (None, None)


@lru_cache(maxsize=64)
def _comments(kind: type) -> dict[str, str]:
    """Field → the comment behind it in the source; empty where there is no source."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return {}
    matches = re.findall(r"^    (\w+):[^#\n]*#\s*(.+)$", source, re.MULTILINE)
    return {name: note.strip() for name, note in matches}
