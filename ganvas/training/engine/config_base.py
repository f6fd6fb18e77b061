"""What the settings of every kind of run can do: check their words, go to JSON and back, change by text, compare."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from ganvas.errors import BadConfig
from ganvas.fields import check_known

S = TypeVar("S", bound="BaseTrainConfig")


@dataclass(frozen=True, kw_only=True)
class BaseTrainConfig:
    """The base of `TrainConfig` and its like: frozen, of plain values, one for each kind of run.

    A run writes its settings to `run.json`. What `training/watch.py` and `training/run.py` need of them besides is in
    `run.Budget`.
    """

    kind: ClassVar[str]  # of run
    groups: ClassVar[tuple[str, ...]] = ()  # fields that hold fields of a network's own config
    # What may differ between a run and its continuation: how long, how often, nothing that changes a number.
    may_change: ClassVar[frozenset[str]] = frozenset({"total_kimg", "minutes", "save_minutes", "snapshot_kimg"})

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            if typing.get_origin(hint) is tuple:
                object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON turns tuples into lists
            if typing.get_origin(hint) is Literal:
                check_known(getattr(self, name), typing.get_args(hint), what=name)
        for name in self.groups:
            object.__setattr__(self, name, _plain(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same config back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls: type[S], values: Mapping[str, Any], *, who: str = "the config") -> S:
        """The config of a `run.json` or a preset file.

        Raises:
            BadConfig: names that do not exist, or values that do not fit.
        """
        for name in values:
            check_known(name, hints(cls), what=f"setting in {who}")
        try:
            return cls(**values)
        except TypeError as error:
            raise BadConfig(f"{who} has a setting of the wrong kind: {error}") from error


def hints(cls: type[BaseTrainConfig]) -> dict[str, Any]:
    """The type of every field."""
    known = typing.get_type_hints(cls)
    return {field.name: known[field.name] for field in dataclasses.fields(cls)}


def refuse(config: BaseTrainConfig, name: str, wrong: bool, want: str) -> None:
    """A value out of its range.

    Raises:
        BadConfig: it is `wrong`.
    """
    if wrong:
        raise BadConfig(f"{name} must be {want}, got {getattr(config, name)!r}")


def check_ranges(
    config: BaseTrainConfig,
    *,
    positive: Sequence[str],
    not_negative: Sequence[str],
    shares: Sequence[str],
    maybe_positive: Sequence[str],
) -> None:
    """The ranges that every kind of run has, by fields' names; `maybe_positive` may also be None.

    Raises:
        BadConfig: a value out of its range.
    """
    for name in positive:
        refuse(config, name, not getattr(config, name) > 0, "more than 0")
    for name in not_negative:
        refuse(config, name, not getattr(config, name) >= 0, "0 or more")
    for name in shares:
        refuse(config, name, not 0 <= getattr(config, name) <= 1, "from 0 to 1")
    for name in maybe_positive:
        value = getattr(config, name)
        refuse(config, name, value is not None and not value > 0, "more than 0, or none")


# ---------------------------------------------------------------------------------------------------------------------
# From text


def apply_settings(config: S, settings: Mapping[str, str]) -> S:
    """The config with some values replaced, given as text: what `--set key=value` does.

    Args:
        config: to start from; it is left as it was.
        settings: field → value as typed: {"g_lr": "0.001", "generator.ngf": "32", "minutes": "none"}.

    Raises:
        BadConfig: an unknown field, or a value that does not fit; the message says what would.
    """
    changes: dict[str, Any] = {}
    for key, text in settings.items():
        name, _, inner = key.partition(".")
        if inner:
            check_known(name, config.groups, what=f"group of settings in {key!r}:")
            changes[name] = {**changes.get(name, getattr(config, name)), inner: _json_or_text(text)}
        else:
            check_known(name, hints(type(config)), what="setting")
            changes[name] = _parse(name, text, hints(type(config))[name])
    return dataclasses.replace(config, **changes)


def _parse(name: str, text: str, hint: Any) -> Any:
    """`text` as the type of the field; unions are tried in order, none first."""
    if hint is str:
        return text
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() in ("none", ""):
        return None
    for kind in kinds:
        try:
            return _as(kind, text)
        except (ValueError, TypeError):
            continue
    raise BadConfig(f"{name} expects {_words(hint)}, got {text!r}")


def _as(kind: Any, text: str) -> Any:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return text  # the config checks it against its words
    if origin is tuple:
        return tuple(typing.get_args(kind)[0](part) for part in text.replace(" ", "").split(",") if part)
    if kind is bool:
        return (
            {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
            if (text.lower() in ("true", "yes", "1", "false", "no", "0"))
            else _fail()
        )
    if kind in (int, float):
        return kind(text)
    if origin in (Mapping, typing.get_origin(Mapping[str, Any])):
        value = json.loads(text)
        return value if isinstance(value, dict) else _fail()
    return _fail()


def _fail() -> Any:
    raise ValueError


def _words(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", type(None): "none"}
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return " or ".join(names.get(kind, "names with commas between, or JSON") for kind in kinds)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Two configs


def differences(before: BaseTrainConfig, now: BaseTrainConfig) -> list[str]:
    """`name: before → now` for every field in which two configs of a kind differ, but for what may change."""
    return [
        f"{item.name}: {getattr(before, item.name)!r} → {getattr(now, item.name)!r}"
        for item in dataclasses.fields(now)
        if item.name not in now.may_change and getattr(before, item.name) != getattr(now, item.name)
    ]
