"""What the settings of every kind of run can do: check their words, go to JSON and back, change by text, compare."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from ganvas.errors import BadConfig
from ganvas.fields import check_known, check_settings, fields_of, from_values, setting

S = TypeVar("S", bound="BaseTrainConfig")


@dataclass(frozen=True, kw_only=True)
class BaseTrainConfig:
    """The base of `TrainConfig` and its like: frozen, of plain values, one for each kind of run.

    A run writes its settings to `run.json`. What the loop needs of them besides, and each kind says for itself:
    total_kimg, snapshot_kimg, batch_size, precision, ema_kimg.
    """

    kind: ClassVar[str]  # of run
    groups: ClassVar[tuple[str, ...]] = ()  # fields that hold fields of a network's own config
    # What may differ between a run and its continuation: how long, how often, nothing that changes a number.
    may_change: ClassVar[frozenset[str]] = frozenset({"total_kimg", "minutes", "save_minutes", "snapshot_kimg"})
    # What may differ, too, and changes the course of the run from there: noted in its log.
    may_change_course: ClassVar[frozenset[str]] = frozenset({"batch_size", "tick_kimg", "watchdog"})

    minutes: float | None = setting(
        None, gt=0, unit="minutes", help="stop after so much training time, over all resumes"
    )
    tick_kimg: float = setting(1.0, gt=0, unit="kimg", help="a line in the log, and the watchdog's look")
    save_minutes: float = setting(
        2.0, ge=0, unit="minutes", help="how often the state is saved, from which the run can go on"
    )
    watchdog: bool = setting(True, help="notice a run that fails: step back once with a remedy, then stop")

    seed: int = setting(0, ge=0, help="of everything random")

    def __post_init__(self) -> None:
        check_settings(self, whole_floats=True)
        for name in self.groups:
            object.__setattr__(self, name, _plain(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same config back."""
        values = json.loads(json.dumps(dataclasses.asdict(self)))
        return {name: values[name] for name in fields_of(type(self))}

    @classmethod
    def from_json(cls: type[S], values: Mapping[str, Any], *, who: str = "the config") -> S:
        """The config of a `run.json` or a preset file.

        Raises:
            BadConfig: names that do not exist, or values that do not fit.
        """
        return from_values(cls, values, what=f"setting in {who}")


def refuse(config: BaseTrainConfig, name: str, wrong: bool, want: str) -> None:
    """A value out of its range.

    Raises:
        BadConfig: it is `wrong`.
    """
    if wrong:
        raise BadConfig(f"{name} must be {want}, got {getattr(config, name)!r}")


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
            check_known(name, fields_of(type(config)), what="setting")
            changes[name] = fields_of(type(config))[name].parse(text)
    return dataclasses.replace(config, **changes)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Two configs


def differences(before: BaseTrainConfig, now: BaseTrainConfig) -> dict[str, str]:
    """Field → `name: before → now`, of every field in which two configs of a kind differ, but for what may change."""
    return {
        item.name: f"{item.name}: {getattr(before, item.name)!r} → {getattr(now, item.name)!r}"
        for item in dataclasses.fields(now)
        if item.name not in now.may_change and getattr(before, item.name) != getattr(now, item.name)
    }
