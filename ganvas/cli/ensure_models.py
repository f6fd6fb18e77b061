"""Download the weights a command needs on first use, showing their licences; restricted ones ask for confirmation."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import typer

from ganvas.cli.console import ProgressBar


def ensure_models(names: Iterable[str], *, yes: bool = False) -> None:
    """Make sure that these models are downloaded; names that are not in the catalogue (files) are skipped.

    Args:
        names: catalogue names or paths.
        yes: the licences have been seen; do not ask.

    Raises:
        FetchError: a restricted model without an interactive terminal; no network.
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
            typer.confirm("  Download it, for research and other non-commercial use?", abort=True)
        with ProgressBar(f"downloading {name}") as progress:
            catalogue.get(name, accept=True, on_progress=progress.step)
