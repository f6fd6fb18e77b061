"""A dataclass's fields as data: type, default, range, unit and help, said once.

    @dataclass(frozen=True, kw_only=True)
    class Blur:
        radius_px: float = setting(1.5, gt=0, le=50, unit="px", help="how far each pixel spreads")

        def __post_init__(self) -> None:
            check_settings(self, who="blur")

This one line is Python's check, a line of the command line's list (`list_settings`), how its text is read
(`FieldInfo.parse`), how JSON becomes the dataclass (`from_values`), and a control of the page (`form_of`). Nothing here
needs torch, so that `--help` is quick.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Literal, TypeVar

from ganvas.errors import BadConfig, BadInput

T = TypeVar("T")
_KINDS = {bool: "bool", int: "integer", float: "number", str: "text"}
_WORDS = {"bool": "true or false", "integer": "a whole number", "number": "a number", "text": "text"}
_WORDS |= {"object": "a JSON object", "other": "JSON"}
_ITEMS = {"integer": "whole numbers", "number": "numbers", "text": "names"}
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def setting(
    default: Any = MISSING,
    *,
    factory: Callable[[], Any] | None = None,
    help: str = "",
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Iterable[str] = (),
    pattern: str = "",
    expected: str = "",
    repr: bool = True,
) -> Any:
    """A field of a dataclass, with what is known about it.

    Args:
        default: the value where none is given; left out = the field is required.
        factory: makes the default instead, where it can be changed (a dict).
        help: what it does, in a line.
        unit: "px", "kimg", …; only shown.
        ge, gt, le, lt: the range: at least, above, at most, below. Of a list: of each of its items.
        choices: the words that are accepted; those of a `Literal` need not be repeated.
        pattern: a regular expression that the whole text fits.
        expected: what the pattern asks for, in words.
        repr: whether the dataclass's own repr shows it.
    """
    metadata: dict[str, Any] = {"help": help, "unit": unit, "ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata |= {"choices": tuple(choices), "pattern": pattern, "expected": expected}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata, repr=repr)
    return dataclasses.field(default=default, metadata=metadata, repr=repr)


@dataclass(frozen=True)
class FieldInfo:
    """What a field accepts.

    `kind` is "number", "integer", "text", "bool", "choice", "list", "object" or "other"; the last is unchecked.
    """

    name: str
    kind: str
    item: str = ""  # kind of a list's items
    optional: bool = False  # None is accepted
    required: bool = False
    default: Any = None
    help: str = ""
    unit: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    expected: str = ""

    @property
    def low(self) -> float | None:
        """The lower end of the range, whether or not it belongs to it."""
        return self.gt if self.ge is None else self.ge

    @property
    def high(self) -> float | None:
        """The upper end of the range, whether or not it belongs to it."""
        return self.lt if self.le is None else self.le

    def describe(self) -> str:
        """What is accepted, in words: "a number from 0 to 1, or none"."""
        if self.choices:
            words = " or ".join(filter(None, [", ".join(self.choices[:-1]), self.choices[-1]]))
        elif self.kind == "list":
            words = " ".join(filter(None, [f"a list of {_ITEMS.get(self.item, 'values')}", self._range()]))
        else:
            words = self.expected or " ".join(filter(None, [_WORDS[self.kind], self._range()]))
        return words + (f" {self.unit}" if self.unit else "") + (", or none" if self.optional else "")

    def _range(self) -> str:
        if self.ge is not None and self.le is not None:
            return f"from {self.ge:.12g} to {self.le:.12g}"
        if self.gt is not None and self.lt is not None:
            return f"between {self.gt:.12g} and {self.lt:.12g}"
        ends = {"above": self.gt, "of at least": self.ge, "below": self.lt, "of at most": self.le}
        return ", ".join(f"{words} {end:.12g}" for words, end in ends.items() if end is not None)

    def check(self, value: Any) -> Any:
        """The value as it is stored: lists as tuples, whole numbers of a `float` field as float.

        Raises:
            ValueError: it is of another type, or out of range.
        """
        if value is None and self.optional:
            return None
        if self.kind != "list":
            return self._check_one(self.kind, value)
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise ValueError
        return tuple(self._check_one(self.item, one) for one in value)

    def _check_one(self, kind: str, value: Any) -> Any:
        if kind in ("text", "choice"):
            fits = isinstance(value, str) and (not self.choices or value in self.choices)
            fits = fits and (not self.pattern or re.fullmatch(self.pattern, value) is not None)
        elif kind == "bool":
            fits = isinstance(value, bool)
        elif kind == "object":
            fits = isinstance(value, Mapping)
        elif kind in ("integer", "number"):
            wanted = int if kind == "integer" else (int, float)
            fits = isinstance(value, wanted) and not isinstance(value, bool) and self._in_range(value)
        else:
            fits = True
        if not fits:
            raise ValueError
        return float(value) if kind == "number" else value

    def _in_range(self, value: float) -> bool:
        low = (self.ge is None or value >= self.ge) and (self.gt is None or value > self.gt)
        high = (self.le is None or value <= self.le) and (self.lt is None or value < self.lt)
        return low and high and not math.isnan(value)

    def require(self, value: Any, *, who: str = "", error: type[BadInput] = BadConfig) -> Any:
        """`check`, with a message: `mix: strength must be a number from 0 to 1, got 2`.

        Raises:
            BadConfig: the value does not fit.
        """
        try:
            return self.check(value)
        except ValueError:
            start = f"{who}: {self.name}" if who else self.name
            raise error(f"{start} must be {self.describe()}, got {value!r:.80}") from None

    def format(self, value: Any) -> str:
        """The text from which `parse` makes this value again."""
        if value is None:
            return "none"
        if self.kind == "list":
            return ",".join(map(str, value))
        return value if self.kind in ("text", "choice") else json.dumps(value)

    def parse(self, text: str) -> Any:
        """The value that was typed: "0.5", "true", "none", "4,5,6", or JSON where nothing simpler fits the type.

        Raises:
            BadConfig: it cannot be read as such a value; whether it is in range is checked where it is used.
        """
        if self.optional and text.lower() in ("none", ""):
            return None
        try:
            if self.kind != "list":
                return _parse_one(self.kind, text)
            return tuple(_parse_one(self.item, part) for part in text.replace(" ", "").split(",") if part)
        except (ValueError, KeyError) as error:
            raise BadConfig(f"{self.name} must be {self.describe()}, got {text!r:.80}") from error


def _parse_one(kind: str, text: str) -> Any:
    if kind == "bool":
        return _BOOLS[text.lower()]
    if kind in ("object", "other"):
        return json.loads(text)
    return {"integer": int, "number": float}.get(kind, str)(text)


# ---------------------------------------------------------------------------------------------------------------------
# Of a whole dataclass


_FIELDS: dict[type, dict[str, FieldInfo]] = {}  # of every class that was asked for: type hints are slow to resolve


def fields_of(cls: type) -> dict[str, FieldInfo]:
    """Every field of a dataclass, by name; those that were not made by `setting` have a type and a default only.

    What it inherits comes last: its own fields say what it is.
    """
    if cls not in _FIELDS:
        hints = typing.get_type_hints(cls)
        ordered = sorted(dataclasses.fields(cls), key=lambda field: field.name not in inspect.get_annotations(cls))
        _FIELDS[cls] = {field.name: _field_info(field, hints[field.name]) for field in ordered}
    return _FIELDS[cls]


def _field_info(field: dataclasses.Field, hint: Any) -> FieldInfo:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    options = [one for one in (typing.get_args(hint) if union else (hint,)) if one is not type(None)]
    inner: Any = options[0] if len(options) == 1 else None
    known = {**field.metadata}
    if typing.get_origin(inner) is Literal:
        known["choices"] = typing.get_args(inner)
    kind = "choice" if known.get("choices") else _kind_of(inner)
    required = field.default is MISSING and field.default_factory is MISSING
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return FieldInfo(
        name=field.name,
        kind=kind,
        item=_kind_of(typing.get_args(inner)[0]) if kind == "list" else "",
        optional=union and type(None) in typing.get_args(hint),
        required=required,
        default=None if required else default,
        **known,
    )


def _kind_of(hint: Any) -> str:
    origins = {tuple: "list", list: "list", dict: "object", Mapping: "object"}
    return origins.get(typing.get_origin(hint)) or _KINDS.get(hint, "other")


def check_settings(
    config: Any, *, who: str = "", error: type[BadInput] = BadConfig, whole_floats: bool = False
) -> None:
    """Check every field of a frozen dataclass in its `__post_init__`, and store tuples and floats as such.

    Args:
        config: the dataclass.
        who: what it is called in messages; "" = the field's name says enough.
        error: what is raised.
        whole_floats: leave a whole number in a `float` field as the int it is.

    Raises:
        BadConfig: `mix: strength must be a number from 0 to 1, got 2`.
    """
    for name, info in fields_of(type(config)).items():
        stored = info.require(getattr(config, name), who=who, error=error)
        if not (whole_floats and info.kind == "number"):
            object.__setattr__(config, name, stored)


def from_values(cls: type[T], values: Mapping[str, Any], *, what: str) -> T:
    """The dataclass with these fields, such as JSON has them.

    Args:
        cls: the dataclass.
        values: field → value.
        what: a field of it is called this in messages: "field of step 'mix'".

    Raises:
        BadConfig: a name that does not exist, a required field that is missing, or a value that does not fit.
    """
    known = fields_of(cls)
    for name in values:
        check_known(name, known, what=what)
    missing = [name for name, info in known.items() if info.required and name not in values]
    if missing:
        raise BadConfig(f"missing {what}: {', '.join(missing)}")
    return cls(**values)


def check_known(name: str, known: Iterable[str], *, what: str) -> None:
    """`name` must be one of `known`.

    Raises:
        BadConfig: `unknown step 'mvoe'; known: mix, move, …`.
    """
    names = sorted(known)
    if name not in names:
        raise BadConfig(f"unknown {what} {name!r}; known: {', '.join(names)}")


def list_settings(cls: type) -> list[str]:
    """A line for each field: name, help, what is accepted, default."""
    infos = fields_of(cls)
    width = max(map(len, infos), default=0)
    return [f"{name:{width}}  {_summary(info)}" for name, info in infos.items()]


def _summary(info: FieldInfo) -> str:
    default = "required" if info.required else f"default {_as_text(info.default)}"
    return f"{info.help + ': ' if info.help else ''}{info.describe()} ({default})"


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, tuple):
        return ",".join(map(_as_text, value)) or '""'
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str)


def form_of(cls: type) -> list[dict[str, Any]]:
    """The fields as JSON for a form.

    Returns:
        For each field: name, kind (see `FieldInfo`), item, optional, required, default, choices (null = any), help,
        unit, low and high (null = no limit).
    """
    return [
        {
            "name": info.name,
            "kind": info.kind,
            "item": info.item,
            "optional": info.optional,
            "required": info.required,
            "default": list(info.default) if isinstance(info.default, tuple) else info.default,
            "choices": list(info.choices) or None,
            "help": info.help,
            "unit": info.unit,
            "low": info.low,
            "high": info.high,
        }
        for info in fields_of(cls).values()
    ]
