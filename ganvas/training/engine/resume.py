"""Resuming a run with other settings or pictures: what may differ is noted, what may not names the new run to start."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import BadConfig
from ganvas.training.engine.config_base import BaseTrainConfig, differences

_OTHER_NETWORK = frozenset({"family", "scale", "channels", "pairing", "direction"})  # its weights do not fit
_CAN_START_FROM_WEIGHTS = frozenset({"generator", "upscaler"})


@dataclass(frozen=True, kw_only=True)
class DataChange:
    """How the pictures of a resumed run differ from those it had; both "" = they do not."""

    accepted: str = ""  # the run can go on with them
    refused: str = ""


def compare_with_before(
    folder: Path,
    record: Mapping[str, Any],
    config: BaseTrainConfig,
    facts: Mapping[str, Any],
    data_change: DataChange | None,
) -> list[str]:
    """What is other than before the resume, and may be, as `name: before → now`.

    Args:
        folder, record: of the run.
        config: that it shall go on with.
        facts: what will stand in run.json; its "command" is what was typed.
        data_change: how the pictures differ; None = by their fingerprint.

    Raises:
        BadConfig: what may not differ, and the new run that can be started instead.
    """
    before = config.from_json(record["config"], who=str(folder / "run.json"))
    changed = differences(before, config)
    data = data_change or _compare_fingerprints(record, facts)
    refused = [line for name, line in changed.items() if name not in config.may_change_course]
    refused += [data.refused] if data.refused else []
    if refused:
        raise BadConfig(
            f"{folder} was started with other settings:\n  "
            + "\n  ".join(refused)
            + "\nUse the same settings to resume it, or start a new run with another --name."
            + describe_new_run(folder, config, facts, from_weights=not _OTHER_NETWORK & changed.keys())
        )
    accepted = [line for name, line in changed.items() if name in config.may_change_course]
    return accepted + ([data.accepted] if data.accepted else [])


def _compare_fingerprints(record: Mapping[str, Any], facts: Mapping[str, Any]) -> DataChange:
    before, now = record.get("data", {}).get("fingerprint"), facts.get("data", {}).get("fingerprint")
    return DataChange(refused="" if before == now else f"the images: {before} → {now}")


def describe_new_run(folder: Path, config: BaseTrainConfig, facts: Mapping[str, Any], *, from_weights: bool) -> str:
    """The command, or the call where no command was typed, of a new run; it starts from this run's weights if it can.

    Without weights yet, or where they would not fit, it starts from scratch.
    """
    weights = folder / "model.safetensors"
    from_weights = from_weights and config.kind in _CAN_START_FROM_WEIGHTS and weights.is_file()
    name = _free_name(folder)
    what = "A new run from these weights" if from_weights else "A new run"
    command = facts.get("command")
    if command is None:
        start = f", init_from={str(weights)!r}" if from_weights else ""
        return f" {what}: folder={str(folder.with_name(name))!r}{start}"
    words = _without_options(shlex.split(str(command)), ("--name", "--init-from"))
    words += ["--name", name, *(["--init-from", str(weights)] if from_weights else [])]
    return f" {what}:\n{shlex.join(words)}"


def _free_name(folder: Path) -> str:
    """Of a folder beside this one that is not there yet: `faces-2`."""
    number = 2
    while folder.with_name(f"{folder.name}-{number}").exists():
        number += 1
    return f"{folder.name}-{number}"


def _without_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """A command line without some options and their values, written `--name x` or `--name=x`."""
    others, skip = [], False
    for word in words:
        if skip or word.split("=")[0] in options:
            skip = not skip and word in options
            continue
        others.append(word)
    return others
