"""ganvas train-translator --domains: one network between many collections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganvas.cli.training_common import (
    apply_options,
    choose_start,
    current_command,
    print_result,
    print_settings,
    print_start,
    read_data,
    resolve_device_type,
    run_folder,
    train_with_progress,
)


def train_between_domains(
    data: Path | None,
    config: Path | None,
    preset: str,
    changed: dict[str, Any],
    settings: list[str] | None,
    *,
    outdir: Path,
    name: str | None,
    device: str,
    dry_run: bool,
) -> None:
    """What `train_translator` does where there are many domains; the arguments are its own."""
    from ganvas.fields import check_known
    from ganvas.training.domains.config import DOMAINS_PRESETS, DomainsConfig
    from ganvas.training.domains.train import as_domains, names_of, train_domains

    def find_preset(_: Path) -> tuple[str, DomainsConfig]:
        by_machine = "stargan-128" if resolve_device_type(device) == "cuda" else "stargan-64-cpu"
        name = by_machine if preset == "auto" else preset
        check_known(name, DOMAINS_PRESETS, what="preset of many domains")
        return name, DOMAINS_PRESETS[name].config

    data, preset, start = choose_start(config, DomainsConfig, data, "--dataroot", find_preset)
    chosen = apply_options(start, changed, settings)
    folder = run_folder(outdir, name, data, preset)
    if dry_run:
        return print_settings(preset, folder, chosen)
    pictures = read_data(as_domains, data, chosen)
    print_start(f"{preset}, {pictures.c_dim} domains", chosen, folder, report=pictures.report, notes=[])
    done = train_with_progress(
        train_domains,
        pictures,
        config=chosen,
        folder=folder,
        device=device,
        facts={"preset": preset, "command": current_command(), "data": {"path": str(data)}},
    )
    command = f"ganvas translate -i IN -o OUT -n {folder} --direction"
    print_result(done, folder, [f"translate: {command} {where}" for where in names_of(pictures)])
