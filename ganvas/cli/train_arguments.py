"""What a person types for the training of a generator, and the configuration that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.cli.training_common import apply_options, resolve_device_type, run_folder, slug

if TYPE_CHECKING:
    from ganvas.training.generator.config import TrainConfig


@dataclass(kw_only=True)
class TrainArguments:
    """What was typed, and what it comes to."""

    data: Path | None
    preset: str = "auto"
    outdir: Path = Path("runs")
    name: str | None = None
    init_from: str | None = None
    config: Path | None = None
    device: str = "auto"
    minutes: float | None = None
    why: list[str] = field(default_factory=list)  # of auto's choice
    notes: list[str] = field(default_factory=list)  # what else was settled

    def resolve(self, changed: dict[str, Any], settings: list[str] | None) -> TrainConfig:
        """The configuration: preset, then weights to start from, then options, then --set."""
        from ganvas.training.generator.presets import (
            GENERATOR_PRESETS,
            find_generator_preset,
            for_transfer,
            rescale_preset,
        )
        from ganvas.training.generator.transfer import shaped_like

        start = self._load_run_config() if self.config else None
        if start is None:
            self._choose_preset()
            start = find_generator_preset(self.preset)
        if self.init_from is not None:
            start = for_transfer(shaped_like(replace(start, resolution=None), self.init_from))
        elif self.preset in GENERATOR_PRESETS and GENERATOR_PRESETS[self.preset].transfer_only:
            _refuse_from_scratch(self.preset)
        chosen = apply_options(start, changed, settings)
        if self.config is not None or not self.preset.startswith("style-"):
            return chosen
        rescaled_config = rescale_preset(chosen, GENERATOR_PRESETS[self.preset].config)
        if rescaled_config != chosen:
            self.notes.append(
                f"r1_gamma {rescaled_config.r1_gamma:.3g} and ema_kimg {rescaled_config.ema_kimg:.3g} "
                "scaled to size and batch"
            )
        return rescaled_config

    def _load_run_config(self) -> TrainConfig:
        """--config run.json."""
        from ganvas.errors import BadConfig
        from ganvas.training.engine.run_folder import read_record
        from ganvas.training.generator.presets import find_generator_preset

        assert self.config is not None
        path = self.config / "run.json" if self.config.is_dir() else self.config
        record = read_record(path.parent) if path.name == "run.json" else {}
        self.preset = record.get("preset", "custom")
        self.init_from = self.init_from or record.get("init_from")
        recorded_path = record.get("data", {}).get("path")
        if self.data is None and recorded_path is None:
            raise BadConfig(f"{path} does not contain the data path: add --data DIR")
        self.data = self.data or Path(recorded_path)
        return find_generator_preset(str(path))

    def _choose_preset(self) -> None:
        """--preset auto becomes a name; a run that auto has started keeps the one it was started with."""
        if self.preset != "auto":
            return
        from ganvas.datasets.reading import natural_resolution, open_source
        from ganvas.training.generator.presets import choose_generator_preset
        from ganvas.weights.load import load

        previous = self._previous_auto_preset()
        if previous is not None:
            self.preset, self.why = previous, [f"auto chose {previous} when this run was started"]
            return
        assert self.data is not None
        source = open_source(self.data)
        base = None if self.init_from is None else load(self.init_from)
        self.preset, self.why = choose_generator_preset(
            resolution=natural_resolution(source) if base is None else base.img_resolution,
            count=len(source.items),
            device=resolve_device_type(self.device),
            minutes=self.minutes,
            base_family=None if base is None else base.family,
        )

    def _previous_auto_preset(self) -> str | None:
        from ganvas.errors import BadConfig
        from ganvas.training.engine.run_folder import read_record

        for record_file in sorted(self.outdir.glob("*/run.json")):
            if self.name is not None and record_file.parent.name != self.name:
                continue
            try:
                record = read_record(record_file.parent)
            except BadConfig:
                continue
            same = record.get("data", {}).get("path") == str(self.data)
            if record.get("asked") == "auto" and same and record.get("init_from") == self.init_from:
                return str(record["preset"])
        return None

    def folder(self, preset: str) -> Path:
        """Of the run: the same request finds the same folder again."""
        assert self.data is not None
        return run_folder(self.outdir, self.name, self.data, slug(Path(preset)))


def _refuse_from_scratch(preset: str) -> None:
    from ganvas.errors import BadConfig

    raise BadConfig(
        f"{preset} takes many days on many GPUs from scratch, so this preset is for fine-tuning only: add "
        "--init-from FILE, or choose another preset, such as sg3-scratch-r-256 (ganvas train --list)"
    )
