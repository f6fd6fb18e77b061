"""ganvas runs: what has been trained here, and how it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def runs(
    outdir: Annotated[Path, typer.Argument(help="Where to look.")] = Path("runs"),
) -> None:
    """List training runs with their state.

    Example: [bold]ganvas runs[/bold]
    """
    from rich.console import Console
    from rich.table import Column, Table

    from ganvas.cli.training_common import format_duration
    from ganvas.training.engine.run_list import list_runs

    run_states = list_runs(outdir)
    if not run_states:
        typer.echo(f"no runs in {outdir}; start one with 'ganvas train --data DIR'")
        return
    typer.echo(f"in {outdir}:")
    table = Table(
        Column("run", overflow="fold"), "state", "preset", "kimg", "trained", "img/s", "FD-EffNet", "left", box=None
    )
    for run in run_states:
        table.add_row(
            _name(run.folder, outdir),
            run.status,
            run.preset,
            f"{run.kimg:g} of {run.total_kimg:g}",
            format_duration(60 * run.minutes),
            f"{run.img_per_sec:.1f}",
            "" if run.fd is None else f"{run.fd:.1f}",
            "" if run.eta_sec is None else format_duration(run.eta_sec),
        )
    Console(width=None if Console().is_terminal else 160).print(table)
    for run in run_states:
        if run.words and run.status in ("failed", "stopped", "damaged"):
            typer.echo(f"{run.folder}: {run.words}")


def _name(folder: Path, outdir: Path) -> str:
    """Short, so that a narrow window cuts nothing off."""
    return str(folder.relative_to(outdir)) if folder.is_relative_to(outdir) and folder != outdir else folder.name
