"""Weights that a command needs: fetched on first use, each with its licence shown; a restricted one is asked about."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer

from ganvas.cli.console import ProgressBar


def ensure_models(names: Iterable[str], *, yes: bool = False) -> None:
    """Have these models on this computer; what is no catalogue name (a file of the user's) is passed over.

    Args:
        names: catalogue names or paths.
        yes: the licences have been seen; do not ask.

    Raises:
        FetchError: a restricted model where nobody can be asked; no network.
        typer.Abort: the user said no.
    """
    from ganvas.weights.catalogue import catalogue

    for name in names:
        if name not in catalogue.names() or catalogue.find_entry(name).here:
            continue
        entry = catalogue.find_entry(name)
        if entry.restricted and not yes and not sys.stdin.isatty():
            catalogue.get(name)  # says what is missing, and how to accept it
        typer.echo(f"{name}: {entry.about}\n  licence: {entry.licence}. {catalogue.terms(entry)}")
        if entry.restricted and not yes:
            typer.confirm("  Fetch it, for research and other non-commercial use?", abort=True)
        with ProgressBar(f"fetching {name}") as progress:
            catalogue.get(name, accept=True, on_progress=progress.step)
